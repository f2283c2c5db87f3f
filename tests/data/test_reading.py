"""An image together with its mask, and what is said of both."""

import numpy as np
import pytest
import tifffile

from adhelpers.data import load_category
from adhelpers.data.reading import Entry, FileProblem, read_entry, to_color


def notes(root, kind="cut"):
    entry = Entry(
        "test",
        kind,
        f"test/{kind}/000.png",
        root / f"bar/test/{kind}/000.png",
        root / f"bar/ground_truth/{kind}/000_mask.png",
    )
    return doubts(read_entry(entry))


def doubts(content):
    """Values of the notes but those that every file has."""
    return {note.kind: note.value for note in content.notes if not note.text}


def test_grey_and_rgb_are_turned_into_each_other(root):
    image = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]], np.float32)
    assert to_color(image, "grayscale")[0, :, 0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert to_color(image[..., :1], "rgb").shape == (1, 3, 3)
    assert load_category(root, "bar", image_size=16, color="rgb").train.images.shape[-1] == 3


def test_implausible_masks_are_noted(root, write):
    mask = root / "bar/ground_truth/cut/000_mask.png"
    assert notes(root) == {}
    write(mask, np.zeros((40, 30), np.uint8))
    assert notes(root) == {"mask_empty": 0}
    covering = np.zeros((40, 30), np.uint8)
    covering[:30] = 255
    write(mask, covering)
    assert notes(root) == {"mask_covers_most": 0.75}
    alpha = np.zeros((40, 30, 4), np.uint8)
    alpha[3:6, 3:6, 3] = 255
    write(mask, alpha)
    assert notes(root) == {"mask_in_alpha": 0}


def test_a_mask_of_a_good_image_is_refused_unless_it_is_empty(root, write):
    mask = root / "bar/ground_truth/good/000_mask.png"
    write(mask, np.zeros((40, 30), np.uint8))
    assert notes(root, "good") == {}
    write(mask, np.ones((40, 30), np.uint8))
    with pytest.raises(FileProblem, match="000_mask.png: marks a defect in an image of the type"):
        notes(root, "good")


def test_extra_bands_and_the_largest_value_are_noted(tmp_path):
    pixels = np.zeros((8, 9, 5), np.uint16)
    pixels[2, 3, 1] = 4000
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[0, 0])
    content = read_entry(Entry("train", "good", "train/good/a.tif", tmp_path / "a.tif"))
    assert doubts(content) == {"extra_bands": 2, "peak": 4000}
    assert {note.kind: note.text for note in content.notes if note.text} == {
        "size": "8x9",
        "mode": "rgb",
        "bits": "16",
    }
    assert content.image.shape == (8, 9, 3) and (content.bits, content.mode) == (16, "rgb")
    deep = read_entry(Entry("train", "good", "train/good/a.tif", tmp_path / "a.tif"), bit_depth=12)
    assert deep.image.max() == pytest.approx(4000 / 4095) and deep.grey_levels == 4095
    assert list(doubts(deep)) == ["extra_bands"]
