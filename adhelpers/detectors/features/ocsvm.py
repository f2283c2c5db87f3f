"""One-class SVM on the features of a pretrained network, for whole images or patches, and plainer models of the same features."""

import numpy as np
import skops.io
import tensorflow as tf
from sklearn.covariance import LedoitWolf, ShrunkCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from adhelpers._shared.checks import checked_images

from ..integrated_gradients import integrated_gradients
from ..registry import register
from ..residuals import smooth
from .detector import SCALINGS, FeatureDetector, check_neighbours, feature_scale, image_keys
from .neighbours import NeighbourSearch
from .patches import POOLINGS, FeatureSettings
from .pipelines import pipeline_score
from .svm_selection import choose_nu_and_gamma

LEVELS = ("image", "patch")
MODELS = ("svm", "isolation_forest", "gaussian", "nearest")
KERNELS = ("rbf", "linear", "poly", "sigmoid")
SOLVERS = ("auto", "exact", "nystroem")
OUTPUTS = ("auto", "decision", "log")
# Training of the exact machine takes time with the square of their number.
_EXACT_PATCHES = 10_000
_MODEL, _ARRAYS = "model.skops", "good.npz"
# The trees of an isolation forest; every other type that is stored is on skops' own list of safe
# ones.
_TRUSTED = ["sklearn.tree._tree.Tree"]
_SELECTION_PATCHES = 3000


@register
class FeatureSVM(FeatureDetector):
    """A one-class SVM on a pretrained network's features of whole images or of patches, or a plainer model in its place.

    Schölkopf et al., "Estimating the support of a high-dimensional distribution", Neural
    Computation 2001. The published form on VGG16 takes the 4096 values of ``layers=("fc2",)``,
    where weights with the fully connected layers are at hand; else pooled convolution features.

    Parameters
    ----------
    level : {"image", "patch"}
        ``"image"``: one pooled vector an image; the anomaly map then shares out the difference of
        the score from that of the counterpart (see `anomaly_map`). ``"patch"``: each patch is
        scored, which is the map; the score is the smoothed map's maximum.
    model : {"svm", "isolation_forest", "gaussian", "nearest"}
        One-class SVM; isolation forest (no gradients); Mahalanobis distance with a shrunken
        covariance; mean distance to the nearest good vectors.
    backbone, weights, layers, precision
        As in `Backbone`.
    pooling, power
        As in `pool_maps`, for ``level="image"``.
    stride, local_average
        As in `patch_features`, for ``level="patch"``.
    centre : {"all", "place"}
        For ``level="patch"`` and objects that always lie alike: ``"place"`` takes the mean of the
        good patches of its own place off each patch, so that what is usual at one place is not
        usual at all.
    scaling : {"none", "layer", "channel"}
        As in `feature_scale`; the mean is taken off but for ``"none"``.
    pca : int, float or None
        Principal components, or the share of the variance below 1 that they keep; None leaves the
        PCA out.
    whiten : bool
        Components of unit variance. Defects show where good images hardly vary: few components, or
        ones that are not whitened, leave them out.
    nu : float or "auto"
        Upper bound of the share of good vectors outside; ``"auto"`` as in `choose_nu_and_gamma`.
    gamma : float, "scale" or "auto"
        Of the kernel, as a multiple of 1 / (dimensions x variance), which is ``"scale"`` in
        scikit-learn and here the same as 1.
    kernel : {"rbf", "linear", "poly", "sigmoid"}
    degree, coef0
        Of the kernels ``"poly"`` and ``"sigmoid"``.
    solver : {"auto", "exact", "nystroem"}
        `sklearn.svm.OneClassSVM`, or an approximate kernel (Nyström) and stochastic gradient
        descent; ``"auto"`` is exact but for more than 10,000 patches.
    landmarks : int
        Components of the approximate kernel.
    output : {"auto", "decision", "log"}
        ``"auto"`` is ``"log"`` where that is possible. The score is minus the decision function,
        or, for the exact RBF kernel, the logarithm of the boundary's kernel sum over that of the
        image. The order is the same, and 0 is the boundary, but far outside the first comes near to
        a constant and the second goes on rising.
    neighbours : int
        For ``model="nearest"``.
    trees : int
        For ``model="isolation_forest"``.
    shrinkage : float or "auto"
        For ``model="gaussian"``; ``"auto"`` is that of Ledoit and Wolf (2004).
    patches : int
        At most so many patches are fitted on, drawn from all good images.
    folds : int
        For ``"auto"`` nu and gamma.
    smoothing : float
        Standard deviation of the Gaussian in pixels.
    counterpart : {"features", "pixels"}
        The counterpart is the training image whose features are nearest (pooled ones, or at the
        same places), or whose pixels are. Pooled features do not know how an object lies; where
        that differs from image to image, take ``"pixels"``.
    seed : int

    Attributes
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Scaling, PCA, approximate kernel and model, as far as there are.
    selection : list of dict
        What `choose_nu_and_gamma` tried.
    nu, gamma : float
        As fitted; gamma is here the kernel's own, not a multiple.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, there are too few images or they are smaller
        than the network takes.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    >>> detector = FeatureSVM(nu=0.1, gamma="scale").fit(good[:6], good[6:], show_progress=False)
    >>> detector.score(good).shape
    (8,)
    """

    name = "ocsvm"
    scoring_parameters = ("output", "smoothing", "counterpart")

    def __init__(
        self,
        level="image",
        model="svm",
        backbone="vgg16",
        weights="hed",
        layers=None,
        *,
        pooling="average",
        power=3.0,
        stride=8,
        local_average=3,
        centre="all",
        scaling="layer",
        pca=0.99,
        whiten=True,
        nu="auto",
        gamma="auto",
        kernel="rbf",
        degree=3,
        coef0=0.0,
        solver="auto",
        landmarks=300,
        output="auto",
        neighbours=3,
        trees=200,
        shrinkage="auto",
        patches=5000,
        folds=5,
        smoothing=4.0,
        counterpart="features",
        precision="float32",
        seed=0,
    ):
        for name, value, allowed in [
            ("level", level, LEVELS),
            ("model", model, MODELS),
            ("pooling", pooling, POOLINGS),
            ("scaling", scaling, SCALINGS),
            ("kernel", kernel, KERNELS),
            ("solver", solver, SOLVERS),
            ("output", output, OUTPUTS),
            ("counterpart", counterpart, ("features", "pixels")),
            ("centre", centre, ("all", "place")),
        ]:
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
        if nu != "auto" and not (not isinstance(nu, str) and 0 < nu <= 1):
            raise ValueError(f'nu must be "auto" or in (0, 1], not {nu!r}.')
        if gamma not in ("auto", "scale") and not (not isinstance(gamma, str) and gamma > 0):
            raise ValueError(f'gamma must be "auto", "scale" or above 0, not {gamma!r}.')
        if pca is not None and not pca > 0:
            raise ValueError(
                f"pca must be None, a share below 1 or a number of components, not {pca!r}."
            )
        if shrinkage != "auto" and not (not isinstance(shrinkage, str) and 0 <= shrinkage <= 1):
            raise ValueError(f'shrinkage must be "auto" or in [0, 1], not {shrinkage!r}.')
        for name, value, least in [
            ("landmarks", landmarks, 1),
            ("neighbours", neighbours, 1),
            ("trees", trees, 1),
            ("patches", patches, 1),
            ("folds", folds, 2),
            ("smoothing", smoothing, 0),
            ("degree", degree, 1),
        ]:
            if value < least:
                raise ValueError(f"{name} must be {least} or more, not {value}.")
        super().__init__(
            level=level,
            model=model,
            backbone=backbone,
            weights=str(weights),
            layers=None if layers is None else list(layers),
            pooling=pooling,
            power=power,
            stride=stride,
            local_average=local_average,
            centre=centre,
            scaling=scaling,
            pca=pca,
            whiten=whiten,
            nu=nu,
            gamma=gamma,
            kernel=kernel,
            degree=degree,
            coef0=coef0,
            solver=solver,
            landmarks=landmarks,
            output=output,
            neighbours=neighbours,
            trees=trees,
            shrinkage=shrinkage,
            patches=patches,
            folds=folds,
            smoothing=smoothing,
            counterpart=counterpart,
            precision=precision,
            seed=seed,
        )
        if centre == "place" and level == "image":
            raise ValueError(
                'centre="place" needs level="patch": the features of a whole image have no places.'
            )
        self._exact = solver == "exact" or (
            solver == "auto" and (level == "image" or patches <= _EXACT_PATCHES)
        )
        rising = model == "svm" and kernel == "rbf" and self._exact
        if output == "log" and not rising:
            raise ValueError('output="log" needs model="svm", kernel="rbf" and solver="exact".')
        self._output = ("log" if rising else "decision") if output == "auto" else output
        self._feature_settings = (
            FeatureSettings("pooled", pooling=pooling, power=float(power))
            if level == "image"
            else FeatureSettings("patch", stride=stride, local_average=local_average)
        )
        self.selection, self.nu, self.gamma = [], None, None

    def fit(self, train, validation, *, checkpoint=None, show_progress=True):
        """Fit on good images; see `Detector.fit`. An open `feature_cache` is what an interrupted run goes on from."""
        train = checked_images(train, name="train")
        checked_images(validation, train.shape[1:], name="validation")
        parameters = self.parameters
        if parameters["model"] == "nearest":
            check_neighbours(parameters["neighbours"], len(train))
        self._build(train.shape[1:])
        try:
            features = self._features(train, show_progress)
            arrays = {"keys": self._keys(features, train), "images": train.astype(np.float16)}
            if parameters["centre"] == "place":
                arrays["centre"] = features.mean(axis=0, dtype=np.float32)
                features = features - arrays["centre"]
            points = features.reshape(-1, features.shape[-1])
            random = np.random.default_rng(parameters["seed"])
            if parameters["level"] == "patch":
                points = points[np.sort(random.permutation(len(points))[: parameters["patches"]])]
            nu, gamma = (
                parameters["nu"],
                1.0 if parameters["gamma"] == "scale" else parameters["gamma"],
            )
            self.selection = []
            if parameters["model"] == "svm" and (
                nu == "auto" or (gamma == "auto" and parameters["kernel"] != "linear")
            ):
                sample = features
                if parameters["level"] == "patch":
                    flat = features.reshape(len(features), -1, features.shape[-1])
                    each = max(1, min(flat.shape[1], _SELECTION_PATCHES // len(flat)))
                    sample = np.stack([one[random.permutation(len(one))[:each]] for one in flat])
                nu, gamma, self.selection = choose_nu_and_gamma(
                    sample,
                    self._trial,
                    nu=nu,
                    gamma=1.0 if parameters["kernel"] == "linear" else gamma,
                    folds=parameters["folds"],
                    seed=parameters["seed"],
                    show_progress=show_progress,
                )
            steps, points = self._prepared(points)
            self._set(Pipeline(steps + self._fitted_model(points, nu, gamma)), arrays)
        except BaseException:
            self.image_shape = None
            raise
        return self

    def _prepared(self, points):
        """The fitted steps before the model, and the points after them."""
        parameters, points, steps = self.parameters, points.astype(np.float64), []
        if parameters["scaling"] != "none":
            scaler = StandardScaler().fit(points)
            scaler.scale_ = 1 / feature_scale(
                points, self._layer_sizes(), parameters["scaling"]
            ).astype(np.float64)
            steps.append(("scaling", scaler))
            points = scaler.transform(points)
        if parameters["pca"] is not None:
            most = max(1, min(points.shape) - 1)
            wanted = (
                parameters["pca"] if parameters["pca"] < 1 else min(int(parameters["pca"]), most)
            )
            # Where there are more vectors than dimensions the covariance is the smaller matrix.
            solver = "covariance_eigh" if len(points) >= points.shape[1] else "full"
            steps.append(
                ("pca", PCA(wanted, whiten=parameters["whiten"], svd_solver=solver).fit(points))
            )
            points = steps[-1][1].transform(points)
        return steps, points

    def _trial(self, points):
        steps, points = self._prepared(points)

        def fit_one(nu, gamma):
            pipeline = Pipeline(steps + self._fitted_model(points, nu, gamma))
            return lambda others: -pipeline.decision_function(others.astype(np.float64))

        return fit_one

    def _fitted_model(self, points, nu, gamma):
        parameters, seed = self.parameters, self.parameters["seed"]
        if parameters["model"] == "isolation_forest":
            return [
                (
                    "model",
                    IsolationForest(n_estimators=parameters["trees"], random_state=seed).fit(
                        points
                    ),
                )
            ]
        if parameters["model"] == "gaussian":
            shrinkage = parameters["shrinkage"]
            return [
                (
                    "model",
                    (
                        LedoitWolf()
                        if shrinkage == "auto"
                        else ShrunkCovariance(shrinkage=shrinkage)
                    ).fit(points),
                )
            ]
        if parameters["model"] == "nearest":
            return [
                (
                    "model",
                    NearestNeighbors(n_neighbors=parameters["neighbours"], algorithm="brute").fit(
                        points
                    ),
                )
            ]
        kernel = {
            "kernel": parameters["kernel"],
            "degree": parameters["degree"],
            "coef0": parameters["coef0"],
            "gamma": float(gamma / max(points.shape[1] * points.var(), 1e-12)),
        }
        if self._exact:
            return [("model", OneClassSVM(nu=nu, **kernel).fit(points))]
        if kernel["kernel"] == "linear":
            return [
                (
                    "model",
                    SGDOneClassSVM(nu=nu, random_state=seed, average=True, tol=1e-5).fit(points),
                )
            ]
        approximation = Nystroem(
            n_components=min(parameters["landmarks"], len(points)), random_state=seed, **kernel
        ).fit(points)
        model = SGDOneClassSVM(nu=nu, random_state=seed, average=True, tol=1e-5).fit(
            approximation.transform(points)
        )
        return [("kernel", approximation), ("model", model)]

    def _layer_sizes(self):
        return [one.shape[-1] for one in self.backbone.network.outputs]

    def _set(self, pipeline, arrays):
        self.pipeline, self._arrays, self._model_score = (
            pipeline,
            arrays,
            pipeline_score(pipeline, self._output),
        )
        model = pipeline[-1]
        self.nu = float(model.nu) if hasattr(model, "nu") else None
        kernel = pipeline.named_steps.get("kernel", model)
        self.gamma = (
            float(kernel.gamma)
            if self.nu is not None and getattr(kernel, "gamma", None) is not None
            else None
        )

    def _cells_of_features(self, features):
        if "centre" in self._arrays:
            features -= self._arrays["centre"]
        flat = self._model_score(tf.reshape(features, (-1, features.shape[-1])))
        return tf.reshape(flat, (-1, *self._feature_settings.grid(self.image_shape)))

    def _score_of_features(self, features):
        return (
            self._model_score(features)
            if self.parameters["level"] == "image"
            else super()._score_of_features(features)
        )

    def forward(self, images):
        if self.parameters["model"] == "isolation_forest":
            raise ValueError(
                'model="isolation_forest" has steps for a score, and so no gradient; take an explainer that needs none.'
            )
        return super().forward(images)

    def anomaly_map(self, images):
        """Where the score comes from: float32 (n, h, w).

        With ``level="patch"`` the smoothed score of each patch, whose maximum is the score. With
        ``level="image"`` there is no such thing: the pooled vector has no places. There the map
        shares out the difference between the image's score and its counterpart's over the places of
        the network's outputs by integrated gradients (Sundararajan, Taly and Yan, ICML 2017): its
        mean is that difference, and places that make the image look more normal are below 0. An
        isolation forest has no gradients; there each block of an 8 x 8 grid has the difference that
        its replacement by the counterpart's makes. For fully connected layers the gradients are
        those of the pixels.
        """
        if self.parameters["level"] == "patch":
            return super().anomaly_map(images)
        self._require_fitted()
        images, parts = checked_images(images, self.image_shape), []
        if "attribution" not in self._functions:
            signature = (tf.TensorSpec((None, *self.image_shape), tf.float32),) * 2
            self._functions["attribution"] = tf.function(
                self._attribution, input_signature=signature
            )
        for start in range(0, len(images), 8):
            batch = images[start : start + 8]
            parts.append(
                self._functions["attribution"](
                    tf.constant(batch), tf.constant(self.counterpart(batch))
                ).numpy()
            )
        return np.concatenate(parts)

    def _attribution(self, images, counterparts):
        if self.backbone.top:
            maps, score_of = (
                [images],
                lambda one: self._model_score(
                    self._feature_settings.of_maps(self.backbone.maps(one[0]), self.image_shape)
                ),
            )
            begin = [counterparts]
        else:
            score_of = lambda one: self._model_score(
                self._feature_settings.of_maps(one, self.image_shape)
            )
            maps, begin = self.backbone.maps(images), self.backbone.maps(counterparts)
        if self.parameters["model"] == "isolation_forest":
            by_place = self._by_blocks(score_of, maps, begin)
        else:
            by_place = [
                tf.reduce_sum(one, axis=-1) for one in integrated_gradients(score_of, maps, begin)
            ]
        total = 0.0
        for cells in by_place:
            # A cell's value times their number, so that the mean over pixels is the sum over cells.
            cells *= tf.cast(cells.shape[1] * cells.shape[2], tf.float32)
            total += tf.image.resize(cells[..., None], self.image_shape[:2], "nearest")[..., 0]
        return smooth(total, self.parameters["smoothing"])

    @staticmethod
    def _by_blocks(score_of, maps, begin, side=8):
        before, blocks = score_of(maps), []
        for row in range(side):
            for column in range(side):
                mixed = []
                for one, other in zip(maps, begin, strict=True):
                    inside = np.zeros((side, side, 1), np.float32)
                    inside[row, column] = 1
                    inside = tf.image.resize(inside, one.shape[1:3], "nearest")
                    mixed.append(one + inside * (other - one))
                blocks.append(before - score_of(mixed))
        return [tf.reshape(tf.stack(blocks, axis=1), (-1, side, side))]

    def counterpart(self, images):
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        keys = self._keys(
            None if self.parameters["counterpart"] == "pixels" else self._features(images), images
        )
        search = NeighbourSearch(
            self._arrays["keys"]
            if self.parameters["counterpart"] == "features"
            else _pixel_keys(self._arrays["images"])
        )
        return self._arrays["images"][search.find(keys)[1][:, 0]].astype(np.float32)

    def _keys(self, features, images):
        """By what the nearest training image is found: float32 (n, k)."""
        if features is None:
            return _pixel_keys(images)
        if self.parameters["level"] == "image":
            return features.astype(np.float32)
        return image_keys(
            features, np.ones(features.shape[-1], np.float32), self.parameters["seed"]
        )

    def _write(self, folder):
        skops.io.dump(self.pipeline, folder / _MODEL)
        np.savez(folder / _ARRAYS, **self._arrays)
        return self._write_backbone() | {"selection": self.selection}

    def _read(self, folder, manifest):
        self._read_backbone(folder, manifest)
        self.selection = manifest["selection"]
        with np.load(folder / _ARRAYS, allow_pickle=False) as file:
            self._set(skops.io.load(folder / _MODEL, trusted=_TRUSTED), dict(file))


def _pixel_keys(images):
    return (
        tf.image.resize(np.asarray(images, np.float32), (32, 32), antialias=True)
        .numpy()
        .reshape(len(images), -1)
    )
