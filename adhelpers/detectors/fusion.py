"""Several detectors as one: their scores, brought to one scale on good images, are averaged."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers._shared.large_arrays import allocated
from adhelpers.training import remove_checkpoint

from .base import Detector
from .manifest import MANIFEST, StoredFiles
from .registry import detector_class, register
from .weights import load_arrays

_SCALES = "scales.npz"
# So many times the deviation of a place's neighbourhood is the longer side of the image.
_NEIGHBOURHOOD = 32


@register
class Fusion(Detector):
    """The mean of several detectors' scores, each standardised on the good validation images.

    A score of 1 is one standard deviation above what good images have. Which detector is better is
    not asked, so no defective image is needed.

    By place, each member's map is standardised with the mean and the deviation of the good
    validation images at that place, and the score is the maximum of the mean map: a place where
    good images vary more, such as an edge, counts less. That is for objects that lie alike, and for
    some dozens of validation images; from a few the deviations are too small elsewhere.

    Parameters
    ----------
    members : sequence of Detector
        At least two. Those that are fitted already stay as they are; the others are fitted in
        `fit`.
    standardise : {"score", "place"}
        Whether each member's score is standardised, or its map at each place.

    Attributes
    ----------
    means, deviations : ndarray of float32, shape (members,) or (members, h, w)
        Of each member's scores, or by place of its maps, of the validation images.

    Raises
    ------
    ValueError
        For fewer than two members, an unknown way to standardise or, in `fit`, fewer than two
        validation images, a member that was fitted on images of another shape, or one whose
        validation scores or maps are all equal.

    Examples
    --------
    >>> from adhelpers.detectors import Subspace
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Fusion([Subspace(2), Subspace(4)]).fit(good[:8], good[8:])
    >>> abs(float(detector.score(good[8:]).mean())) < 1e-4
    True
    """

    name = "fusion"

    def __init__(self, members: Sequence[Detector], standardise: str = "score") -> None:
        super().__init__()
        check_choice("standardise", standardise, ("score", "place"))
        self.standardise = standardise
        self.members = list(members)
        if len(self.members) < 2:
            raise ValueError(f"members must be two detectors or more, not {len(self.members)}")
        self.counterpart_name = self.members[0].counterpart_name
        self.means: Floats = np.zeros(0, np.float32)
        self.deviations: Floats = np.zeros(0, np.float32)

    def _plain(self, name: str, value: Any) -> Any:
        if name != "members":
            return super()._plain(name, value)
        return [{"detector": type(one).__name__, "parameters": one.parameters} for one in value]

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any], **changed: Any) -> Self:
        """See `Model.from_parameters`; the members' kinds are those of the registry."""
        members = [
            detector_class(one["detector"]).from_parameters(one["parameters"])
            for one in parameters["members"]
        ]
        return cls(**parameters | {"members": members} | changed)

    def fit(
        self,
        train: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
        """Fit the members that are not fitted yet, and each one's scale on the validation images.

        See `Detector.fit`.
        """
        train = checked_images(train, name="train")
        validation = checked_images(validation, train.shape[1:], name="validation")
        if len(validation) < 2:
            raise ValueError("validation holds one image; the scale of a score needs at least two")
        means, deviations = [], []
        for number, member in enumerate(self.members):
            if member.image_shape is None:
                place = None if checkpoint is None else _numbered(Path(checkpoint), number)
                member.fit(train, validation, checkpoint=place, show_progress=show_progress)
                remove_checkpoint(place)
            elif tuple(member.image_shape) != train.shape[1:]:
                raise ValueError(
                    f"members: {type(member).__name__} was fitted on images of "
                    f"{tuple(member.image_shape)}, not {train.shape[1:]}"
                )
            mean, deviation = self._scale_of(member, validation)
            means.append(mean)
            deviations.append(deviation)
        self.means = np.asarray(means, np.float32)
        self.deviations = np.asarray(deviations, np.float32)
        self.image_shape = train.shape[1:]
        return self

    def _scale_of(self, member: Detector, validation: Images) -> tuple[Any, Any]:
        """Mean and deviation of a member's scores, or by place of its maps."""
        if self.standardise == "score":
            scores = member.score(validation)
            mean, deviation = scores.mean(), scores.std(ddof=1)
            what = f"gives all validation images the score {scores[0]}"
        else:
            maps = member.anomaly_map(validation).astype(np.float64)
            side = max(maps.shape[1:]) / _NEIGHBOURHOOD
            # Of neighbours together, because each place alone has few values.
            variance = gaussian_filter(maps.var(axis=0, ddof=1), side, mode="nearest")
            mean = gaussian_filter(maps.mean(axis=0), side / 2, mode="nearest")
            # Where good images are all alike, a difference of nothing is no anomaly.
            deviation = np.sqrt(variance + variance.mean())
            what = "has the same map for all validation images"
        if not np.min(deviation) > 0:
            raise ValueError(f"members: {type(member).__name__} {what}: there is no scale")
        return mean, deviation

    def _scaled(self) -> Iterator[tuple[Detector, np.float32, np.float32]]:
        """Each member with the mean and the deviation of its scores."""
        self._require_fitted()
        return zip(self.members, self.means, self.deviations, strict=True)

    def member_scores(self, images: Images) -> Floats:
        """Each member's standardised scores: float32 (members, n).

        By place the maximum of its standardised map.
        """
        if self.standardise == "place":
            return np.stack(
                [
                    ((one.anomaly_map(images) - mean) / deviation).max(axis=(1, 2))
                    for one, mean, deviation in self._scaled()
                ]
            )
        return np.stack(
            [(one.score(images) - mean) / deviation for one, mean, deviation in self._scaled()]
        )

    def score(self, images: Images) -> Scores:
        """The mean of the members' standardised scores, or by place the map's maximum.

        float32 (n,), higher is more anomalous.
        """
        if self.standardise == "place":
            return self.anomaly_map(images).max(axis=(1, 2))
        return self.member_scores(images).mean(axis=0)

    def anomaly_map(self, images: Images) -> Maps:
        """The mean of the members' maps, each on the scale of its score: float32 (n, h, w).

        By place its maximum is the score. Else it is where the members' maps have their maxima as
        scores and at the same place, and lower elsewhere.
        """
        images = checked_images(images, self.image_shape)
        total = allocated(images.shape[:3])
        for one, mean, deviation in self._scaled():
            maps = one.anomaly_map(images)
            for row, single in zip(total, maps, strict=True):
                row += (single - mean) / deviation
        total /= len(self.members)
        return total

    def counterpart(self, images: Images) -> Images:
        """The counterpart of the first member."""
        self._require_fitted()
        return self.members[0].counterpart(images)

    def score_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """The score, differentiable where all members' are: tensor of float32, shape (n,).

        Not by place, because members have no differentiable maps.
        """
        if self.standardise == "place":
            raise TypeError('score_tensor needs standardise="score": maps have no gradient')
        scores = [
            (one.score_tensor(images) - mean) / deviation  # type: ignore[attr-defined]  # as said
            for one, mean, deviation in self._scaled()
        ]
        return tf.add_n(scores) / len(self.members)

    def _write(self, folder: Path) -> dict[str, Any]:
        for number, member in enumerate(self.members):
            before = member.folder
            member.save(folder / f"member_{number}")
            # It is moved with its parent; where it was stored by itself it still is.
            member.folder = before
        np.savez(folder / _SCALES, means=self.means, deviations=self.deviations)
        return {}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self.members = [
            type(member).load((files / f"member_{number}/{MANIFEST}").parent)
            for number, member in enumerate(self.members)
        ]
        scales = load_arrays(files / _SCALES)
        self.means, self.deviations = scales["means"], scales["deviations"]


def _numbered(checkpoint: Path, number: int) -> Path:
    """A member's own checkpoint."""
    return checkpoint.with_name(f"{number}-{checkpoint.name}")
