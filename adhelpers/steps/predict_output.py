"""The folder of a detector's decisions: rows as they come, overlays, and the page."""

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

from adhelpers._shared.files import replacing
from adhelpers.reports import csv_row, jpeg_bytes, write_predictions_page

TABLE, PAGE, OVERLAYS = "predictions.csv", "predictions.html", "overlays"


class PredictionFolder:
    """A folder that holds the decisions of one run, and nothing else.

    Each row is appended in one piece: however the work ends, the table has complete rows only.

    Parameters
    ----------
    path : str or Path
        Made when it is entered.
    columns : sequence of str
        Of ``predictions.csv``.
    overwrite : bool
        Replace what an earlier run left.

    Raises
    ------
    ValueError
        On entering: if the folder holds something else, an earlier run that is not to be replaced,
        or one that is still at work.
    NotADirectoryError
        If it is a file.

    Examples
    --------
    >>> import tempfile
    >>> with PredictionFolder(Path(tempfile.mkdtemp()) / "new", ["file", "score"], False) as folder:
    ...     folder.write_row(["a.png", 0.5])
    >>> (folder.path / "predictions.csv").read_text().split()
    ['file,score', 'a.png,0.5']
    """

    def __init__(self, path: str | Path, columns: Sequence[str], overwrite: bool) -> None:
        self.path = Path(path)
        self._columns, self._overwrite = columns, overwrite
        self._file: Any = None
        self._size = 0

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"output: {self.path} is a file; give the name of a folder")
        own = {TABLE, PAGE, OVERLAYS}
        there = {one.name for one in self.path.iterdir()} if self.path.is_dir() else set()
        strange = sorted(name for name in there - own if not name.startswith("."))
        if strange:
            raise ValueError(
                f"output: {self.path} holds other files, such as {strange[0]}; give a new or an "
                "empty folder"
            )
        if there & own and not self._overwrite:
            raise ValueError(
                f"output: {self.path} holds the predictions of an earlier run; give another "
                "folder, or --overwrite to replace them"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._file = (self.path / TABLE).open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ValueError(
                f"output: another run is writing into {self.path}; give another folder"
            ) from error
        self._file.truncate(0)
        self._size = 0
        (self.path / PAGE).unlink(missing_ok=True)
        shutil.rmtree(self.path / OVERLAYS, ignore_errors=True)
        self.write_row(self._columns)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write_row(self, values: Sequence[Any]) -> None:
        """Append a row to the table, in one piece.

        Raises
        ------
        OSError
            If it cannot be written whole; what was written of it is taken back.
        """
        row = csv_row(values)
        try:
            written = self._file.write(row)
            if written != len(row):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / TABLE))
        except BaseException:
            self._file.truncate(self._size)
            raise
        self._size += written

    def write_overlay(self, number: int, source: Path, picture: Image.Image) -> str:
        """Write an overlay as JPEG; the path relative to the folder."""
        stem = re.sub(r"[^\w.-]", "_", source.stem)[:80]
        name = f"{OVERLAYS}/{number:06d}_{stem}.jpg"
        with replacing(self.path / name) as temporary:
            temporary.write_bytes(jpeg_bytes(picture))
        return name

    def write_page(self, **parts: Any) -> None:
        """Write the page, see `adhelpers.reports.write_predictions_page`."""
        write_predictions_page(self.path / PAGE, **parts)
