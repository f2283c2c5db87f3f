"""A fitted pipeline of scikit-learn as a differentiable function in TensorFlow."""

import numpy as np
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from .neighbours import NeighbourSearch, neighbour_distances


def pipeline_score(pipeline, output="decision"):
    """A fitted pipeline's anomaly score as a differentiable function of the features.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Of `StandardScaler`, `PCA` and `Nystroem`, as far as there are, and `OneClassSVM`,
        `SGDOneClassSVM`, `LedoitWolf`, `ShrunkCovariance`, `NearestNeighbors` or `IsolationForest`,
        which has no gradient.
    output : {"decision", "log"}
        As in `FeatureSVM`.

    Returns
    -------
    callable
        Tensor of float32, shape (n, d) to (n,); higher is more anomalous.

    Examples
    --------
    >>> from sklearn.pipeline import Pipeline
    >>> points = np.random.default_rng(0).normal(size=(30, 4))
    >>> pipeline = Pipeline([("scaling", StandardScaler()), ("model", OneClassSVM())]).fit(points)
    >>> score = pipeline_score(pipeline)
    >>> bool(np.allclose(score(tf.constant(points, tf.float32)), -pipeline.decision_function(points), atol=1e-4))
    True
    """
    steps = [_tensor_step(step) for step in pipeline[:-1]]
    last = _model_score(pipeline[-1], output)

    def score(features):
        for step in steps:
            features = step(features)
        return last(features)

    return score


def _constant(values):
    return tf.constant(np.asarray(values), tf.float32)


def _tensor_step(step):
    if isinstance(step, StandardScaler):
        mean, scale = _constant(step.mean_), _constant(step.scale_)
        return lambda features: (features - mean) / scale
    if isinstance(step, PCA):
        mean, components = _constant(step.mean_), step.components_.T
        components = _constant(
            components / np.sqrt(step.explained_variance_) if step.whiten else components
        )
        return lambda features: tf.matmul(features - mean, components)
    kernel = _kernel(step.kernel, step.gamma, step.degree, step.coef0, step.components_)
    normalization = _constant(step.normalization_.T)
    return lambda features: tf.matmul(kernel(features), normalization)


def _squared_distances(points):
    centre = points.mean(axis=0)
    # Near the origin the squared lengths keep their digits.
    others, centre = _constant(points - centre), _constant(centre)
    lengths = tf.reduce_sum(others**2, axis=1)

    def distances(features):
        features = features - centre
        values = (
            tf.reduce_sum(features**2, axis=1)[:, None]
            - 2 * tf.matmul(features, others, transpose_b=True)
            + lengths
        )
        return tf.maximum(values, 0.0)

    return distances


def _kernel(kind, gamma, degree, coef0, points):
    if kind == "rbf":
        distances = _squared_distances(points)
        return lambda features: tf.exp(-gamma * distances(features))
    others = _constant(points)
    products = lambda features: tf.matmul(features, others, transpose_b=True)
    if kind == "poly":
        return lambda features: (gamma * products(features) + coef0) ** degree
    return lambda features: tf.tanh(gamma * products(features) + coef0)


def _model_score(model, output):
    if isinstance(model, OneClassSVM):
        weights, intercept = model.dual_coef_[0], float(model.intercept_[0])
        if output == "log":
            distances, logarithms = (
                _squared_distances(model.support_vectors_),
                _constant(np.log(np.maximum(weights, 1e-300))),
            )
            boundary = np.log(-intercept)
            return lambda features: (
                boundary
                - tf.reduce_logsumexp(logarithms - model._gamma * distances(features), axis=1)
            )
        if model.kernel == "linear":
            # One vector in double precision: single terms of the sum are far larger than it.
            direction = _constant((weights @ model.support_vectors_)[:, None])
            return lambda features: -tf.matmul(features, direction)[:, 0] - intercept
        kernel, weights = (
            _kernel(model.kernel, model._gamma, model.degree, model.coef0, model.support_vectors_),
            _constant(weights[:, None]),
        )
        return lambda features: -tf.matmul(kernel(features), weights)[:, 0] - intercept
    if isinstance(model, SGDOneClassSVM):
        weights, offset = _constant(model.coef_[:, None]), float(model.offset_[0])
        return lambda features: offset - tf.matmul(features, weights)[:, 0]
    if isinstance(model, IsolationForest):

        def score(features):
            found = tf.numpy_function(
                lambda values: -model.score_samples(values.astype(np.float64)).astype(np.float32),
                [features],
                tf.float32,
                stateful=False,
            )
            return tf.ensure_shape(found, (None,))

        return score
    if isinstance(model, NearestNeighbors):
        search = NeighbourSearch(model._fit_X)
        return lambda features: tf.reduce_mean(
            neighbour_distances(features, search, model.n_neighbors), axis=1
        )
    mean, factor = _constant(model.location_), _constant(np.linalg.cholesky(model.precision_))
    # The root has no slope at 0.
    return lambda features: tf.sqrt(
        tf.reduce_sum(tf.matmul(features - mean, factor) ** 2, axis=1) + 1e-12
    )
