import numpy as np
import pytest

from adhelpers.detectors import Preprocessing


@pytest.fixture
def red():
    images = np.zeros((1, 4, 6, 3), np.float32)
    images[..., 0] = 1
    return images


def test_nothing_is_done_unless_asked_for(red):
    assert Preprocessing().prepare(red) is not None
    assert (Preprocessing().prepare(red) == red).all() and Preprocessing().facts() == []


def test_the_order_of_steps_is_colours_range_mean(red):
    """Means are in the model's order of channels: for BGR the first belongs to blue."""
    asked = Preprocessing(bgr=True, scale=255, mean=(10, 20, 30), std=(1, 2, 5), layout="NCHW")
    taken = asked.prepare(red)
    assert taken.shape == (1, 3, 4, 6)
    assert taken[0, :, 0, 0].tolist() == [-10, -10, 45]
    assert np.allclose(asked.undo(taken), red)


def test_size_and_colours_are_made_to_fit(red):
    assert Preprocessing(size=(8, 8), channels=1).prepare(red).shape == (1, 8, 8, 1)
    grey = np.full((1, 4, 4, 1), 0.5, np.float32)
    assert Preprocessing(channels=3).prepare(grey).shape == (1, 4, 4, 3)
    # Luma and not the mean of the channels.
    assert np.allclose(Preprocessing(channels=1).prepare(red), 0.299)


def test_what_is_left_open_is_as_it_was_found():
    found = Preprocessing(size=(8, 8), channels=3, layout="NCHW", scale=255, bgr=True)
    assert Preprocessing(bgr=False, scale=1).over(found) == Preprocessing(
        size=(8, 8), channels=3, layout="NCHW", scale=1, bgr=False
    )


def test_lists_are_taken_as_a_command_line_gives_them():
    assert Preprocessing(size=[8, 8], mean=[0.5]) == Preprocessing(size=(8, 8), mean=(0.5,))


def test_it_says_what_it_does():
    facts = Preprocessing(channels=3, bgr=True, scale=255, mean=(1, 2, 3), std=(0.5,)).facts()
    assert facts == [
        "Grey images are repeated in three channels",
        "The detector gets them in the order blue, green, red, from 0 to 255, "
        "minus 1 / 2 / 3, divided by 0.5",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": 4}, "channels must be 1 or 3, not 4"),
        ({"size": (0, 8)}, "size must be a height and a width"),
        ({"layout": "NWHC"}, "layout must be one of NCHW, NHWC"),
        ({"scale": 0}, "scale must be a number above 0"),
        ({"scale": float("nan")}, "scale must be a number above 0"),
        ({"mean": (1, 2)}, "mean must have 1 or 3 numbers, not 2"),
        ({"mean": (1, 2, 3), "channels": 1}, "mean must have 1 numbers, not 3"),
        ({"std": (0,)}, "std must be finite numbers above 0"),
        ({"bgr": True, "channels": 1}, "bgr is for three channels"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**wrong)
