import dataclasses

import numpy as np
import pytest

from adhelpers.steps import (
    assess_detector,
    audit_localization,
    examples,
    latent_figure,
    on_photographs,
    overview,
    reconstructions,
)
from adhelpers.steps.gallery import Strips, save_gallery


def test_a_category_without_masks_has_a_gallery_too(bare, detector, explained, tmp_path):
    one = assess_detector("subspace", detector, bare)
    audit = audit_localization(one, explained)
    assert overview(bare).axes and reconstructions(one, examples(bare)).axes
    strips = Strips(one, explained, audit)
    save_gallery(tmp_path / "g.html", strips, title="bare", tables={"Explainers": audit.table()})
    assert (tmp_path / "g.html").read_text().count("<article") == len(bare.test)


def test_the_gallery_has_a_card_for_every_image(hazelnuts, assessed, explained, located, tmp_path):
    verdicts = [f"verdict {index}" for index in range(12)]
    save_gallery(
        tmp_path / "g.html",
        Strips(assessed, explained, located, verdicts=verdicts),
        title="nuts",
        tables={"Detectors": assessed.table()},
        notes=["a note"],
    )
    page = (tmp_path / "g.html").read_text()
    assert page.count("<article") == len(hazelnuts.test) == 12
    assert "a note" in page and "image AUROC" in page and "verdict 11" in page


def test_images_that_could_not_be_corrected_are_marked(bare, detector, explained, tmp_path):
    marks = np.zeros(len(bare.test), bool)
    marks[[1, 4]] = True
    marked = dataclasses.replace(bare, test=dataclasses.replace(bare.test, uncorrected=marks))
    one = assess_detector("subspace", detector, marked)
    assert one.samples()["uncorrected"].tolist() == marks.tolist()
    assert "uncorrected" not in assess_detector("subspace", detector, bare).samples()
    strips = Strips(one, explained)
    save_gallery(tmp_path / "g.html", strips, title="marked", tables={})
    cards = (tmp_path / "g.html").read_text().split("<article")[1:]
    assert ["uncorrected" in card for card in cards] == marks.tolist()


def test_examples_stand_for_their_types(hazelnuts):
    assert list(hazelnuts.test.types[examples(hazelnuts, per_type=1)]) == [
        "good",
        "crack",
        "cut",
        "hole",
        "print",
    ]


def test_the_strip_shows_each_explainer_beside_its_overlap(hazelnuts, assessed, explained, located):
    index = int(np.flatnonzero(hazelnuts.test.labels)[0])
    titles = [
        ax.get_title("left") for ax in Strips(assessed, explained, located).figure(index).axes
    ]
    assert titles == [
        "image",
        "reconstruction",
        "anomaly map",
        "LIME",
        "SHAP",
        "LIME: overlap",
        "SHAP: overlap",
    ]
    other = dataclasses.replace(
        assessed, counterpart_name="nearest", anomaly_maps=assessed.anomaly_maps + 7
    )
    strip = Strips(other, explained, located).figure(index)
    assert strip.axes[1].get_title("left") == "nearest"
    assert strip.axes[2].images[0].get_clim()[0] == pytest.approx(other.anomaly_maps.min())
    assert reconstructions(other, [index]).axes[1].get_title("left") == "nearest"
    repaired = {index: (assessed.counterparts[index], 0.1)}
    mended = Strips(assessed, explained, located, repaired).figure(index).axes[3]
    assert mended.get_title("left") == "defect repaired" and "score 0.1" in [
        text.get_text() for text in mended.texts
    ]


def test_the_photograph_shows_where_the_map_is_low_and_the_map_where_it_reaches_the_threshold(
    hazelnuts, assessed
):
    maps = np.zeros((len(hazelnuts.test), 64, 64), "float32")
    maps[0] = assessed.threshold.value
    # Each score is the maximum of its map.
    one = dataclasses.replace(assessed, anomaly_maps=maps, scores=maps.max(axis=(1, 2)))
    figure = on_photographs(one, [0, 1], size=64)
    said = f"colour from 0 on, in full from {assessed.threshold.value:.3g}, the threshold"
    assert any(said in text.get_text() for text in figure.texts)
    bright, plain = (ax.images[0].get_array() for ax in figure.axes[:2])
    np.testing.assert_allclose(plain, hazelnuts.test.images[1], atol=0.02)
    assert np.abs(bright - hazelnuts.test.images[0]).mean() > 0.2
    # Distances that are nowhere near 0 leave the photograph as it is where they are lowest.
    lifted = dataclasses.replace(
        assessed,
        anomaly_maps=maps + 5,
        scores=maps.max(axis=(1, 2)) + 5,
        threshold=dataclasses.replace(assessed.threshold, value=assessed.threshold.value + 5),
    )
    again = on_photographs(lifted, [0, 1], size=64)
    for one, expected in zip(again.axes[:2], (bright, plain), strict=True):
        np.testing.assert_allclose(one.images[0].get_array(), expected, atol=1e-5)


def test_good_images_alone_are_not_drawn_as_bright_as_a_defect(hazelnuts, assessed):
    good = np.flatnonzero(hazelnuts.test.labels == 0)
    maps = np.full((len(hazelnuts.test), 64, 64), 0.01, "float32")
    maps[:, 3, 3] = np.where(hazelnuts.test.labels == 1, 0.9, 0.02)
    one = dataclasses.replace(
        assessed,
        anomaly_maps=maps,
        scores=maps.max(axis=(1, 2)),
        threshold=dataclasses.replace(assessed.threshold, value=0.5),
    )
    assert one.map_scale.ends == pytest.approx((0.0, 0.9)) and one.map_scale.threshold == 0.5
    grid, photographs = reconstructions(one, good), on_photographs(one, good, size=64)
    assert {ax.images[0].get_clim() for ax in grid.axes[2:-1:3]} == {one.map_scale.ends}
    for ax, index in zip(photographs.axes, good, strict=True):
        picture = ax.images[0].get_array()
        np.testing.assert_allclose(picture, hazelnuts.test.images[index], atol=0.02)
    # A sum over the image has a threshold that no pixel reaches: the run's own limit takes its
    # place, not that of the few good images shown.
    summed = dataclasses.replace(one, scores=maps.sum(axis=(1, 2)))
    assert summed.map_scale.threshold is None
    for ax, index in zip(on_photographs(summed, good, size=64).axes, good, strict=True):
        picture = ax.images[0].get_array()
        np.testing.assert_allclose(picture, hazelnuts.test.images[index], atol=0.02)


def test_the_browser_has_the_explainers_that_there_are(assessed, explained, located):
    box = Strips(assessed, explained, located).explore()
    assert list(box.children[0].children[1].options) == ["LIME", "SHAP"]


def test_the_latent_codes_are_those_of_training_and_test(hazelnuts):
    class Means:
        def encode(self, images):
            return images.mean(axis=(1, 2))

    assert latent_figure(Means(), hazelnuts).axes
