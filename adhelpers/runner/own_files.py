"""Which files in the folder of a run are its own, and which somebody else has put there."""

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from adhelpers._shared.files import write_text

# In the folder of each batch run: the files that the run has written.
FILE_LIST = "files.json"


def list_files(folder: Path) -> None:
    """Write the list of all files in ``folder`` into it."""
    names = sorted(name for name, _ in _entries(folder) if name != FILE_LIST)
    # Escaped, because a file's name need not be UTF-8.
    write_text(folder / FILE_LIST, json.dumps({"files": names}, indent=2) + "\n")


def keep_foreign_files(folder: Path, new: Path, notebook: str) -> list[str]:
    """Take over into ``new``, which will replace ``folder``, what no run has written there.

    A folder without a list (of a run in JupyterLab, say) keeps everything but the files that every
    run writes. A foreign file whose name the new run uses as well goes to ``kept/``; without a
    list it is taken for the run's own.

    Parameters
    ----------
    folder, new : Path
        They lie on the same disk.
    notebook : str
        The name of the notebook, which those of its files begin with.

    Returns
    -------
    list of str
        The files that now have another name.
    """
    listed = _listed(folder)
    usual = {FILE_LIST, f"{notebook}.failed.ipynb"}
    if listed is None:
        usual |= {"report.html", "gallery.html", "samples.csv", f"{notebook}.ipynb"}
    renamed = []
    for name, path in _entries(folder):
        if name in usual or name in (listed or ()):
            continue
        if listed is None and (re.fullmatch(r"summary[\w-]*\.json", name) or (new / name).exists()):
            continue
        if _link(path, new, name) != new / name:
            renamed.append(name)
    return renamed


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files below a folder, links, and folders that are empty, with their relative names."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted(files + links):
            path = Path(parent) / name
            yield path.relative_to(folder).as_posix(), path
        if not folders and not files and Path(parent) != folder:
            yield Path(parent).relative_to(folder).as_posix(), Path(parent)


def _listed(folder: Path) -> set[str] | None:
    """The files that a run's list names, or None where there is none that can be read."""
    try:
        return {str(name) for name in json.loads((folder / FILE_LIST).read_text("utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _link(path: Path, new: Path, name: str) -> Path:
    """Link or copy a file to ``new``, or into ``new/kept`` where its name is taken."""
    others = (new / f"kept-{number}" for number in itertools.count(2))
    for root in itertools.chain([new, new / "kept"], others):
        try:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir() and not path.is_symlink():
                (root / name).mkdir(exist_ok=True)
            else:
                _link_or_copy(path, root / name)
            return root / name
        except (FileExistsError, NotADirectoryError):
            continue
    raise AssertionError("there is always another number")


def _link_or_copy(path: Path, target: Path) -> None:
    """A second name for a file, or a copy where the disk knows no second names."""
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        if os.path.lexists(target):
            raise FileExistsError(str(target)) from None
        shutil.copy2(path, target, follow_symlinks=False)
