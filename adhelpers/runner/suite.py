"""Runs the notebooks: which ones, with which parameters, in the background with progress, their results in one place.

Inside a notebook :func:`start_run` gives the :class:`Run` that knows the folder, measures the
stages and writes the summary.
"""

import sys
import tempfile
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from tqdm import tqdm

from .notebooks import (
    NotebookFile,
    Parameter,
    UsageError,
    find_notebooks,
    project_root,
    read_notebook,
    read_preset,
    run_name,
    values_for,
)

__all__ = [
    "NotebookFile",
    "Parameter",
    "Run",
    "UsageError",
    "find_notebooks",
    "project_root",
    "read_notebook",
    "read_preset",
    "run_notebooks",
    "start_run",
    "values_for",
]


def __getattr__(name):
    # Run and start_run bring pandas, NumPy and nbconvert; "python -m adhelpers list" must not wait
    # for these.
    if name in ("Run", "start_run"):
        from . import run as _run

        return getattr(_run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Watcher:
    """Tells the person who waits: a bar for each running notebook on a terminal, plain lines elsewhere."""

    def __init__(self, stream):
        self._stream, self._bars, self._told = stream, {}, set()
        self._interactive = stream.isatty()

    def look(self, executions):
        for execution in executions:
            if execution.started and not execution.finished:
                self._show(execution)

    def _show(self, execution):
        name = execution.notebook.name
        if not self._interactive:
            if name not in self._told:
                self._told.add(name)
                print(f"{name} ({execution.category}): started", file=self._stream, flush=True)
            return
        if name not in self._bars:
            form = "{desc} cell {n_fmt}/{total_fmt} [{elapsed}]{postfix}"
            title = f"{name} ({execution.category})"
            self._bars[name] = tqdm(
                desc=title, bar_format=form, file=self._stream, dynamic_ncols=True, leave=False
            )
        bar = self._bars[name]
        bar.n, bar.total = execution.cell, execution.cells or None
        bar.set_postfix_str(execution.status, refresh=False)
        bar.refresh()

    def close(self):
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def tell(self, outcome):
        """The end of one notebook as text; bars of others stay below it."""
        bar = self._bars.pop(outcome.notebook, None)
        if bar is not None:
            bar.close()
        text = f"{outcome.notebook} ({outcome.category}): "
        if outcome.problem is None:
            text += f"finished in {outcome.seconds:.1f} s"
        else:
            text += f"failed after {outcome.seconds:.1f} s in {outcome.problem}"
            if outcome.partial is not None:
                text += f"\n  partly executed notebook: {outcome.partial}"
        tqdm.write(text, file=self._stream)
        self._stream.flush()


def run_notebooks(
    names=(),
    preset="quick",
    given=(),
    data=None,
    results=None,
    models=None,
    jobs=1,
    folder=None,
    stream=None,
):
    """Run notebooks with papermill and write each one's results to ``<results>/<notebook>/<category>/``.

    All names and values are checked before anything runs. A kernel of the current interpreter runs
    in the notebook's own folder, as JupyterLab does it. Results are built in a temporary folder,
    which replaces an earlier one when the notebook has succeeded; a failed notebook leaves
    ``<notebook>.failed.ipynb`` there and the others go on. After each, ``index.html`` is rebuilt.

    Parameters
    ----------
    names : sequence of str
        See :func:`find_notebooks`; none means all.
    preset : str
        See :func:`read_preset`.
    given : sequence of (str, str)
        Parameter names and their values as texts; they win over the preset and ``data``.
    data : str or Path, optional
        Root folder of the images, for notebooks that have a parameter ``data_root``.
    results, models : str or Path, optional
        By default the project's own folders.
    jobs : int
        How many notebooks run at once.
    folder : str or Path, optional
        Where the notebooks are; by default the project's ``notebooks/``.
    stream : file, optional
        Where progress is told; by default standard error.

    Returns
    -------
    list of Outcome
        In the order of the notebooks; ``problem`` is None where all went well.

    Raises
    ------
    UsageError
        If a notebook, preset, parameter or value is wrong, or a folder cannot be written in.
        Nothing has been run then.
    KeyboardInterrupt
        Passed on after all kernels have been ended.
    """
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")
    if data is not None and not Path(data).is_dir():
        raise UsageError(f"data: there is no folder {data}")
    notebooks = find_notebooks(names, folder)
    results = Path(results or project_root() / "results").resolve()
    models = Path(models or project_root() / "models").resolve()
    chosen = read_preset(preset, folder)
    notebook_folder = Path(folder) if folder else project_root() / "notebooks"
    # What a preset holds for all need not concern those that run now.
    others = (
        find_notebooks(folder=folder)
        if chosen.get("all") and any(notebook_folder.glob("*.ipynb"))
        else []
    )
    values = values_for(notebooks, chosen, data, given, results, models, others)
    categories = [_category(notebook, passed) for notebook, passed in zip(notebooks, values)]

    _check_writable("results", results)
    for place in {passed["models"] for passed in values if passed.get("models")}:
        _check_writable("models", Path(place))

    from adhelpers.reports.index import write_index

    from .execution import Execution

    executions = [Execution(*one, results) for one in zip(notebooks, values, categories)]
    watcher = _Watcher(stream or sys.stderr)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        # The notebooks run in threads, so that Ctrl-C arrives here, where the kernels can be ended.
        futures = [pool.submit(execution.run) for execution in executions]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                watcher.look(executions)
                for future in done:
                    watcher.tell(future.result())
                    write_index(results)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for execution in executions:
                execution.stop()
            raise
        finally:
            watcher.close()
    return [future.result() for future in futures]


def _check_writable(name, folder):
    """Make the folder and try it: better to know now than after the training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.NamedTemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"{name}: {folder} is no folder to write in ({error.strerror}); give another with --{name}"
        ) from error


def _category(notebook, passed):
    try:
        return run_name(
            {name: parameter.default for name, parameter in notebook.parameters.items()} | passed
        )
    except ValueError as error:
        raise UsageError(f"{notebook.name}: {error}") from error
