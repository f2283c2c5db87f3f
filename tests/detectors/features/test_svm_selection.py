"""Nu and gamma where rejection and stability are known."""

import numpy as np
import pytest

from adhelpers.detectors import SVMSelection
from adhelpers.detectors.features.svm_selection import choose_nu_and_gamma


def rule(rejected, noise):
    """A fit with a known rejected share of nu and gamma, and noise in the order by gamma."""

    def fit(points):
        def fit_one(nu, gamma):
            def score(others):
                random = np.random.default_rng(int(1e6 * abs(points).sum()) % 2**32)
                values = others[:, 0] + noise(gamma) * random.normal(size=len(others))
                return values - np.quantile(values, 1 - rejected(nu, gamma))

            return score

        return fit_one

    return fit


def test_the_largest_gamma_that_rejects_no_more_than_nu_is_chosen():
    features = np.random.default_rng(0).normal(size=(200, 3))
    nu, gamma, table = choose_nu_and_gamma(
        features,
        rule(lambda nu, gamma: min(1, nu * (1 if gamma <= 1 else 4)), lambda gamma: 0),
        SVMSelection(nu=0.1),
    )
    assert (nu, gamma) == (0.1, 1.0)
    assert [row["consistent"] for row in table] == [True, True, True, False]
    assert all(
        row["rejected"] == pytest.approx(0.1 if row["gamma"] <= 1 else 0.4, abs=0.01)
        for row in table
    )


def test_an_unstable_gamma_is_left_out_and_the_smallest_nu_is_taken():
    features = np.random.default_rng(0).normal(size=(2000, 3))
    nu, gamma, table = choose_nu_and_gamma(
        features,
        rule(lambda nu, gamma: nu, lambda gamma: 0 if gamma <= 0.25 else 5),
        SVMSelection(),
    )
    assert (nu, gamma) == (0.01, 0.25)
    assert all((row["stability"] > 0.99) == (row["gamma"] <= 0.25) for row in table)


def test_where_none_is_consistent_the_least_excess_is_taken():
    features = np.random.default_rng(0).normal(size=(200, 3))
    nu, gamma, table = choose_nu_and_gamma(
        features, rule(lambda nu, gamma: 0.5 + 0.1 * gamma, lambda gamma: 0), SVMSelection()
    )
    assert not any(row["consistent"] for row in table) and (nu, gamma) == (0.2, 0.0625)


def test_two_numbers_are_taken_as_they_are():
    assert choose_nu_and_gamma(np.zeros((2, 3)), None, SVMSelection(0.1, 2.0)) == (0.1, 2.0, [])


@pytest.mark.parametrize(
    "values, message",
    [
        ({"nu": 0}, r"nu must be None or in \(0, 1\]"),
        ({"nu": 1.5}, "nu must be"),
        ({"gamma": 0}, "gamma must be None or above 0"),
        ({"folds": 1}, "folds must be 2"),
    ],
)
def test_bad_values_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        SVMSelection(**values)
