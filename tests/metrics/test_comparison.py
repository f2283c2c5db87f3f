"""DeLong's test against its definition in loops, a bootstrap, and by hand; Holm's by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from adhelpers.metrics import (
    AurocComparison,
    Estimate,
    bootstrap,
    compare_aurocs,
    holm,
    image_auroc,
)


def slow(first, second, labels):
    """Placement values pair by pair, their covariances as the paper writes them."""
    good, bad = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    values, of_bad, of_good = [], [], []
    for scores in (first, second):
        wins = np.array(
            [
                [
                    np.mean(
                        [
                            1.0 * (seed[i] > seed[j]) + 0.5 * (seed[i] == seed[j])
                            for seed in np.atleast_2d(scores)
                        ]
                    )
                    for j in good
                ]
                for i in bad
            ]
        )
        values.append(wins.mean())
        of_bad.append(wins.mean(axis=1))
        of_good.append(wins.mean(axis=0))
    covariance = np.cov(of_bad) / len(bad) + np.cov(of_good) / len(good)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return values[0] - values[1], variance


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 9),
    st.integers(2, 9),
    st.integers(1, 3),
    st.booleans(),
)
def test_against_the_definition(seed, goods, bads, seeds, ties):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat([0, 1], [goods, bads]))
    first, second = random.normal(size=(seeds, goods + bads)), random.normal(size=goods + bads)
    if ties:
        first, second = first.round(), second.round()
    value, variance = slow(first, second, labels)
    found = compare_aurocs(first, second, labels)
    assert found.difference.value == pytest.approx(value, abs=1e-12)
    if variance > 1e-12:
        assert found.p_value == pytest.approx(2 * norm.sf(abs(value) / np.sqrt(variance)), abs=1e-9)
        assert found.difference.low == pytest.approx(
            max(value - 1.959964 * np.sqrt(variance), -1), abs=1e-6
        )


def test_by_hand():
    # Good 1, 2; anomalous 1.5, 3: AUROC 3/4, placements 1/2 and 1 of the anomalous, 1 and 1/2 of
    # the good.
    labels = np.array([0, 0, 1, 1])
    first, second = np.array([1, 2, 1.5, 3]), np.zeros(4)
    found = compare_aurocs(first, second, labels)
    assert found.difference.value == pytest.approx(0.25)
    # Variances of (0, 1/2) and of (1/2, 0) are 1/8 each, over two images each: 1/8 in all.
    assert found.p_value == pytest.approx(2 * norm.sf(0.25 / np.sqrt(1 / 8)))


def test_the_difference_is_that_of_the_aurocs_and_the_interval_near_the_bootstraps():
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], [60, 90])
    shared = random.normal(size=150)
    first, second = labels + shared, 0.5 * labels + shared + 0.5 * random.normal(size=150)
    found = compare_aurocs(first, second, labels)
    drawn = bootstrap(
        lambda a, b, y: image_auroc(a, y) - image_auroc(b, y),
        first,
        second,
        labels,
        stratify=labels,
        seed=0,
    )
    assert found.difference.value == pytest.approx(
        image_auroc(first, labels) - image_auroc(second, labels)
    )
    assert found.difference.low == pytest.approx(
        drawn.low, abs=0.02
    ) and found.difference.high == pytest.approx(drawn.high, abs=0.02)
    assert compare_aurocs(second, first, labels).p_value == pytest.approx(found.p_value)


def test_p_values_are_even_where_nothing_differs():
    random = np.random.default_rng(2)
    labels = np.repeat([0, 1], 40)
    p_values = [
        compare_aurocs(
            labels + random.normal(size=80), labels + random.normal(size=80), labels
        ).p_value
        for _ in range(400)
    ]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_the_same_scores_do_not_differ():
    labels = np.repeat([0, 1], 5)
    scores = np.random.default_rng(3).normal(size=10)
    found = compare_aurocs(scores, 2 * scores + 1, labels)
    assert found.difference.value == 0 and found.p_value == 1
    assert str(found.difference) == "0.000 [n/a]"
    few = compare_aurocs(scores[2:8], scores[2:8], labels[2:8])
    assert str(few.difference) == "0.000 [n/a; too few images]"


@pytest.mark.parametrize("goods, bads", [(6, 8), (30, 50), (3, 3)])
def test_a_difference_without_spread_is_not_certain(goods, bads):
    labels = np.repeat([0, 1], [goods, bads])
    perfect = np.arange(goods + bads)
    smaller = min(goods, bads)
    # All pairs right against all pairs wrong: independent pairs are those of the smaller class, and
    # each would fall so with a probability of at most 1/2 if the AUROCs were equal.
    found = compare_aurocs(perfect, -perfect, labels)
    assert found.difference.value == found.difference.high == 1
    assert found.difference.low == pytest.approx(2 * 0.025 ** (1 / smaller) - 1)
    assert found.p_value == pytest.approx(2 * 0.5**smaller)
    found = compare_aurocs(perfect, np.zeros(goods + bads), labels)
    assert found.difference.low < 0.5 < found.difference.high and 0 < found.p_value <= 1


@pytest.mark.parametrize(
    ("first", "labels", "message"),
    [
        (np.zeros(3), [0, 1, 0, 1], "first must have the shape"),
        (np.full(4, np.nan), [0, 1, 0, 1], "first holds NaN"),
        (np.zeros(4), [0, 0, 0, 1], "at least two good and two anomalous"),
        (np.zeros(4), [0, 0, 0, 2], "0 .good. or 1"),
        (np.zeros(4), [0, 0, 0, 0], "no anomalous image"),
    ],
)
def test_bad_input_is_named(first, labels, message):
    with pytest.raises(ValueError, match=message):
        compare_aurocs(first, np.zeros(len(labels)), np.array(labels))


def test_findings_say_which_is_better_or_that_it_is_not_shown():
    better = AurocComparison(Estimate(0.1, 0.02, 0.18), 0.012)
    assert better.findings("the deep one", "the subspace") == [
        "The deep one has a higher AUROC than the subspace: difference +0.100 [+0.020, +0.180], "
        "p = 0.012."
    ]
    worse = AurocComparison(Estimate(-0.1, -0.18, -0.02), 0.012)
    assert worse.findings()[0].startswith("The first has a lower AUROC than the second")
    equal = AurocComparison(Estimate(0.01, -0.05, 0.07), 0.7)
    assert "are not shown to differ" in equal.findings()[0]


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005])) == pytest.approx(
        [0.03, 0.06, 1, 0.06, 0.02]
    )
    assert holm(np.array([np.nan, np.nan])).tolist() == [1, 1]


def copies(random, count, draws, skill=0.0, odd=0.0):
    """Scores of images and their altered copies by two detectors, and labels and groups.

    What is planted is seen better by a detector in one image than in another, in all its copies;
    ``odd`` is how much images differ in themselves, the copies as their originals.
    """
    labels = np.repeat([0, 1], [count, draws * count])
    groups = np.tile(np.arange(count), 1 + draws)
    first, second = (
        odd * random.normal(size=count)[groups]
        + (0.8 + more + random.normal(size=count)[groups]) * labels
        + 0.3 * random.normal(size=len(groups))
        for more in (skill, 0.0)
    )
    return first, second, labels, groups


def test_copies_of_an_image_do_not_count_as_images():
    random = np.random.default_rng(0)
    alone, grouped = [], []
    for _ in range(300):
        *scores, labels, groups = copies(random, 12, 6)
        alone.append(compare_aurocs(*scores, labels).p_value <= 0.05)
        grouped.append(compare_aurocs(*scores, labels, groups).p_value <= 0.05)
    # Both detectors are equally good: a difference is shown in one of twenty at most.
    assert np.mean(grouped) <= 0.07 < np.mean(alone)
    # Where images differ more than what is planted in them, pairs say more than single images.
    *scores, labels, groups = copies(random, 12, 6, skill=0.8, odd=3.0)
    found = compare_aurocs(*scores, labels, groups)
    assert found.p_value < compare_aurocs(*scores, labels).p_value


def test_the_interval_of_groups_is_that_of_a_bootstrap_over_groups():
    random = np.random.default_rng(1)
    *scores, labels, groups = copies(random, 60, 3, skill=0.4)
    found = compare_aurocs(*scores, labels, groups).difference
    draws = []
    for _ in range(800):
        chosen = np.concatenate(
            [np.flatnonzero(groups == one) for one in random.integers(60, size=60)]
        )
        draws.append(np.subtract(*(image_auroc(one[chosen], labels[chosen]) for one in scores)))
    assert found.low == pytest.approx(np.quantile(draws, 0.025), abs=0.015)
    assert found.high == pytest.approx(np.quantile(draws, 0.975), abs=0.015)


def test_every_image_a_group_of_its_own_is_no_grouping():
    random = np.random.default_rng(2)
    labels = np.repeat([0, 1], [150, 150])
    scores = random.normal(size=(2, 300)) + labels
    plain = compare_aurocs(*scores, labels)
    found = compare_aurocs(*scores, labels, np.arange(300))
    assert found.difference.value == plain.difference.value
    assert found.p_value == pytest.approx(plain.p_value, rel=0.05)


@pytest.mark.parametrize(
    ("groups", "message"),
    [([0, 1, 2], r"shape \(4,\)"), ([7, 7, 7, 7], "at least 2 groups, not 1")],
)
def test_groups_that_do_not_fit_are_refused(groups, message):
    with pytest.raises(ValueError, match=f"groups .*{message}"):
        compare_aurocs([1, 2, 3, 4], [2, 1, 4, 3], [0, 1, 0, 1], groups)
