"""The bootstrap against the normal approximation; its resamples against what is promised."""

import json

import numpy as np
import pytest

from adhelpers.metrics import Estimate, bootstrap, image_auroc, intervals


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
    assert estimate == Estimate(0.0, 0.0, 0.0)


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
        ({"stratify": [0, 1]}, "same length"),
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
