"""Filmstrip and walk: what their panels hold."""

import numpy as np
import pytest

from adhelpers.reports import sample_film, search_walk


def test_the_film_has_a_row_for_each_epoch_and_one_of_good_images():
    random = np.random.default_rng(0)
    frames, good = random.random((3, 4, 8, 8, 1)), random.random((9, 8, 8, 1))
    figure = sample_film(frames, [1, 10, 100], images=good)
    assert [ax.get_title("left") for ax in figure.axes][::4] == [
        "epoch 1",
        "epoch 10",
        "epoch 100",
        "good images",
    ]
    np.testing.assert_allclose(figure.axes[6].images[0].get_array(), frames[1, 2, ..., 0])
    np.testing.assert_allclose(figure.axes[15].images[0].get_array(), good[3, ..., 0])
    assert len({round(ax.get_position().y0, 6) for ax in figure.axes}) == 4


def test_the_film_leaves_no_empty_panels_where_good_images_are_few():
    assert len(sample_film(np.zeros((1, 4, 8, 8, 3)), [7], images=np.zeros((2, 8, 8, 3))).axes) == 6
    assert len(sample_film(np.zeros((1, 4, 8, 8, 3)), [7]).axes) == 4


@pytest.mark.parametrize(
    "frames, epochs, message",
    [
        (np.zeros((0, 2, 8, 8, 1)), [], "frames must have the shape"),
        (np.zeros((2, 8, 8, 1)), [1, 2], "frames must have the shape"),
        (np.zeros((2, 2, 8, 8, 1)), [1], "epochs must have one entry for each of the 2"),
    ],
)
def test_the_film_refuses_what_does_not_fit(frames, epochs, message):
    with pytest.raises(ValueError, match=message):
        sample_film(frames, epochs)


def test_the_walk_shows_image_steps_losses_and_what_is_left():
    random = np.random.default_rng(0)
    images, walks = random.random((2, 8, 8, 3)), random.random((2, 3, 8, 8, 3))
    figure = search_walk(
        images, walks, [0, 20, 500], [[30, 20, 10], [90, 80, 70.5]], ["good", "crack"]
    )
    steps = ["step 0", "step 20", "step 500", "difference"]
    *panels, bar = figure.axes
    assert [ax.get_title("left") for ax in panels] == ["good", *steps, "crack", *steps]
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == [
        "A 30",
        "A 20",
        "A 10",
        "A 90",
        "A 80",
        "A 70.5",
    ]
    np.testing.assert_allclose(panels[7].images[0].get_array(), walks[1, 1])
    left = np.abs(images - walks[:, -1]).mean(axis=-1)
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0", f"{left.max():.3g}"]
    for index, ax in enumerate((panels[4], panels[9])):
        np.testing.assert_allclose(ax.images[0].get_array(), left[index])
        assert ax.images[0].get_clim() == (0.0, left.max())


def test_the_walk_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"walks must have the shape \(2, 3, 8, 8, 1\)"):
        search_walk(np.zeros((2, 8, 8, 1)), np.zeros((2, 2, 8, 8, 1)), [0, 1, 2], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="titles must have one entry"):
        search_walk(
            np.zeros((2, 8, 8, 1)), np.zeros((2, 1, 8, 8, 1)), [0], np.zeros((2, 1)), ["one"]
        )
