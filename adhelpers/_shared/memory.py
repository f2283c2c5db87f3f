"""The most memory that this process has had at once: what a run's summary says of it."""

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes, without its child processes.

    Linux keeps it for each program; ``getrusage`` would also count what the process that started
    this one held at that moment.

    Returns
    -------
    int or None
        None where the system does not say it.

    Examples
    --------
    >>> before = peak_memory()
    >>> before is None or before > 1_000_000
    True
    """
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB$", _STATUS.read_text(), re.M)
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    import psutil

    # Windows has it under this name.
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    return None if peak is None else int(peak)
