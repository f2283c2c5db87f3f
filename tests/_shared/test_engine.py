"""The parallel parts of a run: serial, in processes, and what is refused (Dask: test_engines)."""

import functools
import os

import numpy as np
import pytest

from adhelpers._shared.engine import ENGINE_VARIABLE, spread


def test_serial_is_a_loop_that_takes_one_item_at_a_time(monkeypatch):
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    taken = []
    results = spread(abs, (taken.append(one) or one for one in (-1, -2, -3)))
    assert next(results) == 1 and taken == [-1]
    assert list(results) == [2, 3]


def test_processes_give_the_same_in_the_same_order(in_processes):
    items = [np.random.default_rng(seed).normal(size=100) for seed in range(30)]
    function = functools.partial(np.quantile, q=0.3)
    assert list(spread(function, items)) == [function(one) for one in items]
    places = list(spread(os.path.realpath, ["/proc/self"] * 10))
    assert f"/proc/{os.getpid()}" not in places
    # A worker does not start workers of its own.
    assert set(spread(os.getenv, [ENGINE_VARIABLE])) == {"serial"}
    assert list(spread(abs, [])) == []


def test_an_error_comes_at_its_item_and_no_sooner(in_processes):
    results = spread(int, ["1", "2", "x", "4"])
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="invalid literal"):
        next(results)


def test_what_cannot_be_sent_is_computed_here(in_processes):
    here = os.getpid()
    assert list(spread(lambda _: os.getpid(), [1, 2])) == [here, here]


@pytest.mark.parametrize("wrong", ["threads", "processes:", "processes:0", "processes:x", "host"])
def test_other_engines_are_refused(monkeypatch, wrong):
    monkeypatch.setenv(ENGINE_VARIABLE, wrong)
    with pytest.raises(ValueError, match="serial, processes:N or the address"):
        list(spread(abs, [1]))
