"""Finds image files in files, folders and patterns, and follows a folder in which they appear."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .layouts import is_data, is_image
from .reading import SUFFIXES

_MAGIC = re.compile(r"[*?[]")
_ENDINGS = ", ".join(one.removeprefix(".") for one in SUFFIXES)


def find_images(images: Sequence[str | Path], without: str | Path | None = None) -> Iterator[Path]:
    """The image files that files, folders and patterns stand for, one after the other.

    Folders are searched with all folders in them, in the order of names; hidden files are passed
    over. What is named itself is taken whatever its ending is.

    Parameters
    ----------
    images : sequence of str or Path
        Files, folders, or patterns such as ``photos/*.png`` and ``photos/**/*.jpg``. A file whose
        name is such a pattern is the file.
    without : str or Path, optional
        A folder that is passed over: that of the results may lie among the images.

    Yields
    ------
    Path

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, no file fits a pattern, or a folder holds no image.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.png", "a.jpg", "notes.txt"):
    ...     (folder / name).touch()
    >>> [path.name for path in find_images([folder])]
    ['a.jpg', 'b.png']
    """
    passed_over = None if without is None else os.path.realpath(without)
    for one in images:
        if Path(one).is_dir():
            yield from _some(_in_folder(str(one), passed_over), f"{one} holds no images")
        elif os.path.lexists(one):
            yield Path(one)
        elif _MAGIC.search(str(one)):
            files = (
                path
                for path in _fitting(Path(one))
                if is_image(path) and not _is_in(path, passed_over)
            )
            yield from _some(files, f"no image fits the pattern {one}")
        else:
            raise FileNotFoundError(f"there is no file or folder {one}")


def watch_images(
    folder: str | Path, without: str | Path | None = None, *, interval: float = 1.0
) -> Iterator[Path | None]:
    """The images of a folder and, for ever, those that appear in it or change.

    A file is left until its size and time have stayed the same from one look to the next: a copy
    that is still being written is no image yet.

    Parameters
    ----------
    folder : str or Path
    without : str or Path, optional
        As in `find_images`.
    interval : float
        Seconds between two looks.

    Yields
    ------
    Path or None
        None after each look, when nothing is left to do until the next one.

    Raises
    ------
    NotADirectoryError
        If it is no folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "a.png").write_bytes(b"whole")
    5
    >>> looks = watch_images(folder, interval=0.01)
    >>> next(looks), next(looks).name    # the first look may have met it half-written
    (None, 'a.png')
    """
    if not Path(folder).is_dir():
        raise NotADirectoryError(f"--watch follows one folder, and {folder} is none")
    passed_over = None if without is None else os.path.realpath(without)
    before: dict[str, tuple[int, int]] = {}
    done: dict[str, tuple[int, int]] = {}
    while True:
        now: dict[str, tuple[int, int]] = {}
        for path in _in_folder(str(folder), passed_over):
            state = _state(path)
            if state is None or done.get(str(path)) == state:
                continue
            if before.get(str(path)) == state:
                done[str(path)] = state
                yield path
            else:
                now[str(path)] = state
        before = now
        yield None
        time.sleep(interval)


def _in_folder(folder: str, passed_over: str | None) -> Iterator[Path]:
    """Image files of a folder and of those in it; a list of one folder's names at a time."""
    for place, folders, files in os.walk(folder):
        if passed_over is not None and os.path.realpath(place) == passed_over:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if is_data(Path(name)))
        for name in sorted(files):
            if is_image(Path(name)):
                yield Path(place, name)


def _fitting(pattern: Path) -> list[Path]:
    """What fits a pattern, in the order of names."""
    anchor = Path(pattern.anchor)
    return sorted(anchor.glob(str(pattern.relative_to(pattern.anchor))))


def _is_in(path: Path, folder: str | None) -> bool:
    return folder is not None and Path(os.path.realpath(path)).is_relative_to(folder)


def _some(paths: Iterator[Path], otherwise: str) -> Iterator[Path]:
    """The paths, or an error where there are none."""
    count = 0
    for path in paths:
        count += 1
        yield path
    if not count:
        raise FileNotFoundError(f"{otherwise} ({_ENDINGS})")


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None where it has gone or is empty still."""
    try:
        about = path.stat()
    except OSError:
        return None
    return (about.st_size, about.st_mtime_ns) if about.st_size else None
