"""The explorer: its picture follows its controls; without a kernel it is a fixed grid."""

from io import BytesIO

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from adhelpers.metrics import Threshold
from adhelpers.reports.explore import _detail, _map_scale, explore
from adhelpers.reports.maps import MapScale
from adhelpers.reports.sample import Sample


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    masks = np.zeros((5, 16, 8), dtype=bool)
    masks[1:, 2:6, 2:6] = True
    return {
        "images": random.random((5, 16, 8, 1)),
        "scores": np.array([0.1, 0.9, 0.3, 0.7, 0.5]),
        "heatmaps": {
            "LIME": random.normal(size=(5, 16, 8)),
            "SHAP": masks + 0.01 * random.random((5, 16, 8)),
        },
        "masks": masks,
        "types": ["good", "cut", "cut", "hole", "hole"],
        "names": [f"test/{n}.png" for n in range(5)],
        "threshold": Threshold(0.4, "by hand", False),
    }


@pytest.fixture(autouse=True)
def interactive(monkeypatch):
    monkeypatch.delenv("ADHELPERS_STATIC", raising=False)


def look(images, scores, heatmaps, masks=None, types=None, names=None, threshold=None, **options):
    samples = [
        Sample(
            image,
            {name: values[index] for name, values in heatmaps.items()},
            mask=None if masks is None else masks[index],
            score=scores[index],
            name="" if names is None else names[index],
            type="" if types is None else types[index],
        )
        for index, image in enumerate(images)
    ]
    return explore(samples, threshold, **options)


def parts(box):
    controls, text, picture = box.children
    return *controls.children, text, picture


def test_controls_move_the_picture_and_the_words(data):
    index, explainer, quantile, text, picture = parts(look(**data))
    assert (index.min, index.max) == (0, 4) and explainer.options == ("LIME", "SHAP")
    assert (
        "test/0.png" in text.value
        and "score 0.1, passed" in text.value
        and "threshold 0.4: by hand" in text.value
    )
    pictures = [picture.value]
    index.value = 3
    assert (
        "test/3.png" in text.value and "hole" in text.value and "score 0.7, flagged" in text.value
    )
    pictures.append(picture.value)
    explainer.value = "SHAP"
    pictures.append(picture.value)
    quantile.value = 0.5
    pictures.append(picture.value)
    assert len(set(pictures)) == 4 and all(
        Image.open(BytesIO(content)).format == "WEBP" for content in pictures
    )


def test_region_is_what_lies_at_or_above_the_quantile():
    heatmap, mask = np.arange(100.0).reshape(10, 10), np.zeros((10, 10), dtype=bool)
    mask[8:] = True
    figure = _detail(Sample(np.zeros((10, 10, 1)), {"LIME": heatmap}, mask=mask), "LIME", 0.9)
    # The top ten pixels, all inside a defect of twenty.
    assert figure.axes[-1].texts[0].get_text() == "J 0.50"
    assert [ax.get_title("left") for ax in figure.axes] == [
        "image",
        "LIME, region",
        "against the truth",
    ]


@pytest.mark.parametrize(
    "missing",
    [("masks",), ("names", "types"), ("threshold",), ("masks", "types", "names", "threshold")],
)
def test_everything_optional_can_be_left_out(data, missing):
    box = look(**{name: value for name, value in data.items() if name not in missing})
    assert isinstance(box, ipywidgets.VBox) and parts(box)[-1].value


def test_all_panels_and_a_failed_explanation(data):
    data["heatmaps"]["LIME"][0] = np.nan
    data["masks"] = None
    image = data["images"][0]
    sample = Sample(image, {"LIME": data["heatmaps"]["LIME"][0]}, image, image[..., 0])
    figure = _detail(sample, "LIME", 0.9, "counterpart")
    assert [ax.get_title("left") for ax in figure.axes] == [
        "image",
        "counterpart",
        "anomaly map",
        "LIME, region",
        "region",
    ]
    assert figure.axes[3].texts[0].get_text() == "not available"
    scaled = _detail(sample, "LIME", 0.9, scale=MapScale(4.0, threshold=2.0)).axes[2]
    assert scaled.get_xlabel() == "0 to 4\nthreshold 2"
    assert scaled.images[0].get_clim() == (0.0, 4.0)
    assert parts(look(**data))[-1].value


def test_all_maps_that_are_looked_through_have_one_scale(data):
    maps = np.zeros((5, 16, 8))
    maps[:, 3, 3] = data["scores"]
    samples = [
        Sample(image, {"LIME": one}, anomaly_map=one, score=float(score))
        for image, one, score in zip(data["images"], maps, data["scores"], strict=True)
    ]
    assert _map_scale(samples[:1], 0.4).ends == (0.0, 0.4)
    # The 0.9 quantile of five maxima: six tenths of the way from 0.7 to 0.9.
    whole = _map_scale(samples, data["threshold"])
    assert whole.ends == pytest.approx((0.0, 0.82)) and whole.threshold == 0.4
    assert _map_scale([Sample(data["images"][0], {"LIME": maps[0]}, score=0.1)], 0.4) is None
    box = explore(samples, data["threshold"])
    box.children[0].children[0].value = 1
    assert parts(box)[-1].value


def test_a_hostile_name_stays_text(data):
    data["names"][0] = "<img src=x onerror=alert(1)>.png"
    text = parts(look(**data))[3].value
    assert "<img" not in text and "&lt;img src=x onerror=alert(1)&gt;.png" in text


@pytest.mark.parametrize(
    "value, kind", [("1", Figure), ("0", ipywidgets.VBox), ("", ipywidgets.VBox)]
)
def test_the_environment_variable_chooses_the_fixed_grid(data, monkeypatch, value, kind):
    monkeypatch.setenv("ADHELPERS_STATIC", value)
    assert isinstance(look(**data), kind)


def test_fixed_grid_spreads_over_the_scores_and_outlines_defects(data, monkeypatch):
    monkeypatch.setenv("ADHELPERS_STATIC", "1")
    figure = look(**data, max_static=3)
    assert [ax.get_title("left") for ax in figure.axes] == ["image", "LIME", "SHAP"] * 3
    captions = [figure.axes[position].texts[0].get_text() for position in (0, 3, 6)]
    assert [caption.split()[0].removeprefix("test/") for caption in captions] == [
        "0.png",
        "4.png",
        "1.png",
    ]
    assert captions[0].endswith("score 0.1, passed") and captions[2].endswith("score 0.9, flagged")
    assert [len(ax.collections) for ax in figure.axes] == [0] * 3 + [1] * 6
    np.testing.assert_allclose(figure.axes[4].images[0].get_array(), data["heatmaps"]["LIME"][4])
    largest = np.abs(data["heatmaps"]["LIME"][4]).max()
    assert figure.axes[4].get_xlabel() == f"±{largest:.3g}"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": np.zeros((0, 16, 8, 1))}, "samples must hold at least one"),
        ({"heatmaps": {}}, "heatmaps must name at least one explainer"),
        ({"scores": [0.1] + 4 * [None]}, r"samples\[1\] must have a score"),
        ({"masks": np.zeros((5, 8, 8), dtype=bool)}, "mask must have the image's shape"),
        (
            {"heatmaps": {"LIME": np.zeros((5, 8, 8))}},
            r"heatmaps\['LIME'\] must have the image's shape",
        ),
    ],
)
def test_bad_input_is_named(data, change, message):
    with pytest.raises(ValueError, match=message):
        look(**(data | change))


def test_samples_that_differ_cannot_be_looked_through(data):
    image, plane = data["images"][0], data["masks"][0]
    first = Sample(image, {"LIME": plane}, score=0.1)
    with pytest.raises(ValueError, match=r"samples\[1\] must have heatmaps of LIME as the first"):
        explore([first, Sample(image, {"SHAP": plane}, score=0.1)])
    other = Sample(image[:8], {"LIME": plane[:8]}, score=0.1)
    with pytest.raises(ValueError, match=r"samples\[1\] must have an image of the first one's"):
        explore([first, other])
