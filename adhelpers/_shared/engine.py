"""Where the parallel parts of one run are computed: here, in processes, or on a Dask cluster.

The environment variable ``ADHELPERS_ENGINE`` chooses: ``serial`` (the default), ``processes:N``, or
the address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``.
"""

import atexit
import functools
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINE_VARIABLE = "ADHELPERS_ENGINE"
_SERIAL = "serial"
_PROCESSES = "processes:"
# Tasks that are sent ahead for each worker; all at once would hold every image in memory twice.
_AHEAD = 4
_CONNECT_SECONDS = 20


def spread(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results of a function for all items, in their order.

    Elsewhere than here, function and items must be such as can be sent: functions of modules,
    `functools.partial`, arrays, and stored detectors, which travel as the folder that they lie in.
    A function that cannot be sent is called here. The results are those of a loop, bit for bit
    where the machines and their numbers of threads are the same.

    Parameters
    ----------
    function : callable
    items : iterable

    Yields
    ------
    object

    Raises
    ------
    ValueError
        If ``ADHELPERS_ENGINE`` names no engine.
    OSError
        If no scheduler answers at the address.
    Exception
        What the function raises, at the first item for which it does; later ones are left out.

    Examples
    --------
    >>> list(spread(abs, [-1, 2]))
    [1, 2]
    """
    chosen = os.environ.get(ENGINE_VARIABLE) or _SERIAL
    if chosen == _SERIAL or not _can_be_sent(function):
        yield from map(function, items)
        return
    executor, workers = _executor(chosen, os.getpid())
    iterator, pending = iter(items), deque[Future[Result]]()
    try:
        while True:
            wanted = max(1, workers()) * _AHEAD - len(pending)
            pending.extend(
                executor.submit(function, item) for item in itertools.islice(iterator, wanted)
            )
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _can_be_sent(function: Callable[..., Any]) -> bool:
    """Whether a function can be pickled; a detector that is not stored cannot."""
    import pickle

    try:
        pickle.dumps(function)
    except Exception:
        return False
    return True


@functools.cache
def _executor(chosen: str, process: int) -> tuple[Executor, Callable[[], int]]:
    """Opened once in each process, and how many tasks it works on at once."""
    if chosen.startswith(_PROCESSES):
        count = chosen.removeprefix(_PROCESSES)
        if not count.isdecimal() or int(count) < 1:
            raise _unknown(chosen)
        # A fork of a process with TensorFlow's threads hangs.
        pool = ProcessPoolExecutor(int(count), multiprocessing.get_context("spawn"), _be_serial)
        atexit.register(pool.shutdown, wait=False, cancel_futures=True)
        return pool, lambda: int(count)
    if "://" not in chosen:
        raise _unknown(chosen)
    client = connect(chosen)
    atexit.register(client.close)
    return client.get_executor(pure=False), lambda: sum(client.nthreads().values())


def _be_serial() -> None:
    """In a worker: what it computes is not spread once more."""
    os.environ[ENGINE_VARIABLE] = _SERIAL


def _unknown(chosen: str) -> ValueError:
    return ValueError(
        f"{ENGINE_VARIABLE} must be serial, processes:N or the address of a Dask scheduler such as "
        f"tcp://10.0.0.1:8786, got {chosen!r}"
    )


def connect(address: str) -> Any:
    """A client of the Dask scheduler at an address.

    Raises
    ------
    ValueError
        If Dask is not installed, or the address is none.
    OSError
        If no scheduler answers there.
    """
    distributed = import_distributed()
    try:
        return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise OSError(f"no Dask scheduler answers at {address}") from error


def import_distributed() -> Any:
    """Dask's ``distributed``, which takes half a second and is an extra of the package."""
    try:
        import distributed
    except ImportError as error:
        raise ValueError(
            "Dask is not installed; `pip install 'adhelpers[cluster]'` does it"
        ) from error
    return distributed
