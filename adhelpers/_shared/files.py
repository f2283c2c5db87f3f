"""Files and folders written under a temporary name and moved into place, whole or not at all."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .leftovers import OLD, PARTIAL, owned_prefix, sweep_folder

# As the kernel's headers have it.
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
# What another writer of the same folder causes between two steps of this one.
_RACES = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota on this disk is used up",
    errno.EROFS: "the file system is read-only",
}
# With less than this nothing that the suite writes has room.
_LEAST = 1 << 16


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
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=owned_prefix(PARTIAL), suffix=suffix
        )
        os.close(descriptor)
        return name

    with _moved_into_place(path, make, mode=0o644) as temporary:
        yield temporary


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``path`` and move it into place when the body succeeds.

    An existing folder at ``path`` is replaced only after the new one is complete, in one step where
    the system can. Where it cannot, a process that is killed between the two steps leaves the old
    folder under another name, and the next call (or `leftovers.sweep_tree`) puts it back. A link
    to a folder stays a link. Errors are those of `replacing`; a file at ``path`` is one.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    # Asked once: another writer may move the folder away between two questions.
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    sweep_folder(path.parent)

    def make() -> str:
        return tempfile.mkdtemp(dir=path.parent, prefix=owned_prefix(PARTIAL))

    with _moved_into_place(path, make, mode=0o755) as temporary:
        yield temporary


@contextmanager
def _moved_into_place(path: Path, make: Callable[[], str], mode: int) -> Iterator[Path]:
    """What `replacing` and `replacing_folder` share; ``make`` makes the temporary path."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(make())
        yield temporary
        # Temporary ones may be read by their owner only; a report is for others too.
        temporary.chmod(mode)
        if temporary.is_dir():
            _put_folder(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        named = _naming(error, path, temporary)
        if named is error:
            raise
        raise named from error
    finally:
        if temporary is not None and temporary.is_dir():
            # After an exchange this is the old folder; what cannot be removed now can be later.
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary is not None:
            temporary.unlink(missing_ok=True)


def _put_folder(temporary: Path, path: Path) -> None:
    """Give a folder its final name, whatever else is done to that name at the same time."""
    while True:
        try:
            if not path.exists():
                temporary.rename(path)
            elif not _exchanged(temporary, path):
                _put_in_two_steps(temporary, path)
            return
        except OSError as error:
            if error.errno not in _RACES or not temporary.exists():
                raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if rename(*names, _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    # Filters of system calls answer EPERM; where it is true, the other way says so too.
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _put_in_two_steps(temporary: Path, path: Path) -> None:
    """Move the folder at ``path`` away and ``temporary`` there; after an error it is put back."""
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=owned_prefix(OLD)))
    try:
        path.rename(old / path.name)
        try:
            temporary.rename(path)
        except OSError:
            # This fails where another writer's folder has come there, which is as good.
            with contextlib.suppress(OSError):
                (old / path.name).rename(path)
            raise
    finally:
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def _naming(error: OSError, path: Path, temporary: Path | None) -> OSError:
    """``error`` with what was to be written.

    A full disk's errors leave that out or bury it, and no one knows the temporary name.
    """
    if error.errno is None:
        if shutil.disk_usage(path.parent).free < _LEAST:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return OSError(f"{path}: {error}")
    name = str(path) if error.filename is None else os.fsdecode(str(error.filename))
    if temporary is None:
        # It could not be made: the error has the name that was tried, or a folder above it.
        name = str(path)
    elif error.filename is not None and str(temporary) not in name:
        return error
    name = name.replace(str(temporary), str(path))
    return OSError(error.errno, os.strerror(error.errno), name)


def check_space(path: str | Path, size: int) -> None:
    """Refuse to write ``size`` bytes to ``path`` where the disk has no room for them.

    For writers that do not survive a full disk. ``path`` and folders above it may not exist yet.

    Raises
    ------
    OSError
        ENOSPC, with the path and both sizes; `error_sentence` puts it into words.
    """
    path = Path(path)
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < size + _LEAST:
        sizes = f"{size / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free"
        raise OSError(errno.ENOSPC, sizes, str(path))


def error_sentence(error: OSError) -> str:
    """One sentence on an error of a file, which begins with its name.

    Examples
    --------
    >>> error_sentence(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/index.html"))
    'results/index.html: the disk is full'
    """
    words = _WORDS.get(error.errno or 0)
    if words is None or error.filename is None:
        return str(error)
    more = "" if error.strerror == os.strerror(error.errno or 0) else f" ({error.strerror})"
    return f"{error.filename}: {words}{more}"


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
