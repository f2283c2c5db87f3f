"""The simplest model of good images, a linear subspace: what deeper ones are compared with."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.linalg
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from adhelpers._shared.arrays import Floats, Images, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import checked_images
from adhelpers._shared.large_arrays import concatenated

from .linear_regions import LinearRegionScores, compiled_composed_score
from .manifest import StoredFiles
from .planted import plant_defects
from .registry import register
from .residuals import ReconstructionDetector, ResidualScore
from .weights import load_estimator, save_estimator

_FILE = "pca.skops"
_CANDIDATES = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400)
# Pixels that are in memory with double precision at once.
_PIXELS = 2048
# Images that are decomposed at once, and directions that go along beside those that are wanted.
_ROWS, _MORE = 1024, 112
# Good images, and bytes of them, that the number of components is chosen on.
_CHOSEN_ON, _CHOSEN_BYTES = 500, 2**28


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
        same images with a defect planted in them (see `plant_defects`). No defective image is
        needed.
    scoring : ResidualScore, optional
        None is the smoothed absolute difference.
    seed : int
        For the planted defects.

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
        self._composed_score: Callable[..., tf.Tensor] | None = None

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
        most = min(len(train) - 1, math.prod(train.shape[1:]))
        automatic = isinstance(self.n_components, str)
        wanted = min(most, max(_CANDIDATES)) if automatic else int(self.n_components)
        if most < 1 or wanted > most:
            raise ValueError(
                f"{len(train)} training images allow n_components up to {most}; "
                f"asked for {self.n_components}"
            )
        if self.image_shape != train.shape[1:]:
            self.image_shape, self._components, self._batched = train.shape[1:], None, {}
            self._composed_score = None
        pca = principal_components(train.reshape(len(train), -1), wanted)
        self._set(pca)
        if automatic:
            self._set(_truncated(pca, self._selected(validation)))
        return self

    def unfitted_copy(self, count: int | None = None) -> Self:
        """See `Detector.unfitted_copy`: with the number of components that was chosen."""
        self._require_fitted()
        components = len(self.pca.components_)
        if count is not None:
            components = min(components, count - 1)
        return type(self).from_parameters(self.parameters, n_components=components)

    def _selected(self, validation: Images) -> int:
        """The number of components that tells good images best from planted ones."""
        most = max(2, min(_CHOSEN_ON, _CHOSEN_BYTES // validation[0].nbytes))
        if len(validation) > most:
            validation = validation[np.linspace(0, len(validation) - 1, most).astype(int)]
        planted = plant_defects(validation, self.seed).images
        labels = np.r_[np.zeros(len(validation)), np.ones(len(planted))]
        most = len(self.pca.components_)
        counts = sorted({min(count, most) for count in _CANDIDATES})
        scores = self._scores_by_count(concatenated([validation, planted]), counts)
        self.selection = [
            {"n_components": count, "auroc": float(roc_auc_score(labels, column))}
            for count, column in zip(counts, scores.T, strict=True)
        ]
        # max keeps the first of equals, which is the smallest subspace.
        return int(max(self.selection, key=lambda row: row["auroc"])["n_components"])

    def _scores_by_count(self, images: Images, counts: list[int]) -> Scores:
        """The score with each of some rising numbers of components: float32 (n, len(counts)).

        A larger subspace adds to the projection of the smaller one, so all of them together cost as
        much as the largest.
        """
        edges = tf.constant([0, *counts])

        def scores(batch: tf.Tensor) -> tf.Tensor:
            flat = tf.reshape(batch, (-1, self._mean.shape[0])) - self._mean
            code = tf.matmul(flat, self._components, transpose_b=True)

            def larger(
                step: tf.Tensor, projection: tf.Tensor, done: tf.TensorArray
            ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
                start, stop = edges[step], edges[step + 1]
                projection += tf.matmul(code[:, start:stop], self._components[start:stop])
                counterparts = tf.clip_by_value(
                    tf.reshape(projection + self._mean, tf.shape(batch)), 0.0, 1.0
                )
                counterparts = tf.ensure_shape(counterparts, batch.shape)
                score = self.scoring.score_of(batch, counterparts)
                return step + 1, projection, done.write(step, score)

            _, _, done = tf.while_loop(
                lambda step, *_: step < len(counts),
                larger,
                (0, tf.zeros_like(flat), tf.TensorArray(tf.float32, len(counts))),
            )
            return tf.transpose(done.stack())

        return Batched(scores, self._BATCH)(images)

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

    def region_scores(
        self, image: NDArray[np.float32], counterpart: NDArray[np.float32]
    ) -> LinearRegionScores:
        """Scores of an image whose regions are replaced by its counterpart's, without a pass each.

        Parameters
        ----------
        image, counterpart : ndarray of float32, shape (h, w, c)

        Returns
        -------
        LinearRegionScores
            As `explain_with_lime` and `explain_with_shap` take it.
        """
        self._require_fitted()
        if self._composed_score is None:
            self._composed_score = compiled_composed_score(self.scoring, image.shape)
        mean, components = (
            np.asarray(one, dtype=np.float32) for one in (self.pca.mean_, self.pca.components_)
        )
        return LinearRegionScores(self._composed_score, image, counterpart, mean, components)

    def encode(self, images: Images) -> Floats:
        """The coordinates of each image in the subspace: float32 (n, n_components)."""
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        return self.pca.transform(images.reshape(len(images), -1)).astype(np.float32)

    def _write(self, folder: Path) -> dict[str, Any]:
        save_estimator(self.pca, folder / _FILE)
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


def principal_components(samples: Floats, count: int) -> PCA:
    """Scikit-learn's PCA with the first components only, many times faster.

    With fewer samples than values of each the components follow from the eigenvectors of the
    samples' products with each other, a matrix of n rows and columns. With double precision it
    loses nothing that single precision holds. More than 1024 samples of more than 1024 values are
    taken in blocks (`_merged`): directions whose variance stands out are the same, of others a
    little may be lost.

    Parameters
    ----------
    samples : ndarray of float32, shape (n, d)
    count : int
        In 1 ... min(n, d).

    Returns
    -------
    PCA
        As fitted with ``svd_solver="full"``; of more than 1024 samples ``noise_variance_`` and the
        ratios are right, and single components nearly.

    Examples
    --------
    >>> samples = np.random.default_rng(0).normal(size=(20, 300)).astype("float32")
    >>> fast = principal_components(samples, 4)
    >>> bool(np.allclose(fast.components_, PCA(4).fit(samples).components_, atol=1e-4))
    True
    """
    amount, values = samples.shape
    many = min(amount, values) > _ROWS
    if amount >= values and not many:
        return PCA(count, svd_solver="full").fit(samples)
    # More threads only wait for each other here, at the cost of many times the work.
    with threadpool_limits(1, "blas"):
        if many:
            mean, components, variances = _merged(samples, count)
        else:
            mean = samples.mean(axis=0, dtype=np.float64)
            squares, components = _reduced(
                lambda block: samples[:, block] - mean[block], amount, values, count
            )
            variances = squares / (amount - 1)
        # Unit vectors, also where equal or constant samples leave a direction without variance.
        components = np.ascontiguousarray(scipy.linalg.qr(components.T, mode="economic")[0].T)
    return _fitted(mean, components, variances, amount)


def _reduced(
    rows_of: Callable[[slice], Floats], amount: int, values: int, count: int
) -> tuple[Floats, Floats]:
    """The squared singular values of all rows, falling, and the first directions times them.

    ``rows_of(block)`` gives a block of columns of all rows, with double precision. Directions are
    float32, shape (count, values), each as long as its singular value.
    """
    blocks = [slice(start, start + _PIXELS) for start in range(0, values, _PIXELS)]
    products = np.zeros((amount, amount))
    for block in blocks:
        rows = rows_of(block)
        products += rows @ rows.T
    squares, vectors = scipy.linalg.eigh(products, driver="evd", overwrite_a=True)
    vectors = vectors[:, ::-1][:, :count]
    directions = np.empty((vectors.shape[1], values), np.float32)
    for block in blocks:
        directions[:, block] = vectors.T @ rows_of(block)
    return np.clip(squares[::-1], 0, None), directions


def _merged(samples: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Mean, first directions and variances of many samples, in blocks: linear in their number.

    Each block is decomposed together with what the earlier ones came down to, and with the step
    between the means (Ross, Lim, Lin and Yang, "Incremental learning for robust visual tracking",
    International Journal of Computer Vision 2008). Some more directions than are wanted go along,
    since what is small in one block may be large in all of them.
    """
    values = samples.shape[1]
    mean, done, total, kept = np.zeros(values), 0, 0.0, 0.0
    directions: Floats = np.empty((0, values), np.float32)
    squares: Floats = np.empty(0)
    for start in range(0, len(samples), _ROWS):
        part = samples[start : start + _ROWS]
        own = part.mean(axis=0, dtype=np.float64)
        step = (mean - own) * math.sqrt(done * len(part) / (done + len(part)))
        rows_of = partial(_stacked, directions, part, own, step)
        amount = len(directions) + len(part) + 1
        squares, directions = _reduced(rows_of, amount, values, count + _MORE)
        total += squares.sum() - kept
        kept = squares[: len(directions)].sum()
        mean += (own - mean) * len(part) / (done + len(part))
        done += len(part)
    others = min(samples.shape) - count
    rest = (total - squares[:count].sum()) / max(1, others)
    variances = np.r_[squares[:count], np.full(others, max(0.0, rest))] / (done - 1)
    return mean, directions[:count], variances


def _stacked(directions: Floats, part: Floats, own: Floats, step: Floats, block: slice) -> Floats:
    """A block of columns of what is decomposed together, with double precision."""
    centred = part[:, block] - own[block]
    return np.concatenate([directions[:, block], centred, step[None, block]])


def _fitted(mean: Floats, components: Floats, variances: Floats, amount: int) -> PCA:
    """A PCA with the results of a fit to an ``amount`` of samples; ``variances`` are of all."""
    count = len(components)
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(count), largest])[:, None]
    total = variances.sum()
    pca = PCA(count, svd_solver="full")
    pca.mean_, pca.components_ = mean.astype(np.float32), components
    pca.n_components_, pca.n_samples_, pca.n_features_in_ = count, amount, components.shape[1]
    pca.explained_variance_ = variances[:count].astype(np.float32)
    pca.explained_variance_ratio_ = (variances[:count] / (total or 1)).astype(np.float32)
    pca.singular_values_ = np.sqrt(variances[:count] * (amount - 1)).astype(np.float32)
    pca.noise_variance_ = np.float32(variances[count:].mean() if count < len(variances) else 0)
    return pca


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
