"""The bootstrap against the normal approximation; its resamples against what is promised."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from adhelpers.metrics import (
    Estimate,
    bootstrap,
    bounded_mean,
    image_auroc,
    intervals,
    share_estimate,
)


def test_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 2, 400)
    estimate = bootstrap(np.mean, values, resamples=4000)
    margin = 1.96 * values.std() / 20
    assert estimate.value == values.mean()
    assert estimate.low == pytest.approx(values.mean() - margin, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + margin, abs=0.03)


def test_an_estimate_reads_as_value_and_interval():
    assert str(intervals.Estimate(0.9, 0.85, 0.951)) == "0.900 [0.850, 0.951]"
    assert f"{intervals.Estimate(1.0, np.float64(0.5), 1.0)}" == "1.000 [0.500, 1.000]"


def test_a_narrow_interval_does_not_read_as_none():
    narrow = intervals.Estimate(0.99981, 0.99962, 0.99991)
    assert str(narrow) == "0.9998 [0.9996, 0.9999]"
    assert f"{narrow:+.1f}" == "+0.9998 [+0.9996, +0.9999]"
    assert str(intervals.Estimate(0.5, math.nan, 0.6)) == "0.500 [n/a]"


def test_wider_confidence_gives_a_wider_interval():
    values = np.random.default_rng(1).normal(size=50)
    narrow, wide = (
        bootstrap(np.mean, values, resamples=500, confidence=confidence)
        for confidence in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_same_seed_same_interval_and_another_seed_another():
    values = np.random.default_rng(1).normal(size=50)
    first, again, other = (
        bootstrap(np.mean, values, resamples=100, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_arrays_are_drawn_together():
    values = np.arange(30.0)
    estimate = bootstrap(lambda a, b: np.abs(a - b).max(), values, values.copy(), resamples=50)
    # No resample moves it, so there is no interval.
    assert estimate.value == 0 and np.isnan([estimate.low, estimate.high]).all()


def test_no_resample_loses_a_class():
    scores, labels = np.arange(12.0), np.array([1] + [0] * 11)
    # image_auroc raises where a class is missing; without strata about a third of the resamples
    # would.
    assert bootstrap(image_auroc, scores, labels, resamples=200, stratify=labels).value == 0.0
    with pytest.raises(ValueError, match="no anomalous image"):
        bootstrap(image_auroc, scores, labels, resamples=200)


def test_resamples_keep_strata_and_draw_every_image_equally_often(monkeypatch):
    strata = np.array(["good"] * 7 + ["crack"] * 3 + ["good"] * 2)
    counts = np.concatenate(list(intervals.resample_counts(strata, 3000, seed=0)))
    assert counts.shape == (3000, 12)
    assert (counts[:, strata == "good"].sum(axis=1) == 9).all()
    assert (counts[:, strata == "crack"].sum(axis=1) == 3).all()
    assert np.abs(counts.mean(axis=0) - 1).max() < 0.07
    # The count of one image among m is binomial: variance 1 - 1/m.
    assert counts[:, 0].var() == pytest.approx(1 - 1 / 9, abs=0.07)


def test_blocks_make_all_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "_BLOCK_ENTRIES", 50)
    blocks = list(intervals.resample_counts(np.zeros(10), 13))
    assert [len(block) for block in blocks] == [5, 5, 3]
    # A row that is longer than a block makes a block alone.
    assert [len(block) for block in intervals.resample_counts(np.zeros(60), 2)] == [1, 1]


def test_as_dict_is_json():
    assert (
        json.dumps(Estimate(np.float32(0.5), 0.25, 1).as_dict())
        == '{"value": 0.5, "low": 0.25, "high": 1.0}'
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"resamples": 1}, "resamples"),
        ({"confidence": 95}, "confidence"),
        ({"confidence": 1}, "confidence"),
        ({"confidence": 0}, "confidence"),
        ({"stratify": [0, 1]}, r"same length, at least 1; got \[5, 2\]"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.mean, np.arange(5.0), **arguments)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="at least one array"):
        bootstrap(np.mean)
    with pytest.raises(ValueError, match="at least 1"):
        bootstrap(np.mean, np.array([]))


def test_an_interval_that_does_not_hold_its_value_is_refused():
    for low, high in ((0.5, 0.6), (0.95, 1.0)):
        with pytest.raises(ValueError, match="does not hold its value 0.9"):
            Estimate(0.9, low, high)
    assert str(Estimate(math.nan, math.nan, math.nan)) == "n/a"


def test_draws_beside_the_value_extend_the_interval_to_it():
    draws = np.linspace(0.2, 0.4, 101)
    assert tuple(intervals.percentile_interval(0.9, draws)) == pytest.approx((0.9, 0.205, 0.9))
    assert tuple(intervals.percentile_interval(0.1, draws)) == pytest.approx((0.1, 0.1, 0.395))


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_draws_that_are_no_numbers_are_named(strange):
    draws = np.r_[np.linspace(0, 1, 98), strange, strange]
    with pytest.raises(ValueError, match="2 of 100 resamples give a figure that is NaN or infinit"):
        intervals.percentile_interval(0.5, draws)
    # Without a value there is nothing to give an interval for.
    assert np.isnan([*intervals.percentile_interval(np.nan, draws)]).all()


@pytest.mark.parametrize("total", [1, 2, 4, 5, 10, 30])
def test_intervals_of_shares_are_exact(total):
    for hits in range(total + 1):
        found = share_estimate(hits, total)
        low = beta.ppf(0.025, hits, total - hits + 1) if hits else 0
        high = beta.ppf(0.975, hits + 1, total - hits) if hits < total else 1
        assert tuple(found) == pytest.approx((hits / total, low, high))
        assert (found.note == "too few images") == (total < 5)
    assert np.isnan([*share_estimate(0, 0)]).all()


@pytest.mark.parametrize("count", [1, 2, 5, 6, 20, 100])
def test_the_bound_of_a_perfect_mean_is_that_of_all_of_so_many(count):
    perfect, zero = bounded_mean(1.0, count), bounded_mean(0.0, count)
    assert tuple(perfect) == pytest.approx((1, 0.025 ** (1 / count), 1))
    assert tuple(perfect) == pytest.approx(tuple(share_estimate(count, count)))
    assert tuple(zero) == pytest.approx((0, 0, 1 - 0.025 ** (1 / count)))


@given(st.integers(1, 60), st.integers(0, 60))
def test_the_bound_of_a_mean_holds_that_of_a_share(count, hits):
    share = share_estimate(min(hits, count), count)
    bound = bounded_mean(share.value, count)
    # Right for all values in [0, 1], so no narrower than for zeros and ones.
    assert bound.low <= share.low + 1e-9 and share.high - 1e-9 <= bound.high
    assert bound.high - bound.low > 0


def test_intervals_have_the_confidence_asked_for():
    assert tuple(share_estimate(3, 10, confidence=0.8)) == pytest.approx(
        (0.3, beta.ppf(0.1, 3, 8), beta.ppf(0.9, 4, 7))
    )
    assert bounded_mean(1.0, 6, confidence=0.8).low == pytest.approx(0.1 ** (1 / 6))
    found = intervals.bounded_difference(1.0, 12, confidence=0.8)
    assert found.low == pytest.approx(2 * 0.1 ** (1 / 12) - 1)
    assert share_estimate(3, 10) == share_estimate(3, 10, confidence=0.95)
    assert bounded_mean(0.4, 6) == bounded_mean(0.4, 6, confidence=0.95)
    values = np.random.default_rng(1).normal(size=30)
    said = {"resamples": 1000, "confidence": 0.95, "seed": 0}
    assert bootstrap(np.mean, values) == bootstrap(np.mean, values, **said)
    draws = np.linspace(0, 1, 41)
    assert tuple(intervals.percentile_interval(0.5, draws)) == pytest.approx((0.5, 0.025, 0.975))
    found = intervals.ranking_interval(0.6, draws, 20, confidence=0.5)
    assert tuple(found) == pytest.approx((0.6, 0.25, 0.75))


def test_two_resamples_are_the_fewest():
    values = np.arange(40.0)
    found = bootstrap(np.mean, values, resamples=2)
    assert found.low <= found.value <= found.high


def test_draws_that_differ_by_rounding_only_do_not_move():
    noise = np.linspace(-1, 1, 41)
    for value in (0.5, 1e6):
        assert str(intervals.percentile_interval(value, value + 1e-13 * value * noise))[-5:] == (
            "[n/a]"
        )
        assert intervals.percentile_interval(value, value + 1e-9 * value * noise).low < value


def test_fewer_than_five_are_too_few():
    assert [bounded_mean(0.5, count).note for count in (4, 5)] == ["too few images", "exact bound"]
    draws = np.linspace(0, 1, 41)
    assert intervals.percentile_interval(0.5, draws).note == ""
    assert intervals.percentile_interval(0.5, draws, few=True).note == "too few images"
    for sizes, note in (((4, 9), "too few images"), ((5, 9), "")):
        strata = np.repeat(["a", "b"], sizes)
        values = np.arange(len(strata), dtype=float)
        assert bootstrap(np.mean, values, resamples=20, stratify=strata).note == note
    assert [intervals.ranking_interval(0.7, draws, count).note for count in (4, 5)] == [
        "too few images",
        "",
    ]


@given(st.floats(0.05, 0.95), st.integers(10, 200), st.sampled_from((0.8, 0.95)))
def test_the_bound_of_a_mean_is_where_the_probability_of_the_mean_is_small(
    value, count, confidence
):
    # Hoeffding: exp(-k D), with D the relative entropy of the mean and the end, is half of what the
    # interval may miss.
    found = bounded_mean(value, count, confidence)
    for end in (found.low, found.high):
        entropy = value * math.log(value / end) + (1 - value) * math.log((1 - value) / (1 - end))
        assert math.exp(-count * entropy) == pytest.approx((1 - confidence) / 2, rel=1e-6)
    assert found.low < value < found.high


def test_the_bound_of_a_mean_near_the_end_of_its_range():
    assert bounded_mean(0.001, 2).low == 0 and bounded_mean(0.999, 2).high == 1
    for value in (0.0, 1.0):
        same = np.full(20, value)
        assert intervals.ranking_interval(value, same, 20) == bounded_mean(value, 20)


def test_small_types_are_joined():
    types = np.array(["good"] * 9 + ["a"] * 7 + ["b"] * 3 + ["c"] * 1 + ["d"] * 4 + ["e"] * 6)
    bad = types != "good"
    strata = intervals.image_strata(types, bad)
    joined = {kind: strata[types == kind][0] for kind in np.unique(types)}
    assert joined == {
        "good": "good",
        "a": "a",
        "b": "c + b + d",
        "c": "c + b + d",
        "d": "c + b + d",
        "e": "e",
    }
    # What is left over joins the last; types of enough images stay as they are.
    assert set(intervals.image_strata(["x", "x", "y", "z"], [False, False, True, True])) == {
        "x",
        "y + z",
    }


def test_a_rest_that_is_too_small_joins_the_only_other_stratum():
    # Two types of three images make a stratum of six; the third alone would be too small.
    strata = intervals.image_strata(np.repeat(["a", "b", "c"], 3), np.ones(9, bool))
    assert set(strata) == {"a + b + c"}
