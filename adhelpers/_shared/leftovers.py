"""Temporary names that tell which process made them, and what dead processes have left."""

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

PARTIAL, OLD, SCRATCH = ".partial", ".old", "adhelpers"
# Folders on a network are shared by machines, each of which knows its own processes only.
_HOST = re.sub(r"\W", "_", platform.node())[:32] or "here"
_NAME = re.compile(r"(\.partial|\.old|adhelpers)-(\d{1,9})-(\w+)-[a-z0-9_]{8}(\..*)?", re.DOTALL)


def owned_prefix(kind: str) -> str:
    """What the names of this process's temporary files of a kind begin with.

    Parameters
    ----------
    kind : str
        `PARTIAL` for what is being written, `OLD` for a folder that holds what was at the place of
        a new one, `SCRATCH` for folders in the system's temporary one.
    """
    return f"{kind}-{os.getpid()}-{_HOST}-"


def sweep_tree(root: str | Path) -> None:
    """Do what `sweep_folder` does in ``root`` and all folders below."""
    for folder, names, _ in os.walk(root):
        sweep_folder(folder)
        names[:] = [name for name in names if not _NAME.fullmatch(name)]


def sweep_folder(folder: str | Path, kinds: tuple[str, ...] = (PARTIAL, OLD)) -> None:
    """Remove what processes that have gone left in ``folder``, and put back what they moved away.

    What a living process owns stays, as does what cannot be removed. Processes of other machines
    count as living.
    """
    for path in _abandoned(Path(folder), kinds):
        with contextlib.suppress(OSError):
            if path.name.startswith(OLD):
                _put_back(path)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _abandoned(folder: Path, kinds: tuple[str, ...]) -> Iterator[Path]:
    """The temporary files and folders in ``folder`` whose process has gone."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None or match[1] not in kinds or match[3] != _HOST:
            continue
        # Most folders hold no such names; the import waits for one.
        import psutil

        if not psutil.pid_exists(int(match[2])):
            yield path


def _put_back(old: Path) -> None:
    """Rename what was moved away to its old name, unless another has taken its place."""
    for path in old.iterdir():
        if not os.path.lexists(old.parent / path.name):
            path.rename(old.parent / path.name)
