"""A linear subspace of good patches in the features of a pretrained network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from adhelpers._shared.arrays import Floats, Images, Scores
from adhelpers._shared.checks import check_choice
from adhelpers.data import DEFECT_KINDS

from ..manifest import StoredFiles
from ..planted import plant_defects
from ..registry import register
from ..weights import load_arrays
from .backbones import BackboneSettings
from .detector import FeatureDetector, cells_to_map, half_precision, kept_images
from .patches import FeatureSettings, rounded

_FILE = "subspace.npz"
_SHARES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
_BATCH = 16
_CENTRES = ("all", "place")
_DISTANCES = ("residual", "mahalanobis")
# By the first components the nearest good image is found.
_KEY_COMPONENTS = 8
# Below this share of the largest variance, or of the squared mean, a direction is rounding.
_NOTHING = 1e-9
# Each kind of defect so often at least: a choice needs some dozens of planted images.
_EACH = 8


@dataclass(frozen=True)
class _Moments:
    """What one pass over the features of good images keeps, before any scaling."""

    mean: Floats
    covariance: Floats


@register
class FeatureSubspace(FeatureDetector):
    """Principal components of good patches in a network's features; what they leave is anomalous.

    Nothing is trained: mean and covariance of the patches are summed up in one pass, whatever the
    number of images. The map is the distance of each patch from the subspace, interpolated and
    smoothed; the score is its maximum. The counterpart is composed of the good images whose patches
    have the nearest coordinates in the subspace.

    Ahuja et al., "Probabilistic modeling of deep features for out-of-distribution and adversarial
    detection" (DFM), 2019 (arXiv 1909.11786); Defard et al., "PaDiM", ICPR 2021 (arXiv 2011.08785)
    for a mean of each place and the Mahalanobis distance; Tipping and Bishop, "Probabilistic
    principal component analysis", JRSS B 1999, for how the latter treats what lies outside of the
    subspace.

    Parameters
    ----------
    features : FeatureSettings, optional
        Of patches; None is ``FeatureSettings("patch")``.
    backbone : BackboneSettings, optional
    variance : float or "auto"
        Share of the good patches' variance that the subspace keeps, in (0, 1). ``"auto"`` takes the
        share with which the score best tells the validation images from the same images with a
        defect planted in them (see `plant_defects`). No defective image is needed.
    centre : {"auto", "all", "place"}
        Whether patches are compared with the mean of ``"all"`` good patches, or with that of the
        good patches at their ``"place"``, for objects that lie alike. ``"auto"`` chooses as
        ``variance`` does.
    distance : {"residual", "mahalanobis"}
        The length of what the subspace leaves; or the Mahalanobis distance, in which each component
        counts in its own standard deviations and all directions outside of the subspace in their
        common one.
    smoothing : float
        Standard deviation of the Gaussian over the map, in pixels.
    seed : int
        For the planted defects, and for random weights.

    Attributes
    ----------
    n_components : int
        Dimensions of the subspace.
    selection : list of dict
        Where something was chosen: ``centre``, ``variance`` and ``n_components`` tried, and the
        ``auroc`` of each.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, all patches are equal.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(6, 32, 32, 1)).astype("float32")
    >>> detector = FeatureSubspace(variance=0.9).fit(good[:4], good[4:], show_progress=False)
    >>> detector.anomaly_map(good[4:]).shape
    (2, 32, 32)
    """

    name = "feature_subspace"
    title = "subspace of features"
    # The score chooses the number of components.
    scoring_parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        features: FeatureSettings | None = None,
        backbone: BackboneSettings | None = None,
        *,
        variance: float | str = "auto",
        centre: str = "auto",
        distance: str = "residual",
        smoothing: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            features or FeatureSettings("patch"), backbone or BackboneSettings(), smoothing, seed
        )
        if self.features.level != "patch":
            raise ValueError('features: a subspace of features needs FeatureSettings("patch")')
        if variance != "auto" and (isinstance(variance, str) or not 0 < variance < 1):
            raise ValueError(
                f"variance must be 'auto' or a share between 0 and 1, not {variance!r}"
            )
        check_choice("centre", centre, ("auto", *_CENTRES))
        check_choice("distance", distance, _DISTANCES)
        self.variance, self.centre, self.distance = variance, centre, distance
        self.selection: list[dict[str, Any]] = []

    @property
    def n_components(self) -> int:
        """Number of dimensions of the subspace."""
        self._require_fitted()
        return int(self._arrays["n_components"])

    def fit(
        self,
        train: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
        """Fit on good images; see `Detector.fit`.

        It takes one pass through the network, so ``checkpoint`` is not used.
        """
        self._validation = validation
        try:
            return super().fit(
                train, validation, checkpoint=checkpoint, show_progress=show_progress
            )
        finally:
            del self._validation

    def _learn(self, train: Images, show_progress: bool) -> None:
        centres = _CENTRES if self.centre == "auto" else (self.centre,)
        # With one image the mean of each place is the image itself, and nothing varies about it.
        if self.centre == "auto" and len(train) < 2:
            centres = ("all",)
        moments, scale = self._moments(train, centres, show_progress)
        shares = _SHARES if isinstance(self.variance, str) else (self.variance,)
        fitted = {centre: _Components.of(one, scale) for centre, one in moments.items()}
        # What an earlier fit has tried says nothing of these images.
        self.selection = []
        centre, share = centres[0], shares[0]
        if len(centres) * len(shares) > 1:
            centre, share = self._chosen(fitted, scale, shares)
        components = fitted[centre]
        count = components.count(share)
        arrays: dict[str, Any] = {
            "scale": scale,
            "mean": components.mean.astype(np.float32),
            "matrix": components.matrix(count, self.distance).astype(np.float32),
            "codes": components.vectors[:, :_KEY_COMPONENTS].astype(np.float32),
            "n_components": np.int64(count),
        }
        self._arrays = arrays
        kept = kept_images(train, self.seed)
        arrays["images"] = half_precision(train, kept)
        arrays["keys"] = rounded(
            np.concatenate([self._keys(part) for part in self._parts(train[kept])])
        )
        self._set(arrays)

    def unfitted_copy(self, count: int | None = None) -> Self:
        """See `Detector.unfitted_copy`: with the centre and the variance that were chosen."""
        self._require_fitted()
        chosen = {name: self._best[name] for name in ("centre", "variance") if self.selection}
        return type(self).from_parameters(self.parameters, **chosen)

    @property
    def _best(self) -> dict[str, Any]:
        """The row of the selection that is taken: of equals the first, the smallest subspace."""
        return max(self.selection, key=lambda row: row["auroc"])

    def _moments(
        self, train: Images, centres: Sequence[str], show_progress: bool
    ) -> tuple[dict[str, _Moments], NDArray[np.float32]]:
        """Mean and covariance of the patches about each kind of mean, and the scale of features."""
        for block, features in self._blocks(train, show_progress):
            part = features.astype(np.float32)
            if not block.start:
                # About numbers near the mean, sums of squares keep their digits.
                near = part.mean(axis=0)
                sums, products = np.zeros(near.shape), np.zeros((near.shape[-1],) * 2)
            part -= near
            flat = part.reshape(-1, part.shape[-1])
            sums += part.sum(axis=0, dtype=np.float64)
            products += flat.T @ flat
        cells = near.shape[0] * near.shape[1]
        means = (sums / len(train)).reshape(cells, -1)
        about_places = products / (len(train) * cells) - means.T @ means / cells
        by_place = near + sums / len(train)
        overall = by_place.mean(axis=(0, 1))
        between = (by_place - overall).reshape(cells, -1)
        about_all = about_places + between.T @ between / cells
        found = {
            "all": _Moments(overall, about_all),
            "place": _Moments(by_place, about_places),
        }
        scale = self.features.scale_of_variance(np.diag(about_all), self.network.channels())
        return {centre: found[centre] for centre in centres}, scale

    def _chosen(
        self,
        fitted: dict[str, "_Components"],
        scale: NDArray[np.float32],
        shares: Sequence[float],
    ) -> tuple[str, float]:
        """The kind of mean and the share of variance that tell good images best from planted."""
        good = self._validation
        draws = len(DEFECT_KINDS) * -(-_EACH // len(good))
        planted = plant_defects(good, self.seed, draws).images
        labels = np.r_[np.zeros(len(good)), np.ones(len(planted))]
        features = self._features_of(np.concatenate([good, planted])).astype(np.float32) * scale
        for centre, components in fitted.items():
            counts = [components.count(share) for share in shares]
            scores = self._scores_by_count(features, components, counts)
            self.selection += [
                {
                    "centre": centre,
                    "variance": share,
                    "n_components": count,
                    "auroc": float(roc_auc_score(labels, column)),
                }
                for share, count, column in zip(shares, counts, scores.T, strict=True)
            ]
        return self._best["centre"], self._best["variance"]

    def _scores_by_count(
        self, features: Floats, components: "_Components", counts: Sequence[int]
    ) -> Scores:
        """The score with each of some numbers of components: float32 (n, len(counts))."""
        scores = np.empty((len(features), len(counts)), np.float32)
        mean = components.mean.astype(np.float32)
        matrices = [
            tf.constant(components.matrix(count, self.distance), tf.float32) for count in counts
        ]
        for start in range(0, len(features), _BATCH):
            part = features[start : start + _BATCH] - mean
            for number, matrix in enumerate(matrices):
                cells = tf.norm(tf.tensordot(part, matrix, 1), axis=-1)
                maps = cells_to_map(cells, self.image_shape or (), self.smoothing)
                scores[start : start + _BATCH, number] = tf.reduce_max(maps, axis=(1, 2))
        return scores

    def _set(self, arrays: dict[str, Any]) -> None:
        self._arrays = arrays
        self._set_good(arrays["images"], arrays["keys"])
        self._constants = {
            name: tf.constant(arrays[name], tf.float32) for name in ("scale", "mean", "matrix")
        }

    def _keys(self, images: Images) -> Floats:
        features = self._features_of(images).astype(np.float32)
        about = features * self._arrays["scale"] - self._arrays["mean"]
        return (about @ self._arrays["codes"]).reshape(len(images), -1)

    def _cells_of_features(self, features: tf.Tensor) -> tf.Tensor:
        held = self._constants
        left = tf.tensordot(features * held["scale"] - held["mean"], held["matrix"], 1)
        # The root has no slope at 0.
        return tf.sqrt(tf.reduce_sum(left**2, axis=-1) + 1e-12)

    def _write(self, folder: Path) -> dict[str, Any]:
        np.savez(folder / _FILE, **self._arrays)
        return {"selection": self.selection, **self._write_backbone()}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._read_backbone(files.folder, manifest)
        self.selection = manifest["selection"]
        self._set(load_arrays(files / _FILE))


@dataclass(frozen=True)
class _Components:
    """All principal components of scaled features.

    Attributes
    ----------
    mean : ndarray, shape (d,) or (rows, columns, d)
    variances : ndarray, shape (d,)
        Falling.
    vectors : ndarray, shape (d, d)
        A component in each column.
    """

    mean: Floats
    variances: Floats
    vectors: Floats

    @classmethod
    def of(cls, moments: _Moments, scale: Floats) -> "_Components":
        """From mean and covariance before scaling."""
        variances, vectors = scipy.linalg.eigh(moments.covariance * np.outer(scale, scale))
        variances = np.clip(variances[::-1], 0, None)
        if variances[0] <= _NOTHING * ((moments.mean * scale) ** 2).mean():
            raise ValueError("train: all patches are equal, there is nothing to learn from them")
        return cls(moments.mean * scale, variances, vectors[:, ::-1])

    def count(self, share: float) -> int:
        """The number of components that keep this share; at least one direction is left."""
        kept = np.cumsum(self.variances) / self.variances.sum()
        return min(int(np.searchsorted(kept, share)) + 1, len(kept) - 1)

    def matrix(self, count: int, distance: str) -> Floats:
        """What features are multiplied with; the length of the product is the distance."""
        if distance == "residual":
            return self.vectors[:, count:]
        smallest = _NOTHING * self.variances[0]
        outside = max(float(self.variances[count:].mean()), smallest)
        variances = np.r_[
            np.maximum(self.variances[:count], smallest),
            np.full(len(self.variances) - count, outside),
        ]
        return self.vectors / np.sqrt(variances)
