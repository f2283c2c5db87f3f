"""The shells of IDID: which are cut out, and what they are."""

import json

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import CategoryError, load_idid
from adhelpers.data.insulators import _cut

GOOD, BROKEN = {"No issues": "No issues"}, {"shell": "Broken"}
BURNT = {"glaze": "Flashover damage"}


def shell(box, conditions, string=0):
    return {"bbox": box, "string": string, "conditions": conditions}


@pytest.fixture
def idid(tmp_path):
    """Function that writes photographs of 30 x 50 pixels with their shells."""

    def write(**listed):
        folder = tmp_path / "Train_IDID_V1.2" / "Train"
        (folder / "Images").mkdir(parents=True, exist_ok=True)
        said = []
        for number, (stem, objects) in enumerate(listed.items()):
            name = f"{stem.removeprefix('p')}.JPG"
            pixels = np.full((30, 50, 3), 20, np.uint8)
            pixels[5:15, 10:20] = 100 + number
            Image.fromarray(pixels).save(folder / "Images" / name, format="PNG")
            said.append({"filename": name, "Labels": {"objects": objects}})
        (folder / "labels_v1.2.json").write_text(json.dumps(said))
        return tmp_path

    return write


def test_shells_are_cut_out_with_their_states(idid):
    shells = [shell([10, 5, 10, 10], GOOD), shell([10, 5, 10, 10], BROKEN)]
    root = idid(
        p100=[*shells, {"bbox": [0, 0, 50, 30], "string": 1}],
        p101=[
            shell([30, 15, 8, 8], BURNT),
            shell([10, 5, 10, 10], {"notbroken-notflashed": "notbroken-notflashed"}),
            shell([10, 5, 10, 10], GOOD | BROKEN),
        ],
    )
    found = load_idid(root, image_size=11)
    assert found.class_names == ("good", "broken", "flashover")
    assert found.types.tolist() == ["good", "broken", "flashover", "good", "broken"]
    assert found.names.tolist() == ["100/000", "100/001", "101/000", "101/001", "101/002"]
    assert found.images.shape == (5, 11, 11, 3) and found.remarks == ()
    # 11 pixels around the middle of a box of 10: the shell, and one row and column beside it.
    inner = found.images[0] > 0.3
    assert inner.all(axis=-1).sum() == 100 and found.images[0].max() == np.float32(100 / 255)
    assert (found.images[2] < 0.1).all()


def test_other_orientations_and_two_states_are_left_out_and_named(idid):
    shells = [shell([10, 5, 10, 10], GOOD), shell([10, 5, 10, 10], BROKEN | BURNT)]
    found = load_idid(idid(p100d=shells, p100=shells, p100v=shells, p7h=shells), image_size=8)
    # There is no 7.JPG, so its mirror image stands for it.
    assert found.names.tolist() == ["100/000", "7h/000"]
    assert [(one.kind, one.files) for one in found.remarks] == [
        ("oriented_copies", ("100d.JPG", "100v.JPG")),
        ("two_states", ("100.JPG, object 1", "7h.JPG, object 1")),
    ]


@pytest.mark.parametrize(
    "conditions, box, text",
    [
        ({"shell": "Cracked"}, [1, 1, 5, 5], "100.JPG, object 0: has the conditions .*Cracked"),
        (GOOD, [60, 1, 5, 5], "100.JPG: the bbox .* lies outside of the image"),
    ],
)
def test_what_is_no_shell_is_named(idid, conditions, box, text):
    with pytest.raises(CategoryError, match=text):
        load_idid(idid(p100=[shell(box, conditions)]))


def test_shells_without_a_state_or_a_box_are_left_out_and_named(idid):
    whole = shell([0, 0, 50, 30], GOOD, string=1)
    listed = [shell([10, 5, 10, 10], GOOD), shell([1, 1, 5, 5], {}), whole]
    listed += [shell([1, 1, 5], GOOD), shell([1, 1, 0, 5], BROKEN)]
    found = load_idid(idid(p100=listed), image_size=8)
    assert found.names.tolist() == ["100/000"]
    assert [(one.kind, one.files) for one in found.remarks] == [
        ("no_state", ("100.JPG, object 1",)),
        ("no_box", ("100.JPG, object 3", "100.JPG, object 4")),
    ]


def test_missing_lists_and_photographs_are_named(idid, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no lists of labels beside a folder Images"):
        load_idid(tmp_path)
    root = idid(p100=[shell([1, 1, 5, 5], GOOD)], p101=[])
    folder = root / "Train_IDID_V1.2/Train"
    assert load_idid(folder, image_size=8).names.tolist() == ["100/000"]
    (folder / "Images/100.JPG").rename(folder / "Images/102.JPG")
    with pytest.raises(CategoryError, match="100.JPG: is listed, but not in Images"):
        load_idid(root)
    (folder / "labels_v1.2.json").write_text("[{}]")
    with pytest.raises(CategoryError, match="labels_v1.2.json: must list images with filename"):
        load_idid(root)
    (folder / "labels_v1.1.json").write_text("[]")
    with pytest.raises(FileNotFoundError, match="holds 2 lists of labels"):
        load_idid(root)


def test_a_square_at_the_edge_is_moved_into_the_image():
    image = np.arange(20 * 30, dtype=np.float32).reshape(20, 30, 1) / 600
    cut = _cut(image, (26, -3, 10, 10), 11)
    assert (cut == image[:11, 19:]).all()
    # A shell that is larger than the photograph is high is cut to it.
    assert (_cut(image, (0, 0, 30, 20), 20) == image[:, 5:25]).all()
