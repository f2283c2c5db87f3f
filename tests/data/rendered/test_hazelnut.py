"""Drawn hazelnuts and their defects."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from adhelpers.data import render_category
from adhelpers.data.rendered.catalogue import render_sample

DEFECTS = ["crack", "cut", "hole", "print"]


@pytest.mark.parametrize("image_size", [64, 97, 256])
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_mask_is_where_the_picture_changed(defect, image_size, assert_masked):
    assert_masked("hazelnut", defect, image_size, channels=3)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_lies_on_the_nut(defect):
    _, mask = render_sample("hazelnut", defect, 128, seed=3)
    good, _ = render_sample("hazelnut", None, 128, seed=3)
    nut = gaussian_filter(good[..., 0] - good[..., 2], 1.5) > 0.05
    # The cap is nearly grey: the hull of the rows between the edges belongs to the nut too.
    nut = binary_dilation(nut, iterations=10)
    assert 0.02 < nut.mean() < 0.7
    assert nut[mask].mean() > 0.9


def test_a_linear_subspace_finds_the_defects_of_hazelnuts(tmp_path):
    folder = render_category(tmp_path, "hazelnut", image_size=64)
    train = (
        np.stack([np.asarray(Image.open(path)) for path in folder.glob("train/good/*")]).astype(
            np.float32
        )
        / 255
    )
    paths = sorted((folder / "test").glob("*/*.png"))
    test = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32) / 255
    labels = np.array([path.parent.name != "good" for path in paths])
    subspace = PCA(20, random_state=0).fit(train.reshape(len(train), -1))
    rebuilt = subspace.inverse_transform(subspace.transform(test.reshape(len(test), -1))).reshape(
        test.shape
    )
    maps = gaussian_filter(np.abs(test - rebuilt).mean(axis=3), (0, 1, 1))
    # Neither hopeless nor solved.
    assert 0.72 < roc_auc_score(labels, maps.max(axis=(1, 2))) < 0.98
    masks = np.zeros(maps.shape, bool)
    for index, path in enumerate(paths):
        if labels[index]:
            masks[index] = (
                np.asarray(
                    Image.open(folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png")
                )
                > 0
            )
    assert roc_auc_score(masks.ravel(), maps.ravel()) > 0.93
