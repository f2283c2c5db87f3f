"""Files and folders written under a temporary name and moved into place, whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PARTIAL = ".partial-"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file next to ``path`` and move it into place when the body succeeds.

    When the body fails the temporary file is removed, and what was at ``path`` stays.

    Parameters
    ----------
    path : str or Path
        The final file. Its folder is made if it is missing. The temporary name keeps the suffix,
        because writers choose their format by it.

    Yields
    ------
    Path
        The temporary path to write to.

    Raises
    ------
    OSError
        If the file cannot be written; it is named.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> (folder / "a.txt").read_text()
    'done'
    """
    path = Path(path)
    # Dots in front of the suffix matter to Keras, which insists on ".weights.h5".
    suffix = "".join(path.suffixes[-2:])

    def make() -> str:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_PARTIAL, suffix=suffix)
        os.close(descriptor)
        return name

    with _moved_into_place(path, make, mode=0o644) as temporary:
        yield temporary


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``path`` and move it into place when the body succeeds.

    An existing folder at ``path`` is replaced only after the new one is complete. Errors are those
    of `replacing`.
    """
    path = Path(path)

    def make() -> str:
        return tempfile.mkdtemp(dir=path.parent, prefix=_PARTIAL)

    with _moved_into_place(path, make, mode=0o755) as temporary:
        yield temporary


@contextmanager
def _moved_into_place(path: Path, make: Callable[[], str], mode: int) -> Iterator[Path]:
    """What `replacing` and `replacing_folder` share; ``make`` makes the temporary path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(make())
    try:
        yield temporary
        # Temporary ones may be read by their owner only; a report is for others too.
        temporary.chmod(mode)
        if temporary.is_dir() and path.exists():
            # A folder that holds something cannot be replaced in one step.
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=".old-"))
            path.replace(old / path.name)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise _naming(error, path) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _naming(error: OSError, path: Path) -> OSError:
    """``error`` with what was to be written, which a full disk's errors leave out or bury."""
    if error.errno is None:
        return OSError(f"{path}: {error}")
    return OSError(error.errno, os.strerror(error.errno), str(path))


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, at once or not at all; NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content as a hexadecimal string."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
