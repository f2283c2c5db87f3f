"""Figures of explanations and of their review: what their panels and lines hold."""

import numpy as np
import pytest

from adhelpers.audit import review_curve
from adhelpers.reports import explanation_grid, review_figure


def test_the_grid_lays_the_heat_over_each_image():
    random = np.random.default_rng(0)
    images, maps = random.random((3, 8, 8, 3)), random.random((3, 8, 8))
    tags = np.zeros((3, 8, 8), bool)
    tags[1, 2:4, 2:4] = True
    figure = explanation_grid(images, maps, ["a", "b", "c"], tags=tags, columns=2)
    assert [ax.get_title("left") for ax in figure.axes] == ["a", "b", "c"]
    for ax, image, heat in zip(figure.axes, images, maps, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), image @ [0.299, 0.587, 0.114])
        np.testing.assert_allclose(ax.images[1].get_array(), heat)
    assert [bool(ax.collections) for ax in figure.axes] == [False, True, False]
    own = explanation_grid(images, maps, ["a", "b", "c"], note="colour from 0 to 7")
    for drawn, said in ((figure, "colour from 0 to 1"), (own, "colour from 0 to 7")):
        assert said in [text.get_text() for text in drawn.texts]


def test_without_maps_the_images_keep_their_colours():
    images = np.random.default_rng(0).random((2, 8, 8, 3))
    for ax, image in zip(explanation_grid(images, None, ["a", "b"]).axes, images, strict=True):
        assert len(ax.images) == 1 and len(ax.figure.texts) == 2
        np.testing.assert_allclose(ax.images[0].get_array(), image)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((0, 8, 8, 3)), np.zeros((0, 8, 8)), []), "images must have the shape"),
        (
            (np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 9)), ["a"]),
            "heatmaps must have the image's shape",
        ),
        ((np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8)), ["a", "b"]), "titles must have one entry"),
        (
            (np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8)), ["a"], np.zeros((2, 8, 8))),
            "defects must have one entry",
        ),
    ],
)
def test_the_grid_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        explanation_grid(*arguments)


def curve():
    return review_curve(
        {"distance": [0.9, 0.8, 0.1, 0.2], "certainty": [0.1, 0.2, 0.3, 0.4]},
        [0, 0, 1, 1],
        [1, 0, 1, 1],
    )


def test_every_way_of_choosing_is_a_line_the_first_score_in_front():
    figure = review_figure(curve(), gain=0.25, most=0.75)
    (ax,) = figure.axes
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["distance", "certainty", "ideal", "random"]
    np.testing.assert_allclose(
        lines["distance"].get_xydata(), [[0, 0.75], [0.25, 1], [0.5, 1], [0.75, 1]]
    )
    assert ax.get_title("left") == "What a review gains: +25 points after 25.0 % of the images"


def test_a_gain_that_is_never_reached_says_so():
    (ax,) = review_figure(curve(), gain=0.3).axes
    assert ax.get_title("left").endswith("+30 points not even after all of the images")
    with pytest.raises(ValueError, match="most must lie in"):
        review_figure(curve(), most=0)
