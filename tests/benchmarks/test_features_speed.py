"""Cached against fresh features, the coreset against the whole bank, and how much of an image's time is the backbone's.

Run with ``python -m pytest tests/benchmarks/test_features_speed.py -s``.
"""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from adhelpers.data import load_category, rendered_root
from adhelpers.detectors import FeatureSVM, MemoryBank, feature_cache, greedy_coreset


@pytest.fixture(scope="module")
def metal():
    root = rendered_root(
        "metal", image_size=128, train_count=60, test_good_count=15, defect_count=5
    )
    return load_category(root, "metal", image_size=128, seed=0)


@pytest.fixture(scope="module")
def whole(metal):
    return MemoryBank(coreset=1.0).fit(
        metal.train.images, metal.validation.images, show_progress=False
    )


def auroc(detector, metal):
    return roc_auc_score(metal.test.labels, detector.score(metal.test.images))


def test_cached_against_fresh_features(whole, metal, best_time, tmp_path):
    images = metal.train.images
    fresh, values = best_time(lambda: whole._features(images), 2)
    with feature_cache(tmp_path):
        whole._features(images)
        cached, again = best_time(lambda: whole._features(images), 3)
    print(
        f"\nfeatures of {len(images)} images: {fresh:.2f} s fresh, {cached:.3f} s from the cache, {fresh / cached:.0f} times faster"
    )
    np.testing.assert_allclose(values.astype(np.float32), again, rtol=0.05, atol=0.5)
    assert fresh > 10 * cached


@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_the_coreset_against_the_whole_bank(whole, metal, best_time, method):
    def fitted():
        return MemoryBank(coreset=0.1, coreset_method=method).fit(
            metal.train.images, metal.validation.images, show_progress=False
        )

    fit, small = best_time(fitted, 1)
    features = tf.constant(whole._features(metal.test.images[:16]), tf.float32)
    seconds = {
        one: best_time(lambda one=one: one._cells_of_features(features), 3)[0]
        for one in (whole, small)
    }
    mebibytes = {one: one._search._bank.nbytes / 2**20 for one in (whole, small)}
    lost = auroc(whole, metal) - auroc(small, metal)
    print(
        f"\n{method} coreset of a tenth ({small.bank_size} of {whole.bank_size} patches, fitted in {fit:.1f} s): search {seconds[whole] / seconds[small]:.1f} times "
        f"faster, {mebibytes[small]:.1f} of {mebibytes[whole]:.1f} MiB, image AUROC {auroc(whole, metal):.3f} with all, {lost:.3f} lost"
    )
    assert (
        seconds[whole] > 2 * seconds[small]
        and mebibytes[small] < 0.11 * mebibytes[whole]
        and lost < 0.05
    )


def plain_greedy(points, count):
    """The algorithm as it is written: a pass over all points for each choice."""
    chosen = [0]
    nearest = ((points - points[0]) ** 2).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def test_the_coreset_in_rounds_against_the_plain_loop(best_time):
    points = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    slow, _ = best_time(lambda: plain_greedy(points, 400), 1)
    seconds = {
        method: best_time(lambda method=method: greedy_coreset(points, 400, method=method), 2)[0]
        for method in ("exact", "approximate")
    }
    print(
        f"\n400 of 20,000 points: plain loop {slow:.1f} s, in rounds {slow / seconds['exact']:.1f} times faster, approximate {slow / seconds['approximate']:.1f} times"
    )
    assert seconds["exact"] < slow


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryBank(coreset=0.1),
        lambda: MemoryBank(coreset=1.0, neighbourhood=1),
        lambda: FeatureSVM(nu=0.1, gamma="scale"),
        lambda: FeatureSVM("patch", nu=0.1, gamma="scale"),
    ],
    ids=["memory bank", "memory bank, neighbourhood", "SVM of images", "SVM of patches"],
)
def test_milliseconds_an_image_and_the_backbones_share(metal, best_time, make):
    detector = make().fit(metal.train.images, metal.validation.images, show_progress=False)
    images = metal.test.images[:16]
    forward = tf.function(detector.backbone.maps)
    forward(tf.constant(images))
    detector.score(images)
    backbone, _ = best_time(lambda: forward(tf.constant(images)), 4)
    whole, _ = best_time(lambda: detector.score(images), 4)
    print(
        f"\n{1000 * whole / len(images):.0f} ms an image of 128 x 128, {backbone / whole:.0%} of it the backbone's forward pass"
    )
    # The backbone is the limit.
    assert backbone > 0.4 * whole
