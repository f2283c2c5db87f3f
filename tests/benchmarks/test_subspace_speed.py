"""Choosing the number of components with one decomposition, against one pass for each number.

Run with ``python -m pytest tests/benchmarks/test_subspace_speed.py -s``.
"""

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from adhelpers.detectors import Subspace, plant_defects
from adhelpers.detectors.subspace import _CANDIDATES, _truncated

SIDE = 128


def surfaces(count):
    """Images of ``SIDE`` pixels on a space of 60 dimensions, with noise."""
    random = np.random.default_rng(0)
    smooth = np.stack(
        [gaussian_filter(one, 4) for one in random.normal(size=(60, SIDE, SIDE)).astype("f4")]
    )
    smooth /= np.abs(smooth).max() * np.sqrt(np.arange(1, 61, dtype="f4"))[:, None, None]
    images = 0.5 + np.tensordot(random.normal(0, 0.15, (count, 60)).astype("f4"), smooth, 1)
    images += random.normal(0, 0.03, images.shape).astype("f4")
    return np.clip(images, 0, 1)[..., None]


def plainly_chosen(train, validation):
    """All components, and a score of all images for each number that is tried."""
    pca = PCA(len(train) - 1, svd_solver="full").fit(train.reshape(len(train), -1))
    detector = Subspace(1).fit(train[:2], validation)
    planted = plant_defects(validation, 0).images
    labels = np.repeat([0, 1], [len(validation), len(planted)])
    found = {}
    for count in sorted({min(count, len(train) - 1) for count in _CANDIDATES}):
        detector._set(_truncated(pca, count))
        scores = np.r_[detector.score(validation), detector.score(planted)]
        found[count] = roc_auc_score(labels, scores)
    return max(found, key=found.get)


@pytest.mark.parametrize("count", [500, 2000])
def test_seconds_of_processor_time_of_a_fit(count, goal):
    images = surfaces(count)
    train, validation = images[: 4 * count // 5], images[4 * count // 5 :]
    plainly_chosen(train[:12], validation[:4])
    seconds, chosen = [], []
    for choose in (
        lambda: len(Subspace().fit(train, validation).pca.components_),
        lambda: plainly_chosen(train, validation),
    ):
        start = time.process_time()
        chosen.append(choose())
        seconds.append(time.process_time() - start)
    print(
        f"\n{len(train)} training images of {SIDE} x {SIDE}: {seconds[0]:.1f} s of processor time, "
        f"{seconds[1] / seconds[0]:.1f} times faster than plainly; {chosen[0]} components"
    )
    ratio = seconds[1] / seconds[0]
    goal(f"subspace, {len(train)} images", "all components", ratio, at_least=2)
    assert chosen[0] == chosen[1] and seconds[1] > 2 * seconds[0]
