"""Friedman, Nemenyi and Wilcoxon against a textbook, SciPy, and another package's figures."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adhelpers.metrics import compare_ranks
from adhelpers.metrics.ranks import _signed_rank_test

# Demsar (JMLR 2006), table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets. Where the
# table prints two equal figures with different ranks (voting), the second one is a little lower.
TEXTBOOK = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.9749],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_the_textbooks_ranks_and_critical_differences():
    found = compare_ranks(TEXTBOOK)
    np.testing.assert_allclose(found.ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    # The book has the rounded 1.25 at 0.05 and 1.12 at 0.10 (its q are 2.569 and 2.291).
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    assert compare_ranks(TEXTBOOK, significance=0.1).critical_difference == pytest.approx(
        2.291 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3
    )
    # Nemenyi finds no pair at 0.05; at 0.10 the plain tree differs from both with m.
    assert found.groups() == [(3, 1, 2, 0)]
    assert compare_ranks(TEXTBOOK, significance=0.1).groups() == [(3, 1, 2), (2, 0)]


def test_the_textbooks_friedman_statistic_without_its_ties():
    # By the textbook's formula, which does not correct for ties, 9.28.
    found = compare_ranks(TEXTBOOK)
    plain = 12 * 14 / (4 * 5) * ((found.ranks**2).sum() - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=0.01)
    expected = stats.friedmanchisquare(*TEXTBOOK.T)
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected))
    without_ties = np.delete(TEXTBOOK, [5, 7, 9, 10], axis=0)
    found = compare_ranks(without_ties)
    plain = 12 * 10 / (4 * 5) * ((found.ranks**2).sum() - 4 * 5**2 / 4)
    assert found.statistic == pytest.approx(plain)


def test_pairs_have_the_p_values_of_scikit_posthocs():
    # posthoc_nemenyi_friedman of scikit-posthocs 0.17.1 on the textbook's table.
    pairs = compare_ranks(TEXTBOOK).pairs
    expected = [0.088673, 0.956177, 0.074185, 0.259228, 0.999859, 0.226697]
    np.testing.assert_allclose(pairs[np.triu_indices(4, 1)], expected, atol=1e-5)
    assert (pairs == pairs.T).all() and (np.diag(pairs) == 1).all()
    # posthoc_wilcoxon, p_adjust="holm", on ten rows that were moved a little until no two
    # differences are equal: with ties it takes a normal approximation.
    moved = np.delete(TEXTBOOK, [5, 7, 9, 10], axis=0)
    moved = (moved + np.random.default_rng(3).normal(size=moved.shape) * 1e-4).round(6)
    pairs = compare_ranks(moved, "wilcoxon").pairs
    expected = [0.08203125, 1.0, 0.185546875, 0.2578125, 1.0, 0.2578125]
    np.testing.assert_allclose(pairs[np.triu_indices(4, 1)], expected, atol=1e-12)
    assert (pairs == pairs.T).all() and (np.diag(pairs) == 1).all()


@given(st.lists(st.integers(-4, 4), min_size=3, max_size=7))
def test_signed_ranks_are_those_of_all_signs_also_with_ties_and_zeros(differences):
    differences = np.array(differences)
    ranks = stats.rankdata(np.abs(differences))
    sums = [
        sum(rank for rank, sign in zip(ranks[differences != 0], signs, strict=True) if sign)
        for signs in product([0, 1], repeat=np.count_nonzero(differences))
    ]
    own = ranks[differences > 0].sum()
    expected = min(1, 2 * min(np.mean(np.array(sums) <= own), np.mean(np.array(sums) >= own)))
    assert _signed_rank_test(differences / 8) == pytest.approx(expected)


def test_signed_ranks_are_those_of_scipy_where_nothing_is_equal():
    random = np.random.default_rng(0)
    for count in (6, 15, 40):
        differences = random.normal(0.3, 1, count)
        expected = stats.wilcoxon(differences, method="exact").pvalue
        assert _signed_rank_test(differences) == pytest.approx(expected)


def test_known_ranks_are_found_whatever_the_scale_of_a_category():
    order = np.array([0.5, 0.9, 0.1, 0.7])
    scores = np.array([order * scale + shift for scale, shift in [(1, 0), (1e-3, 5)] * 6])
    found = compare_ranks(scores)
    assert found.ranks.tolist() == [3, 1, 4, 2]
    assert found.p_value < 1e-6
    assert (found.pairs[1, 2] < 0.001) and found.pairs[1, 3] > 0.05
    assert found.groups() == [(1, 3), (3, 0), (0, 2)]
    pairs = compare_ranks(scores, "wilcoxon").pairs
    # Twelve of twelve agree: 2 / 2**12 for each of six pairs.
    np.testing.assert_allclose(pairs[np.triu_indices(4, 1)], 6 * 2 / 2**12)
    assert np.isnan(compare_ranks(scores, "wilcoxon").critical_difference)
    assert compare_ranks(scores, "wilcoxon").groups() == []


def test_detectors_that_are_alike_share_their_ranks():
    found = compare_ranks(np.full((4, 3), 0.9))
    assert found.ranks.tolist() == [2, 2, 2] and (found.statistic, found.p_value) == (0, 1)
    assert found.groups() == [(0, 1, 2)]
    assert (compare_ranks(np.full((4, 3), 0.9), "wilcoxon").pairs == 1).all()
    # What differs by rounding only is equal.
    close = np.full((4, 3), 0.9) + np.array([0, 1e-15, 2e-15])
    assert compare_ranks(close).ranks.tolist() == [2, 2, 2]


def test_random_figures_are_rarely_called_different():
    random = np.random.default_rng(0)
    p_values = [compare_ranks(random.normal(size=(8, 3))).p_value for _ in range(100)]
    assert np.mean(np.array(p_values) < 0.05) < 0.1


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (np.ones((2, 5)), {}, "at least 3 categories"),
        (np.ones((5, 2)), {}, "at least 3 categories"),
        (np.ones(5), {}, "at least 3 categories"),
        (np.full((3, 3), np.nan), {}, "NaN or infinite"),
        (np.ones((3, 3)), {"post_hoc": "t"}, "nemenyi, wilcoxon"),
        (np.ones((3, 3)), {"significance": 0}, "significance must lie"),
    ],
)
def test_what_cannot_be_tested_is_refused(scores, options, message):
    with pytest.raises(ValueError, match=message):
        compare_ranks(scores, **options)
