import threading
import time

import pytest

from adhelpers._shared.threads import in_threads, thread_count


def test_results_come_in_the_order_of_the_items():
    def slow_at_first(number):
        time.sleep(0.03 if number == 0 else 0)
        return number

    assert list(in_threads(slow_at_first, range(20), threads=4)) == list(range(20))


def test_several_run_at_once():
    both = threading.Barrier(2, timeout=20)
    assert sorted(in_threads(lambda _: both.wait(), range(2), threads=2)) == [0, 1]


def test_an_error_ends_what_has_not_begun():
    begun = []

    def fail(number):
        begun.append(number)
        time.sleep(0.01)
        if number == 1:
            raise ValueError("at 1")
        return number

    with pytest.raises(ValueError, match="at 1"):
        list(in_threads(fail, range(500), threads=2))
    assert len(begun) < 100


@pytest.mark.parametrize("bound, expected", [("1", 1), ("0", 1), ("2,1", None), ("", None)])
def test_a_bound_of_threads_holds(monkeypatch, bound, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", bound)
    assert 1 <= thread_count() <= 4 and (expected is None or thread_count() == expected)
