"""Ratios of the plain way to ours, timed in the same run, results held equal: ``python -m pytest tests/benchmarks -s``."""
import time

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from adhelpers.metrics import gmean_threshold, jaccard_curve


def best_time(function, repeats):
    """Seconds of the fastest of several calls, and the last result: the fastest is the one that others disturbed least."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def gmean_by_trying_all(scores, labels):
    qualities = []
    for candidate in scores:
        tn, fp, fn, tp = confusion_matrix(labels, scores > candidate).ravel()
        qualities.append(np.sqrt(tp / (tp + fn) * (tn / (tn + fp))))
    return scores[int(np.argmax(qualities))]


@pytest.mark.parametrize("count", [160, 2000])
@pytest.mark.parametrize("decimals", [6, 1], ids=["distinct", "ties"])
def test_gmean_search(count, decimals):
    random = np.random.default_rng(0)
    labels = (random.random(count) < 0.7).astype(int)
    scores = np.round(random.normal(size=count) + labels, decimals)
    plain, expected = best_time(lambda: gmean_by_trying_all(scores, labels), 2)
    ours, threshold = best_time(lambda: gmean_threshold(scores, labels), 200)
    print(f"\nG-mean search, {count} scores, {len(set(scores))} distinct: {plain * 1e3:.1f} ms -> {ours * 1e3:.3f} ms, "
          f"{plain / ours:.0f} times faster")
    assert (threshold.flag(scores) == (scores > expected)).all()
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
def test_jaccard_curve(side, segments):
    random = np.random.default_rng(0)
    if segments is None:
        heatmap = np.round(random.normal(size=(side, side)), 3).astype(np.float32)
    else:
        weights = random.normal(size=segments).astype(np.float32)
        heatmap = np.kron(weights.reshape(10, 10), np.ones((side // 10 + 1, side // 10 + 1), np.float32))[:side, :side]
    mask = np.zeros((side, side), dtype=bool)
    mask[side // 4:side // 3, side // 4:side // 2] = True
    plain, (thresholds, jaccards) = best_time(lambda: curve_by_trying_all(heatmap, mask), 3)
    ours, curve = best_time(lambda: jaccard_curve(heatmap, mask), 100)
    print(f"\nJaccard curve, {side}x{side}, {len(thresholds)} distinct values: {plain * 1e3:.1f} ms -> {ours * 1e3:.3f} ms, "
          f"{plain / ours:.0f} times faster")
    assert curve.thresholds.tolist() == thresholds.tolist()
    assert curve.jaccards.tolist() == jaccards
    assert plain / ours >= 15
