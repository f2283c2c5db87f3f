"""How benchmarks take the time, and the table of goals that they print at the end."""

import contextlib
import importlib
import time

import pytest

PEERS = "pip install -r tests/benchmarks/peers.txt"
ROWS = pytest.StashKey[list]()


def pytest_configure(config):
    """Goals are collected for the whole run; PyTorch is loaded before TensorFlow, or both crash."""
    config.stash[ROWS] = []
    for name in ("torch", "torchvision"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


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


@pytest.fixture
def goal(request):
    """A function (what, against, measured, at_least=... or at_most=...): a row of the table.

    What is measured is a ratio within one run. A goal that is missed is a row that says so; what
    must not get worse is for an assertion beside it.
    """

    def record(what, against, measured, *, at_least=None, at_most=None):
        assert (at_least is None) != (at_most is None), "a goal is a least or a most"
        met = measured >= at_least if at_most is None else measured <= at_most
        wanted = f"≥ {at_least:g}" if at_most is None else f"≤ {at_most:g}"
        request.config.stash[ROWS].append(
            (what, against, f"{measured:.3g}", wanted, "met" if met else "not met")
        )

    return record


@pytest.fixture
def peer():
    """A function (module) -> the module of another package, or a skip that says how to get it."""
    return lambda name: pytest.importorskip(
        name, reason=f"{name} is only compared with: {PEERS}", exc_type=ImportError
    )


def table(rows):
    """Rows as a Markdown table whose columns are as wide as their longest cell."""
    rows = [("goal", "compared with", "measured", "wanted", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def pytest_terminal_summary(terminalreporter, config):
    """One table of all goals that were measured, and what was skipped."""
    rows = config.stash[ROWS]
    if rows:
        terminalreporter.section("goals")
        for line in table(rows):
            terminalreporter.write_line(line)
    reasons = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reasons):
        terminalreporter.write_line(f"not compared: {reason.removeprefix('Skipped: ')}")
