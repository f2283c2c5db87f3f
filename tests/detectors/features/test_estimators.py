"""Estimators as plain values and back, and nothing that is not on the list."""

import json

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM

from adhelpers.detectors.features.estimators import (
    TRUSTED,
    check_estimator,
    describe,
    fit_in_two,
    rebuild,
    takes,
)


@pytest.mark.parametrize(
    "estimator",
    [
        OneClassSVM(nu=0.2, kernel="poly", degree=2, gamma=0.3),
        IsolationForest(n_estimators=7, random_state=3),
        LocalOutlierFactor(n_neighbors=4, novelty=True),
        NearestNeighbors(n_neighbors=2),
        make_pipeline(StandardScaler(), PCA(0.9, whiten=True), LedoitWolf()),
        make_pipeline(Nystroem(n_components=5), SGDOneClassSVM(nu=0.1, average=True)),
    ],
)
def test_an_estimator_comes_back_from_json(estimator):
    check_estimator(estimator)
    again = rebuild(json.loads(json.dumps(describe(estimator))))
    assert repr(again) == repr(estimator)
    assert describe(again) == describe(estimator)


def test_classes_outside_the_list_are_refused():
    class Other(OneClassSVM):
        pass

    for estimator, message in [
        (SVC(), "SVC is not among sklearn.covariance.EllipticEnvelope"),
        (Other(), "Other is not among"),
        (make_pipeline(KMeans(), OneClassSVM()), "KMeans is not among sklearn.decomposition.PCA"),
        (make_pipeline(OneClassSVM(), PCA()), "OneClassSVM is not among"),
        (LocalOutlierFactor(), "needs novelty=True"),
        (IsolationForest(random_state=np.random.RandomState(0)), "IsolationForest: a parameter"),
        (Nystroem(kernel=np.dot), "Nystroem is not among"),
        (make_pipeline(Nystroem(kernel=np.dot), SGDOneClassSVM()), "Nystroem: a parameter"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_estimator(estimator)
    with pytest.raises(ValueError, match="'os.system' is not among"):
        rebuild({"class": "os.system", "parameters": {"command": "true"}})
    with pytest.raises(ValueError, match="is not among"):
        rebuild({"class": "sklearn.pipeline.Pipeline", "steps": [["x", {"class": "os.system"}]]})


def test_what_takes_nu_and_gamma():
    near = make_pipeline(Nystroem(), SGDOneClassSVM())
    assert takes(near, "nu") and takes(near, "gamma")
    assert takes(OneClassSVM(), "gamma") and not takes(OneClassSVM(kernel="linear"), "gamma")
    assert not takes(LedoitWolf(), "nu")


def test_fitting_in_two_parts_equals_fitting_at_once():
    points = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    estimator = make_pipeline(PCA(3, whiten=True, svd_solver="full"), OneClassSVM(nu=0.3))
    at_once = estimator.fit(points).decision_function(points)
    for nu, gamma in [(None, None), (0.3, 1.0)]:
        fitted = fit_in_two(estimator, points, [], 0)(nu, gamma)
        np.testing.assert_allclose(fitted.decision_function(points), at_once, rtol=1e-9)
    assert fit_in_two(estimator, points, [], 0)(0.1, 2.0)[-1].nu == 0.1


def test_a_pca_has_no_more_components_than_there_can_be():
    points = np.random.default_rng(0).normal(size=(5, 8))
    fitted = fit_in_two(make_pipeline(PCA(20), LedoitWolf()), points, [], 0)(None, None)
    assert fitted[0].n_components_ == 4


def test_numbers_of_numpy_become_plain_ones():
    parameters = describe(NearestNeighbors(n_neighbors=np.int64(2)))["parameters"]
    assert type(parameters["n_neighbors"]) is int


@pytest.mark.parametrize("algorithm", ["auto", "kd_tree", "ball_tree", "brute"])
def test_trees_come_back_from_their_file(algorithm):
    points = np.random.default_rng(0).normal(size=(300, 3))
    model = LocalOutlierFactor(algorithm=algorithm, novelty=True).fit(points)
    loaded = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED)
    np.testing.assert_array_equal(loaded.score_samples(points), model.score_samples(points))
