"""The steps of an autoencoder's notebook on a small rendered category, with a detector that needs no training."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import Corrections, load_category, rendered_root
from adhelpers.detectors import CAE, ResidualScore, Subspace
from adhelpers.metrics import eight_bit
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


@pytest.mark.parametrize("map_type", ["float", "uint8"])
@pytest.mark.parametrize("selection", ["balanced", "normal-only"])
def test_decisions_tables_and_findings_agree(screws, subspace, map_type, selection):
    decision = autoencoders.decide_by_area(
        screws, subspace, map_type=map_type, selection=selection, share=0.34, areas=range(1, 60, 4)
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
    table = autoencoders.area_table(decision)["area and threshold"]
    assert (
        table["images tested on"] == tested.sum()
        and table["balanced accuracy"] == f"{decision.rates[2]:.3f}"
    )
    assert "segmentation: per-region overlap" in table.index
    sentences = autoencoders.area_findings(
        screws, decision, assess_detector("subspace", subspace, screws)
    )
    assert ("without any defective image" in sentences[0]) == (selection == "normal-only")
    assert f"balanced accuracy {decision.rates[2]:.3f}" in sentences[0]
    json.dumps(tuning.as_dict(), allow_nan=False)
    summary = autoencoders.area_summary(screws, decision)
    assert (
        summary["confusion"] == decision.detection.confusion
        and summary["threshold"] == tuning.threshold
    )
    validation = subspace.residual_map(screws.validation.images)
    np.testing.assert_array_equal(
        decision.as_maps(validation), eight_bit(validation) if map_type == "uint8" else validation
    )


def test_figures_that_include_the_choosing_images_say_so(screws, subspace):
    decision = autoencoders.decide_by_area(screws, subspace, share=0.34, strict=False, areas=[4, 8])
    assert (
        "optimistic" in autoencoders.area_table(decision)["area and threshold"]["area chosen with"]
    )
    assert (
        "optimistic"
        in autoencoders.area_findings(
            screws, decision, assess_detector("subspace", subspace, screws)
        )[0]
    )


def test_the_area_score_makes_the_same_decisions(screws, subspace):
    decision = autoencoders.decide_by_area(screws, subspace, share=0.34, areas=[6])
    scored = Subspace(5, scoring=ResidualScore("area", "l2", minimal_area=6)).fit(
        screws.train.images, screws.validation.images
    )
    np.testing.assert_allclose(scored.score(screws.test.images), decision.levels, rtol=1e-5)
    assert (
        decision.tuning.threshold.flag(scored.score(screws.test.images)) == decision.flags
    ).all()


def test_an_unknown_map_type_is_named(screws, subspace):
    with pytest.raises(ValueError, match="map_type must be one of float, uint8"):
        autoencoders.decide_by_area(screws, subspace, map_type="uint16")


def test_segmentations_are_saved_under_the_names_of_the_images(screws, subspace, tmp_path):
    decision = autoencoders.decide_by_area(screws, subspace, share=0.34, areas=[4])
    folder = autoencoders.save_segmentations(tmp_path / "segmentation", screws, decision)
    files = sorted(folder.rglob("*.png"))
    assert len(files) == len(screws.test) and not list(folder.rglob(".partial*"))
    index = int(decision.flags.argmax())
    path = folder / str(screws.test.names[index]).removeprefix("test/")
    np.testing.assert_array_equal(np.asarray(Image.open(path)) > 0, decision.segmentations[index])


def test_inspection_shows_every_image_once(screws, subspace):
    pages = list(autoencoders.inspection(subspace, screws.test, per_page=5))
    panels = [ax for page in pages for ax in page.axes if ax.get_title("left") == "image"]
    assert len(panels) == len(screws.test) and len(pages) == -(-len(screws.test) // 5)
    assert str(screws.test.names[0]) in panels[0].texts[0].get_text()


def test_architectures_are_compared_and_copying_is_said(screws):
    train, validation = screws.train.images, screws.validation.images
    detectors = {
        name: CAE(
            name, width=0.15, plan=replace(CAE.default_plan(), epochs=1, learning_rate=1e-3)
        ).fit(train, validation, show_progress=False)
        for name in ("mvtec", "skip")
    }
    comparison = autoencoders.compare_architectures(screws, detectors)
    assert (
        comparison.table.loc["skip", "shortcuts around the code"] == "yes"
        and comparison.table.loc["mvtec", "shortcuts around the code"] == "no"
    )
    assert (
        comparison.table.loc["mvtec", "weights"] == f"{detectors['mvtec'].network.count_params():,}"
    )
    assert set(comparison.copied) == {"mvtec", "skip"}
    warned = autoencoders.copying_findings(detectors["skip"], comparison)
    plain = autoencoders.copying_findings(detectors["mvtec"], comparison)
    assert (
        warned[0].startswith("Warning: the architecture 'skip'")
        and len(warned) == len(plain) + 1
        and "takes over" in plain[0]
    )
    nothing = autoencoders.compare_architectures(screws, {})
    assert (
        nothing.table.empty
        and autoencoders.copying_findings(detectors["skip"], nothing) == warned[:1]
    )
    figure = autoencoders.comparison_figure(screws, comparison, 0)
    assert [ax.get_title("left") for ax in figure.axes[:3]] == ["image", "mvtec", "skip"]
