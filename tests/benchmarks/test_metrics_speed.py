"""Ratios of the plain way to ours, timed in the same run, results held equal.

Run with ``python -m pytest tests/benchmarks/test_metrics_speed.py -s``.
"""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from adhelpers.metrics import chance_levels, gmean_threshold, localization_table
from adhelpers.metrics.chance import chance_level, shift_distribution
from adhelpers.metrics.localization import jaccard_curve, optimal_jaccard
from adhelpers.metrics.relevance import (
    heatmap_auroc,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
)


def gmean_by_trying_all(scores, labels):
    qualities = []
    for candidate in scores:
        tn, fp, fn, tp = confusion_matrix(labels, scores > candidate).ravel()
        qualities.append(np.sqrt(tp / (tp + fn) * (tn / (tn + fp))))
    return scores[int(np.argmax(qualities))]


@pytest.mark.parametrize("count", [160, 2000])
@pytest.mark.parametrize("decimals", [6, 1], ids=["distinct", "ties"])
def test_gmean_search(best_time, goal, count, decimals):
    random = np.random.default_rng(0)
    labels = (random.random(count) < 0.7).astype(int)
    scores = np.round(random.normal(size=count) + labels, decimals)
    plain, expected = best_time(lambda: gmean_by_trying_all(scores, labels), 2)
    ours, threshold = best_time(lambda: gmean_threshold(scores, labels), 200)
    print(
        f"\nG-mean search, {count} scores, {len(set(scores))} distinct: {plain * 1e3:.1f} ms -> "
        f"{ours * 1e3:.3f} ms, "
        f"{plain / ours:.0f} times faster"
    )
    assert (threshold.flag(scores) == (scores > expected)).all()
    goal(
        f"G-mean search, {len(set(scores))} distinct of {count} scores",
        "trying all",
        plain / ours,
        at_least=1000,
    )
    assert plain / ours >= 1000


def curve_by_trying_all(heatmap, mask):
    thresholds = np.unique(heatmap)[::-1]
    jaccards = []
    for threshold in thresholds:
        region = heatmap >= threshold
        jaccards.append(np.logical_and(region, mask).sum() / np.logical_or(region, mask).sum())
    return thresholds, jaccards


@pytest.mark.parametrize("side", [128, 256])
@pytest.mark.parametrize("segments", [100, None], ids=["superpixels", "continuous"])
def test_jaccard_curve(best_time, goal, side, segments):
    random = np.random.default_rng(0)
    if segments is None:
        heatmap = np.round(random.normal(size=(side, side)), 3).astype(np.float32)
    else:
        weights = random.normal(size=segments).astype(np.float32)
        heatmap = np.kron(
            weights.reshape(10, 10), np.ones((side // 10 + 1, side // 10 + 1), np.float32)
        )[:side, :side]
    mask = np.zeros((side, side), dtype=bool)
    mask[side // 4 : side // 3, side // 4 : side // 2] = True
    plain, (thresholds, jaccards) = best_time(lambda: curve_by_trying_all(heatmap, mask), 3)
    ours, curve = best_time(lambda: jaccard_curve(heatmap, mask), 100)
    print(
        f"\nJaccard curve, {side}x{side}, {len(thresholds)} distinct values: {plain * 1e3:.1f} ms "
        f"-> {ours * 1e3:.3f} ms, "
        f"{plain / ours:.0f} times faster"
    )
    assert curve.thresholds.tolist() == thresholds.tolist()
    assert curve.jaccards.tolist() == jaccards
    kind = "continuous" if segments is None else "superpixels"
    goal(f"Jaccard curve, {side} px, {kind}", "trying all", plain / ours, at_least=15)
    assert plain / ours >= 15


def masses_by_moving_the_mask(heatmap, mask, region):
    relevance = np.maximum(heatmap, 0).astype(np.float64)
    masses = np.full(mask.shape, np.nan)
    for down in range(mask.shape[0]):
        for right in range(mask.shape[1]):
            moved = np.roll(mask, (down, right), axis=(0, 1))
            if region is None or region[moved].all():
                masses[down, right] = relevance[moved].sum()
    return masses / relevance.sum()


def heatmap_mask_and_object(side):
    random = np.random.default_rng(0)
    heatmap = random.normal(size=(side, side)).astype(np.float32)
    mask, region = np.zeros((2, side, side), dtype=bool)
    mask[side // 4 : side // 3, side // 4 : side // 3] = True
    region[side // 8 : -side // 8, side // 5 : -side // 5] = True
    return heatmap, mask, region


@pytest.mark.parametrize("side", [64, 128, 256])
@pytest.mark.parametrize("on_object", [False, True], ids=["all shifts", "on the object"])
def test_shift_distribution(best_time, goal, side, on_object):
    heatmap, mask, region = heatmap_mask_and_object(side)
    region = region if on_object else None
    plain, expected = best_time(lambda: masses_by_moving_the_mask(heatmap, mask, region), 1)
    ours, masses = best_time(lambda: shift_distribution(heatmap, mask, region), 50)
    difference = np.nanmax(abs(masses - expected))
    shifts = "shifts on the object" if on_object else "all shifts"
    print(
        f"\nMass at {shifts}, {side}x{side}: {plain * 1e3:.0f} ms -> {ours * 1e3:.3f} ms, "
        f"{plain / ours:.0f} times faster; "
        f"largest difference {difference:.0e}"
    )
    assert (np.isnan(masses) == np.isnan(expected)).all()
    assert difference < 1e-9
    assert chance_level(heatmap, mask, region).p_value == np.mean(
        expected[~np.isnan(expected)] >= expected[0, 0] - 1e-12
    )
    goal(f"chance level, {side} px, {shifts}", "each shift", plain / ours, at_least=100)
    assert plain / ours >= 100


def test_localisation_of_a_test_set(best_time):
    random = np.random.default_rng(0)
    heatmaps = np.round(random.normal(size=(160, 128, 128)), 2).astype(np.float32)
    masks = np.zeros(heatmaps.shape, dtype=bool)
    masks[:, 40:60, 50:70] = True
    functions = [
        pointing_game,
        relevance_mass_accuracy,
        relevance_rank_accuracy,
        top_k_intersection,
        heatmap_auroc,
    ]
    singles, expected = best_time(
        lambda: [
            [
                optimal_jaccard(heatmap, mask).value,
                *(function(heatmap, mask) for function in functions),
            ]
            for heatmap, mask in zip(heatmaps, masks, strict=True)
        ],
        2,
    )
    ours, table = best_time(lambda: localization_table(heatmaps, masks), 2)
    chance, _ = best_time(lambda: chance_levels(heatmaps, masks), 2)
    print(
        f"\n160 heatmaps of 128x128: single images {singles:.2f} s, table {ours:.2f} s, chance "
        f"levels {chance:.2f} s"
    )
    np.testing.assert_allclose(table.to_numpy(), expected, rtol=1e-12)
    assert ours < 5 and chance < 5
