"""The contest by hand: who wins, what is claimed, and that all look at the same images."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.svm import OneClassSVM

from adhelpers.data import Corrections, load_category, render_category
from adhelpers.detectors import BackboneSettings, FeatureSettings
from adhelpers.detectors.features.backbones import Backbone
from adhelpers.detectors.features.patches import compute_features
from adhelpers.metrics import Estimate, compare_aurocs, image_auroc
from adhelpers.steps.features import (
    Contest,
    PublishedWay,
    feature_makers,
    gan_maker,
    published_way,
    run_contest,
    simple_detectors,
)

LABELS = np.repeat([0, 1], 20)
TYPES = np.where(LABELS == 1, "spot", "good")


@pytest.fixture(scope="module")
def contest():
    random = np.random.default_rng(0)
    blind = random.normal(size=(2, 40))
    return Contest(
        {"blind": blind, "sharp": np.stack([LABELS + 0.01 * random.normal(size=40)] * 2)},
        LABELS,
        TYPES,
        [("sharp", "blind"), ("blind", "sharp")],
    )


def test_the_best_is_on_top_and_the_others_are_tested_against_it(contest):
    table = contest.table()
    assert contest.ranked[0] == "sharp" and list(table.index) == ["sharp", "blind"]
    assert table.loc["sharp", "image AUROC, mean over seeds"] == "1.000 [0.832, 1.000; exact bound]"
    expected = compare_aurocs(contest.scores["blind"], contest.scores["sharp"], LABELS)
    assert table.loc["blind", "p, paired and corrected"] == f"{expected.p_value:.3g}"


def test_claims_are_judged_by_the_paired_test(contest):
    won, held, refuted = contest.findings()
    assert won.startswith("Highest AUROC: sharp") and "blind" in won
    assert "These images confirm it: AUROC 1.000" in held and "These images refute it" in refuted
    same = Contest(
        {"a": contest.scores["blind"], "b": contest.scores["blind"]}, LABELS, TYPES, [("a", "b")]
    )
    assert "neither show nor refute it" in same.findings()[1]


def test_the_published_way_is_scikit_learns_default_on_pooled_features(tmp_path):
    render_category(
        tmp_path, "metal", image_size=64, train_count=8, test_good_count=3, defect_count=1
    )
    metal = load_category(
        tmp_path,
        "metal",
        image_size=48,
        corrections=Corrections(illumination="none", pose="none", crop="none"),
        validation_fraction=0.25,
    )
    published = published_way(metal, ["block2_conv2"], show_progress=False)
    backbone = Backbone(BackboneSettings(layers=("block2_conv2",)), image_shape=(48, 48, 1))
    train, test = (
        compute_features(backbone, FeatureSettings("image"), part.images).astype(float)
        for part in (metal.train, metal.test)
    )
    scores = -OneClassSVM().fit(train).decision_function(test)
    assert published.aurocs["block2_conv2"].value == pytest.approx(
        image_auroc(scores, metal.test.labels)
    )
    assert -1 <= published.brightness["block2_conv2"] <= 1
    assert list(published.table().index) == ["block2_conv2"]


def test_worse_than_chance_is_said():
    aurocs = {"low": Estimate(0.2, 0.1, 0.3), "high": Estimate(0.6, 0.5, 0.7)}
    best, follows = PublishedWay(aurocs, {"low": -0.9, "high": 0.1}).findings()
    assert "best on high" in best and "Below 0.5" in best and "-0.90" in follows


def test_all_must_see_the_same_images():
    one, other = (SimpleNamespace(test=SimpleNamespace(names=names)) for names in (["a"], ["b"]))
    with pytest.raises(ValueError, match="same test images"):
        run_contest({"x": (None, one), "y": (None, other)}, "", [0])
    with pytest.raises(ValueError, match="at least one number"):
        run_contest({"x": (None, one)}, "", [])


def test_the_makers_follow_the_parameters():
    parameters = {
        "nu": 0.0,
        "gamma": 2.0,
        "pca": 0,
        "pooling": "max",
        "stride": 16,
        "coreset": 0.3,
        "neighbours": 2,
        "smoothing": 1.0,
    }
    made = {
        title: make(3) for title, make in feature_makers(parameters, BackboneSettings()).items()
    }
    assert {one.seed for one in made.values()} == {3}
    images, patches, subspace, bank = made.values()
    assert images.features.pooling == "max" and not hasattr(images.estimator, "steps")
    assert images.selection.nu is None and images.selection.gamma == 2.0
    assert patches.features == subspace.features == bank.features
    assert bank.features.stride == 16 and subspace.variance == subspace.centre == "auto"
    assert bank.coreset == 0.3 and bank.neighbours == 2 and bank.smoothing == 1.0
    gan = {"gan_width": 0.5, "gan_epochs": 2, "gan_rotation": 9.0, "gan_steps": 7}
    made = gan_maker(gan | {"precision": "float32"}, "discriminator")(4)
    assert made.plan.epochs == 2 and made.search.steps == 7 and made.encoder is None
    assert made.scoring.score == "discriminator" and made.augmentation.rotation == 9.0


def test_the_simple_detectors_take_what_the_parameters_say():
    given = {"weights": "hed", "precision": "bfloat16", "stride": 16, "coreset": 0.3}
    given |= {"neighbours": 2, "smoothing": 1.5, "seed": 7}
    found = simple_detectors(given)
    assert list(found) == ["linear subspace", "memory bank"]
    bank = found["memory bank"]
    assert (bank.coreset, bank.neighbours, bank.features.stride) == (0.3, 2, 16)
    assert bank.backbone.precision == "bfloat16"
    assert {one.seed for one in found.values()} == {7}
    assert found["linear subspace"].scoring.smoothing == bank.smoothing == 1.5
