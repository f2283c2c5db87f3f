"""Seconds by stage of this process's work: what a run's summary says under ``seconds``."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS: dict[str, float] = {}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure the seconds that the body takes as stage ``name``; those of several bodies add up.

    Examples
    --------
    >>> forget_stages()
    >>> with stage("counting"):
    ...     total = sum(range(10))
    >>> list(stage_seconds())
    ['counting']
    """
    start = time.perf_counter()
    try:
        yield
    finally:
        _SECONDS[name] = _SECONDS.get(name, 0.0) + time.perf_counter() - start


def stage_seconds() -> dict[str, float]:
    """Seconds by stage since the start or `forget_stages`, in the order of their first end."""
    return dict(_SECONDS)


def forget_stages() -> None:
    """Begin anew, as a run does: a kernel may have run another notebook before."""
    _SECONDS.clear()
