"""Images to classify, in three disjoint parts: for the classifier, its audit, and the test."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from adhelpers._shared.arrays import Images, Integers, Masks
from adhelpers._shared.checks import check_choice
from adhelpers._shared.stages import stage
from adhelpers.audit import repaired
from adhelpers.data import (
    Category,
    ClassImages,
    Corrections,
    Remark,
    insulators_root,
    load_category,
    load_class_images,
    load_idid,
    load_labelled,
    make_class_images,
    rendered_root,
    split_remarks,
)
from adhelpers.detectors import Subspace
from adhelpers.reports import explanation_grid

from .objects import reading_options

DATASETS = ("insulators", "idid", "category", "digits", "mnist", "fashion_mnist", "folder")
SPLITS = ("train", "review", "test")

# The parts in which photographs are divided: two to train with, one to review, one to test.
_QUARTERS = 4

_Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class TrainingData:
    """What a model learns from, with the name and fingerprint by which `fit_or_load` stores it.

    Attributes
    ----------
    name : str
    fingerprint : str
        Of ``train``; what is trained on other data is stored elsewhere.
    train : ClassImages or ndarray
    validation : ndarray, optional
    """

    name: str
    fingerprint: str
    train: ClassImages | Images
    validation: Images | None = None


@dataclass(frozen=True)
class Task:
    """Images to classify, in three parts that share no image.

    Attributes
    ----------
    name : str
    train : ClassImages
        The classifier learns from these.
    review : ClassImages
        Their explanations are what the detector of explanations learns from.
    test : ClassImages
    root : Path or None
        Folder of the images; None where they are embedded or downloaded.
    remarks : tuple of Remark
        What was ignored or doubtful when the files were read.
    """

    name: str
    train: ClassImages
    review: ClassImages
    test: ClassImages
    root: Path | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return self.train.class_names

    @property
    def parts(self) -> dict[str, ClassImages]:
        """The three parts by name."""
        return {split: getattr(self, split) for split in SPLITS}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of images by part and class."""
        return {
            split: {
                name: int((part.labels == label).sum())
                for label, name in enumerate(part.class_names)
            }
            for split, part in self.parts.items()
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of the three parts."""
        together = "".join(part.fingerprint for part in self.parts.values())
        return hashlib.sha256(together.encode()).hexdigest()

    def table(self) -> pd.DataFrame:
        """Counts by class: a row for each, with those that have a tag."""
        rows: dict[str, dict[str, int]] = {}
        for split, part in self.parts.items():
            for label, name in enumerate(part.class_names):
                chosen = part.labels == label
                row = rows.setdefault(name, {})
                row[f"{split}: images"] = int(chosen.sum())
                if part.tags is not None:
                    row[f"{split}: with a tag"] = int(part.tags[chosen].any(axis=(1, 2)).sum())
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Sizes, where the tag is in training, and whether the parts share an image."""
        sizes = ", ".join(f"{split} {len(part)}" for split, part in self.parts.items())
        tags, tagged = self.train.tags, set[str]()
        if tags is not None:
            tagged = set(map(str, self.train.types[tags.any(axis=(1, 2))]))
        names = [name for part in self.parts.values() for name in part.names]
        return [
            f"{self.name}: {sizes}, classes {', '.join(self.class_names)}",
            f"tag in training with: {sorted(tagged)}",
            f"images in more than one part: {len(names) - len(set(names))}",
        ]

    def figure(self, per_class: int = 4) -> Figure:
        """A few training and test images of each class, known faults and tags outlined.

        Parameters
        ----------
        per_class : int
            Images of each class from each of the two parts.
        """
        parts, titles = [], []
        for label, name in enumerate(self.class_names):
            for split in ("train", "test"):
                part = self.parts[split]
                members = np.flatnonzero(part.labels == label)[:per_class]
                parts.append((part, members))
                titles += [f"{name} ({split})"] * len(members)

        def regions(name: str) -> Masks | None:
            found = [(getattr(part, name), members) for part, members in parts]
            if any(masks is None for masks, _ in found):
                return None
            return np.concatenate([masks[members] for masks, members in found])

        defects, tags = regions("defects"), regions("tags")
        plain = defects is None and tags is None
        return explanation_grid(
            np.concatenate([part.images[members] for part, members in parts]),
            None,
            titles,
            defects,
            tags,
            columns=2 * per_class,
            title="Images" if plain else "Images, their faults (blue) and tags (pink)",
        )


@dataclass(frozen=True)
class InsulatorSet:
    """How many insulators are rendered, and which of them have a tag.

    Parameters
    ----------
    train_count, review_count, test_count : int
        Images of each class in each part.
    tied : float
        Share of the broken ones in training that have the tag; no others have it there.
    loose : float
        Share of the images of the other two parts that have it, whatever their class.
    """

    train_count: int = 200
    review_count: int = 300
    test_count: int = 60
    tied: float = 0.7
    loose: float = 0.25


def load_task(
    dataset: str = "insulators",
    data_root: str | Path = "",
    *,
    category: str = "screw",
    image_size: int | _Size = 64,
    insulators: InsulatorSet | None = None,
    bit_depth: int = 0,
    page: int = -1,
    seed: int = 0,
    show_progress: bool = True,
) -> Task:
    """Load images to classify, divided into those to train with, to review and to test.

    Parameters
    ----------
    dataset : {"insulators", "idid", "category", "digits", "mnist", "fashion_mnist", "folder"}
        ``"insulators"``: rendered, with a planted shortcut. ``"idid"``: the shells of real ones,
        see `adhelpers.data.load_idid`; half to train with, a quarter to review and to test, and the
        shells of a photograph together. ``"category"``: good against defective
        objects of a category, half of each type to train with, a quarter to review and to
        test; light and pose are corrected where possible. ``"digits"``, ``"mnist"``,
        ``"fashion_mnist"``: see `adhelpers.data.load_labelled`; a quarter of what can be trained
        with is reviewed. ``"folder"``: ``data_root/{train,review,test}/<class>/``, see
        `adhelpers.data.load_class_images`.
    data_root : str or Path
        Empty renders insulators and categories and downloads MNIST.
    category : str
        For ``"category"``.
    image_size : int or tuple of int
        Side, or height and width in pixels; insulators are square, digits keep their size. A width
        of 0 keeps the proportions of a ``"folder"`` and makes the others square.
    insulators : InsulatorSet, optional
        For ``"insulators"``.
    bit_depth, page : int
        For ``"category"`` and ``"folder"``: bits in use (0 is all), and the page of files that hold
        several (-1 refuses them).
    seed : int
        For the division of data sets that have none of their own.
    show_progress : bool

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        For an unknown data set, a folder without a name, or insulators that are not square.
    """
    check_choice("dataset", dataset, DATASETS)
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    size, reading = (height, width or height), reading_options(bit_depth=bit_depth, page=page)
    loaders: dict[str, Callable[[], Task]] = {
        "insulators": lambda: _insulators(size, insulators or InsulatorSet(), seed, show_progress),
        "idid": lambda: _idid(data_root, size, seed, show_progress),
        "category": lambda: _category(data_root, category, size, seed, show_progress, reading),
        "folder": lambda: _folder(data_root, (height, width), show_progress, reading),
    }
    with stage("images"):
        return loaders.get(dataset, lambda: _labelled(dataset, data_root, seed))()


def _insulators(size: _Size, wanted: InsulatorSet, seed: int, show_progress: bool) -> Task:
    """Rendered insulators; what is rendered once is found again."""
    height, width = size
    if height != width:
        raise ValueError(f"image_size: insulators are square, not {height} x {width} pixels")
    root = insulators_root(
        image_size=height, seed=seed, show_progress=show_progress, **asdict(wanted)
    )
    parts = {split: load_class_images(root, split) for split in SPLITS}
    return Task("insulators", **parts, root=root, remarks=split_remarks(root, parts))


def _idid(root: str | Path, size: _Size, seed: int, show_progress: bool) -> Task:
    """Shells of real insulators; those of one photograph are in one part."""
    height, width = size
    if height != width:
        raise ValueError(f"image_size: shells are square, not {height} x {width} pixels")
    if not root:
        raise ValueError("dataset 'idid' needs data_root, the folder with labels_v1.2.json")
    shells = load_idid(root, image_size=height, show_progress=show_progress)
    photographs = [str(name).rsplit("/", 1)[0] for name in shells.names]
    if len(set(photographs)) < _QUARTERS:
        raise ValueError(
            f"data_root: {len(set(photographs))} photographs with shells; at least {_QUARTERS} are "
            "needed, because those of one photograph stay together"
        )
    folds = StratifiedGroupKFold(_QUARTERS, shuffle=True, random_state=seed)
    quarters = [part for _, part in folds.split(shells.images, shells.labels, photographs)]
    task = _divided("idid", shells, np.concatenate(quarters[2:]), quarters[1], quarters[0])
    return replace(task, root=Path(root), remarks=shells.remarks)


def _folder(root: str | Path, size: _Size, show_progress: bool, reading: dict[str, Any]) -> Task:
    """Images of one's own, in a folder for each part and class."""
    if not root:
        raise ValueError(
            "dataset 'folder' needs data_root, the folder that holds train, review and test"
        )
    parts: dict[str, ClassImages] = {}
    for split in SPLITS:
        parts[split] = load_class_images(
            root, split, image_size=size, show_progress=show_progress, **reading
        )
        # A side that was left open is the same in all parts.
        size = parts[split].images.shape[1:3]
    return Task("folder", **parts, root=Path(root), remarks=split_remarks(root, parts))


def _labelled(dataset: str, root: str | Path, seed: int) -> Task:
    """Digits and the like, which have a test set of their own."""
    samples = load_labelled(dataset, root)
    names = sorted(set(samples.classes))
    everything = make_class_images(
        samples.samples, np.searchsorted(names, samples.classes), names, samples.names
    )
    trainable = np.flatnonzero(~samples.is_test)
    train, review = train_test_split(
        trainable, test_size=0.25, random_state=seed, stratify=samples.classes[trainable]
    )
    return _divided(samples.name, everything, train, review, np.flatnonzero(samples.is_test))


def _category(
    root: str | Path,
    category: str,
    size: _Size,
    seed: int,
    show_progress: bool,
    reading: dict[str, Any],
) -> Task:
    """Good against defective objects, every type of defect in each part."""
    root = root or rendered_root(
        category,
        image_size=192,
        train_count=96,
        test_good_count=48,
        defect_count=24,
        show_progress=show_progress,
    )
    loaded = load_category(
        root,
        category,
        image_size=size,
        corrections=Corrections(illumination="auto", pose="auto", crop="object"),
        seed=seed,
        show_progress=show_progress,
        **reading,
    )
    parts = (loaded.train, loaded.validation, loaded.test)
    images, labels, types, names = (
        np.concatenate([getattr(part, field) for part in parts])
        for field in ("images", "labels", "types", "names")
    )
    everything = make_class_images(
        images, labels, ("good", "defective"), names, **_repairs(loaded, images, seed)
    )
    train, rest = train_test_split(
        np.arange(len(images)), test_size=0.5, random_state=seed, stratify=types
    )
    review, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=types[rest])
    task = _divided(category, everything, train, review, test)
    return replace(task, root=Path(root), remarks=loaded.remarks)


def _repairs(loaded: Category, images: np.ndarray, seed: int) -> dict[str, Any]:
    """Defects of the images and the images without them, as a linear subspace repairs them."""
    if not loaded.has_masks:
        return {}
    subspace = Subspace(seed=seed).fit(loaded.train.images, loaded.validation.images)
    good = len(images) - len(loaded.test)
    masks = np.concatenate([np.zeros((good, *images.shape[1:3]), bool), loaded.test.masks])
    normal = np.clip(subspace.counterpart(images), 0, 1)
    without = [
        repaired(image, counterpart, mask) if mask.any() else image
        for image, counterpart, mask in zip(images, normal, masks, strict=True)
    ]
    return {"defects": masks, "without_defects": np.clip(np.stack(without), 0, 1)}


def _divided(
    name: str, everything: ClassImages, train: Integers, review: Integers, test: Integers
) -> Task:
    """The task whose parts hold these indices of the images, in rising order."""
    first, second, third = (everything.subset(np.sort(one)) for one in (train, review, test))
    return Task(name, first, second, third)
