"""One notebook's execution by papermill in a thread of its own, watched and stopped from outside."""

import logging
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient.exceptions import DeadKernelError
from nbconvert.filters import strip_ansi

from adhelpers._shared.files import replacing_folder
from adhelpers.reports.notebook_html import notebook_to_html

from .run import FOLDER_VARIABLE

_KERNEL = "python3"
# Its warnings are about what has been checked here before, its errors come as exceptions as well.
logging.getLogger("papermill").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its folder, seconds, and for a failed one what went wrong and the partly executed notebook."""

    notebook: str
    category: str
    folder: Path
    seconds: float
    problem: str | None = None
    partial: Path | None = None


class _ThisPython(KernelSpecManager):
    """Starts kernels with the interpreter that runs now: an installed "python3" may belong to another environment."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(**get_kernel_dict())


class Execution:
    """A notebook to be run once with :meth:`run`, usually in a thread.

    Parameters
    ----------
    notebook : NotebookFile
    values : dict
        Parameters to pass.
    category : str
    results : Path
    """

    def __init__(self, notebook, values, category, results):
        self.notebook, self.category = notebook, category
        self.folder = Path(results) / notebook.name / category
        self.cell, self.cells, self.started, self.finished = 0, 0, False, False
        self._values, self._current, self._heading = values, None, notebook.title
        self._manager, self._stopped, self._lock = None, False, threading.Lock()
        self._status_file = None

    @property
    def status(self):
        """The line that the notebook's innermost progress shows, or an empty text."""
        try:
            return (
                self._status_file.read_text(encoding="utf-8").strip() if self._status_file else ""
            )
        except OSError:
            return ""

    def stop(self):
        """End the kernel at once; :meth:`run` then returns. Does nothing where it has ended."""
        with self._lock:
            self._stopped = True
            if self._manager is not None and self._manager.has_kernel:
                self._manager.shutdown_kernel(now=True)

    def run(self):
        """Execute, export, move into place; an earlier good result is replaced only when all of it has succeeded.

        Returns
        -------
        Outcome
        """
        self.started, start = True, time.perf_counter()
        partial = None
        try:
            with tempfile.TemporaryDirectory() as scratch, replacing_folder(self.folder) as staged:
                self._status_file = Path(scratch) / "status"
                executed = staged / f"{self.notebook.name}.ipynb"
                try:
                    self._execute(executed, staged)
                    notebook_to_html(executed, staged / "report.html")
                except Exception:
                    partial = self._keep(executed)
                    raise
            problem = None
        except papermill.PapermillExecutionError as error:
            problem = self._describe_cell(f"{error.ename}: {error.evalue}")
        except DeadKernelError:
            problem = self._describe_cell(
                "the kernel died; the system may have ended it for want of memory. The next run "
                "goes on from what is stored under models/."
            )
        except (OSError, ValueError, RuntimeError) as error:
            problem = f"{type(error).__name__}: {error}"
        finally:
            self.finished = True
        return Outcome(
            self.notebook.name,
            self.category,
            self.folder,
            time.perf_counter() - start,
            problem,
            partial,
        )

    def _execute(self, executed, staged):
        node = nbformat.read(self.notebook.path, as_version=4)
        environment = os.environ | {
            "ADHELPERS_STATUS_FILE": str(self._status_file),
            "ADHELPERS_STATIC": "1",
            FOLDER_VARIABLE: str(staged.resolve()),
        }
        manager = KernelManager(
            kernel_name=_KERNEL,
            kernel_spec_manager=_ThisPython(),
            client_class="jupyter_client.asynchronous.AsyncKernelClient",
            # Unencrypted, the kernel would print a warning into the progress lines.
            transport_encryption="auto" if zmq.has("curve") else "disabled",
        )
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

    def _begin_notebook(self, notebook):
        self.cells = len(notebook.cells)

    def _begin_cell(self, cell, cell_index):
        self.cell, self._current = cell_index + 1, cell
        # Otherwise the last line of an earlier cell's progress would stay.
        self._status_file.write_text("", encoding="utf-8")
        if cell.cell_type == "markdown":
            headings = [
                line.lstrip("# ").strip()
                for line in cell.source.splitlines()
                if line.startswith("#")
            ]
            self._heading = headings[-1] if headings else self._heading

    def _keep(self, executed):
        """Move the partly executed notebook to the run's folder, beside an earlier good one; nothing for a stopped run."""
        if self._stopped or not executed.exists():
            return None
        kept = self.folder / f"{self.notebook.name}.failed.ipynb"
        try:
            nbformat.read(executed, as_version=4)
            kept.parent.mkdir(parents=True, exist_ok=True)
            # Moved, not copied: this works on a full disk too.
            os.replace(executed, kept)
        except (OSError, ValueError):
            # The disk was full, so it is cut off; what went wrong first is what has to be told.
            return None
        return kept

    def _describe_cell(self, what):
        if self._current is None:
            return f"before its first cell: {what}"
        count = self._current.get("execution_count")
        lines = [line for line in self._current.source.splitlines() if line.strip()]
        shown = "\n".join(f"    {line}" for line in lines[:3] + ["…"] * (len(lines) > 3))
        where = f"cell {self.cell} of {self.cells}" + (f", In [{count}]" if count else "")
        return f"{where}, under “{self._heading}”:\n{shown}\n  {strip_ansi(what)}"
