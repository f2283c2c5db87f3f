"""AUPIMO against pixel AUROC and AUPRO, and against counting at many thresholds, in one run.

Run with ``python -m pytest tests/benchmarks/test_aupimo_speed.py -s``.
"""

import numpy as np
import pytest
from scipy import ndimage

from adhelpers.metrics import aupimo_estimate, pixel_report
from adhelpers.metrics.aupimo import aupimo


@pytest.fixture(scope="module")
def maps_and_masks():
    """As many images and pixels as the test set of screw at 256 x 96."""
    random = np.random.default_rng(0)
    masks = np.zeros((82, 256, 96), dtype=bool)
    masks[21:, 100:112, 40:52] = True
    noise = ndimage.gaussian_filter(random.normal(size=masks.shape), (0, 1.5, 1.5))
    return (noise / noise.std() + 2.5 * masks).astype(np.float32), masks


def counted(maps, masks, thresholds):
    """The area read at a grid of thresholds, as published implementations do."""
    good, bad = ~masks.any(axis=(1, 2)), masks.any(axis=(1, 2))
    rates, overlaps = [], []
    for threshold in thresholds:
        above = maps >= threshold
        rates.append(above[good].mean())
        overlaps.append([above[index][masks[index]].mean() for index in np.flatnonzero(bad)])
    rates, overlaps = np.log(rates), np.array(overlaps)
    return np.trapezoid(overlaps, rates, axis=0).mean() / (rates[-1] - rates[0])


def test_it_costs_little_beside_the_other_figures_of_pixels(best_time, maps_and_masks):
    others, _ = best_time(lambda: pixel_report(*maps_and_masks), 3)
    ours, estimate = best_time(lambda: aupimo_estimate(*maps_and_masks), 3)
    print(f"\nAUPIMO {estimate} with interval: {ours / others:.2f} of pixel AUROC and AUPRO")
    assert ours / others <= 0.5


def test_exact_against_300_thresholds_between_the_bounds(best_time, maps_and_masks):
    maps, masks = maps_and_masks
    values = np.sort(maps[:21].ravel())[::-1]
    places = np.unique(np.geomspace(1e-5, 1e-4, 300) * len(values)).round().astype(int)
    thresholds = values[np.maximum(np.unique(places), 1) - 1]
    plain, expected = best_time(lambda: counted(maps, masks, thresholds), 1)
    ours, found = best_time(lambda: aupimo(maps, masks), 5)
    plain *= 300 / len(thresholds)
    print(f"\n{plain * 1e3:.0f} ms -> {ours * 1e3:.1f} ms, {plain / ours:.0f} times faster")
    assert found == pytest.approx(expected, abs=0.02)
    assert plain / ours >= 20
