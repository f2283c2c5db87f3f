"""The first signal ends the body; what it leaves to others and puts back."""

import os
import signal
import threading

import pytest

from adhelpers.runner import Ended, ended_by_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    """Those of this process, which are put back after each test."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_ends_the_body_and_later_ones_do_not_disturb_its_end(number):
    steps = []
    with pytest.raises(Ended) as caught, ended_by_signals():
        try:
            os.kill(os.getpid(), number)
            steps.append("went on")
        finally:
            for other in NUMBERS:
                os.kill(os.getpid(), other)
            steps.append("cleaned up")
    assert steps == ["cleaned up"] and caught.value.number == number
    assert isinstance(caught.value, KeyboardInterrupt)
    assert [signal.getsignal(one) for one in NUMBERS] == [signal.SIG_DFL] * 3


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ended_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_thread_changes_nothing():
    seen = []

    def body():
        with ended_by_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
