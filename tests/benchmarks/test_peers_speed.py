"""Measures beside those of other packages: equal values, and the ratio of the times.

Run with ``python -m pytest tests/benchmarks/test_peers_speed.py -s`` after
``pip install -r tests/benchmarks/peers.txt``; without, each is skipped.
"""

import numpy as np
import pytest

from adhelpers.metrics.regions import aupro, pixel_auroc
from adhelpers.metrics.relevance import (
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
)


@pytest.fixture(scope="module")
def maps_and_masks():
    """Maps of 8 bits as they come from files, and defects of one or two regions."""
    random = np.random.default_rng(0)
    masks = np.zeros((40, 128, 128), bool)
    for index, mask in enumerate(masks[:30]):
        mask[20 : 30 + index, 30:50] = True
        if index % 2:
            mask[90:100, 60 : 70 + index] = True
    maps = random.normal(size=masks.shape) + 1.5 * masks
    maps = (maps - maps.min()) / np.ptp(maps)
    return (np.round(maps * 255) / 255).astype(np.float32), masks


def test_aupro_beside_anomalibs(maps_and_masks, best_time, goal, peer):
    torch, module = peer("torch"), peer("anomalib.metrics.aupro")
    maps, masks = maps_and_masks
    given = torch.from_numpy(maps), torch.from_numpy(masks.astype(np.int64))

    def theirs():
        metric = module._AUPRO(fpr_limit=0.3)
        metric.update(*given)
        return float(metric.compute())

    seconds, expected = best_time(theirs, 2)
    ours, value = best_time(lambda: aupro(maps, masks, 0.3), 5)
    print(f"\nAUPRO of 40 maps: anomalib {seconds:.2f} s, ours {ours:.3f} s")
    goal("AUPRO", "anomalib", seconds / ours, at_least=10)
    assert value == pytest.approx(expected, abs=2e-3)


def test_pixel_auroc_beside_torchmetrics(maps_and_masks, best_time, goal, peer):
    torch, classification = peer("torch"), peer("torchmetrics.functional.classification")
    maps, masks = maps_and_masks
    given = torch.from_numpy(maps).ravel(), torch.from_numpy(masks.astype(np.int64)).ravel()
    seconds, expected = best_time(lambda: float(classification.binary_auroc(*given)), 3)
    ours, value = best_time(lambda: pixel_auroc(maps, masks), 5)
    print(f"\nPixel AUROC: torchmetrics {seconds:.3f} s, ours {ours:.3f} s, {seconds / ours:.1f} x")
    goal("pixel AUROC", "torchmetrics", seconds / ours, at_least=1)
    assert value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "name, function",
    [
        ("PointingGame", pointing_game),
        ("RelevanceMassAccuracy", relevance_mass_accuracy),
        ("RelevanceRankAccuracy", relevance_rank_accuracy),
        ("TopKIntersection", top_k_intersection),
    ],
)
def test_localisation_beside_quantus(maps_and_masks, best_time, goal, peer, name, function):
    quantus = peer("quantus")
    maps, masks = (part[:30] for part in maps_and_masks)
    # Without ties, which Quantus decides by the order of the pixels.
    maps = maps + np.random.default_rng(1).uniform(0, 1e-4, maps.shape).astype(np.float32)
    options = {"disable_warnings": True, "abs": False, "normalise": False}
    if name == "TopKIntersection":
        options["k"] = 1000
    measure = getattr(quantus, name)(**options)
    images, labels = np.zeros((len(maps), 1, *maps.shape[1:]), np.float32), np.zeros(len(maps), int)

    def theirs():
        given = {"a_batch": maps[:, None], "s_batch": masks[:, None]}
        return measure(model=None, x_batch=images, y_batch=labels, **given)

    more = {"k": 1000} if name == "TopKIntersection" else {}
    seconds, expected = best_time(theirs, 2)
    ours, values = best_time(
        lambda: [function(one, mask, **more) for one, mask in zip(maps, masks, strict=True)], 3
    )
    print(f"\n{name} of 30 maps: Quantus {seconds:.3f} s, ours {ours:.3f} s")
    goal(name, "Quantus", seconds / ours, at_least=1)
    np.testing.assert_allclose(values, np.asarray(expected, float), atol=1e-3)
