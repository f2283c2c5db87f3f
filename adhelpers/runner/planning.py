"""What is to run: notebooks with checked values, each with a folder and a key of its own."""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import adhelpers
from adhelpers._shared.leftovers import SCRATCH, sweep_folder, sweep_tree

from .grids import Grid, combination_name, combinations
from .notebooks import (
    NotebookFile,
    default_folder,
    find_notebooks,
    notebooks_in,
    run_folder,
    run_name,
)
from .parameters import UsageError
from .presets import read_preset, values_for
from .run import NAME_VARIABLE

# In the folder of each batch run: what it was made of, and how long it took.
KEY_FILE = "run.json"
# Where a run writes says nothing about what it finds.
_PLACES = ("results", "models")

_Stamp: TypeAlias = tuple[str, int, int]
_Stamps: TypeAlias = Callable[[Path], list[_Stamp]]


@dataclass(frozen=True)
class PlannedRun:
    """One notebook with the values of its parameters, and where its results go.

    Attributes
    ----------
    notebook : NotebookFile
    values : dict
        What is passed to the notebook.
    category : str
    results : Path
        All results.
    name : str or None
    text : str
        The notebook's file when the run was planned.
    key : str
        SHA-256 of all that decides about the results: the source of the notebook's cells, all
        values but the folders to write in, names, sizes and times of the files that they lead to
        (of images those of the category), and the version of the package.
    """

    notebook: NotebookFile
    values: dict[str, Any]
    category: str
    results: Path
    name: str | None = None
    text: str = field(default="", repr=False)
    key: str = ""

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return self.results / self.notebook.name / run_folder(self.category, self.name)

    @property
    def reads_others(self) -> bool:
        """Whether its parameter ``other_runs`` says that it reads other notebooks' results."""
        return bool((self.notebook.defaults() | self.values).get("other_runs", False))

    def changed(self) -> dict[str, Any]:
        """The values that are not the notebook's defaults, without the places to write."""
        defaults = self.notebook.defaults()
        return {
            name: value
            for name, value in self.values.items()
            if name not in _PLACES and value != defaults[name]
        }

    def is_finished(self) -> bool:
        """Whether its folder holds the results of a run with this key."""
        found = recorded(self.folder).get("key") == self.key
        return found and (self.folder / "report.html").is_file()


def recorded(folder: Path) -> dict[str, Any]:
    """What a batch run has left about itself in its folder; empty where there is nothing."""
    try:
        record = json.loads((folder / KEY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _key(notebook: NotebookFile, text: str, passed: dict[str, Any], stamps: _Stamps) -> str:
    """The key of a run, see `PlannedRun`."""
    values = notebook.defaults() | passed
    values = {name: value for name, value in values.items() if name not in _PLACES}
    cells = [
        [cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", [])]
        for cell in json.loads(text)["cells"]
    ]
    files = dict(_inputs(values, stamps))
    parts = [notebook.name, adhelpers.__version__, cells, values, files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _inputs(values: dict[str, Any], stamps: _Stamps) -> Iterator[tuple[str, list[_Stamp]]]:
    """The files that values lead to."""
    for name, value in values.items():
        # What a person gives is absolute here; all else is no path.
        if not (isinstance(value, str) and Path(value).is_absolute()):
            continue
        path, category = Path(value), Path(value) / str(values.get("category", ""))
        if name == "import_from":
            # The caller's folder, for the module of a detector: that may be any folder.
            yield name, [_stamp(path, one) for one in sorted(path.glob("*.py"))]
        elif path.exists():
            yield name, stamps(category if name == "data_root" and category.is_dir() else path)


def _stamps(path: Path) -> list[_Stamp]:
    """Of a file, or of all files in a folder."""
    if path.is_file():
        return [_stamp(path.parent, path)]
    # Of 10,000 images on a shared disk: a second, where reading them takes minutes.
    found = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return [_stamp(path, one) for one in sorted(found)]


def _stamp(folder: Path, file: Path) -> _Stamp:
    """Relative name, size and time of a file."""
    try:
        # Of what a link leads to: links are made anew for a category of patterns or lists.
        stat = file.stat()
    except OSError:
        stat = file.lstat()
    return file.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True)
class Request:
    """What a person asks for; see `run_notebooks`, which has the same arguments.

    Attributes
    ----------
    names, preset, given, data, results, models, folder, name
        See `run_notebooks`.
    """

    names: Sequence[str] = ()
    preset: str = "quick"
    given: Sequence[tuple[str, str]] = ()
    data: str | Path | None = None
    results: str | Path | None = None
    models: str | Path | None = None
    folder: str | Path | None = None
    name: str | None = None

    def plan(self, grid: Grid | None = None) -> list[PlannedRun]:
        """Each notebook with each combination of a grid; nothing has been run or written yet.

        Parameters
        ----------
        grid : dict of str to list of str, optional
            Values as texts by the name of a parameter that each notebook must have. With a grid
            every run has a name that says what it is.

        Returns
        -------
        list of PlannedRun
            Combination by combination, the notebooks of each in their order.

        Raises
        ------
        UsageError
            If a notebook, preset, parameter, value or name is wrong, or two runs would be the same.
        """
        results = Path(self.results or default_folder("results")).resolve()
        folders = {"data_root": self.data, "results": results, "models": self.models}
        notebooks = find_notebooks(self.names, self.folder)
        chosen = read_preset(self.preset, self.folder)
        # What a preset holds need not concern those that run now.
        others = notebooks_in(self.folder) if chosen.sections else []
        texts = [notebook.path.read_text(encoding="utf-8") for notebook in notebooks]
        common, stamps = self._common_name(), functools.cache(_stamps)
        runs = []
        for combination in combinations(grid or {}):
            name = common
            if grid is not None:
                name = combination_name(combination, self.given, self.preset, common)
            given = [*self.given, *combination]
            values = values_for(notebooks, chosen, given, folders, others)
            for notebook, one, text in zip(notebooks, values, texts, strict=True):
                if "models" in notebook.parameters:
                    one["models"] = one.get("models") or str(default_folder("models"))
                category, key = _category(notebook, one), _key(notebook, text, one, stamps)
                runs.append(PlannedRun(notebook, one, category, results, name, text, key))
        _check_distinct(runs)
        return runs

    def _common_name(self) -> str | None:
        """The name that was given, on the command line or in the environment."""
        name = self.name
        if name is None:
            name = os.environ.get(NAME_VARIABLE) or None
        try:
            run_folder("category", name)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return name


def prepare_folders(runs: Sequence[PlannedRun]) -> None:
    """Try the folders that runs write in and remove what killed processes left in them.

    Raises
    ------
    UsageError
        If one cannot be written in.
    """
    results = runs[0].results
    stores = {Path(run.values["models"]) for run in runs if run.values.get("models")}
    _check_writable("results", results)
    for store in stores:
        _check_writable("models", store)
    sweep_folder(tempfile.gettempdir(), (SCRATCH,))
    for folder in (results, *stores):
        sweep_tree(folder)


def _category(notebook: NotebookFile, values: dict[str, Any]) -> str:
    """The name of the folder of a run's results."""
    try:
        return run_name(notebook.defaults() | values)
    except ValueError as error:
        raise UsageError(f"{notebook.name}: {error}") from error


def _check_distinct(runs: Sequence[PlannedRun]) -> None:
    """Refuse two runs that are the same, such as those of the seeds 1 and 01, or meet in a folder.

    Some systems do not tell names apart that differ in case only.
    """
    folders: dict[str, PlannedRun] = {}
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        values = json.dumps([run.notebook.name, run.category, run.values], sort_keys=True)
        for kind, key, known in (
            ("the same run", values, seen),
            ("in the same folder", str(run.folder).casefold(), folders),
        ):
            other = known.setdefault(key, run)
            if other is not run:
                raise UsageError(
                    f"sweep: {run.notebook.name}: {other.folder.name} and {run.folder.name} would "
                    f"be {kind}; leave one of them out"
                )


def _check_writable(name: str, folder: Path) -> None:
    """Make the folder and try it: better to know now than after the training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.NamedTemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"{name}: {folder} is no folder to write in ({error.strerror}); give another with "
            f"--{name}"
        ) from error
