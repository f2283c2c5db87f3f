import numpy as np
import pytest
from PIL import Image

from adhelpers.data import CategoryError, Corrections, describe_category, load_category
from adhelpers.data.deciding import carries_colour


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(pixels)).save(path, **options)


def write(root, make, count=6, suffix="png", **options):
    """A category "part" of ``make(index)``, with one test image of each class."""
    for index in range(count):
        save(root / f"part/train/good/{index}.{suffix}", make(index), **options)
    save(root / f"part/test/good/0.{suffix}", make(count), **options)
    save(root / f"part/test/cut/0.{suffix}", make(count + 1), **options)
    return root


def noise(index, shape=(60, 80)):
    return np.random.default_rng(index).integers(60, 200, shape, dtype=np.uint8)


def bar(index, row=None):
    """A dark bar on a light ground that moves from image to image."""
    image = np.full((60, 80), 200, np.uint8)
    row = 10 + 6 * index % 40 if row is None else row
    image[row : row + 8, 12:68] = 50
    return image


def test_a_grey_picture_saved_in_three_channels_carries_no_colour(tmp_path):
    grey = noise(0)
    three = np.stack([grey] * 3, axis=-1)
    save(tmp_path / "grey.jpg", three, quality=60)
    read = np.asarray(Image.open(tmp_path / "grey.jpg"), float) / 255
    assert not carries_colour([read, three / 255])
    # A part of the size of a coin is enough.
    three[20:30, 20:30] = [200, 60, 60]
    assert carries_colour([read, three / 255])


@pytest.mark.parametrize(
    "make, kind",
    [
        (noise, "surface"),
        (bar, "long objects"),
        (lambda index: noise(0) // 2 + noise(index) // 4, "same scene"),
    ],
)
def test_what_good_images_show(tmp_path, make, kind):
    facts = describe_category(write(tmp_path, make), "part")
    assert facts.kind == kind and facts.size == (60, 80) and not facts.coloured
    assert facts.tested == {"good": 1, "cut": 1} and facts.good == 6 and facts.masks == 0


def test_one_image_without_an_axis_forbids_the_turn(tmp_path):
    def make(index):
        image = bar(index)
        if index == 3:
            image[:] = 200
            image[20:40, 30:50] = 50
        return image

    facts = describe_category(write(tmp_path, make), "part")
    assert facts.has_object and not facts.has_axis and facts.kind == "objects"


def test_images_of_one_colour_are_like_nothing(tmp_path):
    facts = describe_category(write(tmp_path, lambda _: np.full((20, 20), 90)), "part")
    assert facts.likeness == 0 and facts.kind == "surface"


def test_test_images_have_no_say(tmp_path):
    facts = describe_category(write(tmp_path, noise), "part")
    for kind in ("good", "cut"):
        save(tmp_path / f"part/test/{kind}/0.png", np.zeros((5, 5, 3)) + [200, 10, 10])
    assert describe_category(tmp_path, "part") == facts


def test_files_that_cannot_be_read_are_named(tmp_path):
    write(tmp_path, noise)
    (tmp_path / "part/train/good/2.png").write_bytes(b"no picture")
    with pytest.raises(CategoryError, match="train/good/2.png"):
        describe_category(tmp_path, "part")
    for index in range(1, 6):
        (tmp_path / f"part/train/good/{index}.png").unlink()
    with pytest.raises(CategoryError, match="at least three are needed"):
        describe_category(tmp_path, "part")


def test_a_size_keeps_the_proportions_and_no_side_gets_too_short(tmp_path):
    facts = describe_category(write(tmp_path, lambda i: noise(i, (30, 300))), "part")
    assert facts.loaded_size(128, 32) == (32, 320)
    facts = describe_category(write(tmp_path, noise), "part")
    assert facts.loaded_size(128, 32) == (96, 128)


def test_auto_loads_colour_where_there_is_any_and_crops_where_objects_are_turned(tmp_path):
    def red(index):
        return np.stack([bar(index), bar(index) // 2, bar(index) // 2], axis=-1)

    options = {"corrections": Corrections(pose="auto", crop="auto"), "color": "auto"}
    found = load_category(write(tmp_path / "red", red), "part", (64, 0), **options).settings
    assert (found["color"], found["pose"], found["crop"]) == ("rgb", "axis", "object")
    found = load_category(write(tmp_path / "grey", noise), "part", (64, 0), **options).settings
    assert (found["color"], found["pose"], found["crop"]) == ("grayscale", "none", "none")
