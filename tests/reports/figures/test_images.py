"""Pictures made of images: what their panels hold."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from adhelpers.metrics import Threshold, optimal_jaccard
from adhelpers.reports import style as _style
from adhelpers.reports.figures import images as pictures


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


def titles(figure):
    return [ax.get_title("left") for ax in figure.axes]


def words(figure):
    return [text.get_text() for text in figure.texts]


def test_strip_shows_every_panel_with_its_content(sample):
    image, mask, heatmaps = sample
    optimal = {name: optimal_jaccard(heatmap, mask) for name, heatmap in heatmaps.items()}
    figure = pictures.sample_strip(
        image,
        1 - image,
        mask.astype(float),
        heatmaps,
        mask=mask,
        optimal=optimal,
        title="test/crack/000.png",
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
    entries = zip(legend.get_texts(), legend.get_patches())
    assert {text.get_text(): to_hex(patch.get_facecolor()).upper() for text, patch in entries} == {
        "overlap": _style.OVERLAP,
        "ground truth only": _style.GROUND_TRUTH,
        "explanation only": _style.EXPLANATION,
    }


def test_strip_region_is_that_of_the_optimal_threshold(sample):
    image, mask, heatmaps = sample
    best = optimal_jaccard(heatmaps["SHAP"], mask)
    figure = pictures.sample_strip(
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


def test_strip_of_a_good_image_says_no_defect(sample):
    image, mask, heatmaps = sample
    figure = pictures.sample_strip(
        image,
        image,
        mask * 0.0,
        heatmaps,
        mask=np.zeros_like(mask),
        optimal={name: (np.nan, np.nan) for name in heatmaps},
        score=0.2,
        threshold=0.5,
    )
    assert [ax.texts[0].get_text() for ax in figure.axes[-2:]] == ["no defect", "no defect"]
    assert not any(ax.images for ax in figure.axes[-2:]) and not figure.legends
    assert "score 0.2 ≤ 0.5: passed" in words(figure)


def test_strip_without_masks_has_no_overlap_panels_or_says_why(sample):
    image, mask, heatmaps = sample
    assert len(pictures.sample_strip(image, image, mask * 1.0, heatmaps).axes) == 5
    figure = pictures.sample_strip(
        image, image, mask * 1.0, heatmaps, optimal={"LIME": (np.nan, np.nan)}
    )
    assert figure.axes[-1].texts[0].get_text() == "no ground truth"


def test_strip_of_a_failed_explanation_says_so(sample):
    image, mask, heatmaps = sample
    heatmaps["SHAP"] = np.full(mask.shape, np.nan)
    figure = pictures.sample_strip(
        image, image, mask * 1.0, heatmaps, mask=mask, optimal={"SHAP": (np.nan, np.nan)}
    )
    assert [ax.texts[0].get_text() for ax in figure.axes[-2:]] == ["not available", "not available"]


def test_strip_decides_as_the_threshold_does(sample):
    image, mask, heatmaps = sample
    score = np.float32(0.1)
    # In float32 the two would be equal; as numbers the score is greater.
    assert float(score) > 0.1
    figure = pictures.sample_strip(image, image, mask * 1.0, heatmaps, score=score, threshold=0.1)
    assert words(figure)[-1].endswith("flagged")


def test_strip_keeps_a_common_map_scale_and_dollars_in_names(sample):
    image, mask, heatmaps = sample
    figure = pictures.sample_strip(
        image, image, mask * 0.2, heatmaps, title="a$b$\\frac_{<img>.png", map_limit=4.0
    )
    assert figure.axes[2].images[0].get_clim() == (0.0, 4.0)
    figure.canvas.draw()
    assert "a$b$\\frac_{<img>.png" in words(figure)


def test_strip_refuses_what_does_not_fit(sample):
    image, mask, heatmaps = sample
    with pytest.raises(ValueError, match="mask must have the image's shape"):
        pictures.sample_strip(image, image, mask * 1.0, heatmaps, mask=mask[1:])
    with pytest.raises(ValueError, match="anomaly_map must have the image's shape"):
        pictures.sample_strip(image, image, mask[1:] * 1.0, heatmaps)
    with pytest.raises(ValueError, match=r"optimal must only name explainers.*\['GradCAM'\]"):
        pictures.sample_strip(
            image, image, mask * 1.0, heatmaps, mask=mask, optimal={"GradCAM": (0.5, 0.1)}
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_image_grid_shows_all_and_no_empty_panels(channels):
    images = np.random.default_rng(0).random((7, 16, 6, channels))
    figure = pictures.image_grid(
        images, titles=[f"image {n}" for n in range(7)], columns=4, title="Good"
    )
    assert titles(figure) == [f"image {n}" for n in range(7)]
    assert len({round(ax.get_position().y0, 6) for ax in figure.axes}) == 2
    np.testing.assert_allclose(figure.axes[6].images[0].get_array(), images[6].squeeze())


def test_image_grid_refuses_nothing_and_too_few_titles():
    with pytest.raises(ValueError, match="images must hold at least one"):
        pictures.image_grid(np.zeros((0, 4, 4, 1)))
    with pytest.raises(
        ValueError, match="titles must have one entry for each of the 2 images; it has 1"
    ):
        pictures.image_grid(np.zeros((2, 4, 4, 1)), titles=["a"])


def test_ground_truth_grid_spreads_over_sizes_and_leaves_good_images_out():
    masks = np.zeros((9, 10, 10), dtype=bool)
    for index in range(1, 9):
        masks[index, 0, :index] = True
    figure = pictures.ground_truth_grid(
        np.zeros((9, 10, 10, 3)), masks, ["good"] + ["cut"] * 8, per_type=3
    )
    assert titles(figure) == ["cut"] * 3
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["1 %", "5 %", "8 %"]
    assert all(len(ax.collections) == 1 for ax in figure.axes)
    with pytest.raises(ValueError, match="masks must hold at least one defect"):
        pictures.ground_truth_grid(np.zeros((1, 10, 10, 3)), masks[:1], ["good"])


def test_reconstruction_grid_shares_one_scale_and_has_its_bar():
    random = np.random.default_rng(1)
    images, maps = (
        random.random((3, 16, 16, 3)),
        random.random((3, 16, 16)) * np.array([1, 2, 5]).reshape(3, 1, 1),
    )
    figure = pictures.reconstruction_grid(
        images, 1 - images, maps, titles=["a", "b", "c"], scores=[0.1, 0.2, 0.3]
    )
    panels, bar = figure.axes[:-1], figure.axes[-1]
    assert titles(figure)[:-1] == ["image", "reconstruction", "anomaly map"] * 3
    assert {panels[position].images[0].get_clim() for position in (2, 5, 8)} == {
        (maps.min(), maps.max())
    }
    np.testing.assert_allclose(panels[4].images[0].get_array(), 1 - images[1])
    assert panels[3].texts[0].get_text() == "b   score 0.2"
    assert bar.get_ylim() == pytest.approx((maps.min(), maps.max()))


def test_superpixel_overlay_fills_each_with_its_mean():
    image = np.zeros((8, 8, 1))
    image[:, 4:] = np.array([0.2, 0.6] * 2)[None, :, None]
    segments = np.repeat([[5] * 4 + [9] * 4], 8, axis=0)
    figure = pictures.superpixel_overlay(image, segments)
    borders, means = figure.axes[1].images[0].get_array(), figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(means[0, :, 0], [0] * 4 + [0.4] * 4)
    yellow = (np.abs(borders - [1.0, 0.85, 0.1]) < 1e-9).all(axis=2)
    assert yellow.any() and set(np.flatnonzero(yellow.any(axis=0))) <= {15, 16}
    with pytest.raises(ValueError, match="segments must have the image's shape"):
        pictures.superpixel_overlay(image, segments[1:])


@pytest.mark.parametrize(("lowest", "diverging"), [(-0.5, True), (-0.001, False), (0.0, False)])
def test_reconstruction_grid_has_one_kind_of_colours(lowest, diverging):
    images = np.zeros((2, 8, 8, 1))
    maps = np.stack([np.full((8, 8), 1.0), np.full((8, 8), lowest)])
    drawn = [
        ax.images[0] for ax in pictures.reconstruction_grid(images, images, maps).axes if ax.images
    ][2:6:3]
    assert {one.get_cmap().name for one in drawn} == {
        _style.DIVERGING if diverging else _style.SEQUENTIAL
    }
    assert {one.get_clim() for one in drawn} == {(-1.0 if diverging else 0.0, 1.0)}
