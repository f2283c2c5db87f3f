"""One test image with what a detector and its explainers say about it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from adhelpers._shared.arrays import Flags, Floats

from .style import check_plane, displayable


@dataclass(frozen=True)
class Sample:
    """One test image with what a detector and its explainers say about it.

    Attributes
    ----------
    image : ndarray of float, shape (h, w, c)
        Values in [0, 1], c = 1 or 3.
    heatmaps : dict of str to ndarray of float, shape (h, w)
        The signed heatmap of each explainer; NaN throughout where it failed.
    counterpart : ndarray of float, shape (h, w, c), optional
        What a normal version of the image looks like to the detector, in [0, 1].
    anomaly_map : ndarray of float, shape (h, w), optional
    mask : ndarray of bool, shape (h, w), optional
        The true defect.
    score : float, optional
    name : str
        Such as that of the file.
    type : str
        ``"good"`` or the defect's type.
    optimal : dict of str to (float, float), optional
        For an explainer its optimal Jaccard and the threshold that gives it: the region is
        ``heatmap >= threshold``. NaN where there is none.
    repaired : (ndarray of float, shape (h, w, c), float), optional
        The image after a part of it was replaced by the counterpart, and its score then.
    repaired_name : str
        What was replaced, above that picture: the true defect, or what a smallest repair took.

    Raises
    ------
    ValueError
        If shapes do not fit, or ``optimal`` names an explainer without a heatmap.

    Examples
    --------
    >>> image, heatmap = np.zeros((8, 8, 1)), np.eye(8)
    >>> Sample(image, {"LIME": heatmap}, mask=heatmap > 0, name="test/cut/000.png").has_defect
    True
    """

    image: Floats
    heatmaps: Mapping[str, Floats]
    counterpart: Floats | None = None
    anomaly_map: Floats | None = None
    mask: Flags | None = None
    score: float | None = None
    name: str = ""
    type: str = ""
    optimal: Mapping[str, tuple[float, float]] | None = None
    repaired: tuple[Floats, float] | None = None
    repaired_name: str = "defect repaired"

    def __post_init__(self) -> None:
        """Check that everything has the image's shape."""
        shape = displayable(self.image).shape[:2]
        check_plane(np.shape(self.image), counterpart=self.counterpart)
        check_plane(
            shape,
            anomaly_map=self.anomaly_map,
            mask=self.mask,
            **{f"heatmaps[{name!r}]": heatmap for name, heatmap in self.heatmaps.items()},
        )
        stray = sorted(set(self.optimal or {}) - set(self.heatmaps))
        if stray:
            raise ValueError(
                f"optimal must only name explainers in heatmaps, {sorted(self.heatmaps)}; "
                f"it also names {stray}"
            )

    @property
    def has_defect(self) -> bool:
        """Whether there is a mask and a defect in it."""
        return self.mask is not None and bool(np.any(self.mask))
