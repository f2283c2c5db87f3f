"""The scores in TensorFlow against scikit-learn's."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.covariance import EllipticEnvelope, LedoitWolf, ShrunkCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from adhelpers.detectors.features.pipelines import has_gradient, pipeline_score


def cloud(count, dimensions=6, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, dimensions)) * np.linspace(0.5, 3, dimensions) + 20


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid"])
@pytest.mark.parametrize(
    "steps",
    [(), (StandardScaler(), PCA(4)), (StandardScaler(), PCA(0.9, whiten=True, svd_solver="full"))],
)
def test_the_decision_function_equals_that_of_scikit_learn(kernel, steps):
    points, others = cloud(60), cloud(40, seed=1) * 1.1
    # Raw points far from the origin make huge polynomials; that is no question of the translation.
    gamma = 0.01 if not steps and kernel in ("poly", "sigmoid") else "scale"
    exact = make_pipeline(
        *steps, OneClassSVM(kernel=kernel, nu=0.2, degree=2, coef0=0.3, gamma=gamma)
    ).fit(points)
    expected = -exact.decision_function(others)
    np.testing.assert_allclose(
        pipeline_score(exact)(tf.constant(others, tf.float32)),
        expected,
        rtol=1e-4,
        atol=1e-4 * np.abs(expected).max(),
    )
    # A linear kernel needs no approximation.
    approximation = (
        ()
        if kernel == "linear"
        else (
            Nystroem(
                kernel=kernel, n_components=10, random_state=0, gamma=0.05, degree=2, coef0=0.3
            ),
        )
    )
    near = make_pipeline(StandardScaler(), *steps, *approximation, SGDOneClassSVM(random_state=0))
    expected = -near.fit(points).decision_function(others)
    np.testing.assert_allclose(
        pipeline_score(near)(tf.constant(others, tf.float32)),
        expected,
        rtol=1e-3,
        atol=1e-3 * np.abs(expected).max(),
    )


@pytest.mark.parametrize("model", [LedoitWolf(), ShrunkCovariance(shrinkage=0.3)])
def test_the_gaussian_score_is_the_mahalanobis_distance(model):
    pipeline, others = make_pipeline(StandardScaler(), model).fit(cloud(60)), cloud(20, seed=1)
    expected = np.sqrt(pipeline[-1].mahalanobis(pipeline[:-1].transform(others)))
    np.testing.assert_allclose(
        pipeline_score(pipeline)(tf.constant(others, tf.float32)), expected, rtol=1e-4
    )


def test_the_other_models_equal_those_of_scikit_learn():
    points, others = cloud(60), cloud(20, seed=1)
    nearest = make_pipeline(
        StandardScaler(), NearestNeighbors(n_neighbors=3, algorithm="brute")
    ).fit(points)
    expected = nearest[-1].kneighbors(nearest[:-1].transform(others))[0].mean(axis=1)
    np.testing.assert_allclose(
        pipeline_score(nearest)(tf.constant(others, tf.float32)), expected, rtol=1e-4
    )
    forest = make_pipeline(StandardScaler(), IsolationForest(random_state=0)).fit(points)
    np.testing.assert_allclose(
        pipeline_score(forest)(tf.constant(others, tf.float32)),
        -forest.score_samples(others),
        atol=0.01,
    )


def test_elliptic_envelope_and_local_outlier_factor_equal_those_of_scikit_learn():
    points, others = cloud(60), cloud(20, seed=1)
    envelope = make_pipeline(StandardScaler(), EllipticEnvelope(random_state=0)).fit(points)
    np.testing.assert_allclose(
        pipeline_score(envelope)(tf.constant(others, tf.float32)),
        -envelope.decision_function(others),
        rtol=1e-3,
        atol=1e-3,
    )
    factor = make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(points)
    np.testing.assert_allclose(
        pipeline_score(factor)(tf.constant(others, tf.float32)),
        -factor.score_samples(others),
        rtol=1e-4,
    )


def test_what_is_called_through_numpy_has_no_gradient():
    assert has_gradient(EllipticEnvelope()) and has_gradient(LedoitWolf())
    assert not has_gradient(LocalOutlierFactor()) and not has_gradient(IsolationForest())


def test_the_logarithm_keeps_the_order_and_the_boundary_and_goes_on_rising():
    points, others = cloud(60), cloud(200, seed=1)
    model = make_pipeline(StandardScaler(), OneClassSVM(nu=0.2)).fit(points)
    plain, logarithm = (
        pipeline_score(model, kind)(tf.constant(others, tf.float32)).numpy()
        for kind in ("decision", "log")
    )
    clear = np.abs(plain) > 1e-5
    np.testing.assert_array_equal(plain[clear] > 0, logarithm[clear] > 0)
    order = np.argsort(plain, kind="stable")
    assert (np.diff(logarithm[order])[np.diff(plain[order]) > 1e-5] > 0).all()
    far = tf.constant(20 + np.array([[40.0] * 6, [80.0] * 6]), tf.float32)
    assert (
        np.diff(pipeline_score(model)(far)) == 0
        and np.diff(pipeline_score(model, "log")(far)) > 100
    )
