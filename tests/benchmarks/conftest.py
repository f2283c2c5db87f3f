"""How benchmarks take the time."""

import time

import pytest


@pytest.fixture
def best_time():
    """A function (function, repeats) -> seconds of the fastest of several calls, last result.

    The fastest call is the one that others disturbed least.
    """

    def measure(function, repeats):
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            result = function()
            seconds.append(time.perf_counter() - start)
        return min(seconds), result

    return measure
