"""A detector on new images: what ``adhelpers predict`` calls.

Images are read, decided and written one after the other, so that memory does not grow with their
number; what is kept of all of them (statistics, cards of the page) is bounded.
"""

import heapq
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from adhelpers._shared.checks import check_choice
from adhelpers._shared.progress import progress
from adhelpers._shared.text import escaped
from adhelpers.data import ImageReader, NewImage, find_images, watch_images
from adhelpers.metrics import DriftReport, Threshold, find_drift, light_and_sharpness
from adhelpers.reports import PredictedCard, as_picture, draw_overlay, strip_webp

from .inspector import Box, Inspector, load_inspector, region_box
from .predict_output import PredictionFolder
from .reference import photograph_size, typical_distance

OVERLAYS = ("flagged", "all", "none")
_COLUMNS = (
    "file", "score", "threshold", "flagged", "x", "y", "width", "height", "seconds", "remark"
)  # fmt: skip
# Cards on the page, unreadable files in it, and images whose statistics are kept.
_MOST_CARDS, _MOST_CARDS_UNDECIDED, _MOST_LISTED, _MOST_MEASURED = 100, 12, 100, 2000
_AHEAD = 2
# A map that takes a pass of its own is computed for the first images, then for every tenth.
_EACH_MEASURED, _STEP_MEASURED = 50, 10
# In a followed folder the page is written anew this often at most, and a file that cannot be read
# is taken for one whose copy has stalled until it is so old.
_PAGE_SECONDS, _PATIENCE = 5.0, 30.0


@dataclass(frozen=True)
class Prediction:
    """What a detector decided about new images.

    Attributes
    ----------
    title : str
        The detector's.
    folder : Path
        With ``predictions.csv``, ``predictions.html`` and ``overlays/``.
    threshold : Threshold or None
    images, flagged : int
        Scored, and flagged among them.
    unreadable : list of str
        Name and reason of the first 100 files that could not be scored.
    unreadable_count : int
    drift : DriftReport or None
        None where it is not known what the detector's own images are like.
    seconds : float
    facts : tuple of str
        How images were read.
    """

    title: str
    folder: Path
    threshold: Threshold | None
    images: int
    flagged: int
    unreadable: list[str]
    unreadable_count: int
    drift: DriftReport | None
    seconds: float
    facts: tuple[str, ...] = ()

    def findings(self) -> list[str]:
        """What was flagged by which threshold, what could not be read, and whether images drift."""
        images = f"{self.images} {'image' if self.images == 1 else 'images'}"
        if self.threshold is None:
            found = [
                f"The {self.title} scored {images}. No threshold is known for it, so nothing is "
                "flagged: give one with --threshold."
            ]
        else:
            labels = "; it was chosen with test labels" * self.threshold.uses_test_labels
            found = [
                f"The {self.title} flags {self.flagged} of {images} (score above "
                f"{self.threshold.value:.4g}: {self.threshold.rule}{labels})."
            ]
        if self.unreadable_count:
            one = self.unreadable_count == 1
            found.append(
                f"{self.unreadable_count} {'file' if one else 'files'} could not be read or scored."
            )
        if self.drift is not None:
            found += self.drift.findings()
        else:
            found.append(
                "Drift: it is not known what the images of the training are like, so nothing can "
                "be said."
            )
        return [*found, *self.facts]

    def exit_code(self, fail_on_flag: bool = False) -> int:
        """3 where something is flagged and that is to fail, 1 after unreadable files, else 0."""
        if fail_on_flag and self.flagged:
            return 3
        return int(self.unreadable_count > 0)


def predict(
    model: str | Path | Inspector,
    images: Sequence[str | Path],
    output: str | Path = "predictions",
    *,
    threshold: float | None = None,
    overlays: str = "flagged",
    overwrite: bool = False,
    watch: bool = False,
    show_progress: bool = False,
) -> Prediction:
    """Decide on new images with a stored detector or an ONNX file.

    A row of ``predictions.csv`` is written as soon as its image is decided: what is done stays,
    however the work ends. Files that cannot be read get a row that says why.

    Parameters
    ----------
    model : str, Path or Inspector
        As in `load_inspector`.
    images : sequence of str or Path
        Files, folders or patterns, see `adhelpers.data.find_images`.
    output : str or Path
        A folder of its own, which may not exist yet.
    threshold : float, optional
        In place of the stored one.
    overlays : {"flagged", "all", "none"}
        Of which images an overlay is written, in the photograph's own size.
    overwrite : bool
        Replace an earlier run's files in ``output``.
    watch : bool
        Follow the one folder that is given until Ctrl-C.
    show_progress : bool

    Returns
    -------
    Prediction

    Raises
    ------
    FileNotFoundError
        If there is no such model, file or folder, or a pattern fits nothing.
    ValueError
        If it is no model, or the output folder holds something else or an earlier run.
    KeyboardInterrupt
        After Ctrl-C without ``watch``, when the page of what was done is written.

    Examples
    --------
    >>> predict("screw.onnx", ["photos"], overlays="some")
    Traceback (most recent call last):
        ...
    ValueError: overlays must be one of flagged, all, none, not 'some'
    """
    check_choice("overlays", overlays, OVERLAYS)
    inspector = model if isinstance(model, Inspector) else load_inspector(model, threshold)
    paths, total = _paths(images, output, watch)
    with PredictionFolder(output, _COLUMNS, overwrite) as folder:
        run = _Run(inspector, folder, overlays, patience=_PATIENCE if watch else 0.0)
        shown = progress(description="predict", total=total, enabled=show_progress)
        try:
            with shown as bar:
                for item in _read_ahead(inspector.reader, paths):
                    if item is None:
                        run.idle()
                    else:
                        run.take(item)
                        bar.update(1)
        except KeyboardInterrupt:
            run.finish()
            if not watch:
                raise
        else:
            run.finish()
        return run.result()


def _paths(
    images: Sequence[str | Path], output: str | Path, watch: bool
) -> tuple[Iterable[Path | None], int | None]:
    """The files to decide on, and their number where it is known; errors come before any work."""
    if watch:
        if len(images) != 1:
            raise ValueError(f"--watch follows one folder, and {len(images)} were given")
        if not Path(images[0]).is_dir():
            raise NotADirectoryError(f"--watch follows one folder, and {images[0]} is none")
        return watch_images(images[0], output), None
    return find_images(images, output), sum(1 for _ in find_images(images, output))


@dataclass(frozen=True)
class _Read:
    """A file as it was read, or why it could not be, and the seconds that it took."""

    path: Path
    new: NewImage | None
    problem: str
    seconds: float


def _read_ahead(reader: ImageReader, paths: Iterable[Path | None]) -> Iterator[_Read | None]:
    """Files read in another thread while the one before is scored; None where paths have None."""
    waiting: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for path in paths:
            if path is not None:
                waiting.append(pool.submit(_read, reader, path))
            while waiting and (path is None or len(waiting) > _AHEAD):
                yield waiting.popleft().result()
            if path is None:
                yield None
        while waiting:
            yield waiting.popleft().result()


def _read(reader: ImageReader, path: Path) -> _Read:
    started = time.perf_counter()
    new, problem = None, ""
    try:
        new = reader.read(path)
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split()).removeprefix(f"{path}: ")
    return _Read(path, new, problem, time.perf_counter() - started)


@dataclass
class _Run:
    """What is kept of the images while they go by."""

    inspector: Inspector
    folder: PredictionFolder
    overlays: str
    patience: float = 0.0
    rows: int = 0
    images: int = 0
    flagged: int = 0
    unreadable: list[str] = field(default_factory=list)
    unreadable_count: int = 0
    # Smallest first, with a number that tells equal scores apart.
    cards: list[tuple[float, int, PredictedCard]] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    # Files of a followed folder that could not be read and may still be written.
    stalled: dict[Path, _Read] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self._page_written = time.perf_counter()
        self._rows_on_page = 0
        self._random = random.Random(0)
        decided = self.inspector.threshold is not None
        self._most_cards = _MOST_CARDS if decided else _MOST_CARDS_UNDECIDED

    def take(self, read: _Read) -> None:
        """Decide on one file and write what is to be written."""
        started = time.perf_counter()
        self.stalled.pop(read.path, None)
        if read.new is None and _age(read.path) < self.patience:
            self.stalled[read.path] = read
            return
        self.rows += 1
        problem = read.problem
        if read.new is not None:
            try:
                self._decide(read.path, read.new, started - read.seconds)
                return
            except ValueError as error:
                problem = " ".join(str(error).split())
        self._list(read, problem)

    def _list(self, read: _Read, problem: str) -> None:
        """Write down a file that could not be read or scored."""
        self.unreadable_count += 1
        if len(self.unreadable) < _MOST_LISTED:
            self.unreadable.append(f"{escaped(str(read.path))}: {escaped(problem)}")
        self.folder.write_row([str(read.path), *[None] * 7, _seconds(read.seconds), problem])

    def _decide(self, path: Path, new: NewImage, started: float) -> None:
        inspector = self.inspector
        score, anomaly_map = inspector.inspect(new.image, with_map=self._wants_map())
        flagged = inspector.flags(score)
        shown = self._is_shown(score, flagged)
        drawn = self.overlays == "all" or (self.overlays == "flagged" and bool(flagged))
        if (shown or drawn or flagged) and anomaly_map is None:
            _, anomaly_map = inspector.inspect(new.image, with_map=True)
        level, box = score, None
        if anomaly_map is not None:
            level = inspector.level(score, anomaly_map)
            if flagged or (flagged is None and shown):
                box = region_box(anomaly_map, level, new.matrix, new.photograph.shape)
        self._measure(new, anomaly_map)
        threshold = inspector.threshold
        seconds = time.perf_counter() - started
        self.folder.write_row(
            [
                str(path),
                score,
                None if threshold is None else threshold.value,
                flagged,
                *((None,) * 4 if box is None else (box.x, box.y, box.width, box.height)),
                _seconds(seconds),
                new.remark,
            ]
        )
        self.images += 1
        self.flagged += bool(flagged)
        if shown or drawn:
            self._draw(path, new, anomaly_map, level, box, (score, flagged, shown, drawn))

    def _wants_map(self) -> bool:
        """Whether the distance of this image from good ones is measured."""
        measures = "distance" in self.inspector.statistics
        often = self.images < _EACH_MEASURED or self.images % _STEP_MEASURED == 0
        return self.overlays == "all" or (measures and often)

    def _is_shown(self, score: float, flagged: bool | None) -> bool:
        """Whether the page has a card of this image, as far as is known yet."""
        if flagged is False:
            return False
        return len(self.cards) < self._most_cards or score > self.cards[0][0]

    def _draw(
        self, path: Path, new: NewImage, anomaly_map: Any, level: float, box: Box | None, what: Any
    ) -> None:
        score, flagged, shown, drawn = what
        corners = None if box is None else (box.x, box.y, box.width, box.height)
        picture = as_picture(new.photograph)
        overlay = draw_overlay(picture, anomaly_map, new.matrix, level, corners)
        file = self.folder.write_overlay(self.rows, path, overlay) if drawn else ""
        if not shown:
            return
        card = PredictedCard(
            self.rows,
            escaped(str(path)),
            score,
            {True: "flagged", False: "passed", None: ""}[flagged],
            strip_webp(picture, overlay),
            "" if box is None else f"{box.width} x {box.height} at {box.x}, {box.y}",
            new.remark,
            file,
        )
        add = heapq.heappush if len(self.cards) < self._most_cards else heapq.heappushpop
        add(self.cards, (score, -self.rows, card))

    def _measure(self, new: NewImage, anomaly_map: Any) -> None:
        """Keep statistics of a fair sample of all images so far (Vitter's reservoir)."""
        if not self.inspector.statistics:
            return
        light, sharpness = light_and_sharpness(new.image)
        values = {
            "light": light, "sharpness": sharpness, "size": photograph_size(new.photograph.shape)
        }  # fmt: skip
        if anomaly_map is not None:
            values["distance"] = typical_distance(anomaly_map)
        for name, value in values.items():
            kept, seen = self.measured.setdefault(name, []), self.seen.get(name, 0)
            self.seen[name] = seen + 1
            if len(kept) < _MOST_MEASURED:
                kept.append(value)
            elif (place := self._random.randrange(seen + 1)) < _MOST_MEASURED:
                kept[place] = value

    def idle(self) -> None:
        """Give up files that stay unreadable; write the page, if there is something new."""
        for read in [one for one in self.stalled.values() if _age(one.path) >= self.patience]:
            self._give_up(read)
        due = time.perf_counter() - self._page_written > _PAGE_SECONDS
        if self.rows > self._rows_on_page and (due or not self._rows_on_page):
            self._write_page()

    def _give_up(self, read: _Read) -> None:
        del self.stalled[read.path]
        self.rows += 1
        self._list(read, read.problem)

    def finish(self) -> None:
        """End the work: what could not be read until now is listed, and the page is written."""
        for read in list(self.stalled.values()):
            self._give_up(read)
        self._write_page()

    def _write_page(self) -> None:
        """Write the page of all that was decided so far."""
        result = self.result()
        decided = result.threshold is not None
        heading = "Flagged images" if decided else "Highest scores"
        if decided and result.flagged > len(self.cards):
            heading = f"The {len(self.cards)} flagged images with the highest scores"
        counts = {
            "images": result.images,
            "flagged": result.flagged if decided else None,
            "unreadable": result.unreadable_count,
            "seconds": round(result.seconds, 1),
        }
        tables = {"Counts": pd.DataFrame([counts])}
        if result.drift is not None and result.drift.drifts:
            tables["Drift"] = result.drift.table()
        if result.unreadable:
            tables["Files that could not be read"] = pd.DataFrame({"file": result.unreadable})
        self.folder.write_page(
            title=f"New images: {result.title}",
            heading=heading,
            notes=result.findings(),
            tables=tables,
            cards=[card for *_, card in sorted(self.cards, reverse=True)],
        )
        self._page_written, self._rows_on_page = time.perf_counter(), self.rows

    def result(self) -> Prediction:
        """What was decided so far."""
        inspector = self.inspector
        drift = None
        if inspector.statistics:
            drift = find_drift(inspector.statistics, self.measured)
        return Prediction(
            inspector.title,
            self.folder.path,
            inspector.threshold,
            self.images,
            self.flagged,
            list(self.unreadable),
            self.unreadable_count,
            drift,
            time.perf_counter() - self._started,
            (inspector.reader.facts(), *inspector.facts),
        )


def _age(path: Path) -> float:
    """Seconds since a file was changed; as old as can be where it has gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def _seconds(value: float) -> float:
    return round(value, 4)
