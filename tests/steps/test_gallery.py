import dataclasses

import numpy as np
import pytest

from adhelpers.explainers import Explanations
from adhelpers.steps import (
    assess_detector,
    audit_localization,
    examples,
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


def test_the_strip_has_five_panels_at_most(hazelnuts, assessed, explained, located):
    def titles(strips, index):
        return [ax.get_title("left") for ax in strips.figure(index).axes]

    good, index = (int(np.flatnonzero(hazelnuts.test.labels == label)[0]) for label in (0, 1))
    strips = Strips(assessed, explained, located)
    assert titles(strips, index) == ["image", "anomaly map", "SHAP", "SHAP: overlap"]
    assert titles(strips, good) == ["image", "anomaly map", "SHAP"]
    repaired = {index: (assessed.counterparts[index], 0.1)}
    strips = dataclasses.replace(strips, repaired=repaired)
    panels = ["image", "anomaly map", "defect repaired", "SHAP", "SHAP: overlap"]
    assert titles(strips, index) == panels
    assert "score 0.1" in [text.get_text() for text in strips.figure(index).axes[2].texts]
    assert set(strips.card(index).jaccards) == {"LIME", "SHAP"}
    # The smallest repair is shown where there is one.
    heatmaps = np.zeros_like(explained["LIME"].heatmaps)
    heatmaps[index, 4:9, 5:9] = 1
    details = [{"repaired score": 0.2}] * len(heatmaps)
    more = {**explained, "smallest repair": Explanations(heatmaps, details, {}, 0.0)}
    strips = dataclasses.replace(
        strips, explanations=more, localization=audit_localization(assessed, more)
    )
    names = ["repaired", "smallest repair", "smallest repair: overlap"]
    assert titles(strips, index) == [*panels[:2], *names]
    shown = strips.figure(index).axes[2]
    assert "score 0.2" in [text.get_text() for text in shown.texts]
    mended = strips.sample(index, ["smallest repair"]).repaired[0]
    changed = np.abs(mended - hazelnuts.test.images[index]).max(axis=2) > 0
    assert changed.any() and not changed[heatmaps[index] == 0].any()


def test_counterparts_are_named_and_maps_of_distances_begin_at_the_lowest(
    hazelnuts, assessed, explained, located
):
    other = dataclasses.replace(
        assessed, counterpart_name="nearest", anomaly_maps=assessed.anomaly_maps + 7
    )
    strip = Strips(other, explained, located).figure(0)
    assert strip.axes[1].images[0].get_clim()[0] == pytest.approx(other.anomaly_maps.min())
    assert reconstructions(other, [0]).axes[1].get_title("left") == "nearest"


def lit(ax):
    """Where the anomaly map is drawn over a photograph."""
    return ~np.ma.getmaskarray(ax.images[1].get_array())


def test_the_photograph_shows_through_wherever_the_map_is_below_the_threshold(hazelnuts, assessed):
    value = assessed.threshold.value
    maps = np.full((len(hazelnuts.test), 64, 64), 0.99 * value, "float32")
    maps[0, 10:20, 30:40] = 1.5 * value
    # Each score is the maximum of its map.
    one = dataclasses.replace(assessed, anomaly_maps=maps, scores=maps.max(axis=(1, 2)))
    figure = on_photographs(one, [0, 1], size=64)
    said = f"transparent below {value:.3g}, the threshold; true defects outlined"
    assert [text.get_text() for text in figure.texts][-1] == said
    # The legend: colours from the threshold to the highest value.
    assert figure.axes[2].get_ylim() == pytest.approx((value, 1.5 * value))
    for ax, index in zip(figure.axes, (0, 1), strict=False):
        np.testing.assert_allclose(
            ax.images[0].get_array(), hazelnuts.test.images[index], atol=0.02
        )
    first, second = map(lit, figure.axes[:2])
    assert first[10:20, 30:40].all() and first.sum() <= 12 * 12 and not second.any()
    # Distances are no different, though nowhere near 0.
    lifted = dataclasses.replace(
        assessed,
        anomaly_maps=maps + 5,
        scores=maps.max(axis=(1, 2)) + 5,
        threshold=dataclasses.replace(assessed.threshold, value=value + 5),
    )
    again = on_photographs(lifted, [0, 1], size=64)
    assert (lit(again.axes[0]) == first).all() and not lit(again.axes[1]).any()


@pytest.mark.parametrize("size", [40, 64, 150, 384])
def test_a_peak_of_one_pixel_that_flags_an_image_is_seen_at_every_size(hazelnuts, assessed, size):
    value = assessed.threshold.value
    maps = np.zeros((len(hazelnuts.test), 64, 64), "float32")
    maps[0, 30, 17] = 1.001 * value
    one = dataclasses.replace(assessed, anomaly_maps=maps, scores=maps.max(axis=(1, 2)))
    shown = lit(on_photographs(one, [0], size=size).axes[0])
    centre = np.argwhere(shown).mean(axis=0) / size
    np.testing.assert_allclose(centre, np.array([30.5, 17.5]) / 64, atol=1.5 / 40)


def test_photographs_are_three_inches_wide_and_outline_the_defects(hazelnuts, assessed):
    index = int(np.flatnonzero(hazelnuts.test.labels)[0])
    figure = on_photographs(assessed, [index, 0])
    width = figure.axes[0].get_position().width * figure.get_figwidth()
    assert width == pytest.approx(3.0)
    assert [len(ax.collections) for ax in figure.axes[:2]] == [1, int(hazelnuts.test.labels[0])]


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
    assert not any(lit(ax).any() for ax in photographs.axes[: len(good)])
    # A sum over the image has a threshold that no pixel reaches: half of the run's own limit takes
    # its place, not that of the few good images shown.
    summed = dataclasses.replace(one, scores=maps.sum(axis=(1, 2)))
    assert summed.map_scale.threshold is None
    photographs = on_photographs(summed, good, size=64)
    assert not any(lit(ax).any() for ax in photographs.axes[: len(good)])
    assert "transparent below 0.45, half of the scale" in photographs.texts[-1].get_text()
    defective = int(np.flatnonzero(hazelnuts.test.labels)[0])
    assert lit(on_photographs(summed, [defective], size=64).axes[0]).any()


def test_the_browser_has_the_explainers_that_there_are(assessed, explained, located):
    box = Strips(assessed, explained, located).explore()
    assert list(box.children[0].children[1].options) == ["LIME", "SHAP"]
