"""Signals that end a command, so that it cleans up behind itself."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Windows has no SIGHUP.
_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Ended(KeyboardInterrupt):
    """Raised by a signal that ends the process.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the body as Ctrl-C does, and the first of them alone.

    Later ones are ignored until the body has cleaned up. What is ignored already (by ``nohup``, or
    Ctrl-C in a background job) stays so. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    handlers = {number: old for number, old in handlers.items() if old != signal.SIG_IGN}

    def end(number: int, frame: FrameType | None) -> None:
        for other in handlers:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    try:
        for number in handlers:
            signal.signal(number, end)
        yield
    finally:
        for number, old in handlers.items():
            # None is a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if old is None else old)
