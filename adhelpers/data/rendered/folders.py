"""Folders of rendered images: the note in each, their place in the cache, what is refused."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PIL import Image

from adhelpers._shared.files import replacing_folder
from adhelpers._shared.leftovers import PARTIAL, owned_prefix, sweep_folder

_NOTE = "readme.txt"
_RENDERED = "rendered"


def check_whole_number(name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``; the error names the parameter."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def save_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Save 8-bit pixels as PNG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@contextmanager
def rendering(folder: Path, first_line: str, parameters: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a temporary folder for rendered images, which takes the place of ``folder`` at the end.

    A note with ``first_line`` and the parameters is written into it.

    Raises
    ------
    FileExistsError
        Where ``folder`` holds something else than an earlier rendering of the same kind.
    """
    _refuse_foreign(folder, first_line)
    with replacing_folder(folder) as temporary:
        yield temporary
        listed = json.dumps(parameters, indent=2, default=int)
        text = f"{first_line}\n\nParameters:\n{listed}\n"
        (temporary / _NOTE).write_text(text, encoding="utf-8")


def found_or_rendered(
    identity: Any, name: str, render: Callable[[Path], Path], cache: str | Path | None
) -> Path:
    """The root in the cache that holds the folder ``name``, rendered where it is not there yet.

    Parameters
    ----------
    identity
        Plain values that identify this rendering.
    name : str
        Of the folder within the root.
    render : callable
        Renders into a folder that is given to it and returns the rendered one.
    cache : str or Path, optional
        By default the user's cache folder for adhelpers.
    """
    content = json.dumps(identity, sort_keys=True, default=int)
    root = _cache(cache) / _RENDERED / hashlib.sha256(content.encode()).hexdigest()[:16]
    # The folder appears in one move when all is written: where the note is, the images are.
    note = root / name / _NOTE
    if not note.is_file():
        root.mkdir(parents=True, exist_ok=True)
        sweep_folder(root)
        with tempfile.TemporaryDirectory(dir=root, prefix=owned_prefix(PARTIAL)) as own:
            rendered = render(Path(own))
            try:
                rendered.replace(root / name)
            except OSError:
                # Two notebooks at once: the other's images are the same ones, and it may be reading
                # them already.
                if not note.is_file():
                    raise
    return root


def root_name(root: str | Path, cache: str | Path | None = None) -> str:
    """How a run names the folder of its images: where it lies, or which rendering it is.

    Parameters
    ----------
    root : str or Path
        A folder of categories.
    cache : str or Path, optional
        As in `rendered_root`.

    Returns
    -------
    str
        ``rendered/<hash>`` for rendered images, which is the same on any machine; else the absolute
        path.

    Examples
    --------
    >>> root_name("images/rendered/0a1b", cache="images")
    'rendered/0a1b'
    """
    path, cache = Path(root).resolve(), _cache(cache).resolve()
    if path.is_relative_to(cache / _RENDERED):
        return path.relative_to(cache).as_posix()
    return str(path)


def root_path(name: str, cache: str | Path | None = None) -> Path:
    """The folder that `root_name` has named."""
    return _cache(cache) / name


def _cache(cache: str | Path | None) -> Path:
    return Path(platformdirs.user_cache_dir("adhelpers") if cache is None else cache)


def has_note(folder: Path, first_line: str) -> bool:
    """Whether a folder holds the note of a rendering of this kind."""
    note = folder / _NOTE
    return note.is_file() and note.read_text(encoding="utf-8", errors="replace").startswith(
        first_line
    )


def _refuse_foreign(folder: Path, first_line: str) -> None:
    """Nothing is overwritten that was not rendered."""
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not empty and not has_note(folder, first_line):
        raise FileExistsError(
            f"folder: {folder} exists and was not rendered by adhelpers; choose another folder or "
            "move it away"
        )
