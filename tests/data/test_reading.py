"""An image together with its mask, and what is said of both."""

import contextlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import tifffile

from adhelpers.data import CategoryError, check_category, load_category
from adhelpers.data.reading import MOST_BYTES, Entry, FileProblem, leads_out, read_entry, to_color


def notes(root, kind="cut"):
    entry = Entry(
        "test",
        kind,
        f"test/{kind}/000.png",
        root / f"bar/test/{kind}/000.png",
        (root / f"bar/ground_truth/{kind}/000_mask.png",),
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


def sparse(path):
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)


def listening(path):
    """A socket at a path, which must be short: it is bound from its folder."""
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


NO_FILES = {
    "is a named pipe": os.mkfifo,
    "is a socket": listening,
    "is a device": lambda path: path.symlink_to("/dev/zero"),
    "has 600 MB": sparse,
    "No such file": lambda path: path.symlink_to("nowhere.png"),
    "Too many levels": lambda path: path.symlink_to(path.name),
    "is a link out of the data set": lambda path: path.symlink_to(Path(__file__)),
}


@pytest.mark.parametrize("text", NO_FILES)
@pytest.mark.parametrize(
    "name",
    ["train/good/a.png", "test/cut/000.png", "ground_truth/cut/000_mask.png"],
)
def test_only_regular_files_of_the_data_set_are_read(root, name, text):
    path = root / "bar" / name
    path.unlink(missing_ok=True)
    NO_FILES[text](path)
    with pytest.raises(CategoryError) as caught:
        load_category(root, "bar", image_size=16)
    (problem,) = caught.value.problems
    # A device lies outside the data set, too.
    assert problem.startswith(f"{name}: ") and (text in problem or "is a link out" in problem)
    assert check_category(root, "bar").problems == [problem]


def test_what_a_device_is_called_where_any_place_is_allowed():
    with pytest.raises(FileProblem, match="a: is a device; only regular files are read"):
        read_entry(Entry("train", "good", "a", Path("/dev/zero")))


def test_links_within_the_data_set_are_followed(root, tmp_path):
    """Also to another category of the same root, and where the category itself is a link."""
    (root / "store").mkdir()
    for path in sorted((root / "bar/train/good").iterdir()):
        moved = path.rename(root / "store" / path.name)
        path.symlink_to(Path("../../../store", moved.name))
    before = load_category(root, "bar", image_size=16)
    other = tmp_path / "links"
    other.mkdir()
    (root / "bar/train/good/000.png").unlink()
    (root / "store/000.png").rename(root / "bar/train/good/000.png")
    (other / "bar").symlink_to(root / "bar")
    assert leads_out(root / "bar/train/good/001.png", [other.resolve()])
    # The links of a linked category lead into the root that it is linked to, not into this one.
    with pytest.raises(CategoryError, match="001.png: is a link out of the data set"):
        load_category(other, "bar", image_size=16)
    for path in sorted((root / "store").iterdir()):
        path.replace(root / "bar/train/good" / path.name)
    assert load_category(other, "bar", image_size=16).fingerprint == before.fingerprint
