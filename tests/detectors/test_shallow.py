"""Shallow methods: against scikit-learn and a slow sum, chosen without test labels, refusals."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score
from sklearn.svm import OneClassSVM

from adhelpers.detectors import SHALLOW_METHODS, fit_shallow
from adhelpers.detectors.shallow import _KernelDensity


@pytest.fixture(scope="module")
def sets():
    random = np.random.default_rng(0)
    normal, other = random.normal(size=(120, 4, 4, 1)), random.normal(2.5, 1, size=(60, 4, 4, 1))
    return (
        np.concatenate([normal[:80], other[:8]]),
        np.repeat([0, 1, -1], [70, 10, 8]),
        np.concatenate([normal[80:], other[8:]]),
        np.repeat([0, 1], [40, 52]),
    )


@pytest.mark.parametrize("method", SHALLOW_METHODS)
def test_every_method_ranks_a_shifted_cloud_above_the_normal_one(method, sets):
    train, labels, test, truth = sets
    model = fit_shallow(method, train, labels)
    assert (
        model.score(test).shape == (92,)
        and roc_auc_score(truth, model.score(test)) > 0.95
        and model.rule
    )
    np.testing.assert_array_equal(model.score(test), fit_shallow(method, train, labels).score(test))
    # Centred and scaled by one number: any offset and scale of the samples changes nothing that
    # matters.
    np.testing.assert_allclose(
        fit_shallow(method, 100 * train + 7, labels).score(100 * test + 7),
        model.score(test),
        rtol=1e-4,
        atol=1e-6,
    )


def test_known_anomalies_are_not_trained_on_but_choose_the_kernel(sets):
    train, labels, test, _ = sets
    with_labels, without = (
        fit_shallow("one_class_svm", train, labels),
        fit_shallow("one_class_svm", train[labels >= 0]),
    )
    assert "known anomalies" in with_labels.rule and without.rule == "scikit-learn's default"
    flat = train[labels >= 0].reshape(80, -1)
    flat, tested = [
        (part - flat.mean(axis=0)) / np.sqrt(((flat - flat.mean(axis=0)) ** 2).mean())
        for part in (flat, test.reshape(92, -1))
    ]
    direct = OneClassSVM(nu=0.1, gamma=with_labels.chosen["gamma"]).fit(flat)
    np.testing.assert_allclose(with_labels.score(test), -direct.score_samples(tested), rtol=1e-6)
    # "scale" is 1 / (dimensions x variance), and the variance is 1 here.
    assert without.chosen["gamma"] == pytest.approx(1 / 16)
    for method in ("isolation_forest", "kde"):
        np.testing.assert_array_equal(
            fit_shallow(method, train, labels).score(test),
            fit_shallow(method, train[labels >= 0]).score(test),
        )


def test_the_density_is_the_mean_of_gaussians():
    random = np.random.default_rng(1)
    points, queries = random.normal(size=(7, 3)), random.normal(size=(4, 3))
    slow = np.log(
        np.mean(
            [multivariate_normal(point, 0.6**2 * np.eye(3)).pdf(queries) for point in points],
            axis=0,
        )
    )
    np.testing.assert_allclose(
        _KernelDensity(0.6).fit(points).score_samples(queries), slow, rtol=1e-9
    )


def test_the_density_keeps_its_order_in_hundreds_of_dimensions():
    random = np.random.default_rng(2)
    points = random.normal(size=(50, 600))
    queries = points[:20] + np.linspace(0.5, 3, 20)[:, None] * random.normal(size=(20, 600))
    exact = np.logaddexp.reduce([-((queries - point) ** 2).sum(axis=1) / 2 for point in points])
    found = _KernelDensity(1.0).fit(points).score_samples(queries)
    np.testing.assert_allclose(found - found[0], exact - exact[0], rtol=1e-6, atol=1e-6)


def test_with_few_known_anomalies_the_classifier_takes_defaults(sets):
    train, labels, test, truth = sets
    few = np.where(np.cumsum(labels < 0) > 2, 0, labels)[:82], train[:82]
    model = fit_shallow("supervised_svm", few[1], few[0])
    assert (
        "too few" in model.rule
        and model.chosen["C"] == 1
        and roc_auc_score(truth, model.score(test)) > 0.9
    )


@pytest.mark.parametrize(
    "method, labels, message",
    [
        ("svdd", None, "method must be one of one_class_svm"),
        ("supervised_svm", None, "at least one known anomaly"),
        ("kde", [-1] * 85 + [0] * 3, "at least 6 normal or unlabelled samples; there are 3"),
    ],
)
def test_what_cannot_be_fitted_is_refused(method, labels, message, sets):
    with pytest.raises(ValueError, match=message):
        fit_shallow(method, sets[0], labels)
