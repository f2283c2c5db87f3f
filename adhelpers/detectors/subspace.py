"""The simplest model of good images, a linear subspace: what deeper ones are compared with."""

import math
from pathlib import Path
from typing import Any, Self

import numpy as np
import skops.io
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from adhelpers._shared.arrays import Floats, Images
from adhelpers._shared.checks import checked_images

from .manifest import StoredFiles
from .planted import plant_patches
from .registry import register
from .residuals import ReconstructionDetector, ResidualScore
from .weights import load_estimator

_FILE = "pca.skops"
_CANDIDATES = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400)


@register
class Subspace(ReconstructionDetector):
    """Principal components of the good images; what they cannot reproduce is anomalous.

    Needs images that lie alike (``pose="axis"``, or an object that is always placed the same way);
    without, it is useless. Turk and Pentland, "Eigenfaces for recognition", Journal of Cognitive
    Neuroscience 1991.

    Parameters
    ----------
    n_components : int or "auto"
        ``"auto"`` takes the number with which the score best tells the validation images from the
        same images with a patch of another good image planted in them (see `plant_patches`). No
        defective image is needed.
    scoring : ResidualScore, optional
        None is the smoothed absolute difference.
    seed : int
        For the planted patches.

    Attributes
    ----------
    selection : list of dict
        With ``n_components="auto"``: ``n_components`` tried and the ``auroc`` of each.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Subspace(n_components=3).fit(good[:8], good[8:])
    >>> detector.score(good).shape
    (12,)
    """

    name = "subspace"
    # The score chooses the number of components.
    scoring_parameters = ()

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        scoring: ResidualScore | None = None,
        seed: int = 0,
    ) -> None:
        if n_components != "auto" and (isinstance(n_components, str) or n_components < 1):
            raise ValueError(f"n_components must be 'auto' or 1 or more, not {n_components!r}")
        super().__init__(scoring or ResidualScore())
        self.n_components, self.seed = n_components, seed
        self.selection: list[dict[str, Any]] = []
        self._mean: tf.Variable = None
        self._components: tf.Variable = None

    def fit(
        self,
        train: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
        """Fit the components; see `Detector.fit`.

        It takes seconds, so ``checkpoint`` and ``show_progress`` are not used.
        """
        train = checked_images(train, name="train")
        validation = checked_images(validation, train.shape[1:], name="validation")
        most = len(train) - 1
        wanted = most if isinstance(self.n_components, str) else self.n_components
        if most < 1 or wanted > most:
            raise ValueError(
                f"{len(train)} training images allow n_components up to {most}; "
                f"asked for {self.n_components}"
            )
        if self.image_shape != train.shape[1:]:
            self.image_shape, self._components, self._batched = train.shape[1:], None, {}
        pca = PCA(wanted, svd_solver="full").fit(train.reshape(len(train), -1))
        if self.n_components == "auto":
            pca = self._select(pca, validation)
        self._set(pca)
        return self

    def _select(self, pca: PCA, validation: Images) -> PCA:
        planted = plant_patches(validation, self.seed)
        labels = np.r_[np.zeros(len(validation)), np.ones(len(planted))]
        self.selection = []
        for count in sorted({min(count, len(pca.components_)) for count in _CANDIDATES}):
            self._set(_truncated(pca, count))
            scores = np.r_[self.score(validation), self.score(planted)]
            self.selection.append(
                {"n_components": count, "auroc": float(roc_auc_score(labels, scores))}
            )
        # max keeps the first of equals, which is the smallest subspace.
        return _truncated(pca, max(self.selection, key=lambda row: row["auroc"])["n_components"])

    def _set(self, pca: PCA) -> None:
        self.pca = pca
        if self._components is None:
            # A variable of any number of rows, so that trying many numbers of components compiles
            # the score only once.
            self._mean = tf.Variable(pca.mean_, dtype=tf.float32)
            self._components = tf.Variable(
                pca.components_, dtype=tf.float32, shape=(None, len(pca.mean_))
            )
        self._mean.assign(pca.mean_)
        self._components.assign(pca.components_)

    def reconstruct_tensor(self, images: tf.Tensor) -> tf.Tensor:
        """The projection onto the subspace, cut to [0, 1]."""
        flat = tf.reshape(images, (-1, self._mean.shape[0])) - self._mean
        code = tf.matmul(flat, self._components, transpose_b=True)
        return tf.clip_by_value(
            tf.reshape(tf.matmul(code, self._components) + self._mean, tf.shape(images)), 0.0, 1.0
        )

    def encode(self, images: Images) -> Floats:
        """The coordinates of each image in the subspace: float32 (n, n_components)."""
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        return self.pca.transform(images.reshape(len(images), -1)).astype(np.float32)

    def _write(self, folder: Path) -> dict[str, Any]:
        skops.io.dump(self.pca, folder / _FILE)
        return {"selection": self.selection}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self.selection = manifest["selection"]
        pca = load_estimator(files / _FILE, PCA)
        if not np.isfinite(pca.mean_).all() or not np.isfinite(pca.components_).all():
            raise ValueError(f"{_FILE} holds NaN or infinite values")
        shape = manifest["image_shape"]
        if len(shape) != 3 or pca.mean_.shape != (math.prod(shape),):
            raise ValueError(f"{_FILE} is of images of another size")
        self._set(pca)


def _truncated(pca: PCA, count: int) -> PCA:
    """The same fitted model with fewer components; the first ones stay what they are."""
    smaller = PCA(count, svd_solver="full")
    vars(smaller).update(
        {name: value for name, value in vars(pca).items() if name != "n_components"}
    )
    smaller.components_, smaller.n_components_ = pca.components_[:count], count
    for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
        setattr(smaller, name, getattr(pca, name)[:count])
    return smaller
