"""A one-class SVM, or another outlier estimator, on a pretrained network's features."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from adhelpers._shared.arrays import Floats, Images, Maps
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice, checked_images

from ..integrated_gradients import integrated_gradients
from ..manifest import StoredFiles
from ..registry import register
from ..residuals import smooth
from ..weights import load_arrays, load_estimator, save_estimator
from .backbones import BackboneSettings
from .detector import FeatureDetector, check_neighbours, half_precision, kept_images
from .estimators import TRUSTED, check_estimator, describe, fit_in_two, rebuild, steps_of, takes
from .patches import FeatureSettings
from .pipelines import has_gradient, has_logarithm, pipeline_score
from .svm_selection import Score, SVMSelection, choose_nu_and_gamma

_OUTPUTS = ("auto", "decision", "log")
_CENTRES = ("all", "place")
_MODEL, _ARRAYS = "model.skops", "good.npz"
# Images and patches that nu and gamma are chosen on.
_SELECTION = 3000
_KEY_SIDE = 32
# Images that are made small together.
_AT_ONCE = 64

Tensors = list[tf.Tensor]


@dataclass(frozen=True)
class _Drawn:
    """Features that a model is fitted on.

    Attributes
    ----------
    points : ndarray, shape (m, d)
        What the estimator is fitted on.
    sample : ndarray, shape (n, k, d)
        What nu and gamma are chosen on: a few vectors of each image.
    centre : ndarray of float32, shape (rows, columns, d), or None
        The mean that was subtracted at each place.
    """

    points: Floats
    sample: Floats
    centre: Floats | None = None


@register
class FeatureSVM(FeatureDetector):
    """A one-class SVM, or another outlier estimator, on features of whole images or of patches.

    Schölkopf et al., "Estimating the support of a high-dimensional distribution", Neural
    Computation 2001. The published form on VGG16 takes the 4096 values of ``layers=("fc2",)``,
    where weights with the fully connected layers are at hand; else pooled convolution features.
    The counterpart is the training image whose pixels are nearest, because features of whole images
    do not hold the object's pose.

    Parameters
    ----------
    estimator : estimator or Pipeline of scikit-learn, optional
        Fitted on the scaled features of good images; it is cloned. A pipeline may start with
        `StandardScaler`, `PCA` and `Nystroem`. The model is `OneClassSVM`, `SGDOneClassSVM` (after
        `Nystroem` the approximate form for many patches), `EllipticEnvelope`, `LedoitWolf` or
        `ShrunkCovariance` (the score is the Mahalanobis distance), `NearestNeighbors` (the mean
        distance to the nearest), or, without gradients, `IsolationForest` or `LocalOutlierFactor`.
        None is ``make_pipeline(PCA(0.99, whiten=True), OneClassSVM())`` with nu and gamma chosen on
        good images. Defects show where good images hardly vary: few components, or ones that are
        not whitened, leave them out.
    features : FeatureSettings, optional
        None is ``FeatureSettings("image")``: one pooled vector an image, and the anomaly map shares
        out the difference of the score from that of the counterpart (see `anomaly_map`). With
        ``FeatureSettings("patch")`` each patch is scored, and the score is the maximum of the
        smoothed map.
    backbone : BackboneSettings, optional
    selection : SVMSelection, optional
        Nu and gamma in place of the estimator's own; what it leaves open is chosen on good images
        (see `choose_nu_and_gamma`). None takes the estimator as it is.
    centre : {"all", "place"}
        For patches of objects that are always placed the same way: ``"place"`` subtracts from each
        patch the mean of the good patches at its position, so that what is normal at one position
        need not be normal at another.
    output : {"auto", "decision", "log"}
        ``"auto"`` is ``"log"`` where that is possible. The score is minus the decision function,
        or, for a one-class SVM with an RBF kernel, the logarithm of the boundary's kernel sum over
        that of the image. The order is the same, and 0 is the boundary, but far outside the first
        comes near to a constant and the second goes on rising.
    patches : int
        Maximum number of vectors (of patches, or of whole images) that the estimator is fitted on,
        drawn from all good images.
    smoothing : float
        Standard deviation of the Gaussian over the map, in pixels.
    seed : int
        Also for an estimator whose ``random_state`` is None.

    Attributes
    ----------
    pipeline : sklearn.pipeline.Pipeline
        The scaling of the features, where there is one, and the fitted estimator.
    trials : list of dict
        What `choose_nu_and_gamma` tried.
    nu, gamma : float or None
        As fitted; gamma is here the kernel's own, not a multiple.
    fitted_output : {"decision", "log"}

    Raises
    ------
    ValueError
        If a parameter is out of range, the estimator is none of these or, in `fit`, there are too
        few images or they are smaller than the network takes.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    >>> detector = FeatureSVM(OneClassSVM(nu=0.1)).fit(good[:6], good[6:], show_progress=False)
    >>> detector.score(good).shape
    (8,)
    """

    name = "ocsvm"
    title = "SVM of features"
    scoring_parameters: ClassVar[tuple[str, ...]] = ("output", "smoothing")

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        features: FeatureSettings | None = None,
        backbone: BackboneSettings | None = None,
        *,
        selection: SVMSelection | None = None,
        centre: str = "all",
        output: str = "auto",
        patches: int = 5000,
        smoothing: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            features or FeatureSettings("image"), backbone or BackboneSettings(), smoothing, seed
        )
        if estimator is None:
            estimator = make_pipeline(PCA(0.99, whiten=True), OneClassSVM())
            selection = selection or SVMSelection()
        check_estimator(estimator)
        check_choice("centre", centre, _CENTRES)
        check_choice("output", output, _OUTPUTS)
        model = steps_of(estimator)[-1][1]
        if selection is not None and not takes(model, "nu"):
            raise ValueError(f"selection: {type(model).__name__} has no nu, so leave it out")
        if output == "log" and not has_logarithm(model):
            raise ValueError('output="log" needs OneClassSVM with kernel="rbf"')
        if centre == "place" and self.features.level == "image":
            raise ValueError(
                'centre="place" needs FeatureSettings("patch"): the features of a whole image have '
                "no positions"
            )
        if patches < 1:
            raise ValueError(f"patches must be 1 or more, not {patches}")
        self.estimator, self.selection, self.centre = estimator, selection, centre
        self.output, self.patches = output, patches
        self.trials: list[dict[str, Any]] = []
        self.nu: float | None = None
        self.gamma: float | None = None

    def _plain(self, name: str, value: Any) -> Any:
        return describe(value) if name == "estimator" else super()._plain(name, value)

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any], **changed: Any) -> Self:
        """See `Model.from_parameters`; the estimator is of a class on the list of `rebuild`."""
        estimator = rebuild(parameters["estimator"])
        return super().from_parameters(parameters, **{"estimator": estimator} | changed)

    def _learn(self, train: Images, show_progress: bool) -> None:
        model = steps_of(self.estimator)[-1][1]
        if takes(model, "n_neighbors"):
            check_neighbours(model.n_neighbors, len(train))
        random, kept = np.random.default_rng(self.seed), kept_images(train, self.seed)
        drawn = self._drawn(train, random, show_progress)
        arrays: dict[str, Any] = {"images": half_precision(train, kept)}
        if drawn.centre is not None:
            arrays["centre"] = drawn.centre
        nu, gamma, self.trials = self._selected(drawn.sample, show_progress)
        self._set(self._prepared(drawn.points)(nu, gamma), arrays)

    def _drawn(self, train: Images, random: np.random.Generator, show_progress: bool) -> _Drawn:
        """Draw the vectors that are fitted on before they are computed, block by block."""
        shape = self.features.shape(self.network.channels(), self.network.image_shape)
        each = math.prod(shape[:-1])
        chosen = np.arange(len(train) * each)
        if self.features.level == "patch" or len(chosen) > self.patches:
            chosen = np.sort(random.permutation(len(chosen))[: self.patches])
        images, places = np.arange(len(train)), [np.arange(1)] * len(train)
        if len(images) > _SELECTION:
            images = np.sort(random.permutation(len(images))[:_SELECTION])
        if self.features.level == "patch" and self.selection is not None:
            most = max(1, min(each, _SELECTION // len(images)))
            places = [random.permutation(each)[:most] for _ in train]
        points, sample = list[Floats](), list[Floats]()
        total: Any = np.float32(0)
        for block, features in self._blocks(train, show_progress):
            flat = features.reshape(len(features), each, shape[-1])
            here = chosen[(chosen >= block.start * each) & (chosen < block.stop * each)]
            points.append(flat.reshape(-1, shape[-1])[here - block.start * each])
            for index in images[(images >= block.start) & (images < block.stop)]:
                sample.append(flat[index - block.start, places[index]])
            if self.centre == "place":
                total = total + features.sum(axis=0, dtype=np.float32)
        drawn = _Drawn(np.concatenate(points), np.stack(sample))
        if self.centre == "all":
            return drawn
        centre: Floats = total / np.float32(len(train))
        by_place = centre.reshape(each, shape[-1])
        return _Drawn(
            drawn.points - by_place[chosen % each],
            drawn.sample - np.stack([by_place[places[index]] for index in images]),
            centre,
        )

    def _selected(
        self, sample: Floats, show_progress: bool
    ) -> tuple[float | None, float | None, list[dict[str, Any]]]:
        """Nu and gamma for the estimator, None where its own are taken, and what was tried."""
        if self.selection is None:
            return None, None, []
        selection = self.selection
        if not takes(self.estimator, "gamma"):
            selection = SVMSelection(selection.nu, 1.0, selection.folds)
        return choose_nu_and_gamma(
            sample if self.features.level == "patch" else sample[:, 0],
            self._trial,
            selection,
            seed=self.seed,
            show_progress=show_progress,
        )

    def _prepared(self, points: Floats) -> Callable[[float | None, float | None], Pipeline]:
        """What fits the pipeline with nu and gamma, where all before them is fitted already."""
        points, before = points.astype(np.float64), []
        if self.features.scaling != "none":
            scaler = StandardScaler().fit(points)
            factors = self.features.scale(points, self.network.channels())
            scaler.scale_ = 1 / factors.astype(np.float64)
            before, points = [("scaling", scaler)], scaler.transform(points)
        return fit_in_two(self.estimator, points, before, self.seed)

    def _trial(self, points: Floats) -> Callable[[float, float], Score]:
        """For `choose_nu_and_gamma`."""
        prepared = self._prepared(points)

        def fit_one(nu: float, gamma: float) -> Score:
            pipeline = prepared(nu, gamma)
            return lambda others: -pipeline.decision_function(others.astype(np.float64))

        return fit_one

    def _set(self, pipeline: Pipeline, arrays: dict[str, Any]) -> None:
        self.pipeline, self._arrays = pipeline, arrays
        self._set_good(arrays["images"], self._keys(arrays["images"]))
        model = pipeline[-1]
        self.fitted_output = self.output
        if self.output == "auto":
            self.fitted_output = "log" if has_logarithm(model) else "decision"
        self._model_score = pipeline_score(pipeline, self.fitted_output)
        self.nu = self.gamma = None
        if takes(model, "nu"):
            self.nu = float(model.nu)
            kernels = [one for _, one in pipeline.steps if takes(one, "gamma")]
            gammas = [getattr(one, "_gamma", one.gamma) for one in kernels]
            self.gamma = float(gammas[0]) if gammas and gammas[0] is not None else None

    def _cells_of_features(self, features: tf.Tensor) -> tf.Tensor:
        if "centre" in self._arrays:
            features -= self._arrays["centre"]
        flat = self._model_score(tf.reshape(features, (-1, features.shape[-1])))
        return tf.reshape(flat, (-1, *self.features.grid(self.network.image_shape)))

    def _score_of_features(self, features: tf.Tensor) -> tf.Tensor:
        if self.features.level == "image":
            return self._model_score(features)
        return super()._score_of_features(features)

    def forward(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `FeatureDetector.forward`; a ValueError for an estimator without gradients."""
        self._require_fitted()
        if not has_gradient(self.pipeline[-1]):
            raise ValueError(
                f"estimator: {type(self.pipeline[-1]).__name__} has no gradient; take an explainer "
                "that needs none"
            )
        return super().forward(images)

    def anomaly_map(self, images: Images) -> Maps:
        """Where the score comes from: float32 (n, h, w).

        For patches it is the smoothed score of each, whose maximum is the score. The pooled vector
        of a whole image has no positions. There the map shares out the difference between the
        image's score and its counterpart's over the positions of the network's outputs by
        integrated gradients (Sundararajan, Taly and Yan, ICML 2017): its mean is that difference,
        and positions that make the image look more normal are below 0. For estimators without
        gradients each block of an 8 x 8 grid has the difference that its replacement by the
        counterpart's makes. For fully connected layers the gradients are those of the pixels.
        """
        if self.features.level == "patch":
            return super().anomaly_map(images)
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        attribution = self._batched.setdefault("attribution", Batched(self._attribution, 8))
        return attribution(images, self.counterpart(images))

    def _attribution(self, images: tf.Tensor, counterparts: tf.Tensor) -> tf.Tensor:
        def score_of(ends: Tensors) -> tf.Tensor:
            maps = self.network.maps(ends[0]) if self.network.top else ends
            return self._model_score(self.features.of_maps(maps, self.network.image_shape))

        ends, starts = [images], [counterparts]
        if not self.network.top:
            ends, starts = self.network.maps(images), self.network.maps(counterparts)
        if has_gradient(self.pipeline[-1]):
            by_place = [
                tf.reduce_sum(one, axis=-1) for one in integrated_gradients(score_of, ends, starts)
            ]
        else:
            by_place = self._by_blocks(score_of, ends, starts)
        total = 0.0
        for cells in by_place:
            # A cell's value times their number, so that the mean over pixels is the sum over cells.
            cells *= tf.cast(cells.shape[1] * cells.shape[2], tf.float32)
            total += tf.image.resize(cells[..., None], self.network.image_shape[:2], "nearest")[
                ..., 0
            ]
        return smooth(total, self.smoothing)

    @staticmethod
    def _by_blocks(
        score_of: Callable[[Tensors], tf.Tensor], ends: Tensors, starts: Tensors, side: int = 8
    ) -> Tensors:
        before, blocks = score_of(ends), []
        for row in range(side):
            for column in range(side):
                mixed = []
                for end, start in zip(ends, starts, strict=True):
                    inside = np.zeros((side, side, 1), np.float32)
                    inside[row, column] = 1
                    inside = tf.image.resize(inside, end.shape[1:3], "nearest")
                    mixed.append(end + inside * (start - end))
                blocks.append(before - score_of(mixed))
        return [tf.reshape(tf.stack(blocks, axis=1), (-1, side, side))]

    def _keys(self, images: Floats) -> Floats:
        parts = [
            tf.image.resize(
                np.asarray(images[start : start + _AT_ONCE], np.float32),
                (_KEY_SIDE, _KEY_SIDE),
                antialias=True,
            ).numpy()
            for start in range(0, len(images), _AT_ONCE)
        ]
        return np.concatenate(parts).reshape(len(images), -1)

    def _write(self, folder: Path) -> dict[str, Any]:
        save_estimator(self.pipeline, folder / _MODEL)
        np.savez(folder / _ARRAYS, **self._arrays)
        return self._write_backbone() | {"trials": self.trials}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._read_backbone(files.folder, manifest)
        self.trials = manifest["trials"]
        pipeline = load_estimator(files / _MODEL, Pipeline, TRUSTED)
        self._set(pipeline, load_arrays(files / _ARRAYS))
        if not np.isfinite(self._model_score(tf.zeros((1, sum(self.network.channels()))))).all():
            raise ValueError(f"{_MODEL} holds NaN or infinite values")
