"""A fitted pipeline of scikit-learn as a function in TensorFlow, differentiable where it can be."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator
from sklearn.covariance import EllipticEnvelope, EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from adhelpers._shared.arrays import Floats

from .neighbours import NeighbourSearch, neighbour_distances

TensorFunction = Callable[[tf.Tensor], tf.Tensor]


def pipeline_score(pipeline: Pipeline, output: str = "decision") -> TensorFunction:
    """A fitted pipeline's anomaly score as a function of the features in TensorFlow.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Of `StandardScaler`, `PCA` and `Nystroem`, as far as there are, and a model: for
        `OneClassSVM`, `SGDOneClassSVM` and `EllipticEnvelope` the score is minus the decision
        function, for `LedoitWolf` and `ShrunkCovariance` the Mahalanobis distance, for
        `NearestNeighbors` the mean distance to the neighbours. All others are called as they are,
        for minus their ``score_samples``, and have no gradient.
    output : {"decision", "log"}
        As in `FeatureSVM`.

    Returns
    -------
    callable
        Tensor of float32, shape (n, d) to (n,); higher is more anomalous.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> points = np.random.default_rng(0).normal(size=(30, 4))
    >>> pipeline = make_pipeline(StandardScaler(), OneClassSVM()).fit(points)
    >>> scores = pipeline_score(pipeline)(tf.constant(points, tf.float32))
    >>> bool(np.allclose(scores, -pipeline.decision_function(points), atol=1e-4))
    True
    """
    steps = [_step(step) for step in pipeline[:-1]]
    model = pipeline[-1]
    last = _logarithm(model) if output == "log" else _model(model)

    def score(features: tf.Tensor) -> tf.Tensor:
        for step in steps:
            features = step(features)
        return last(features)

    return score


def has_gradient(model: BaseEstimator) -> bool:
    """Whether the score of a pipeline that ends in this model has a gradient."""
    return _model.dispatch(type(model)) is not _model.dispatch(object)


def has_logarithm(model: BaseEstimator) -> bool:
    """Whether ``output="log"`` is possible with a pipeline that ends in this model."""
    return isinstance(model, OneClassSVM) and model.kernel == "rbf"


def _constant(values: Any) -> tf.Tensor:
    return tf.constant(np.asarray(values), tf.float32)


@singledispatch
def _step(step: BaseEstimator) -> TensorFunction:
    raise TypeError(f"{type(step).__name__} is not known in TensorFlow")


@_step.register
def _(step: StandardScaler) -> TensorFunction:
    mean, scale = _constant(step.mean_), _constant(step.scale_)
    return lambda features: (features - mean) / scale


@_step.register
def _(step: PCA) -> TensorFunction:
    mean, components = _constant(step.mean_), step.components_.T
    if step.whiten:
        components = components / np.sqrt(step.explained_variance_)
    matrix = _constant(components)
    return lambda features: tf.matmul(features - mean, matrix)


@_step.register
def _(step: Nystroem) -> TensorFunction:
    kernel = _kernel(step, step.gamma, step.components_)
    normalization = _constant(step.normalization_.T)
    return lambda features: tf.matmul(kernel(features), normalization)


def _squared_distances(points: Floats) -> TensorFunction:
    middle = points.mean(axis=0)
    # Near the origin the squared lengths keep their digits.
    others, centre = _constant(points - middle), _constant(middle)
    lengths = tf.reduce_sum(others**2, axis=1)

    def distances(features: tf.Tensor) -> tf.Tensor:
        features = features - centre
        values = (
            tf.reduce_sum(features**2, axis=1)[:, None]
            - 2 * tf.matmul(features, others, transpose_b=True)
            + lengths
        )
        return tf.maximum(values, 0.0)

    return distances


def _kernel(step: BaseEstimator, gamma: float, points: Floats) -> TensorFunction:
    """The kernel of `OneClassSVM` or `Nystroem` with these points."""
    degree, coef0 = step.degree, step.coef0
    if step.kernel == "rbf":
        distances = _squared_distances(points)
        return lambda features: tf.exp(-gamma * distances(features))
    others = _constant(points)

    def products(features: tf.Tensor) -> tf.Tensor:
        return gamma * tf.matmul(features, others, transpose_b=True) + coef0

    if step.kernel == "poly":
        return lambda features: products(features) ** degree
    return lambda features: tf.tanh(products(features))


@singledispatch
def _model(model: BaseEstimator) -> TensorFunction:
    def score(features: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(
            lambda values: -model.score_samples(values.astype(np.float64)).astype(np.float32),
            [features],
            tf.float32,
            stateful=False,
        )
        return tf.ensure_shape(found, (None,))

    return score


@_model.register
def _(model: OneClassSVM) -> TensorFunction:
    weights, intercept = model.dual_coef_[0], float(model.intercept_[0])
    if model.kernel == "linear":
        # One vector in double precision: single terms of the sum are far larger than it.
        direction = _constant((weights @ model.support_vectors_)[:, None])
        return lambda features: -tf.matmul(features, direction)[:, 0] - intercept
    kernel = _kernel(model, model._gamma, model.support_vectors_)
    column = _constant(weights[:, None])
    return lambda features: -tf.matmul(kernel(features), column)[:, 0] - intercept


def _logarithm(model: OneClassSVM) -> TensorFunction:
    """The logarithm of the boundary's kernel sum over that of the sample."""
    distances = _squared_distances(model.support_vectors_)
    logarithms = _constant(np.log(np.maximum(model.dual_coef_[0], 1e-300)))
    boundary, gamma = np.log(-float(model.intercept_[0])), model._gamma
    return lambda features: (
        boundary - tf.reduce_logsumexp(logarithms - gamma * distances(features), axis=1)
    )


@_model.register
def _(model: SGDOneClassSVM) -> TensorFunction:
    weights, offset = _constant(model.coef_[:, None]), float(model.offset_[0])
    return lambda features: offset - tf.matmul(features, weights)[:, 0]


@_model.register
def _(model: NearestNeighbors) -> TensorFunction:
    search = NeighbourSearch(model._fit_X)
    return lambda features: tf.reduce_mean(
        neighbour_distances(features, search, model.n_neighbors), axis=1
    )


def _squared_mahalanobis(model: EmpiricalCovariance) -> TensorFunction:
    mean, factor = _constant(model.location_), _constant(np.linalg.cholesky(model.precision_))
    return lambda features: tf.reduce_sum(tf.matmul(features - mean, factor) ** 2, axis=1)


@_model.register
def _(model: EmpiricalCovariance) -> TensorFunction:
    squared = _squared_mahalanobis(model)
    # The root has no slope at 0.
    return lambda features: tf.sqrt(squared(features) + 1e-12)


@_model.register
def _(model: EllipticEnvelope) -> TensorFunction:
    squared, offset = _squared_mahalanobis(model), float(model.offset_)
    return lambda features: squared(features) + offset
