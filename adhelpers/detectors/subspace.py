"""The simplest model of good images: a linear subspace. Every deeper detector has to earn its place beside it."""

import numpy as np
import skops.io
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from .base import check_images
from .residuals import ReconstructionDetector

_FILE = "pca.skops"
_CANDIDATES = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400)


def plant_patches(images, seed, draws=2):
    """Good images, each with one rectangle blended in from elsewhere in another good image: anomalies that need no defect.

    Li et al., "CutPaste", CVPR 2021, pastes patches in the same spirit; here the strength is drawn
    as well, so that some are faint.

    Parameters
    ----------
    images : ndarray of float32, shape (n, h, w, c)
    seed : int
    draws : int
        Copies of each image, each with its own rectangle.

    Returns
    -------
    ndarray of float32, shape (draws * n, h, w, c)

    Examples
    --------
    >>> plant_patches(np.zeros((2, 32, 32, 1), np.float32), seed=0).shape
    (4, 32, 32, 1)
    """
    random = np.random.default_rng(seed)
    planted = np.tile(images, (draws, 1, 1, 1))
    height, width = images.shape[1:3]
    for image in planted:
        # From a fortieth to a twelfth of the longer side: the size of the defects people look for.
        rows, columns = random.integers(
            max(2, max(height, width) // 40), max(4, max(height, width) // 12), 2, endpoint=True
        )
        rows, columns = min(rows, height), min(columns, width)
        donor = images[random.integers(len(images))]
        from_row, to_row = random.integers(height - rows, size=2, endpoint=True)
        from_column, to_column = random.integers(width - columns, size=2, endpoint=True)
        strength = random.uniform(0.25, 1)
        place = image[to_row : to_row + rows, to_column : to_column + columns]
        place += strength * (
            donor[from_row : from_row + rows, from_column : from_column + columns] - place
        )
    return planted


class Subspace(ReconstructionDetector):
    """Principal component analysis of the good images; what the components cannot reproduce is anomalous.

    Needs images that lie alike (``pose="axis"``, or an object that is always placed the same way);
    without, it is useless. Turk and Pentland, "Eigenfaces for recognition", Journal of Cognitive
    Neuroscience 1991.

    Parameters
    ----------
    n_components : int or "auto"
        ``"auto"`` takes the number with which the score best tells the validation images from the
        same images with a patch of another good image planted in them (see `plant_patches`). No
        defective image is needed.
    score, residual, smoothing, top_fraction, minimal_area
        As in `ResidualScore`.
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
        n_components="auto",
        score="smooth_max",
        residual="absolute",
        smoothing=2.0,
        top_fraction=0.01,
        minimal_area=25,
        seed=0,
    ):
        if n_components != "auto" and (isinstance(n_components, str) or n_components < 1):
            raise ValueError(f"n_components must be 'auto' or 1 or more, not {n_components!r}.")
        super().__init__(
            n_components=n_components,
            score=score,
            residual=residual,
            smoothing=smoothing,
            top_fraction=top_fraction,
            minimal_area=minimal_area,
            seed=seed,
        )
        self.selection = []
        self._mean = self._components = None

    def fit(self, train, validation, *, checkpoint=None, show_progress=True):
        """Fit the components; see `Detector.fit`. It takes seconds, so ``checkpoint`` and ``show_progress`` are not used."""
        train = check_images(train, name="train")
        validation = check_images(validation, train.shape[1:], name="validation")
        wanted = self.parameters["n_components"]
        most = len(train) - 1
        if most < 1 or (wanted != "auto" and wanted > most):
            raise ValueError(
                f"{len(train)} training images allow n_components up to {most}; asked for {wanted}."
            )
        if self.image_shape != train.shape[1:]:
            self.image_shape, self._components, self._compiled = train.shape[1:], None, {}
        pca = PCA(most if wanted == "auto" else wanted, svd_solver="full").fit(
            train.reshape(len(train), -1)
        )
        if wanted == "auto":
            pca = self._select(pca, validation)
        self._set(pca)
        return self

    def _select(self, pca, validation):
        planted = plant_patches(validation, self.parameters["seed"])
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

    def _set(self, pca):
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

    def reconstruct_tensor(self, images):
        flat = tf.reshape(images, (-1, self._mean.shape[0])) - self._mean
        code = tf.matmul(flat, self._components, transpose_b=True)
        return tf.clip_by_value(
            tf.reshape(tf.matmul(code, self._components) + self._mean, tf.shape(images)), 0.0, 1.0
        )

    def encode(self, images):
        """The coordinates of each image in the subspace: float32 (n, n_components)."""
        self._require_fitted()
        images = check_images(images, self.image_shape)
        return self.pca.transform(images.reshape(len(images), -1)).astype(np.float32)

    def _write(self, folder):
        skops.io.dump(self.pca, folder / _FILE)
        return {"selection": self.selection}

    def _read(self, folder, manifest):
        # skops refuses by itself every type that is not on its own list of safe ones.
        self.selection = manifest["selection"]
        self._set(skops.io.load(folder / _FILE))


def _truncated(pca, count):
    """The same fitted model with fewer components; the first ones do not depend on how many follow."""
    smaller = PCA(count, svd_solver="full")
    vars(smaller).update(
        {name: value for name, value in vars(pca).items() if name != "n_components"}
    )
    smaller.components_, smaller.n_components_ = pca.components_[:count], count
    for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
        setattr(smaller, name, getattr(pca, name)[:count])
    return smaller
