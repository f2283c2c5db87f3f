from dataclasses import replace

import numpy as np
import pytest

from adhelpers.data import load_category, render_category
from adhelpers.detectors import ResidualScore, Subspace
from adhelpers.explainers import centre_prior, explain_images, residual_map, uniform
from adhelpers.steps import assess_detector, audit_localization


@pytest.fixture(scope="package")
def hazelnuts(tmp_path_factory):
    """Rendered hazelnuts: four good and eight defective test images."""
    root = tmp_path_factory.mktemp("data")
    render_category(
        root, "hazelnut", image_size=64, train_count=14, test_good_count=4, defect_count=2, seed=1
    )
    return load_category(root, "hazelnut", image_size=64, color="rgb")


@pytest.fixture(scope="package")
def detector(hazelnuts):
    return Subspace(n_components=5, scoring=ResidualScore(smoothing=1.0)).fit(
        hazelnuts.train.images, hazelnuts.validation.images
    )


@pytest.fixture(scope="package")
def assessed(hazelnuts, detector):
    return assess_detector("subspace", detector, hazelnuts)


@pytest.fixture(scope="package")
def explained(hazelnuts, detector, assessed):
    """Quick explainers under the names of the slow ones."""
    explainers = {"LIME": residual_map, "SHAP": centre_prior, "uniform": uniform}
    return {
        name: explain_images(
            one, detector.score, hazelnuts.test.images, assessed.counterparts, show_progress=False
        )
        for name, one in explainers.items()
    }


@pytest.fixture(scope="package")
def located(assessed, explained):
    return audit_localization(assessed, explained, cutoff=0.2)


@pytest.fixture(scope="package")
def bare(hazelnuts, tmp_path_factory):
    """The same images without masks."""
    import shutil

    root = tmp_path_factory.mktemp("bare")
    shutil.copytree(
        hazelnuts.root / "hazelnut",
        root / "hazelnut",
        ignore=shutil.ignore_patterns("ground_truth"),
    )
    return load_category(root, "hazelnut", image_size=64, color="rgb")


@pytest.fixture(scope="package")
def partly_cut(hazelnuts):
    """The same images, but the masks of the first and last defective ones show no defect."""
    masks = hazelnuts.test.masks.copy()
    masks[np.flatnonzero(hazelnuts.test.labels)[[0, -1]]] = False
    return replace(hazelnuts, test=replace(hazelnuts.test, masks=masks))
