"""Anomaly maps that another program has written, one file for each image."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Maps, Scores
from adhelpers._shared.text import and_list
from adhelpers.data import ImageSet, is_data

from .base import resized_maps
from .map_file import MAP_SUFFIXES, read_map
from .matching import Matched, match, parts_of, split_apart
from .scores_table import read_scores

_LAYOUTS = (
    "<type>/<name>, <name>, or test/<type>/<name> in any folder, with the suffix "
    f"{', '.join(MAP_SUFFIXES)}"
)
# Sides may differ by rounding before a map counts as stretched.
_STRETCH = 0.02
_LISTED = 3


class MapsError(ValueError):
    """Maps or scores do not fit the images; ``problems`` names every file.

    Examples
    --------
    >>> print(MapsError("maps", ["no map of test/good/000.png"]))
    maps: 1 problem
      no map of test/good/000.png
    """

    def __init__(self, place: str | Path, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n  ".join([f"{place}: {count}", *self.problems]))


@dataclass(frozen=True)
class StoredMaps:
    """Anomaly maps and scores of a set of images, from files.

    Attributes
    ----------
    maps : ndarray of float32, shape (n, h, w)
        In the images' size and order.
    scores : ndarray of float32, shape (n,)
    reference_scores : ndarray of float32, shape (m,), or None
        Of good images that are not tested, for the threshold; None where there are none.
    facts : tuple of str
        What was found and done, in sentences.
    fingerprint : str
        Hexadecimal SHA-256 of all maps and scores that are used.
    """

    maps: Maps
    scores: Scores
    reference_scores: Scores | None
    facts: tuple[str, ...]
    fingerprint: str


def read_maps(
    folder: str | Path,
    image_set: ImageSet,
    *,
    reference: ImageSet | None = None,
    scores_file: str | Path | None = None,
    category: str | None = None,
) -> StoredMaps:
    """Read the anomaly map of each image from a folder.

    Parameters
    ----------
    folder : str or Path
        Holds ``.tiff``, ``.npy``, ``.npz`` or ``.png`` (8 or 16 bits) as ``<type>/<name>``, as
        ``<name>`` alone where no two images share it, or in MVTec's layout for evaluation,
        ``anomaly_maps/<category>/test/<type>/<name>``.
    image_set : ImageSet
        The images that are tested.
    reference : ImageSet, optional
        Good images that are not tested. Maps of any of them are looked for below folders called
        ``train`` or ``validation``.
    scores_file : str or Path, optional
        A CSV file with the scores, see `read_scores`; by default a score is the map's maximum.
    category : str, optional
        Which category is meant in a folder that holds several.

    Returns
    -------
    StoredMaps

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file.
    ValueError
        If maps are missing, left over, damaged or ambiguous; one error names all of them.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("good", "dent"):
    ...     (folder / name).mkdir()
    ...     np.save(folder / name / "0.npy", np.full((4, 4), name == "dent", np.float32))
    >>> images = ImageSet(
    ...     images=np.zeros((2, 8, 8, 1), np.float32),
    ...     labels=np.array([0, 1]),
    ...     types=np.array(["good", "dent"]),
    ...     names=np.array(["test/good/0.png", "test/dent/0.png"]),
    ...     masks=None,
    ...     transforms=None,
    ...     original_shapes=np.array([[8, 8], [8, 8]]),
    ... )
    >>> found = read_maps(folder, images)
    >>> found.maps.shape, found.scores.tolist()
    ((2, 8, 8), [0.0, 1.0])
    >>> found.facts[1]
    'Maps of 4 x 4 pixels are resized to 8 x 8 (bilinear)'
    """
    folder = Path(folder)
    _refuse_moved(image_set)
    files = _files(folder, category)
    images = image_set.names.tolist()
    known = [] if reference is None else reference.names.tolist()
    tested, apart = split_apart(list(files), images)
    matched = match(images, tested)
    if not matched.found and not matched.ambiguous:
        raise ValueError(
            f"{folder} holds no map of any of the {len(images)} images: expected {_LAYOUTS}"
        )
    others = match(known, apart) if known and apart else Matched()
    reader = _Reader(files, image_set)
    maps = [reader.map(image, name) for image, name in matched.found.items()]
    own = np.array([reader.maximum(name) for name in others.found.values()])
    problems = [*_problems(matched, "map"), *others.ambiguous, *reader.problems]
    scores, reference_scores = np.array(reader.maxima), own
    if scores_file is not None:
        scores, reference_scores, wrong = _from_table(Path(scores_file), images, known)
        problems += wrong
        reader.digest.update(Path(scores_file).read_bytes())
    elif not problems:
        problems += reader.useless()
    if problems:
        raise MapsError(folder, problems)
    facts = [f"{len(maps)} anomaly maps come from the folder {folder.name}", *reader.facts()]
    facts += _score_facts(scores, scores_file)
    facts.append(_reference_fact(len(reference_scores), len(known), scores_file))
    unused = len(apart) - len(others.found)
    if unused:
        facts.append(f"{unused} maps of other training or validation images are not used")
    return StoredMaps(
        maps=np.stack(maps),
        scores=scores.astype(np.float32),
        reference_scores=reference_scores.astype(np.float32) if len(reference_scores) else None,
        facts=tuple(facts),
        fingerprint=reader.digest.hexdigest(),
    )


def _refuse_moved(image_set: ImageSet) -> None:
    """A map of the whole file does not lie on an image that was turned, cropped or padded."""
    if image_set.transforms is None:
        return
    size = np.array(image_set.images.shape[1:3])
    scales = image_set.original_shapes / size
    for matrix, (down, right), name in zip(
        image_set.transforms, scales, image_set.names, strict=True
    ):
        plain = np.array([[right, 0, (right - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
        if not np.allclose(matrix, plain, rtol=1e-3, atol=1.0):
            raise ValueError(
                f"{name} was turned, cropped or padded when it was loaded, so that a map of the "
                "whole file does not lie on it: load the images without corrections (pose none, "
                "crop none, fit stretch)"
            )


def _files(folder: Path, category: str | None) -> dict[str, Path]:
    """The map files within a folder by their paths in it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: give the folder that holds the anomaly maps")
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in MAP_SUFFIXES
        and all(is_data(Path(part)) for part in path.relative_to(folder).parts)
        and not path.is_dir()
    }
    # As in MVTec's layout for evaluation: a folder of several categories, each with "test".
    categories = sorted(
        {
            parts[place - 1]
            for parts in map(parts_of, found)
            for place in range(1, len(parts))
            if parts[place] == "test"
        }
    )
    if len(categories) < 2:
        return found
    if category not in categories:
        raise ValueError(
            f"{folder} holds maps of several categories ({', '.join(categories)}): give the folder "
            "of one of them"
        )
    return {name: path for name, path in found.items() if category in parts_of(name)[:-1]}


def _problems(matched: Matched, what: str) -> Iterator[str]:
    yield from (f"no {what} of {name}" for name in matched.missing)
    yield from (f"{name} belongs to no image" for name in matched.surplus)
    yield from matched.ambiguous


class _Reader:
    """Reads maps and keeps what is to be said of them.

    Attributes
    ----------
    maxima : list of float
        Of the maps of images, before they are resized.
    problems : list of str
    digest : hash
        Of all files that were read.
    """

    def __init__(self, files: dict[str, Path], image_set: ImageSet) -> None:
        height, width = image_set.images.shape[1:3]
        self._files, self._size = files, (height, width)
        self._shapes = dict(
            zip(image_set.names.tolist(), image_set.original_shapes.tolist(), strict=True)
        )
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._constant: list[str] = []
        self._stretched: list[str] = []
        self.maxima: list[float] = []
        self.problems: list[str] = []
        self.digest = hashlib.sha256()

    def map(self, image: str, name: str) -> Maps:
        """The map of an image in the images' size; zeros and a problem where it cannot be read."""
        values = self._values(name)
        if values is None:
            return np.zeros(self._size, np.float32)
        height, width = values.shape
        self._sizes[height, width] += 1
        self.maxima.append(float(values.max()))
        if values.min() == values.max():
            self._constant.append(name)
        ratio, wanted = height / width, self._shapes[image][0] / self._shapes[image][1]
        if abs(ratio / wanted - 1) > _STRETCH:
            if abs(ratio * wanted - 1) < _STRETCH:
                self.problems.append(
                    f"{name} has {height} x {width} pixels (height x width), its image "
                    f"{' x '.join(map(str, self._shapes[image]))}: rows and columns are exchanged"
                )
            self._stretched.append(name)
        return resized_maps(values[None], self._size)[0]

    def maximum(self, name: str) -> float:
        """The maximum of a map that is needed for nothing else."""
        values = self._values(name)
        return float("nan") if values is None else float(values.max())

    def _values(self, name: str) -> Maps | None:
        try:
            values = read_map(self._files[name])
        except (OSError, ValueError) as error:
            self.problems.append(f"{name} {_without_path(error)}")
            return None
        self.digest.update(f"{name} {values.shape}".encode() + values.tobytes())
        return values

    def useless(self) -> list[str]:
        """Why maxima of these maps cannot be scores."""
        if len(self.maxima) < 2 or min(self.maxima) < max(self.maxima):
            return []
        return [
            f"all maps have the same maximum ({self.maxima[0]:g}), as maps that are scaled one by "
            "one: save them with one scale for all, or give the scores in a CSV file"
        ]

    def facts(self) -> list[str]:
        """What was done to the maps, and what is odd about them."""
        height, width = self._size
        other = [size for size in self._sizes if size != self._size]
        facts = []
        if other:
            sizes = and_list([f"{rows} x {columns}" for rows, columns in sorted(other)[:_LISTED]])
            more = f" and {len(other) - _LISTED} other sizes" if len(other) > _LISTED else ""
            facts.append(
                f"Maps of {sizes}{more} pixels are resized to {height} x {width} (bilinear)"
            )
        for names, what in (
            (self._stretched, "stretched: their sides have another proportion than the images'"),
            (self._constant, "constant everywhere: they show no place"),
        ):
            if names:
                facts.append(f"{len(names)} of the maps are {what} (such as {names[0]})")
        return facts


def _from_table(
    path: Path, images: Sequence[str], known: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Scores of the images and of the reference from a CSV file, and what is wrong with them."""
    table = read_scores(path)
    by_name = dict(zip(table["image"], table["score"], strict=True))
    tested, apart = split_apart(list(by_name), images)
    matched = match(images, tested)
    others = match(known, apart) if known and apart else Matched()
    problems = [f"{path.name}: {text}" for text in _problems(matched, "score")]
    problems += [f"{path.name}: {text}" for text in others.ambiguous]
    scores, reference = (
        np.array([by_name[name] for name in one.found.values()]) for one in (matched, others)
    )
    return scores, reference, problems


def _score_facts(scores: NDArray[np.float64], scores_file: str | Path | None) -> Iterator[str]:
    source = "the map's maximum" if scores_file is None else f"from {Path(scores_file).name}"
    yield f"The score of an image is {source}"
    _, counts = np.unique(scores, return_counts=True)
    tied = int(counts[counts > 1].sum())
    if tied:
        yield (
            f"{tied} of {len(scores)} scores are equal to that of another image, which no "
            "threshold tells apart"
        )


def _reference_fact(count: int, known: int, scores_file: str | Path | None) -> str:
    what = "maps" if scores_file is None else "scores"
    if count:
        return (
            f"{count} of {known} good training or validation images have {what}, on which the "
            "threshold can rest"
        )
    return (
        f"There are no {what} of good training or validation images, so that a threshold can only "
        "be chosen with test labels"
    )


def _without_path(error: Exception) -> str:
    return str(isinstance(error, OSError) and error.strerror or error)
