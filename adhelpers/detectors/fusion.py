"""Several detectors as one: their scores, brought to one scale on good images, are averaged."""

import numpy as np
import tensorflow as tf

from adhelpers._shared.checks import checked_images
from adhelpers.training import remove_checkpoint

from .base import Detector
from .registry import detector_class, register

_SCALES = "scales.npz"


@register
class Fusion(Detector):
    """The mean of several detectors' scores, each standardised on the good validation images.

    A score of 1 is one standard deviation above what good images have. Which detector is better is
    not asked, so no defective image is needed.

    Parameters
    ----------
    members : list of Detector
        At least two. Those that are fitted already stay as they are; the others are fitted in
        `fit`.

    Attributes
    ----------
    members : list of Detector
    means, deviations : ndarray of float32, shape (members,)
        Of each member's scores of the validation images.

    Raises
    ------
    ValueError
        For fewer than two members or, in `fit`, fewer than two validation images, a member that was
        fitted on images of another shape, or one whose validation scores are all equal.

    Examples
    --------
    >>> from adhelpers.detectors import Subspace
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Fusion([Subspace(2), Subspace(4)]).fit(good[:8], good[8:])
    >>> abs(float(detector.score(good[8:]).mean())) < 1e-4
    True
    """

    name = "fusion"

    def __init__(self, members):
        super().__init__()
        self.members = list(members)
        if len(self.members) < 2:
            raise ValueError(f"members must be two detectors or more, not {len(self.members)}")
        self.means = self.deviations = None

    @property
    def parameters(self):
        """The members' kinds and parameters."""
        kinds = [
            {"detector": type(one).__name__, "parameters": one.parameters} for one in self.members
        ]
        return {"members": kinds}

    @classmethod
    def from_parameters(cls, parameters, **changed):
        """See `Model.from_parameters`; the members' kinds are those of the registry."""
        members = [
            detector_class(one["detector"]).from_parameters(one["parameters"])
            for one in parameters["members"]
        ]
        return cls(**{"members": members} | changed)

    def fit(self, train, validation, *, checkpoint=None, show_progress=True):
        """Fit the members that are not fitted yet, and the scale of each on the validation images; see `Detector.fit`."""
        train = checked_images(train, name="train")
        validation = checked_images(validation, train.shape[1:], name="validation")
        if len(validation) < 2:
            raise ValueError("validation holds one image; the scale of a score needs at least two.")
        means, deviations = [], []
        for number, member in enumerate(self.members):
            if member.image_shape is None:
                place = (
                    None
                    if checkpoint is None
                    else checkpoint.with_name(f"{number}-{checkpoint.name}")
                )
                member.fit(train, validation, checkpoint=place, show_progress=show_progress)
                remove_checkpoint(place)
            elif tuple(member.image_shape) != train.shape[1:]:
                raise ValueError(
                    f"members: {type(member).__name__} was fitted on images of {tuple(member.image_shape)}, not {train.shape[1:]}."
                )
            scores = member.score(validation)
            means.append(scores.mean())
            deviations.append(scores.std(ddof=1))
            if not deviations[-1] > 0:
                raise ValueError(
                    f"members: {type(member).__name__} gives all validation images the score {scores[0]}: there is no scale."
                )
        self.means, self.deviations = np.float32(means), np.float32(deviations)
        self.image_shape = train.shape[1:]
        return self

    def member_scores(self, images):
        """Each member's standardised scores: float32 (members, n)."""
        self._require_fitted()
        return np.stack(
            [
                (member.score(images) - mean) / deviation
                for member, mean, deviation in zip(
                    self.members, self.means, self.deviations, strict=True
                )
            ]
        )

    def score(self, images):
        return self.member_scores(images).mean(axis=0)

    def anomaly_map(self, images):
        """The mean of the members' maps, each on the scale of its score: float32 (n, h, w).

        Where the members' maps have their maxima as scores and at the same place, its maximum is
        the score; else it is lower.
        """
        self._require_fitted()
        return np.mean(
            [
                (member.anomaly_map(images) - mean) / deviation
                for member, mean, deviation in zip(
                    self.members, self.means, self.deviations, strict=True
                )
            ],
            axis=0,
        )

    @property
    def counterpart_name(self):
        return self.members[0].counterpart_name

    def counterpart(self, images):
        """The counterpart of the first member."""
        self._require_fitted()
        return self.members[0].counterpart(images)

    def score_tensor(self, images):
        """The score as a differentiable function of the image, where that of all members is: tensor of float32, shape (n,)."""
        return tf.add_n(
            [
                (member.score_tensor(images) - mean) / deviation
                for member, mean, deviation in zip(
                    self.members, self.means, self.deviations, strict=True
                )
            ]
        ) / len(self.members)

    def _write(self, folder):
        for number, member in enumerate(self.members):
            before = member.folder
            member.save(folder / f"member_{number}")
            # It is moved with its parent; where it was stored by itself it still is.
            member.folder = before
        np.savez(folder / _SCALES, means=self.means, deviations=self.deviations)
        return {}

    def _read(self, folder, manifest):
        self.members = [
            type(member).load(folder / f"member_{number}")
            for number, member in enumerate(self.members)
        ]
        with np.load(folder / _SCALES, allow_pickle=False) as file:
            self.means, self.deviations = file["means"], file["deviations"]
