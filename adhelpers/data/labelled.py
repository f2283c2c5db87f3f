"""Samples of several classes, of which one is later called normal: embedded, downloaded or own."""

import gzip
import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from adhelpers._shared.arrays import Flags, Floats, Images, Integers, Masks, Names
from adhelpers._shared.checks import check_choice

from .duplicates import content_digest, group_copies
from .images import load_category
from .normalize import Corrections
from .reading import GOOD
from .remarks import Remark
from .tables import read_table

DATASETS = ("digits", "mnist", "fashion_mnist", "idx", "folder", "csv")
# Where a data set comes without a test set, this share of each class becomes one, always the same:
# seeds are for trainings.
_TEST_SHARE, _SPLIT_SEED = 0.4, 0
# Of each defect type of a folder in the MVTec layout, this share can be used in training, and is
# then not tested on.
_POOL_SHARE = 0.5
_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_IDX_UNSIGNED_BYTE = 8


@dataclass(frozen=True)
class LabelledSamples:
    """Samples with their classes, divided into those to train with and those to test on.

    Attributes
    ----------
    name : str
    samples : ndarray of float32, shape (n, h, w, c) in [0, 1], or of float64, shape (n, d)
    classes : ndarray of str, shape (n,)
    names : ndarray of str, shape (n,)
    is_test : ndarray of bool, shape (n,)
    masks : ndarray of bool, shape (n, h, w), or None
        True on the defect, where the data have masks.
    fingerprint : str
        SHA-256 over samples, classes and the division.
    remarks : tuple of Remark
        What was ignored, lost, doubtful or changed in a folder or table.
    columns : tuple of str
        Names of the d features of vectors.
    """

    name: str
    samples: Images | NDArray[np.float64]
    classes: Names
    names: Names
    is_test: Flags
    masks: Masks | None
    fingerprint: str
    remarks: tuple[Remark, ...] = ()
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def copies(self) -> Integers:
        """For each sample the index of the first one with the same content: int64 (n,)."""
        return group_copies([content_digest(one) for one in self.samples])

    def class_table(self) -> pd.DataFrame:
        """Samples by ``class``: columns ``to train with`` and ``to test on``."""
        table = pd.crosstab(self.classes, np.where(self.is_test, "to test on", "to train with"))
        return table.rename_axis(index="class", columns=None).reindex(
            columns=["to train with", "to test on"], fill_value=0
        )


def _labelled(
    name: str,
    samples: ArrayLike,
    classes: ArrayLike,
    is_test: Flags | None = None,
    names: Names | None = None,
    masks: Masks | None = None,
) -> LabelledSamples:
    """Samples with their fingerprint; where there are no separate test data some are chosen."""
    classes = np.asarray(classes).astype(str)
    samples = np.asarray(samples)
    # Vectors keep their digits until they are centred and scaled.
    samples = np.ascontiguousarray(samples, np.float64 if samples.ndim == 2 else np.float32)
    is_test = _test_share(name, samples, classes) if is_test is None else np.asarray(is_test)
    if names is None:
        numbered = enumerate(zip(classes, is_test, strict=True))
        names = np.array(
            [
                f"{'test' if test else 'train'}/{kind}/{index:05d}"
                for index, (kind, test) in numbered
            ]
        )
    content = [samples.tobytes(), "\n".join(classes).encode(), is_test.tobytes()]
    content += [] if masks is None else [np.ascontiguousarray(masks).tobytes()]
    fingerprint = hashlib.sha256(b"".join(content)).hexdigest()
    return LabelledSamples(name, samples, classes, names, is_test, masks, fingerprint)


def _test_share(name: str, samples: Floats, classes: Names) -> Flags:
    """Which samples are tested on: the same share of each class, always the same ones.

    Copies of one sample are on the side of the first one, unless that leaves a class without any.
    """
    kinds, counts = np.unique(classes, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"{name}: class {str(kinds[counts.argmin()])!r} has a single sample; at least two are "
            "needed, one to train with and one to test on"
        )
    indices = np.arange(len(classes))
    # Where classes are tiny the share is less than one sample of each.
    count = max(math.ceil(_TEST_SHARE * len(classes)), len(kinds))
    _, chosen = train_test_split(
        indices, test_size=count, random_state=_SPLIT_SEED, stratify=classes
    )
    is_test = np.isin(indices, chosen)
    together = is_test[group_copies([content_digest(one) for one in samples])]
    sides = {(kind, bool(test)) for kind, test in zip(classes, together, strict=True)}
    return together if len(sides) == 2 * len(kinds) else is_test


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Read an array of unsigned bytes from an IDX file, plain or gzipped.

    Parameters
    ----------
    path : str or Path
        The format of the MNIST files: two zero bytes, 8 for unsigned bytes, the number of axes,
        each axis' length as four bytes with the highest first, then the values.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    ValueError
        If the file is none, is cut short or too long, or holds another type.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "three"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
    >>> read_idx(path).tolist()
    [5, 6, 7]
    """
    path = Path(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error})") from error
    if (
        len(content) < 4
        or content[:2] != b"\0\0"
        or content[2] != _IDX_UNSIGNED_BYTE
        or len(content) < 4 + 4 * content[3]
    ):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if len(values) != np.prod(shape):
        raise ValueError(
            f"{path} holds {len(values)} values, but its head announces {np.prod(shape)} "
            f"({' x '.join(map(str, shape))})"
        )
    return values.reshape(shape)


def _read_idx_folder(name: str, folder: str | Path) -> LabelledSamples:
    """The samples in MNIST's files, or in others of the same names."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"data_root: there is no folder {folder}")
    found = {}
    for split, files in _IDX_FILES.items():
        paths = [path for file in files for path in _plain_or_packed(folder / file)]
        if len(paths) == len(files):
            found[split] = _read_idx_pair(*paths)
    if not found:
        expected = " and ".join(_IDX_FILES["train"]), " and ".join(_IDX_FILES["test"])
        raise FileNotFoundError(
            f"{folder} holds no IDX files: {expected[0]}, or {expected[1]} (.gz or not)"
        )
    images, labels = map(np.concatenate, zip(*found.values(), strict=True))
    counts = [len(labels) for _, labels in found.values()]
    is_test = np.repeat([split == "test" for split in found], counts)
    return _labelled(
        name, images[..., None] / np.float32(255), labels, is_test if len(found) == 2 else None
    )


def _plain_or_packed(path: Path) -> Sequence[Path]:
    """The file itself, or its gzipped form; at most one."""
    return [one for one in (path, path.with_name(f"{path.name}.gz")) if one.is_file()][:1]


def _read_idx_pair(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, h, w) and their labels (n,)."""
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        raise ValueError(
            f"{images} and {labels} do not belong together: their shapes are {pixels.shape} and "
            f"{classes.shape}"
        )
    return pixels, classes


def _download(name: str) -> LabelledSamples:
    """MNIST or Fashion-MNIST through Keras, which keeps the files."""
    # Only here: TensorFlow takes seconds to import, and no other images need it.
    import keras

    module = {"mnist": keras.datasets.mnist, "fashion_mnist": keras.datasets.fashion_mnist}[name]
    try:
        (train, train_labels), (test, test_labels) = module.load_data()
    except Exception as error:  # Keras raises a plain Exception where a download fails.
        raise OSError(
            f"{name} could not be downloaded ({error}). Give the folder of its IDX files as "
            "data_root (train-images-idx3-ubyte and so on, gzipped or not), or use the embedded "
            "data set digits"
        ) from error
    is_test = np.repeat([False, True], [len(train), len(test)])
    return _labelled(
        name,
        np.concatenate([train, test])[..., None] / np.float32(255),
        np.concatenate([train_labels, test_labels]),
        is_test,
    )


def _read_folder(root: str | Path, category: str, **options: Any) -> LabelledSamples:
    """A category, with a share of each defect type to train with."""
    if not category:
        raise ValueError("category must name the folder of the objects in data_root")
    loaded = load_category(root, category, **options)
    parts = loaded.train, loaded.validation, loaded.test
    samples, types, names = (
        np.concatenate([getattr(part, field) for part in parts])
        for field in ("images", "types", "names")
    )
    is_test = np.arange(len(samples)) >= len(loaded.train) + len(loaded.validation)
    random = np.random.default_rng(_SPLIT_SEED)
    for kind in sorted(set(types) - {GOOD}):
        chosen = np.flatnonzero(types == kind)
        is_test[random.permutation(chosen)[: int(_POOL_SHARE * len(chosen))]] = False
    masks = loaded.test.masks
    if masks is not None:
        unmarked = np.zeros((is_test.size - len(loaded.test), *samples.shape[1:3]), bool)
        masks = np.concatenate([unmarked, masks])
    labelled = _labelled(category, samples, types, is_test, names, masks)
    return replace(labelled, remarks=loaded.remarks)


def _read_csv(path: str | Path, label_column: str) -> LabelledSamples:
    """Vectors, a row each."""
    table = read_table(path, label_column)
    labelled = _labelled(Path(path).stem, table.values, table.classes)
    return replace(labelled, columns=table.columns, remarks=table.remarks)


def load_labelled(
    dataset: str = "digits",
    data_root: str | Path = "",
    *,
    category: str = "",
    label_column: str = "label",
    image_size: int | Sequence[int] = 32,
    color: str = "grayscale",
    corrections: Corrections | None = None,
    bit_depth: int | None = None,
    page: int | None = None,
) -> LabelledSamples:
    """Samples of several classes, divided into those to train with and those to test on.

    Parameters
    ----------
    dataset : {"digits", "mnist", "fashion_mnist", "idx", "folder", "csv"}
        ``"digits"``: scikit-learn's 1,797 digits of 8x8 pixels, embedded. ``"mnist"``,
        ``"fashion_mnist"``: from IDX files in ``data_root``, and without it downloaded through
        `keras.datasets`. ``"idx"``: other data in files of the same names. ``"folder"``:
        ``data_root/category``, see `load_category`; half of each defect type can be trained with
        and is then not tested on. ``"csv"``: vectors, a row each, from the file ``data_root``.
    data_root : str or Path
        Folder, or CSV file. Where there are no separate test data, 40 % of each class are tested
        on, always the same.
    category : str
        For ``"folder"``.
    label_column : str
        For ``"csv"``: the column that holds the classes. All others must be numbers; those without
        a name or that count the rows are left out.
    image_size, color, corrections, bit_depth, page
        For ``"folder"``, see `load_category`.

    Returns
    -------
    LabelledSamples

    Raises
    ------
    ValueError
        If a parameter or a file is wrong.
    OSError
        If a file is missing, or a download fails: the ways out are named.

    Examples
    --------
    >>> digits = load_labelled("digits")
    >>> digits.samples.shape, int(digits.is_test.sum())
    ((1797, 8, 8, 1), 719)
    """
    check_choice("dataset", dataset, DATASETS)
    if dataset == "digits":
        digits = load_digits()
        return _labelled("digits", digits.images[..., None] / 16, digits.target)
    if not data_root:
        if dataset in ("mnist", "fashion_mnist"):
            return _download(dataset)
        place = "file" if dataset == "csv" else "folder"
        raise ValueError(f"dataset {dataset!r} needs data_root, the {place} that holds it")
    if dataset == "folder":
        return _read_folder(
            data_root,
            category,
            image_size=image_size,
            color=color,
            corrections=corrections,
            bit_depth=bit_depth,
            page=page,
        )
    if dataset == "csv":
        return _read_csv(data_root, label_column)
    return _read_idx_folder(dataset, data_root)
