"""Executes one notebook with papermill; progress is read, and it is stopped, from other threads."""

import contextlib
import json
import logging
import math
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient.exceptions import DeadKernelError
from nbconvert.filters import strip_ansi

from adhelpers._shared.files import check_space, error_sentence, replacing_folder, write_json
from adhelpers._shared.leftovers import SCRATCH, owned_prefix
from adhelpers.reports import notebook_to_html

from .own_files import keep_foreign_files, list_files
from .planning import KEY_FILE, PlannedRun, recorded
from .run import FOLDER_VARIABLE, NAME_VARIABLE
from .warm_kernels import use_warm_parent

_KERNEL = "python3"
_NO_MEMORY = "the system may have ended it for want of memory"
# In bytes: with less, a disk counts as full.
_ROOM = 1_000_000
# Its warnings are about what has been checked here before, its errors come as exceptions as well.
logging.getLogger("papermill").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    notebook, category : str
    folder : Path
        Of its results.
    seconds : float
    problem : str or None
        What went wrong.
    partial : Path or None
        The notebook as far as it was executed, where it failed.
    moved : tuple of str
        Files in the folder that no run had written and whose names this one needed: they are in
        ``kept/`` now.
    """

    notebook: str
    category: str
    folder: Path
    seconds: float
    problem: str | None = None
    partial: Path | None = None
    moved: tuple[str, ...] = ()


class _ThisPython(KernelSpecManager):
    """Starts kernels with this interpreter; an installed "python3" may be of another one."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


class Execution:
    """A planned run to be run once with `run`, usually in a thread.

    Parameters
    ----------
    plan : PlannedRun
    environment : dict of str to str, optional
        Variables for the kernel besides those of this process.
    warm : bool
        Whether the kernel is forked from the parent that `warm_up` has started.

    Attributes
    ----------
    plan : PlannedRun
    notebook : NotebookFile
    category : str
    results, folder : Path
        All results, and those of this run.
    cell, cells : int
        Number of the cell that runs, and of all cells.
    started, finished : bool
    """

    def __init__(
        self, plan: PlannedRun, environment: Mapping[str, str] | None = None, *, warm: bool = False
    ) -> None:
        self.plan, self.notebook, self.category = plan, plan.notebook, plan.category
        self.results, self.folder, self._name = plan.results, plan.folder, plan.name
        self._environment, self._warm = environment or {}, warm
        self.cell, self.cells, self.started, self.finished = 0, 0, False, False
        self._values, self._heading = plan.values, plan.notebook.title
        self._current: nbformat.NotebookNode | None = None
        self._manager: KernelManager | None = None
        self._stopped, self._lock = False, threading.Lock()
        self._status_file: Path | None = None

    @property
    def reads_others(self) -> bool:
        """Whether it reads other notebooks' results."""
        return self.plan.reads_others

    def earlier_seconds(self) -> float:
        """How long the run took whose results lie in its folder; infinite where none are known."""
        seconds = recorded(self.folder).get("seconds")
        return float(seconds) if isinstance(seconds, (int, float)) else math.inf

    @property
    def status(self) -> str:
        """The line that the notebook's innermost progress shows, or an empty text."""
        if self._status_file is None:
            return ""
        try:
            return self._status_file.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def stop(self) -> None:
        """End the kernel at once; `run` then returns. Does nothing where it has ended."""
        with self._lock:
            self._stopped = True
            if self._manager is not None and self._manager.has_kernel:
                self._manager.shutdown_kernel(now=True)

    def run(self) -> Outcome:
        """Execute, export, move into place.

        An earlier good result is replaced only when all of it has succeeded, and of its folder only
        what a run has written there.
        """
        self.started, start = True, time.perf_counter()
        problem = partial = None
        renamed: list[str] = []
        try:
            with _scratch() as scratch, replacing_folder(self.folder) as staged:
                self._status_file = Path(scratch) / "status"
                executed = staged / f"{self.notebook.name}.ipynb"
                try:
                    self._execute(executed, staged, scratch)
                    notebook_to_html(
                        executed,
                        staged / "report.html",
                        remarks=_data_remarks(staged),
                        summary=_summary(staged),
                    )
                    seconds = round(time.perf_counter() - start, 1)
                    write_json(staged / KEY_FILE, {"key": self.plan.key, "seconds": seconds})
                    list_files(staged)
                    renamed = keep_foreign_files(self.folder, staged, self.notebook.name)
                except Exception:
                    partial = self._keep(executed)
                    raise
        except Exception as error:
            # Whatever has ended this run must not end the others.
            problem = self._problem(error)
        finally:
            self.finished = True
        seconds = time.perf_counter() - start
        moved = () if problem else tuple(renamed)
        names = (self.notebook.name, self.category)
        return Outcome(*names, self.folder, seconds, problem, partial, moved)

    def _problem(self, error: Exception) -> str:
        """What went wrong, with the cell where it is the notebook's fault."""
        if isinstance(error, papermill.PapermillExecutionError):
            return self._describe_cell(f"{error.ename}: {error.evalue}")
        if isinstance(error, DeadKernelError):
            return self._describe_cell(
                f"the kernel died; {self._full_disk() or _NO_MEMORY}. The next run resumes from "
                "what is stored under models/"
            )
        if isinstance(error, OSError):
            return error_sentence(error)
        return f"{type(error).__name__}: {error}"

    def _full_disk(self) -> str | None:
        """A sentence on a full disk, which ends the process inside libraries such as HDF5."""
        for folder in (self.results, self._values.get("models")):
            try:
                check_space(folder or self.results, _ROOM)
            except OSError as error:
                return error_sentence(error)
        return None

    def _execute(self, executed: Path, staged: Path, scratch: str) -> None:
        """Run all cells in a kernel of their own."""
        # As it was planned: a file that is edited meanwhile is for the next time.
        node = nbformat.reads(self.plan.text, as_version=4)
        environment = {
            **os.environ,
            **self._environment,
            "ADHELPERS_STATUS_FILE": str(self._status_file),
            "ADHELPERS_STATIC": "1",
            FOLDER_VARIABLE: str(staged.resolve()),
            NAME_VARIABLE: self._name or "",
            # TensorFlow leaves files there when it is ended; they go with the folder.
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch),
        }
        manager = KernelManager(
            kernel_name=_KERNEL,
            kernel_spec_manager=_ThisPython(),
            # It holds the key to the kernel; here it goes with the folder, even after a kill.
            connection_file=str(Path(scratch) / "connection.json"),
            client_class="jupyter_client.asynchronous.AsyncKernelClient",
            # Unencrypted, the kernel would print a warning into the progress lines.
            transport_encryption="auto" if zmq.has("curve") else "disabled",
        )
        if self._warm:
            use_warm_parent(manager)
        try:
            with self._lock:
                if self._stopped:
                    raise DeadKernelError("stopped before the start")
                # The folder of the notebook, as JupyterLab does it.
                manager.start_kernel(
                    cwd=str(self.notebook.path.resolve().parent),
                    env=environment,
                    extra_arguments=["--HistoryManager.hist_file=:memory:"],
                )
                self._manager = manager
            papermill.execute_notebook(
                # papermill fills in braces in a path.
                node,
                str(executed).replace("{", "{{").replace("}", "}}"),
                parameters=self._values,
                kernel_name=_KERNEL,
                language="python",
                progress_bar=False,
                km=manager,
                on_notebook_start=self._begin_notebook,
                on_cell_start=self._begin_cell,
            )
        finally:
            with self._lock:
                self._manager = None
                if manager.has_kernel:
                    manager.shutdown_kernel(now=True)

    def _begin_notebook(self, notebook: nbformat.NotebookNode) -> None:
        self.cells = len(notebook.cells)

    def _begin_cell(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        self.cell, self._current = cell_index + 1, cell
        # Otherwise the last line of an earlier cell's progress would stay.
        if self._status_file is not None:
            # A lost status line must never stop a training.
            with contextlib.suppress(OSError):
                self._status_file.write_text("", encoding="utf-8")
        if cell.cell_type == "markdown":
            headings = [
                line.lstrip("# ").strip()
                for line in cell.source.splitlines()
                if line.startswith("#")
            ]
            self._heading = headings[-1] if headings else self._heading

    def _keep(self, executed: Path) -> Path | None:
        """Move the partly executed notebook to the run's folder, unless the run was stopped."""
        if self._stopped or not executed.exists():
            return None
        kept = self.folder / f"{self.notebook.name}.failed.ipynb"
        try:
            nbformat.read(executed, as_version=4)
            kept.parent.mkdir(parents=True, exist_ok=True)
            # Moved, not copied: this works on a full disk too.
            executed.replace(kept)
        except (OSError, ValueError):
            # The disk was full, so it is cut off; what went wrong first is what has to be reported.
            return None
        return kept

    def _describe_cell(self, what: str) -> str:
        """``what`` with the cell in which it happened."""
        if self._current is None:
            return f"before its first cell: {what}"
        count = self._current.get("execution_count")
        lines = [line for line in self._current.source.splitlines() if line.strip()]
        shown = "\n".join(f"    {line}" for line in lines[:3] + ["…"] * (len(lines) > 3))
        where = f"cell {self.cell} of {self.cells}" + (f", In [{count}]" if count else "")
        return f"{where}, under “{self._heading}”:\n{shown}\n  {strip_ansi(what)}"


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder for one run; if this process is killed, the next run removes it."""
    return tempfile.TemporaryDirectory(prefix=owned_prefix(SCRATCH), ignore_cleanup_errors=True)


def _data_remarks(folder: Path) -> list[str]:
    """The sentences on the data in the summaries of a run's folder, each once."""
    sentences: dict[str, None] = {}
    for path in sorted(folder.glob("summary*.json")):
        data = json.loads(path.read_text(encoding="utf-8")).get("data") or {}
        sentences |= dict.fromkeys(remark["sentence"] for remark in data.get("remarks", ()))
    return list(sentences)


def _summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a run's main detector; None where it has none."""
    file = folder / "summary.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
