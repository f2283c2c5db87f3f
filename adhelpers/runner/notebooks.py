"""Finds notebooks and reads their titles and parameters without running them."""

import json
import os
import re
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adhelpers
from adhelpers._shared.files import replacing

from .parameters import Parameter, UsageError, nearest, parameters_of, shortened

# Where a wheel puts the notebooks, below the environment's folder.
_SHARED = "share/adhelpers/notebooks"
_NOTEBOOKS = "[0-9]*.ipynb"
# Of the name of a run in characters.
LONGEST_NAME = 60


@dataclass(frozen=True)
class NotebookFile:
    """A notebook on disk.

    Attributes
    ----------
    path : Path
    title : str
        Its first heading.
    parameters : dict of str to Parameter
        What the cell tagged ``parameters`` sets.
    """

    path: Path
    title: str
    parameters: dict[str, Parameter]

    @property
    def name(self) -> str:
        """Name on the command line: the file's name without its suffix."""
        return self.path.stem

    def defaults(self) -> dict[str, Any]:
        """The value of each parameter where none is given."""
        return {name: parameter.default for name, parameter in self.parameters.items()}


def project_root() -> Path:
    """The folder with ``notebooks/`` and the package; of an installed package the current one."""
    root = Path(adhelpers.__file__).resolve().parents[1]
    return root if (root / "notebooks").is_dir() else Path.cwd()


def default_folder(name: str) -> Path:
    """Where runs write if nothing else is said; ``name`` is ``results`` or ``models``.

    The environment variable ``ADHELPERS_RESULTS`` or ``ADHELPERS_MODELS``, else the project's own.
    """
    return Path(os.environ.get(f"ADHELPERS_{name.upper()}") or project_root() / name)


def notebook_folder(folder: str | Path | None = None) -> Path:
    """``folder``, by default the project's ``notebooks/``.

    An installed package has no project: the current folder's ``notebooks/`` where `copy_notebooks`
    has put some, else those that were installed.
    """
    if folder:
        return Path(folder)
    own = project_root() / "notebooks"
    return own if any(own.glob(_NOTEBOOKS)) else _installed_notebooks() or own


def _installed_notebooks() -> Path | None:
    """The folder of the notebooks in an installed package's environment."""
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    folders = [Path(sysconfig.get_path("data", scheme)) / _SHARED for scheme in schemes]
    return next((one for one in folders if any(one.glob(_NOTEBOOKS))), None)


def copy_notebooks(to: str | Path, folder: str | Path | None = None) -> list[Path]:
    """Copy notebooks and presets into a folder of one's own; files that are there stay.

    Parameters
    ----------
    to : str or Path
        Made where it is missing.
    folder : str or Path, optional
        Where the notebooks are, as in `notebook_folder`.

    Returns
    -------
    list of Path
        What was copied.

    Raises
    ------
    FileNotFoundError
        If there are no notebooks to copy.
    """
    source, to = notebook_folder(folder), Path(to)
    files = sorted([*source.glob(_NOTEBOOKS), *source.glob("presets/*.yaml")])
    if not files:
        raise FileNotFoundError(f"there are no notebooks in {source}: install adhelpers again")
    copied = []
    for file in files:
        place = to / file.relative_to(source)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as temporary:
                shutil.copyfile(file, temporary)
            copied.append(place)
    return copied


def read_notebook(path: str | Path) -> NotebookFile:
    """Read title and parameters of an ``.ipynb`` file.

    Raises
    ------
    ValueError
        If the file is no notebook or its parameters are not plain literals.
    """
    # papermill.inspect_notebook reads line by line: it loses a parameter whose comment holds "="
    # and takes a second to import.
    path = Path(path)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = [
            (cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", []))
            for cell in cells
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a Jupyter notebook") from error
    lines = [
        line for kind, source, _ in sources if kind == "markdown" for line in source.splitlines()
    ]
    title = next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), path.stem)
    tagged = [source for kind, source, tags in sources if kind == "code" and "parameters" in tags]
    return NotebookFile(path, title, parameters_of(tagged[0], path) if tagged else {})


def notebooks_in(folder: str | Path | None = None) -> list[NotebookFile]:
    """All notebooks of a folder; of one that cannot be read nothing but the name is known.

    Parameters
    ----------
    folder : str or Path, optional
        By default the project's ``notebooks/``.
    """
    found = []
    for path in sorted(notebook_folder(folder).glob("*.ipynb")):
        try:
            found.append(read_notebook(path))
        except (OSError, ValueError):
            found.append(NotebookFile(path, path.stem, {}))
    return found


def find_notebooks(
    names: Sequence[str] = (), folder: str | Path | None = None
) -> list[NotebookFile]:
    """Find notebooks by name (``01_screw``), by the beginning of the name (``01``) or by path.

    Parameters
    ----------
    names : sequence of str
        None named means all of ``folder``.
    folder : str or Path, optional
        By default the project's ``notebooks/``.

    Returns
    -------
    list of NotebookFile
        Each one once, in the order of the names.

    Raises
    ------
    UsageError
        If a name fits no notebook or several.
    """
    folder = notebook_folder(folder)
    present = sorted(folder.glob("*.ipynb"))
    if not names and not present:
        raise UsageError(f"no notebooks in {folder}")
    paths = [_find(name, present, folder) for name in names] or present
    return [read_notebook(path) for path in dict.fromkeys(paths)]


def _find(name: str, present: Sequence[Path], folder: Path) -> Path:
    """The notebook that a name on the command line means."""
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    fitting = fitting_names(name, [path.stem for path in present])
    if len(fitting) != 1:
        stems = fitting or [path.stem for path in present]
        problem = "fits several notebooks" if fitting else f"is no notebook in {folder}"
        raise UsageError(
            f"{shortened(name)} {problem}: {', '.join(stems) or 'there are none'}"
            f"{nearest(name, stems)}"
        )
    return next(path for path in present if path.stem == fitting[0])


def fitting_names(name: str, names: Sequence[str]) -> list[str]:
    """The notebooks that a name means: the one of that name, else all that begin with it.

    Examples
    --------
    >>> fitting_names("01", ["01_screw", "02_hazelnut"]), fitting_names("", ["01_screw"])
    (['01_screw'], [])
    """
    if name in names:
        return [name]
    return [one for one in names if name and one.startswith(name)]


def run_name(values: Mapping[str, Any]) -> str:
    """What a run's folder is called, from the values of its notebook's parameters.

    ``category``; where that is empty ``dataset``, if there is one; else ``default``.

    Raises
    ------
    ValueError
        If that cannot name a folder: results go to ``<notebook>/<category>/``.

    Examples
    --------
    >>> run_name({"dataset": "digits", "category": ""}), run_name({"seed": 0})
    ('digits', 'default')
    """
    name = values.get("category", "default")
    if not name and values.get("dataset"):
        name = values["dataset"]
    plain = isinstance(name, str) and name == Path(name).name and "\\" not in name
    if not plain or name in ("", ".", ".."):
        raise ValueError(f"category must be the name of a folder without separators, got {name!r}")
    return name


def run_folder(category: str, name: str | None) -> str:
    """The folder within ``<results>/<notebook>/`` of a run on a category, which may have a name.

    Categories often hold a hyphen, hardly ever an @: two runs do not meet in one folder.

    Raises
    ------
    ValueError
        If the name cannot be part of a folder's name.

    Examples
    --------
    >>> run_folder("screw", "seed-1"), run_folder("screw", None)
    ('screw@seed-1', 'screw')
    """
    if name is None:
        return category
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII) or len(name) > LONGEST_NAME:
        raise ValueError(
            f"name must be at most {LONGEST_NAME} letters, digits, dots, hyphens and underscores, "
            f"such as seed-1; got {shortened(name)}"
        )
    return f"{category}@{name}"
