"""Images of a split and of a category: arrays with what is known of each image."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adhelpers._shared.arrays import Flags, Images, Integers, Labels, Maps, Masks, Names

from .normalize import (
    unwarp_map,
)
from .reading import (
    good_first,
)
from .remarks import Remark


@dataclass(frozen=True)
class ImageSet:
    """Images of one split with what is known about them.

    Attributes
    ----------
    images : ndarray of float32, shape (n, h, w, c), in [0, 1], c = 1 or 3
    labels : ndarray of int64, shape (n,)
        0 good, 1 anomalous.
    types : ndarray of str, shape (n,)
        ``"good"`` or the defect type, such as ``"crack"``.
    names : ndarray of str, shape (n,)
        Path relative to the category's folder, such as ``"test/crack/000.png"``, in one form.
    masks : ndarray of bool, shape (n, h, w), or None
        True on the defect. None where the category has no masks.
    transforms : ndarray of float64, shape (n, 3, 3), or None
        Take (x, y, 1) in pixels of ``images`` to pixels of the file. None where the images do not
        come from files.
    original_shapes : ndarray of int64, shape (n, 2)
        Height and width of the files.
    uncorrected : ndarray of bool, shape (n,), or None
        True where light or pose could not be corrected, so that the image is loaded without (only
        in the test set, and only with ``"auto"``). None where the images do not come from files.
    files : ndarray of str, shape (n,), or None
        Paths of the files. None where the images do not come from files.

    Examples
    --------
    >>> images = ImageSet(
    ...     images=np.zeros((2, 4, 4, 1), np.float32),
    ...     labels=np.array([0, 1]),
    ...     types=np.array(["good", "cut"]),
    ...     names=np.array(["test/good/0.png", "test/cut/0.png"]),
    ...     masks=None,
    ...     transforms=np.stack([np.diag([2.0, 2, 1])] * 2),
    ...     original_shapes=np.array([[8, 8], [8, 8]]),
    ... )
    >>> len(images), images.subset(images.labels == 1).names.tolist()
    (2, ['test/cut/0.png'])
    """

    images: Images
    labels: Labels
    types: Names
    names: Names
    masks: Masks | None
    transforms: NDArray[np.float64] | None
    original_shapes: Integers
    uncorrected: Flags | None = None
    files: Names | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def mask_known(self) -> Flags:
        """Where it is known which pixels are defect: bool (n,).

        Not where the images have no masks, and not for a defective image whose mask is empty: the
        defect was cut off with the frame, or the file marks nothing. Such an image belongs in no
        measure that compares pixels.
        """
        if self.masks is None:
            return np.zeros(len(self), bool)
        return (self.labels == 0) | self.masks.any(axis=(1, 2))

    def subset(self, indices: Integers | Flags | Sequence[int] | slice) -> "ImageSet":
        """The images at ``indices`` as an ImageSet of their own.

        Neighbours in rising order share the memory of this set, others are copied.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        taken = _as_slice(indices, len(self))
        chosen: dict[str, Any] = {
            name: None if value is None else value[taken] for name, value in values.items()
        }
        return ImageSet(**chosen)

    def to_original(self, heatmap: Maps, index: int) -> Maps:
        """Bring the heatmap of one image back to the frame of its file.

        Parameters
        ----------
        heatmap : ndarray of float32, shape (h, w)
        index : int
            Which image of this set it belongs to.

        Returns
        -------
        ndarray of float32, shape ``original_shapes[index]``
            Linearly interpolated; zero where the file lies outside the image that was loaded.

        Raises
        ------
        ValueError
            Where the heatmap has another size than the images.
        """
        if heatmap.shape != self.images.shape[1:3]:
            raise ValueError(
                f"heatmap has shape {heatmap.shape}, the images have {self.images.shape[1:3]}"
            )
        if self.transforms is None:
            raise ValueError(
                "these images do not know where they lie in their files (transforms is None)"
            )
        return unwarp_map(heatmap, self.transforms[index], tuple(self.original_shapes[index]))


def _as_slice(indices: Integers | Flags | Sequence[int] | slice, count: int) -> Any:
    """Neighbours in rising order as a slice, which NumPy takes without a copy; others as given."""
    if isinstance(indices, slice):
        return indices
    chosen = np.asarray(indices)
    if chosen.dtype == bool and chosen.shape == (count,):
        chosen = np.flatnonzero(chosen)
    if (
        chosen.dtype.kind != "i"
        or chosen.ndim != 1
        or not (0 < chosen.size <= count and 0 <= chosen[0] and chosen[-1] < count)
        or (np.diff(chosen) != 1).any()
    ):
        return indices
    return slice(int(chosen[0]), int(chosen[-1]) + 1)


@dataclass(frozen=True)
class Category:
    """A category's three splits; ``validation`` are good images held out of ``train/good``.

    Attributes
    ----------
    name : str
    root : Path or None
        The folder that holds the category; None where the images do not come from files.
    train, validation, test : ImageSet
    settings : dict
        All parameters of `load_category` but the folder, as plain values; ``"auto"`` is replaced by
        what it has decided.
    fingerprint : str
        SHA-256 over the files' names and content and the settings: equal on any machine when the
        data are.
    remarks : tuple of Remark
        What was ignored, lost, doubtful or changed on the way.
    files : dict of str to str
        SHA-256 over the names and content of the files of ``train`` and ``test``, masks included,
        whatever the settings: what is compared must be equal in it. ``train`` holds the validation
        images too. Of samples without files it is their content and which of them are normal.
    """

    name: str
    root: Path | None
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    settings: dict[str, Any]
    fingerprint: str
    remarks: tuple[Remark, ...] = field(default=(), kw_only=True)
    files: dict[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def has_masks(self) -> bool:
        """Whether the test images have defect masks."""
        return self.test.masks is not None

    def inventory(self) -> pd.DataFrame:
        """Counts by split and type.

        Returns
        -------
        pandas.DataFrame
            Columns split, type, images, masks (those that are not empty), size (height x width as
            loaded), channels.
        """
        rows = []
        for split in ("train", "validation", "test"):
            images = getattr(self, split)
            _, height, width, channels = images.images.shape
            for kind in good_first(images.types):
                chosen = images.types == kind
                masks = (
                    0 if images.masks is None else int(images.masks[chosen].any(axis=(1, 2)).sum())
                )
                rows.append(
                    {
                        "split": split,
                        "type": kind,
                        "images": int(chosen.sum()),
                        "masks": masks,
                        "size": f"{height}x{width}",
                        "channels": channels,
                    }
                )
        return pd.DataFrame(rows)
