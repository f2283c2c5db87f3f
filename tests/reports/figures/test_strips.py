"""The strip of a sample: what its panels hold."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from adhelpers.metrics import Threshold
from adhelpers.metrics.localization import optimal_jaccard
from adhelpers.reports import MapScale, Sample, sample_strip
from adhelpers.reports import style as _style


@pytest.fixture
def sample():
    random = np.random.default_rng(0)
    image = random.random((32, 12, 1)).astype(np.float32)
    mask = np.zeros((32, 12), dtype=bool)
    mask[4:10, 3:8] = True
    heatmaps = {
        "LIME": (mask + 0.1 * random.random(mask.shape) - 0.2).astype(np.float32),
        "SHAP": random.normal(size=mask.shape).astype(np.float32),
    }
    return image, mask, heatmaps


def strip(image, counterpart, anomaly_map, heatmaps, threshold=None, scale=None, **parts):
    one = Sample(image, heatmaps, counterpart, anomaly_map, **parts)
    return sample_strip(one, threshold, scale=scale)


def titles(figure):
    return [ax.get_title("left") for ax in figure.axes]


def words(figure):
    return [text.get_text() for text in figure.texts]


def test_a_map_that_is_held_against_the_defect_is_shown_once():
    heatmap = np.eye(8)
    named = {"anomaly map": (1.0, 1.0)}
    sample = Sample(
        np.zeros((8, 8, 1)),
        {"anomaly map": heatmap},
        anomaly_map=heatmap,
        mask=heatmap > 0,
        optimal=named,
    )
    panels = [ax.get_title("left") for ax in sample_strip(sample).axes]
    assert panels == ["image", "anomaly map", "anomaly map: overlap"]


def test_strip_shows_every_panel_with_its_content(sample):
    image, mask, heatmaps = sample
    optimal = {name: optimal_jaccard(heatmap, mask) for name, heatmap in heatmaps.items()}
    figure = strip(
        image,
        1 - image,
        mask.astype(float),
        heatmaps,
        mask=mask,
        optimal=optimal,
        name="test/crack/000.png",
        score=0.7,
        threshold=Threshold(0.5, "by hand", False),
    )
    assert titles(figure) == [
        "image",
        "reconstruction",
        "anomaly map",
        "LIME",
        "SHAP",
        "LIME: overlap",
        "SHAP: overlap",
    ]
    axes = figure.axes
    np.testing.assert_allclose(axes[0].images[0].get_array(), image[..., 0])
    np.testing.assert_allclose(axes[1].images[0].get_array(), 1 - image[..., 0])
    np.testing.assert_allclose(axes[4].images[0].get_array(), heatmaps["SHAP"])
    assert [len(ax.collections) for ax in axes] == [1, 0, 1, 1, 1, 0, 0]
    assert (
        axes[5].texts[0].get_text() == "J* 1.00"
        and axes[6].texts[0].get_text() == f"J* {optimal['SHAP'].value:.2f}"
    )
    assert "test/crack/000.png" in words(figure) and "score 0.7 > 0.5: flagged" in words(figure)
    legend = figure.legends[0]
    entries = zip(legend.get_texts(), legend.get_patches(), strict=True)
    assert {text.get_text(): to_hex(patch.get_facecolor()).upper() for text, patch in entries} == {
        "overlap": _style.OVERLAP,
        "ground truth only": _style.GROUND_TRUTH,
        "explanation only": _style.EXPLANATION,
    }


def test_strip_region_is_that_of_the_optimal_threshold(sample):
    image, mask, heatmaps = sample
    best = optimal_jaccard(heatmaps["SHAP"], mask)
    figure = strip(
        np.full_like(image, 0.5), image, mask * 1.0, heatmaps, mask=mask, optimal={"SHAP": best}
    )
    canvas = figure.axes[-1].images[0].get_array()
    counts = {
        name: int(
            (np.abs(canvas - (0.2 * 0.5 + 0.8 * np.array(to_rgba(color)[:3]))) < 1e-6)
            .all(axis=2)
            .sum()
        )
        for name, color in (
            ("both", _style.OVERLAP),
            ("truth", _style.GROUND_TRUTH),
            ("explained", _style.EXPLANATION),
        )
    }
    assert counts["both"] / sum(counts.values()) == pytest.approx(best.value)


@pytest.mark.parametrize("masked", [True, False], ids=["no defect", "no ground truth"])
def test_strip_without_a_defect_has_no_overlap_panels(sample, masked):
    image, mask, heatmaps = sample
    figure = strip(
        image,
        image,
        mask * 0.0,
        heatmaps,
        mask=np.zeros_like(mask) if masked else None,
        optimal={name: (np.nan, np.nan) for name in heatmaps},
        score=0.2,
        threshold=0.5,
    )
    assert titles(figure) == ["image", "reconstruction", "anomaly map", "LIME", "SHAP"]
    assert all(ax.images for ax in figure.axes) and not figure.legends
    assert "score 0.2 ≤ 0.5: passed" in words(figure)


@pytest.mark.parametrize("shape", [(96, 96), (128, 48), (192, 64), (48, 128)])
def test_a_panel_is_at_least_160_pixels_wide_and_as_the_image_is_shaped(shape):
    figure = sample_strip(Sample(np.zeros((*shape, 1)), {}))
    box = figure.axes[0].get_position()
    width, height = (box.width, box.height) * figure.get_size_inches() * figure.dpi
    assert width >= 160
    assert height / width == pytest.approx(shape[0] / shape[1])


def test_strip_of_a_failed_explanation_says_so(sample):
    image, mask, heatmaps = sample
    heatmaps["SHAP"] = np.full(mask.shape, np.nan)
    figure = strip(
        image, image, mask * 1.0, heatmaps, mask=mask, optimal={"SHAP": (np.nan, np.nan)}
    )
    assert [ax.texts[0].get_text() for ax in figure.axes[-2:]] == ["not available", "not available"]


def test_strip_decides_as_the_threshold_does(sample):
    image, mask, heatmaps = sample
    score = np.float32(0.1)
    # In float32 the two would be equal; as numbers the score is greater.
    assert float(score) > 0.1
    figure = strip(image, image, mask * 1.0, heatmaps, score=score, threshold=0.1)
    assert words(figure)[-1].endswith("flagged")


def test_strip_keeps_a_common_map_scale_and_dollars_in_names(sample):
    image, mask, heatmaps = sample
    name, scale = "a$b$\\frac_{<img>.png", MapScale(4.0, threshold=0.3)
    figure = strip(image, image, mask * 0.2, heatmaps, name=name, scale=scale)
    assert figure.axes[2].images[0].get_clim() == (0.0, 4.0)
    assert figure.axes[2].get_xlabel() == "0 to 4\nthreshold 0.3"
    figure.canvas.draw()
    assert "a$b$\\frac_{<img>.png" in words(figure)


def test_the_map_of_a_good_image_is_dark_where_its_score_is_a_value_of_it(sample):
    image, mask, heatmaps = sample
    figure = strip(image, image, mask * 0.02, heatmaps, score=0.02, threshold=0.5)
    drawn = figure.axes[2].images[0]
    assert drawn.get_clim() == (0.0, 0.5)
    assert figure.axes[2].get_xlabel() == "0 to 0.5\nthreshold 0.5"
    # A score that is a sum has a threshold that means nothing to a pixel.
    summed = strip(image, image, mask * 0.02, heatmaps, score=0.6, threshold=0.5).axes[2]
    assert summed.get_xlabel() == "0 to 0.02" and summed.images[0].get_clim() == (0.0, 0.02)


def test_every_heatmap_says_its_scale_within_the_picture(sample):
    image, mask, heatmaps = sample
    heatmaps["SHAP"][:] = mask * -0.25
    figure = strip(image, image, mask * 0.2, heatmaps, mask=mask, score=0.2, threshold=0.1)
    assert figure.axes[4].get_xlabel() == "±0.25"
    assert figure.axes[3].get_xlabel() == f"±{np.abs(heatmaps['LIME']).max():.3g}"
    figure.draw_without_rendering()
    below = [ax.xaxis.label.get_window_extent() for ax in figure.axes[2:5]]
    words = [text for text in figure.texts if text.get_text().startswith("heatmaps:")]
    assert all(box.y0 >= 0 for box in below) and len(words) == 1
    # The line on what colours mean is below all of them.
    assert words[0].get_window_extent().y1 <= min(box.y0 for box in below)


def test_a_heatmap_without_regions_has_no_panel(sample):
    image, mask, heatmaps = sample
    mixed = {"LIME": np.zeros_like(heatmaps["LIME"]), "SHAP": heatmaps["SHAP"]}
    optimal = {name: optimal_jaccard(heatmap, mask) for name, heatmap in mixed.items()}
    shown = titles(sample_strip(Sample(image, mixed, mask=mask, optimal=optimal)))
    assert shown == ["image", "SHAP", "SHAP: overlap"]


def test_strip_refuses_what_does_not_fit(sample):
    image, mask, heatmaps = sample
    with pytest.raises(ValueError, match="mask must have the image's shape"):
        strip(image, image, mask * 1.0, heatmaps, mask=mask[1:])
    with pytest.raises(ValueError, match="anomaly_map must have the image's shape"):
        strip(image, image, mask[1:] * 1.0, heatmaps)
    with pytest.raises(ValueError, match=r"optimal must only name explainers.*\['GradCAM'\]"):
        strip(image, image, mask * 1.0, heatmaps, mask=mask, optimal={"GradCAM": (0.5, 0.1)})


def test_a_strip_has_only_the_panels_of_what_its_sample_has(sample):
    image, mask, heatmaps = sample
    whole = Sample(image, heatmaps, 1 - image, mask * 1.0, mask, repaired=(1 - image, 0.25))
    figure = sample_strip(whole, counterpart_name="nearest good image")
    assert titles(figure) == [
        "image",
        "nearest good image",
        "anomaly map",
        "defect repaired",
        "LIME",
        "SHAP",
    ]
    assert figure.axes[3].texts[0].get_text() == "score 0.25"
    assert titles(sample_strip(Sample(image, {}))) == ["image"]


def test_the_title_is_the_name_or_another_and_an_empty_one_leaves_the_score_out(sample):
    image, mask, heatmaps = sample
    one = Sample(image, heatmaps, score=0.7, name="000.png")
    assert {"000.png", "score 0.7 > 0.5: flagged"} <= set(words(sample_strip(one, 0.5)))
    titled = words(sample_strip(one, 0.5, title="right reason"))
    assert {"right reason", "score 0.7 > 0.5: flagged"} <= set(titled)
    assert not {"000.png", "right reason"} & set(words(sample_strip(one, 0.5, title="")))
    assert not any("0.7" in text for text in words(sample_strip(one, 0.5, title="")))
