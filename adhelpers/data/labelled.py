"""Samples of several classes, from embedded, downloaded or own data, of which one class is later called normal."""

import gzip
import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from .images import load_category
from .normalize import Corrections
from .reading import GOOD

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
    """Samples with their classes, divided into those that may be trained with and those that are tested on.

    Attributes
    ----------
    name : str
    samples : ndarray of float32, shape (n, h, w, c) in [0, 1], or (n, d)
    classes : ndarray of str, shape (n,)
    names : ndarray of str, shape (n,)
    is_test : ndarray of bool, shape (n,)
    masks : ndarray of bool, shape (n, h, w), or None
        True on the defect, where the data have masks.
    fingerprint : str
        SHA-256 over samples, classes and the division.
    """

    name: str
    samples: np.ndarray
    classes: np.ndarray
    names: np.ndarray
    is_test: np.ndarray
    masks: np.ndarray | None
    fingerprint: str

    def __len__(self):
        return len(self.samples)

    def class_table(self):
        """How many samples of each class there are.

        Returns
        -------
        pandas.DataFrame
            A row for each class; columns ``to train with`` and ``to test on``.
        """
        table = pd.crosstab(self.classes, np.where(self.is_test, "to test on", "to train with"))
        return table.rename_axis(index=None, columns=None).reindex(
            columns=["to train with", "to test on"], fill_value=0
        )


def _labelled(name, samples, classes, is_test=None, names=None, masks=None):
    classes = np.asarray(classes).astype(str)
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if is_test is None:
        kinds, counts = np.unique(classes, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                f"{name}: class {str(kinds[counts.argmin()])!r} has a single sample; at least two are needed, one to train with and one to "
                "test on."
            )
        is_test = np.zeros(len(classes), bool)
        is_test[
            train_test_split(
                np.arange(len(classes)),
                test_size=_TEST_SHARE,
                random_state=_SPLIT_SEED,
                stratify=classes,
            )[1]
        ] = True
    if names is None:
        names = np.array(
            [
                f"{'test' if test else 'train'}/{kind}/{index:05d}"
                for index, (kind, test) in enumerate(zip(classes, is_test))
            ]
        )
    digest = hashlib.sha256()
    for values in (samples, "\n".join(classes).encode(), is_test, b"" if masks is None else masks):
        digest.update(
            np.ascontiguousarray(values).tobytes() if isinstance(values, np.ndarray) else values
        )
    return LabelledSamples(
        name, samples, classes, names, np.asarray(is_test), masks, digest.hexdigest()
    )


def read_idx(path):
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
            raise ValueError(f"{path} is a damaged gzip file ({error}).") from error
    if (
        len(content) < 4
        or content[:2] != b"\0\0"
        or content[2] != _IDX_UNSIGNED_BYTE
        or len(content) < 4 + 4 * content[3]
    ):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes.")
    shape = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if len(values) != np.prod(shape):
        raise ValueError(
            f"{path} holds {len(values)} values, but its head announces {np.prod(shape)} ({' x '.join(map(str, shape))})."
        )
    return values.reshape(shape)


def _read_idx_folder(name, folder):
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"data_root: there is no folder {folder}")
    found = {}
    for split, files in _IDX_FILES.items():
        paths = [
            next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
            for file in files
        ]
        if None not in paths:
            images, labels = map(read_idx, paths)
            if images.ndim != 3 or labels.shape != images.shape[:1]:
                raise ValueError(
                    f"{paths[0]} and {paths[1]} do not belong together: their shapes are {images.shape} and {labels.shape}."
                )
            found[split] = images, labels
    if not found:
        expected = " and ".join(_IDX_FILES["train"]), " and ".join(_IDX_FILES["test"])
        raise FileNotFoundError(
            f"{folder} holds no IDX files: {expected[0]}, or {expected[1]} (.gz or not)."
        )
    images, labels = (np.concatenate([found[split][part] for split in found]) for part in (0, 1))
    is_test = (
        np.repeat([split == "test" for split in found], [len(found[split][0]) for split in found])
        if len(found) == 2
        else None
    )
    return _labelled(name, images[..., None] / np.float32(255), labels, is_test)


def _download(name):
    module = {"mnist": keras.datasets.mnist, "fashion_mnist": keras.datasets.fashion_mnist}[name]
    try:
        (train, train_labels), (test, test_labels) = module.load_data()
    except Exception as error:  # Keras raises a plain Exception where a download fails.
        raise OSError(
            f"{name} could not be downloaded ({error}). Give the folder of its IDX files as data_root (train-images-idx3-ubyte and so on, "
            "gzipped or not), or use the embedded data set digits."
        ) from error
    is_test = np.repeat([False, True], [len(train), len(test)])
    return _labelled(
        name,
        np.concatenate([train, test])[..., None] / np.float32(255),
        np.concatenate([train_labels, test_labels]),
        is_test,
    )


def _read_folder(root, category, **options):
    if not category:
        raise ValueError("category must name the folder of the objects in data_root.")
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
    masks = None
    if loaded.has_masks:
        masks = np.concatenate(
            [
                np.zeros((is_test.size - len(loaded.test), *samples.shape[1:3]), bool),
                loaded.test.masks,
            ]
        )
    return _labelled(category, samples, types, is_test, names, masks)


def _read_csv(path, label_column):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"data_root: there is no file {path}; for the data set csv it is the file itself."
        )
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if label_column not in table:
        raise ValueError(
            f"label_column: {path} has no column {label_column!r}; its columns are {', '.join(map(str, table.columns))}."
        )
    features = table.drop(columns=label_column)
    wrong = [
        str(column)
        for column in features
        if not (
            pd.api.types.is_numeric_dtype(features[column])
            and np.isfinite(features[column].astype(float)).all()
        )
    ]
    if wrong or features.empty or table[label_column].isna().any():
        raise ValueError(
            f"{path}: every column but {label_column!r} must hold finite numbers, and {label_column!r} a class in every row; what does not is "
            f"{', '.join(wrong) or ('an empty table' if features.empty else label_column)}."
        )
    return _labelled(path.stem, features.to_numpy(np.float32), table[label_column])


def load_labelled(
    dataset="digits",
    data_root="",
    *,
    category="",
    label_column="label",
    image_size=32,
    color="grayscale",
    corrections=None,
):
    """Samples of several classes, divided into those to train with and those to test on.

    Parameters
    ----------
    dataset : {"digits", "mnist", "fashion_mnist", "idx", "folder", "csv"}
        ``"digits"``: scikit-learn's 1,797 digits of 8x8 pixels, embedded. ``"mnist"``,
        ``"fashion_mnist"``: from IDX files in ``data_root``, and without it downloaded through
        `keras.datasets`. ``"idx"``: other data in files of the same names. ``"folder"``:
        ``data_root/category`` in the MVTec layout; half of each defect type can be trained with
        and is then not tested on. ``"csv"``: vectors, a row each, from the file ``data_root``.
    data_root : str or Path
        Folder, or CSV file. Where there are no separate test data, 40 % of each class are tested
        on, always the same.
    category : str
        For ``"folder"``.
    label_column : str
        For ``"csv"``: the column that holds the classes. All others must be numbers.
    image_size, color, corrections
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
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, not {dataset!r}.")
    if dataset == "digits":
        digits = load_digits()
        return _labelled("digits", digits.images[..., None] / 16, digits.target)
    if not data_root:
        if dataset in ("mnist", "fashion_mnist"):
            return _download(dataset)
        raise ValueError(
            f"dataset {dataset!r} needs data_root, the {'file' if dataset == 'csv' else 'folder'} that holds it."
        )
    if dataset == "folder":
        return _read_folder(
            data_root,
            category,
            image_size=image_size,
            color=color,
            corrections=corrections,
        )
    return (
        _read_csv(data_root, label_column)
        if dataset == "csv"
        else _read_idx_folder(dataset, data_root)
    )
