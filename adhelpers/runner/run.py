"""The in-notebook side of a run: its folder, stage times, figures and summary."""

import os
import re
import time
from contextlib import contextmanager
from pathlib import Path

from adhelpers.reports.summary import SUMMARY_KEYS, versions, write_samples, write_summary

from .notebooks import project_root, read_notebook, run_name

# In a batch run the folder is a temporary one, moved into place when the whole notebook has
# succeeded.
FOLDER_VARIABLE = "ADHELPERS_RUN_FOLDER"


class Run:
    """One run of a notebook on one category; made by :func:`start_run`.

    Attributes
    ----------
    notebook, category : str
    parameters : dict
        The notebook's parameters as they are in this run.
    seed : int or None
    folder : Path
        Where this run leaves its files: ``<results>/<notebook>/<category>/``. In a batch run
        (``python -m adhelpers run``) a temporary folder stands in, which is moved there when the
        notebook has succeeded and thrown away when it has failed: what an interrupted run is to
        find again (weights, explanations so far) belongs under ``models``.
    destination : Path
        Where the files are found after the run: ``folder`` itself, or in a batch run the place that
        it is moved to.
    results : Path
        The folder of all runs' results, to read those of other notebooks.
    models : Path
        The folder of all models: ``<models>/<category>/<detector>/<hash>/``.
    seconds : dict of str to float
        Seconds by stage so far.
    """

    def __init__(self, notebook, category, parameters, seed, results, models, folder=None):
        self.notebook, self.category, self.parameters, self.seed = (
            notebook,
            category,
            parameters,
            seed,
        )
        self.results, self.models = Path(results), Path(models)
        self.destination = self.results / notebook / category
        self.folder = Path(folder or self.destination)
        self.seconds = {}
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def stage(self, name):
        """Measure the seconds that the body takes as stage ``name``; the times of several bodies add up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def figure(self, figure, name):
        """Save a figure as ``figures/<name>.png`` and return it, so that a cell that ends with this call shows it once.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
        name : str
            Letters, digits, ``_``, ``-``, ``.`` and spaces.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from matplotlib import pyplot

        from adhelpers._shared.files import replacing

        if not re.fullmatch(r"\w[\w .-]*", name):
            raise ValueError(f"figure: name must be a plain file name, got {name!r}")
        with replacing(self.folder / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=130, bbox_inches="tight")
        # A figure that pyplot still holds would be shown a second time at the end of the cell.
        pyplot.close(figure)
        return figure

    def samples(self, frame):
        """Write ``samples.csv``, a row for each test image, and return the table."""
        write_samples(self.folder / "samples.csv", frame)
        return frame

    def summary(self, file="summary.json", **parts):
        """Write the run's summary and return it.

        Parameters
        ----------
        file : str
            ``summary.json`` for the run's main detector; ``summary_<detector>.json`` for another
            one in the same run, which the index lists in a row of its own.
        **parts
            Values for the keys of ``SUMMARY_KEYS`` other than those that the run knows itself
            (``notebook``, ``category``, ``parameters``, ``seed``, ``seconds``, ``versions``).
            Estimates and thresholds are taken as they are. What is not given is null. ``data`` may
            be a :class:`adhelpers.data.Category`: its counts and fingerprint are written.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            For a key that no summary has, or a part that lacks what its key promises.
        """
        if not re.fullmatch(r"summary[\w-]*\.json", file):
            raise ValueError(
                f"summary: file must be summary.json or summary_<detector>.json, got {file!r}"
            )
        own = {
            "notebook": self.notebook,
            "category": self.category,
            "parameters": self.parameters,
            "seed": self.seed,
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "versions": versions(),
        }
        wrong = [key for key in parts if key not in SUMMARY_KEYS or key in own]
        if wrong:
            fitting = [key for key in SUMMARY_KEYS if key not in own]
            raise ValueError(
                f"summary: {', '.join(wrong)} cannot be given; what can is {', '.join(fitting)}"
            )
        if hasattr(parts.get("data"), "fingerprint"):
            parts["data"] = _counts(parts["data"])
        return write_summary(self.folder / file, dict.fromkeys(SUMMARY_KEYS) | parts | own)

    def seconds_table(self):
        """Seconds by stage of this run so far as a table.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas

        return pandas.DataFrame({"seconds": pandas.Series(self.seconds, dtype=float).round(1)})

    def versions_table(self):
        """Versions, seed and parameters of this run as a two-column table.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas

        rows = [*versions().items(), ("seed", self.seed)]
        rows += [(f"parameter {name}", repr(value)) for name, value in self.parameters.items()]
        return pandas.DataFrame(rows, columns=["what", "value"]).set_index("what").rename_axis(None)


def _counts(category):
    """The ``data`` part of a summary: number of images by split and type, and the fingerprint."""
    counts = {}
    for split in ("train", "validation", "test"):
        types = [str(one) for one in getattr(category, split).types]
        counts[split] = {one: types.count(one) for one in sorted(set(types))}
    return {"counts": counts, "fingerprint": category.fingerprint}


def _parameter_names(notebook, variables):
    """Names of the notebook's parameters from its file; where it is not found (a renamed copy), of all plain public values."""
    for folder in (Path.cwd(), Path.cwd() / "notebooks", project_root() / "notebooks"):
        if (folder / f"{notebook}.ipynb").is_file():
            return list(read_notebook(folder / f"{notebook}.ipynb").parameters)
    plain = (str, int, float, bool, type(None))
    return [
        name
        for name, value in variables.items()
        if isinstance(value, plain) and not name.startswith("_")
    ]


def start_run(notebook, variables):
    """Begin a run inside a notebook, right after the cell with the parameters.

    Parameters
    ----------
    notebook : str
        The notebook's name, such as ``"01_screw"``.
    variables : dict
        ``globals()``. The notebook's parameters are taken from it; among them ``category`` (where
        it is empty ``dataset``; else ``"default"``), ``seed``, ``results`` and ``models`` are used
        here. An empty ``results`` or ``models`` means the project's own folder.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If ``category`` cannot name a folder.

    Examples
    --------
    >>> import tempfile
    >>> category, seed, results = "screw", 0, tempfile.mkdtemp()
    >>> run = start_run("my_notebook", {"category": category, "seed": seed, "results": results})
    >>> run.folder.relative_to(results).as_posix()
    'my_notebook/screw'
    """
    parameters = {
        name: variables[name] for name in _parameter_names(notebook, variables) if name in variables
    }
    category = run_name(variables)
    results = Path(variables.get("results") or project_root() / "results")
    models = Path(variables.get("models") or project_root() / "models")
    return Run(
        notebook,
        category,
        parameters,
        variables.get("seed"),
        results,
        models,
        os.environ.get(FOLDER_VARIABLE),
    )
