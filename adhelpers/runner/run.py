"""A run from inside its notebook: its folder, figures, summary and seconds.

The tools that write files are imported where they are used: the command line imports this room for
its list of notebooks, and must not wait for pandas and Matplotlib.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adhelpers._shared.memory import peak_memory
from adhelpers._shared.stages import forget_stages, stage_seconds

from .notebooks import default_folder, project_root, read_notebook, run_folder, run_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from adhelpers.data import Category

# In a batch run the folder is a temporary one, moved into place when the whole notebook has
# succeeded.
FOLDER_VARIABLE = "ADHELPERS_RUN_FOLDER"
# What ``--name`` gives, also for runs of papermill and JupyterLab; empty is none.
NAME_VARIABLE = "ADHELPERS_RUN_NAME"


class _Stored(Protocol):
    """A detector that `fit_or_load` has returned."""

    folder: Path | None


class Run:
    """One run of a notebook on one category; made by `start_run`.

    Attributes
    ----------
    notebook, category : str
    parameters : dict
        The notebook's parameters as they are in this run.
    seed : int or None
    name : str or None
        Tells this run from others of the same notebook on the same category.
    folder : Path
        Where this run leaves its files: ``<results>/<notebook>/<category>/``, with a name
        ``<results>/<notebook>/<category>@<name>/``. In a batch run
        (``python -m adhelpers run``) it is a temporary folder, which is moved there when the
        notebook has succeeded and deleted when it has failed: what an interrupted run needs again
        (weights, finished explanations) belongs under ``models``.
    destination : Path
        Where the files are found after the run: ``folder`` itself, or in a batch run the place that
        it is moved to.
    results : Path
        The folder of all runs' results, to read those of other notebooks.
    models : Path
        The folder of all models: ``<models>/<category>/<detector>/<hash>/``.
    """

    def __init__(
        self,
        notebook: str,
        category: str,
        parameters: dict[str, Any],
        seed: int | None,
        results: str | Path,
        models: str | Path,
        folder: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        self.notebook, self.category, self.name = notebook, category, name
        self.parameters, self.seed = parameters, seed
        self.results, self.models = Path(results), Path(models)
        self.destination = self.results / notebook / run_folder(category, name)
        self.folder = Path(folder or self.destination)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage since the run began (`adhelpers._shared.stages`)."""
        return stage_seconds()

    def figure(self, figure: "Figure", name: str) -> "Figure":
        """Save a figure as ``figures/<name>.png`` and return it, so that a cell shows it once.

        Raises
        ------
        ValueError
            Where ``name`` holds more than letters, digits, ``_``, ``-``, ``.`` and spaces.
        """
        from matplotlib import pyplot

        from adhelpers.reports import save_figure

        if not re.fullmatch(r"\w[\w .-]*", name):
            raise ValueError(f"figure: name must be a plain file name, got {name!r}")
        save_figure(figure, self.folder / "figures" / f"{name}.png")
        # A figure that pyplot still holds would be shown a second time at the end of the cell.
        pyplot.close(figure)
        return figure

    def samples(self, frame: "pd.DataFrame", file: str = "samples.csv") -> "pd.DataFrame":
        """Write ``samples.csv``, a row for each test image, and return the table.

        ``samples_<detector>.csv`` is that of another detector in the same run, as in `summary`.
        """
        from adhelpers.reports import write_samples

        if not re.fullmatch(r"samples[\w-]*\.csv", file):
            raise ValueError(
                f"samples: file must be samples.csv or samples_<detector>.csv, got {file!r}"
            )
        write_samples(self.folder / file, frame)
        return frame

    def summary(
        self,
        file: str = "summary.json",
        *,
        data: "Category | Mapping[str, Any] | None" = None,
        models: Sequence[_Stored | str | Path] | None = None,
        **parts: Any,
    ) -> dict[str, Any]:
        """Write the run's summary and return it.

        Parameters
        ----------
        file : str
            ``summary.json`` for the run's main detector; ``summary_<detector>.json`` for another
            one in the same run, which the index lists in a row of its own.
        data : Category or dict, optional
            Of a category the counts, the fingerprints, the settings, the root folder and the
            remarks are written.
        models : sequence of Detector, str or Path, optional
            Stored detectors that this run has used, or their folders. They are written relative to
            the folder of all models where they lie in it.
        **parts
            Values for the other keys of ``SUMMARY_KEYS`` that the run does not know itself
            (``notebook``, ``category``, ``name``, ``parameters``, ``seed``, ``seconds``,
            ``peak_memory``, ``versions``).
            Estimates and thresholds are taken as they are. What is not given is null.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            For a key that no summary has, a part that lacks what its key promises, or a detector
            that is not stored.
        """
        from adhelpers.reports import SUMMARY_KEYS, versions, write_summary

        if not re.fullmatch(r"summary[\w-]*\.json", file):
            raise ValueError(
                f"summary: file must be summary.json or summary_<detector>.json, got {file!r}"
            )
        own = {
            "notebook": self.notebook,
            "category": self.category,
            "name": self.name,
            "parameters": self.parameters,
            "seed": self.seed,
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "peak_memory": peak_memory(),
            "versions": versions(),
        }
        if data is not None:
            empty: dict[str, Any] = {"root": None, "files": None, "settings": None, "remarks": []}
            data = empty | dict(data) if isinstance(data, Mapping) else _described(data)
        given = {
            "data": data,
            "models": None if models is None else [self._model(one) for one in models],
        }
        wrong = [key for key in parts if key not in SUMMARY_KEYS or key in own]
        if wrong:
            fitting = [key for key in SUMMARY_KEYS if key not in own]
            raise ValueError(
                f"summary: {', '.join(wrong)} cannot be given; what can is {', '.join(fitting)}"
            )
        return write_summary(self.folder / file, dict.fromkeys(SUMMARY_KEYS) | parts | given | own)

    def _model(self, model: _Stored | str | Path) -> str:
        """The folder of a stored detector as the summary names it."""
        folder = model if isinstance(model, (str, Path)) else model.folder
        if folder is None:
            raise ValueError(
                "summary: models must be stored detectors, as fit_or_load returns them, or folders"
            )
        folder, root = Path(folder).resolve(), self.models.resolve()
        return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()

    def seconds_table(self) -> "pd.DataFrame":
        """Seconds by stage of this run so far as a table."""
        import pandas as pd

        return pd.DataFrame({"seconds": pd.Series(self.seconds, dtype=float).round(1)})

    def versions_table(self) -> "pd.DataFrame":
        """Versions, seed and parameters of this run as a two-column table."""
        import pandas as pd

        from adhelpers.reports import versions

        rows = [*versions().items(), ("seed", self.seed)]
        rows += [(f"parameter {name}", repr(value)) for name, value in self.parameters.items()]
        return pd.DataFrame(rows, columns=["what", "value"]).set_index("what").rename_axis(None)


def _described(category: "Category") -> dict[str, Any]:
    """The ``data`` part of a summary: what the images are, where they lie, and what to know."""
    from adhelpers.data import root_name

    counts = {}
    for split in ("train", "validation", "test"):
        types = [str(one) for one in getattr(category, split).types]
        counts[split] = {one: types.count(one) for one in sorted(set(types))}
    root = None if category.root is None else root_name(category.root)
    return {
        "counts": counts,
        "fingerprint": category.fingerprint,
        "root": root,
        "files": category.files or None,
        "settings": category.settings,
        "remarks": [remark.as_dict() for remark in category.remarks],
    }


def _parameter_names(notebook: str, variables: Mapping[str, Any]) -> Iterator[str]:
    """Names of the notebook's parameters; in a renamed copy, of all plain public values."""
    for folder in (Path.cwd(), Path.cwd() / "notebooks", project_root() / "notebooks"):
        if (folder / f"{notebook}.ipynb").is_file():
            yield from read_notebook(folder / f"{notebook}.ipynb").parameters
            return
    plain = (str, int, float, bool, type(None))
    for name, value in variables.items():
        if isinstance(value, plain) and not name.startswith("_"):
            yield name


def start_run(notebook: str, variables: Mapping[str, Any]) -> Run:
    """Begin a run inside a notebook, right after the cell with the parameters.

    Parameters
    ----------
    notebook : str
        The notebook's name, such as ``"01_screw"``.
    variables : dict
        ``globals()``. The notebook's parameters are taken from it; among them ``category`` (where
        it is empty ``dataset``; else ``"default"``), ``seed``, ``results`` and ``models`` are used
        here. For an empty ``results`` or ``models`` see `notebooks.default_folder`. The
        environment variable ``ADHELPERS_RUN_NAME`` gives the run a name.

    Tables that the notebook shows are not cut short from here on: no cell, and no row of up to 100.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If ``category`` or the name cannot name a folder.

    Examples
    --------
    >>> import tempfile
    >>> category, seed, results = "screw", 0, tempfile.mkdtemp()
    >>> run = start_run("my_notebook", {"category": category, "seed": seed, "results": results})
    >>> run.folder.relative_to(results).as_posix()
    'my_notebook/screw'
    """
    import pandas as pd

    from adhelpers.reports import show_saved_figures

    pd.set_option("display.max_colwidth", None, "display.max_rows", 100)
    show_saved_figures()
    forget_stages()
    names = [name for name in _parameter_names(notebook, variables) if name in variables]
    return Run(
        notebook,
        run_name(variables),
        {name: variables[name] for name in names},
        variables.get("seed"),
        variables.get("results") or default_folder("results"),
        variables.get("models") or default_folder("models"),
        os.environ.get(FOLDER_VARIABLE),
        os.environ.get(NAME_VARIABLE) or None,
    )
