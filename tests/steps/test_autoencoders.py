"""The steps of an autoencoder's notebook on a small rendered category."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import Corrections, load_category, rendered_root
from adhelpers.detectors import CAE, ResidualScore, Subspace
from adhelpers.metrics import AreaChoice, AreaGrid, eight_bit
from adhelpers.steps import assess_detector, autoencoders


@pytest.fixture(scope="module")
def screws():
    root = rendered_root("screw", image_size=96, train_count=24, test_good_count=6, defect_count=3)
    return load_category(
        root,
        "screw",
        image_size=(64, 64),
        corrections=Corrections(illumination="background"),
        seed=0,
    )


@pytest.fixture(scope="module")
def subspace(screws):
    return Subspace(5, scoring=ResidualScore(residual="l2")).fit(
        screws.train.images, screws.validation.images
    )


@pytest.fixture(scope="module")
def assessed(screws, subspace):
    return assess_detector("subspace", subspace, screws)


def decided(assessed, *, map_type="float", grid=None, **choice):
    return autoencoders.decide_by_area(
        assessed, map_type=map_type, grid=grid, choice=AreaChoice(**{"share": 0.34, **choice})
    )


@pytest.mark.parametrize("map_type", ["float", "uint8"])
@pytest.mark.parametrize("selection", ["balanced", "normal-only"])
def test_decisions_tables_and_findings_agree(screws, assessed, map_type, selection):
    decision = decided(
        assessed, map_type=map_type, grid=AreaGrid(range(1, 60, 4)), selection=selection
    )
    tuning, test = decision.tuning, screws.test
    assert decision.maps.dtype == (np.uint8 if map_type == "uint8" else np.float32)
    assert tuning.grid.step == (1 if map_type == "uint8" else 0.0005)
    np.testing.assert_array_equal(decision.flags, decision.segmentations.any(axis=(1, 2)))
    tested = tuning.tested_on
    labels, flags = test.labels[tested] == 1, decision.flags[tested]
    assert decision.rates == pytest.approx(
        (
            flags[labels].mean(),
            (~flags[~labels]).mean(),
            (flags[labels].mean() + (~flags[~labels]).mean()) / 2,
        )
    )
    assert tested.all() == (selection == "normal-only") and tuning.threshold.uses_test_labels == (
        selection == "balanced"
    )
    table = decision.table()["area and threshold"]
    assert (
        table["images tested on"] == tested.sum()
        and table["balanced accuracy"] == f"{decision.rates[2]:.3f}"
    )
    assert "segmentation: per-region overlap" in table.index
    sentences = decision.findings()
    assert ("without any defective image" in sentences[0]) == (selection == "normal-only")
    assert f"balanced accuracy {decision.rates[2]:.3f}" in sentences[0]
    json.dumps(tuning.as_dict(), allow_nan=False)
    samples = decision.samples()
    np.testing.assert_array_equal(samples["flagged"], decision.flags)
    np.testing.assert_array_equal(samples["score"], decision.levels)
    assert list(samples.columns) == list(assessed.samples().columns)
    summary = decision.summary_parts()
    assert (
        summary["confusion"] == decision.detection.confusion
        and summary["threshold"] == tuning.threshold
    )
    assert set(summary) == set(assessed.summary_parts())
    validation = assessed.detector.residual_map(screws.validation.images)
    maps = eight_bit(validation) if map_type == "uint8" else validation
    np.testing.assert_array_equal(
        decision.validation_flags, tuning.threshold.flag(tuning.levels(maps))
    )
    assert not decision.validation_flags.any()
    assert list(decision.columns()) == ["area_level", "flagged_by_area", "chose_the_area"]
    assert len(decision.figure().axes) == 2 and len(decision.level_figure().axes) > 0
    assert len(decision.segmentation_figure(per_type=1).axes) == 2 * len(set(test.types))


def test_figures_that_include_the_choosing_images_say_so(assessed):
    decision = decided(assessed, grid=AreaGrid([4, 8]), strict=False)
    assert "optimistic" in decision.table()["area and threshold"]["area chosen with"]
    assert "optimistic" in decision.findings()[0]


def test_the_area_score_makes_the_same_decisions(screws, assessed):
    decision = decided(assessed, grid=AreaGrid([6]))
    scored = Subspace(5, scoring=ResidualScore("area", "l2", minimal_area=6)).fit(
        screws.train.images, screws.validation.images
    )
    np.testing.assert_allclose(scored.score(screws.test.images), decision.levels, rtol=1e-5)
    assert (
        decision.tuning.threshold.flag(scored.score(screws.test.images)) == decision.flags
    ).all()


def test_what_cannot_be_decided_by_area_is_named(assessed):
    with pytest.raises(ValueError, match="map_type must be one of float, uint8"):
        decided(assessed, map_type="uint16")
    with pytest.raises(TypeError, match="the subspace has no residual maps"):
        decided(replace(assessed, detector=object()))


def test_segmentations_are_saved_under_the_names_of_the_images(screws, assessed, tmp_path):
    decision = decided(assessed, grid=AreaGrid([4]))
    decision.save(tmp_path)
    stored = json.loads((tmp_path / "finetuning.json").read_text())
    assert stored["minimal_area"] == 4 and not (tmp_path / "segmentation").exists()
    decision.save(tmp_path, segmentations=True)
    folder = tmp_path / "segmentation"
    files = sorted(folder.rglob("*.png"))
    assert len(files) == len(screws.test) and not list(folder.rglob(".partial*"))
    index = int(decision.flags.argmax())
    path = folder / str(screws.test.names[index]).removeprefix("test/")
    np.testing.assert_array_equal(np.asarray(Image.open(path)) > 0, decision.segmentations[index])


def test_inspection_shows_every_image_once(screws, subspace):
    pages = dict(autoencoders.inspection_figures(subspace, screws, per_page=5))
    for split in ("validation", "test"):
        images = getattr(screws, split)
        own = [page for name, page in pages.items() if name.startswith(f"inspection-{split}-")]
        panels = [ax for page in own for ax in page.axes if ax.get_title("left") == "image"]
        assert len(panels) == len(images) and len(own) == -(-len(images) // 5)
        assert str(images.names[0]) in panels[0].texts[0].get_text()
    assert "inspection-test-01" in pages


def test_every_page_of_the_inspection_has_one_scale_which_reaches_the_threshold(screws, subspace):
    threshold = 2 * float(subspace.score(screws.test.images).max())
    pages = dict(autoencoders.inspection_figures(subspace, screws, threshold=threshold))
    assert {name.split("-")[1] for name in pages} == {"validation", "test"}
    limits = {
        ax.images[0].get_clim()
        for page in pages.values()
        for ax in page.axes
        if ax.get_title("left") == "anomaly map"
    }
    assert limits == {(0.0, threshold)}


def test_architectures_are_compared_and_copying_is_said(screws, assessed):
    train, validation = screws.train.images, screws.validation.images
    detectors = {
        name: CAE(
            name, width=0.15, plan=replace(CAE.default_plan(), epochs=1, learning_rate=1e-3)
        ).fit(train, validation, show_progress=False)
        for name in ("mvtec", "skip")
    }
    comparison = autoencoders.compare_architectures(assessed, detectors)
    table = comparison.table()
    assert (
        table.loc["skip", "shortcuts around the code"] == "yes"
        and table.loc["mvtec", "shortcuts around the code"] == "no"
    )
    assert table.loc["mvtec", "weights"] == f"{detectors['mvtec'].network.count_params():,}"
    assert set(comparison.copied) == {"mvtec", "skip"}
    skip = comparison.assessments["skip"]
    warned = replace(comparison, main=skip).findings()
    plain = replace(comparison, main=comparison.assessments["mvtec"]).findings()
    assert (
        warned[0].startswith("Warning: the architecture 'skip'")
        and len(warned) == len(plain) + 1
        and "takes over" in plain[0]
    )
    nothing = autoencoders.compare_architectures(skip, {})
    assert nothing.table().empty and nothing.findings() == warned[:1]
    titles = [ax.get_title("left") for ax in comparison.figure().axes[:3]]
    assert titles == ["image", "mvtec", "skip"]


def test_an_autoencoder_is_loaded_without_training_and_scores_as_asked(screws, tmp_path):
    detector = CAE("mvtec", width=0.15, plan=replace(CAE.default_plan(), epochs=1))
    trained = autoencoders.train_autoencoder(detector, screws, tmp_path)
    figures = autoencoders.autoencoder_figures(trained)
    assert list(figures) == ["learning-rate", "training"]
    assert [ax.get_title("left") for ax in figures["training"].axes] == ["loss"]
    assert autoencoders.autoencoder_facts(trained).startswith("mvtec, loss l2: ")
    other = CAE("skip", scoring=ResidualScore("max"))
    loaded = autoencoders.train_autoencoder(other, screws, tmp_path, load_model=trained.folder)
    assert loaded.architecture == "mvtec" and loaded.scoring.score == "max"
