"""Work that runs on several threads at once: files are read and decoded outside Python's lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

# Numerical libraries read how many threads they may use from these.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
# Each of them holds a whole file in memory.
_MOST = 4


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def thread_count() -> int:
    """Threads for files: as many as cores that may be used, at most four.

    Where ``OMP_NUM_THREADS`` bounds the threads of libraries, it bounds these too.
    """
    cores = available_cores()
    bound = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(_MOST, cores, int(bound) if bound.isdecimal() else cores))


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int | None = None
) -> Iterator[Result]:
    """The results of a function for all items, in their order.

    At the first error what has not begun is left out. The linear algebra of each thread uses one
    core.

    Parameters
    ----------
    function : callable
        May run in any thread.
    items : sequence
    threads : int, optional
        By default as many as `thread_count` says.

    Examples
    --------
    >>> list(in_threads(str.upper, ["a", "b"]))
    ['A', 'B']
    """
    pool = ThreadPoolExecutor(threads or thread_count())
    try:
        with threadpool_limits(1, "blas"):
            yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
