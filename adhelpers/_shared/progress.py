"""One progress bar for terminals, JupyterLab and batch runs."""

import os
import time

from tqdm.auto import tqdm
from tqdm.notebook import tqdm as notebook_tqdm

# The runner names a file here: an executed notebook must not hold progress bars, yet the person who
# waits for it wants one.
_STATUS_VARIABLE = "ADHELPERS_STATUS_FILE"


class _StatusFile:
    """The part of tqdm's interface that is used here, written as one line to the runner's status file."""

    def __init__(self, iterable, description, total, path):
        self._iterable, self._description, self._path = iterable, description, path
        self._total = (
            total
            if total is not None
            else (len(iterable) if hasattr(iterable, "__len__") else None)
        )
        self._count, self._note, self._written = 0, "", 0.0

    def __iter__(self):
        with self:
            for item in self._iterable:
                yield item
                self.update(1)

    def __enter__(self):
        self._write(force=True)
        return self

    def __exit__(self, *_):
        self._write(force=True)

    def update(self, count=1):
        self._count += count
        self._write()

    def set_postfix_str(self, note):
        self._note = note
        self._write()

    def _write(self, force=False):
        now = time.monotonic()
        if force or now - self._written > 0.5:
            self._written = now
            of = "" if self._total is None else f"/{self._total}"
            try:
                with open(self._path, "w", encoding="utf-8") as file:
                    file.write(f"{self._description} {self._count}{of} {self._note}".rstrip())
            except OSError:
                # A lost status line must never stop a training.
                self._written = float("inf")


class _NotebookBar(notebook_tqdm):
    """A bar whose widget leaves an empty output: a saved one would read "Error displaying widget" when the notebook is opened again."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, display=False, **options)
        self._shown = None
        if not self.disable:
            from IPython.display import display

            self._shown, self.displayed = display(self.container, display_id=True), True

    def close(self):
        super().close()
        if getattr(self, "_shown", None) is not None:
            from IPython.display import HTML

            self._shown.update(HTML(""))


def progress(iterable=None, description="", total=None, enabled=True):
    """A progress bar over ``iterable`` (or, without one, a context manager with ``update`` and ``set_postfix_str``).

    Parameters
    ----------
    iterable : iterable, optional
    description : str
        What is being done, such as ``"LIME"``.
    total : int, optional
        Number of steps, where ``iterable`` has no length.
    enabled : bool
        False shows nothing.

    Returns
    -------
    tqdm-like
        Iterate over it, or use it in a ``with`` block.
    """
    path = os.environ.get(_STATUS_VARIABLE)
    if enabled and path:
        return _StatusFile(iterable, description, total, path)
    kind = _NotebookBar if issubclass(tqdm, notebook_tqdm) else tqdm
    return kind(iterable, desc=description, total=total, disable=not enabled, leave=False)
