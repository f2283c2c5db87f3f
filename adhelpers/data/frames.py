"""Cuts the same frame out of the files of a category, in the right colours and light."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images, Masks

from .deciding import reading_of
from .duplicates import Look, bytes_of, look_of
from .file_remarks import Note
from .layouts import TEST
from .masks import resize_mask, share_outside, warp_mask
from .normalize import (
    common_box,
    completed_size,
    divide_background,
    fit_aspect,
    frame_matrix,
    height_and_width,
    resize_image,
    warp_image,
    whole_frame,
)
from .objects import ObjectPose, find_object
from .reading import CategoryError, Content, Entry, FileProblem, read_entry, to_color

# Bytes of images that are kept on disk while a category is loaded.
_MOST_KEPT = 2**30


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file beside its image; ``uncorrected`` says what was left as it is."""

    mask: Masks | None
    digest: str
    look: Look
    notes: tuple[Note, ...]
    uncorrected: tuple[Note, ...]


class KeptImages:
    """Images that are looked at twice: in a file without a name, so that none is decoded again.

    What does not fit (1 GiB in all, or less where the disk is full) is not kept.

    Examples
    --------
    >>> kept, nothing = KeptImages(), FileFacts(None, "", Look("", np.zeros(0)), (), ())
    >>> kept.keep("a", np.full((2, 2, 1), 0.2, np.float32), nothing)
    >>> kept.take("a")[0].shape, kept.take("a"), kept.take("b")
    ((2, 2, 1), None, None)
    >>> kept.close()
    """

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._left, self._lock = most, threading.Lock()
        self._places: dict[str, tuple[int, NDArray[Any], FileFacts]] = {}

    @cached_property
    def _file(self) -> Any:
        return tempfile.TemporaryFile()

    def close(self) -> None:
        """Remove the file; nothing is kept any more."""
        self._left, self._places = 0, {}
        if "_file" in vars(self):
            self._file.close()

    def keep(self, name: str, image: Images, facts: FileFacts) -> None:
        """Keep an image under a name, as bytes where these hold all of it."""
        samples = bytes_of(image)
        stored = image if samples is None else samples
        with self._lock:
            if stored.nbytes > self._left:
                return
            try:
                start = self._file.seek(0, 2)
                self._file.write(np.ascontiguousarray(stored).data)
                self._file.flush()
            except OSError:
                self._left = 0
                return
            self._left -= stored.nbytes
            self._places[name] = start, np.empty((0, *stored.shape), stored.dtype), facts

    def take(self, name: str) -> tuple[Images, FileFacts] | None:
        """The image of a name and its facts, once; None where it was not kept."""
        with self._lock:
            if name not in self._places:
                return None
            start, like, facts = self._places.pop(name)
            stored = np.empty(like.shape[1:], like.dtype)
            self._file.seek(start)
            self._file.readinto(stored.data)
        image: Images = stored
        if stored.dtype == np.uint8:
            image = np.divide(stored, np.float32(255), dtype=np.float32)
        return image, facts


@dataclass(frozen=True)
class Loaded:
    """How one image was loaded: its way back to the file, and what is to be said of it."""

    matrix: NDArray[np.float64]
    box: tuple[float, ...]
    original_shape: tuple[int, ...]
    digest: str
    notes: tuple[Note, ...]
    look: Look
    uncorrected: bool


class Frames:
    """Corrects light and colours of each file and cuts the same frame out of all of them.

    Where ``"auto"`` has ``chosen`` one of them, a test image that cannot be corrected is loaded as
    it is. No training image may differ from the others, and what is asked for by name is done.
    """

    def __init__(self, category: str, settings: dict[str, Any], chosen: Sequence[str]) -> None:
        self.category, self._settings, self._chosen = category, settings, chosen
        self._poses: dict[str, ObjectPose] = {}
        self._kept = KeptImages()
        self._cropped = settings["crop"] == "object"
        self._moved = self._cropped or settings["pose"] == "axis"
        self._padded = settings.get("fit") == "pad"
        self.channels = 1 if settings["color"] == "grayscale" else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the loaded images."""
        return height_and_width(self._settings["image_size"])

    def close(self) -> None:
        """Give back what was kept on disk."""
        self._kept.close()

    def locate(self, entry: Entry) -> None:
        """Measure a good image: the box of a crop is common to all of them."""
        image, facts = self._with_facts(entry)
        self._poses[entry.name] = self._pose(image, entry)
        self._kept.keep(entry.name, image, facts)

    def settle_size(self, sample: Sequence[Entry]) -> None:
        """Choose the sides that are open (0), so that what is loaded keeps its proportions."""
        asked = self._settings["image_size"]
        if 0 not in asked:
            return
        if self._poses:
            frame = common_box(list(self._poses.values()), self._settings["margin"])
        else:
            shape = usual_shape(sample, [], **reading_of(self._settings))
            frame = (1, 1) if self._moved or shape is None else shape
        self._settings["image_size"] = list(completed_size(asked, frame))

    def load(self, entry: Entry) -> tuple[Images, Masks | None, Loaded]:
        """Read an entry and cut its frame out of image and mask."""
        image, facts = self._kept.take(entry.name) or self._with_facts(entry)
        shape, mask, size, notes = image.shape[:2], facts.mask, self.size, facts.uncorrected
        pose = self._poses.get(entry.name)
        if self._moved and pose is None:
            try:
                pose = self._pose(image, entry)
            except FileProblem:
                if not self._may_stay(entry):
                    raise
                notes = (*notes, Note("pose_not_corrected", entry.name))
        box = self._window(shape, found=pose is not None)
        matrix = frame_matrix(pose or whole_frame(shape), box, size)
        warped = self._moved or self._padded
        lost: tuple[Note, ...] = ()
        if mask is not None:
            lost = _cut_off(entry, share_outside(mask, matrix, size))
            mask = warp_mask(mask, matrix, size) if warped else resize_mask(mask, size)
        return (
            warp_image(image, matrix, size) if warped else resize_image(image, size),
            mask,
            Loaded(
                matrix,
                box,
                shape,
                facts.digest,
                (*facts.notes, *notes, *lost),
                facts.look,
                uncorrected=bool(notes),
            ),
        )

    def _window(self, shape: tuple[int, ...], found: bool) -> tuple[float, ...]:
        """Height and width in the file of what is loaded; without a crop all of it."""
        if self._cropped:
            # Nothing is cut off where it is not known what to keep.
            return self._box if found and self._box else fit_aspect((shape[0], shape[1]), self.size)
        frame = (max(shape),) * 2 if self._moved else (shape[0], shape[1])
        return fit_aspect(frame, self.size) if self._padded else frame

    @cached_property
    def _box(self) -> tuple[float, float] | None:
        """Height and width of the frame in pixels of the files; None takes a whole square."""
        if not self._poses:
            return None
        box = common_box(list(self._poses.values()), self._settings["margin"])
        return fit_aspect(box, self.size)

    def _may_stay(self, entry: Entry) -> bool:
        """Whether an image is loaded as it is where a correction cannot be made."""
        return bool(self._chosen) and entry.split == TEST

    def _with_facts(self, entry: Entry) -> tuple[Images, FileFacts]:
        """An entry's image in the right colours and light, and what else is known of it."""
        image, content, notes = self._prepared(entry)
        look = look_of(content.image, content.samples)
        return image, FileFacts(content.mask, content.digest, look, content.notes, notes)

    def _prepared(self, entry: Entry) -> tuple[Images, Content, tuple[Note, ...]]:
        """An entry's image in the right colours and light, what else was read, and notes."""
        content = read_entry(entry, **reading_of(self._settings))
        image = to_color(content.image, self._settings["color"])
        if self._settings["illumination"] == "background":
            try:
                return divide_background(image, content.grey_levels), content, ()
            except ValueError as error:
                return image, content, self._kept_dark(entry, error)
        return image, content, ()

    def _kept_dark(self, entry: Entry, error: ValueError) -> tuple[Note, ...]:
        """What is to be said of an image whose light stays as it is, or an error."""
        problem = f"{entry.name}: {error}"
        if self._may_stay(entry):
            return (Note("light_not_corrected", entry.name),)
        if "illumination" in self._chosen:
            raise FileProblem(problem) from error
        # A wrong setting rather than a bad file: it holds for all, so one is enough.
        raise CategoryError(self.category, [problem]) from error

    def _pose(self, image: Images, entry: Entry) -> ObjectPose:
        try:
            return find_object(image, turn=self._settings["pose"] == "axis")
        except ValueError as error:
            raise FileProblem(f"{entry.name}: {error}") from error


def _cut_off(entry: Entry, share: float) -> tuple[Note, ...]:
    """What is to be said where a share of an image's defect lies outside the frame."""
    if share == 0:
        return ()
    return (Note("mask_cut_away" if share == 1 else "mask_cut_in_part", entry.name, share),)


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the problem of a file to the list instead of ending the work."""
    try:
        yield
    except FileProblem as problem:
        problems.append(str(problem))


def usual_shape(
    sample: Sequence[Entry], problems: list[str], **reading: Any
) -> tuple[int, int] | None:
    """Height and width that most files of a sample have; None where none of them can be read."""
    shapes = []
    for entry in sample:
        with collecting(problems):
            shapes.append(read_entry(entry, **reading).image.shape[:2])
    return max(set(shapes), key=shapes.count) if shapes else None
