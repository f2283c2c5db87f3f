"""Files are written to a temporary name and moved into place, so that nothing is ever half-written."""

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


def _naming(error, path):
    """``error`` with what was to be written, which a full disk's errors leave out or bury in other words."""
    if error.errno is None:
        return OSError(f"{path}: {error}")
    return OSError(error.errno, os.strerror(error.errno), str(path))


@contextmanager
def replacing(path):
    """Yield a temporary sibling of ``path``; move it into place when the body succeeds, remove it when it fails.

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
        Where the file cannot be written; it is named.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> (folder / "a.txt").read_text()
    'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Dots in front of the suffix matter to Keras, which insists on ".weights.h5".
    suffix = "".join(path.suffixes[-2:])
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=suffix)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; a report is for others too.
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise _naming(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path):
    """Yield a temporary folder beside ``path``; move it into place when the body succeeds, remove it when it fails.

    An existing folder at ``path`` is replaced only after the new one is complete. Errors are those
    of :func:`replacing`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".partial-"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=".old-"))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise _naming(error, path) from error
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def write_text(path, text):
    """Write ``text`` (UTF-8) to ``path`` at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write ``value`` as indented JSON to ``path`` at once or not at all. NaN is refused, because JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path):
    """SHA-256 of a file's content as a hexadecimal string."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
