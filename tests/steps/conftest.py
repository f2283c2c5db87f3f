from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from adhelpers.data import load_category, make_class_images, render_category
from adhelpers.detectors import Classifier, ResidualScore, Subspace, fit_or_load
from adhelpers.explainers import centre_prior, explain_images, residual_map, uniform
from adhelpers.steps import (
    assess_deep_sad,
    assess_detector,
    audit_localization,
    decide_task,
    read_settings,
)
from adhelpers.steps.classifier_data import Task
from adhelpers.training import Augmentation


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


@pytest.fixture(scope="package")
def task_with_a_shortcut():
    return _task_with_a_shortcut


def _task_with_a_shortcut(count, seed, tied):
    """A dark square makes the second class; a bright tag goes with it as told."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.uniform(0.4, 0.6, (count, 32, 32, 1)).astype(np.float32)
    defects, tags = np.zeros((2, count, 32, 32), bool)
    tagged = random.uniform(size=count) < np.where(labels == 1, *tied)
    for index, label in enumerate(labels):
        row = random.integers(14, 24)
        defects[index, row : row + 5, 4 + row % 7 : 9 + row % 7] = label
        tags[index, 2:8, 20:28] = tagged[index]
    clean = images.copy()
    images = np.where(tags[..., None], 1.0, np.where(defects[..., None], images - 0.25, images))
    return make_class_images(
        images,
        labels,
        ("good", "dark"),
        defects=defects,
        tags=tags,
        without_defects=np.where(defects[..., None], clean, images),
        without_tags=np.where(tags[..., None], clean, images),
    )


@pytest.fixture(scope="package")
def classified(task_with_a_shortcut):
    """A classifier that has learned the tag, and what it decides where the tag is loose."""
    classifier = Classifier(
        filters=(6, 12),
        dropout=0.0,
        plan=replace(Classifier.default_plan(), epochs=8, batch_size=16, learning_rate=0.01),
        augmentation=Augmentation(),
    )
    classifier.fit(task_with_a_shortcut(96, 0, (0.7, 0.0)), show_progress=False)
    train = task_with_a_shortcut(96, 0, (0.7, 0.0))
    review, test = (task_with_a_shortcut(120, seed, (0.3, 0.3)) for seed in (1, 2))
    return classifier, decide_task(classifier, Task("x", train, review, test))


@pytest.fixture(scope="package")
def stored(hazelnuts, tmp_path_factory):
    """A stored detector that was assessed: it knows its threshold and how its images are read."""
    models = tmp_path_factory.mktemp("models")
    detector = Subspace(n_components=5, scoring=ResidualScore(smoothing=1.0))
    detector = fit_or_load(detector, hazelnuts, models, show_progress=False)
    return assess_detector("subspace", detector, hazelnuts)


@pytest.fixture(scope="package")
def onnx_file(stored, tmp_path_factory):
    """The same detector as an ONNX file."""
    from adhelpers.steps import export_detector

    path = tmp_path_factory.mktemp("onnx") / "nut.onnx"
    return export_detector(stored.detector.folder, path).path


@pytest.fixture(scope="package")
def digit_parameters():
    """Parameters of notebook 07 for a short training on digits."""
    return {
        "dataset": "digits",
        "data_root": "",
        "category": "",
        "label_column": "label",
        "image_height": 32,
        "image_width": 32,
        "color": "grayscale",
        "illumination": "none",
        "pose": "none",
        "crop": "none",
        "fit": "stretch",
        "bit_depth": 0,
        "page": -1,
        "normal_class": "3",
        "known_outlier_class": "",
        "n_known_outlier_classes": 1,
        "ratio_known_normal": 0.05,
        "ratio_known_outlier": 0.05,
        "ratio_pollution": 0.05,
        "validation_fraction": 0.1,
        "seed": 1,
        "network": "mlp",
        "latent_dim": 8,
        "eta": 1.0,
        "epochs": 6,
        "learning_rate": 3e-3,
        "milestones": (4,),
        "batch_size": 32,
        "weight_decay": 1e-6,
        "pretrain": True,
        "pretrain_epochs": 6,
        "pretrain_learning_rate": 3e-3,
        "pretrain_milestones": (),
        "pretrain_batch_size": 32,
        "pretrain_weight_decay": 1e-6,
        "rotation": 0.0,
        "shift": 0.0,
        "brightness": 0.0,
        "flip": "none",
        "smoothing": 1.0,
        "curve_ratios": (0.0, 0.1),
        "pollution_ratios": (0.0, 0.1),
        "curve_classes": "",
        "curve_seeds": 1,
        "load_config": "",
    }


@pytest.fixture(scope="package")
def digits(digit_parameters):
    """Data, detector and decisions of that training."""
    settings = read_settings(digit_parameters)
    labelled = settings.load_samples()
    category = settings.split_samples(labelled)
    detector = settings.make_detector().fit(
        category.train.images, category.validation.images, category.known, show_progress=False
    )
    return SimpleNamespace(
        settings=settings,
        labelled=labelled,
        category=category,
        detector=detector,
        judged=assess_deep_sad(detector, category),
    )
