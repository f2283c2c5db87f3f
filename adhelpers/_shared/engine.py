"""Where the parallel parts of one run are computed: here, in processes, or on a Dask cluster.

The environment variable ``ADHELPERS_ENGINE`` chooses: ``serial`` (the default), ``processes:N``, or
the address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``.
"""

import atexit
import functools
import io
import itertools
import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

from .threads import THREAD_VARIABLES, available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINE_VARIABLE = "ADHELPERS_ENGINE"
_SERIAL = "serial"
_PROCESSES = "processes:"
# Tasks that are sent ahead for each worker; all at once would hold every image in memory twice.
_AHEAD = 4
# Functions with their detectors that a worker keeps.
_KEPT = 4
_CONNECT_SECONDS = 20


class _Pickler(pickle.Pickler):
    """Lets objects say what is sent in their place, see `spread`."""

    def reducer_override(self, value: Any) -> Any:
        sent_as = getattr(type(value), "sent_as", None)
        return NotImplemented if sent_as is None else sent_as(value)


def spread(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results of a function for all items, in their order.

    Elsewhere than here, function and items must be such as can be sent: functions of modules,
    `functools.partial`, arrays. An object with a method ``sent_as`` travels as what that returns: a
    callable and its arguments, as ``__reduce__`` does for pickling. A stored detector is loaded
    from its folder in this way, once in each worker. A function that cannot be sent is called here.
    The results are those of a loop, bit for bit where the machines and their numbers of threads are
    the same.

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
    packed = None if chosen == _SERIAL else _packed(function)
    if packed is None:
        yield from map(function, items)
        return
    executor, workers = _executor(chosen, os.getpid())
    iterator, pending = iter(items), deque[Future[Result]]()
    try:
        while True:
            wanted = max(0, max(1, workers()) * _AHEAD - len(pending))
            pending.extend(
                executor.submit(_call, packed, item) for item in itertools.islice(iterator, wanted)
            )
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _packed(function: Callable[..., Any]) -> bytes | None:
    """A function as it is sent; None where it cannot be."""
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(function)
    except Exception:
        # Whatever its parts raise: pickle knows no common error.
        return None
    return buffer.getvalue()


@functools.lru_cache(maxsize=_KEPT)
def _unpacked(packed: bytes) -> Callable[..., Any]:
    """The function that was sent, in a worker; a detector is loaded once, not for each image."""
    function: Callable[..., Any] = pickle.loads(packed)
    return function


def _call(packed: bytes, item: Any) -> Any:
    """In a worker: one result. What it computes is not spread once more."""
    os.environ[ENGINE_VARIABLE] = _SERIAL
    return _unpacked(packed)(item)


@functools.cache
def _executor(chosen: str, process: int) -> tuple[Executor, Callable[[], int]]:
    """Opened once in each process, and how many tasks it works on at once."""
    if chosen.startswith(_PROCESSES):
        count = chosen.removeprefix(_PROCESSES)
        if not count.isdecimal() or int(count) < 1:
            raise _unknown(chosen)
        # A fork of a process with TensorFlow's threads hangs.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(int(count), context, _bound_threads, (int(count),))
        atexit.register(pool.shutdown, wait=False, cancel_futures=True)
        return pool, lambda: int(count)
    if "://" not in chosen:
        raise _unknown(chosen)
    client = connect(chosen)
    atexit.register(client.close)
    return client.get_executor(pure=False), lambda: sum(client.nthreads().values())


def _bound_threads(processes: int) -> None:
    """In a new process: its libraries use its share of the cores, unless the environment says."""
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(max(1, available_cores() // processes)))


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
