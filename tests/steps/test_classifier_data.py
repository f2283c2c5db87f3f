"""Images to classify: what each data set gives, and that its parts know nothing of each other."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import render_category
from adhelpers.data.rendered.insulators import render_insulators
from adhelpers.steps.classifier_data import InsulatorSet, load_task


def test_insulators_have_three_parts_and_everything_that_an_audit_needs(monkeypatch, tmp_path):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path))
    task = load_task(
        "insulators",
        image_size=48,
        insulators=InsulatorSet(train_count=3, review_count=2, test_count=1, tied=1.0),
        show_progress=False,
    )
    assert (len(task.train), len(task.review), len(task.test)) == (
        9,
        6,
        3,
    ) and task.train.images.shape[1:] == (48, 48, 3)
    table = task.table()
    assert table.index.tolist() == ["good", "broken", "flashover"] and table[
        "train: with a tag"
    ].tolist() == [0, 3, 0]
    assert task.test.without_defects is not None and task.review.without_defects is None
    assert len(task.figure(per_class=1).axes) == 6
    folder = render_insulators(tmp_path / "own", train_count=1, review_count=1, test_count=1)
    own = load_task("folder", folder, image_size=32, show_progress=False)
    assert own.review.images.shape == (3, 32, 32, 3)
    assert task.remarks == own.remarks == ()
    shutil.copy(next((folder / "train/good").glob("*.png")), folder / "test/good/leak.png")
    (folder / "validation").mkdir()
    own = load_task("folder", folder, image_size=32, show_progress=False)
    assert {one.kind: one.files for one in own.remarks} == {
        "folder_unused": ("validation",),
        "duplicate_train_test": ("test/good/leak.png",),
    }


def test_a_category_is_divided_by_type_and_repaired_with_a_subspace(tmp_path):
    render_category(
        tmp_path, "screw", image_size=96, train_count=16, test_good_count=8, defect_count=4
    )
    task = load_task("category", tmp_path, category="screw", image_size=32, show_progress=False)
    assert task.train.class_names == ("good", "defective") and task.name == "screw"
    # 24 good and 4 of each of the five types.
    assert [(part.labels == 1).sum() for part in (task.train, task.review, task.test)] == [10, 5, 5]
    names = [set(part.names) for part in (task.train, task.review, task.test)]
    assert not set.intersection(*names) and len(set.union(*names)) == 44
    # Of a tiny defect no pixel may be left at this size; a good image is never changed.
    changed = np.abs(task.test.images - task.test.without_defects).max(axis=(1, 2, 3)) > 0
    assert (
        (changed == task.test.defects.any(axis=(1, 2))).all()
        and changed.any()
        and not changed[task.test.labels == 0].any()
    )
    assert task.test.tags is None


def test_digits_without_masks():
    task = load_task("digits", show_progress=False)
    assert (
        len(task.test) == 719
        and len(task.train) + len(task.review) == 1078
        and len(task.train) == 808
    )
    assert task.findings() == [
        "digits: train 808, review 270, test 719, classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "tag in training with: []",
        "images in more than one part: 0",
    ]
    assert task.train.class_names == tuple("0123456789") and task.train.defects is None
    assert list(task.table().columns) == ["train: images", "review: images", "test: images"]


def test_a_folder_keeps_its_proportions_where_no_width_is_given(tmp_path):
    random = np.random.default_rng(0)
    for split, shape in (("train", (30, 40)), ("review", (30, 40)), ("test", (30, 30))):
        for name in ("cut", "good"):
            path = tmp_path / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
    task = load_task("folder", tmp_path, image_size=(48, 0), show_progress=False)
    for part in (task.train, task.review, task.test):
        assert part.images.shape[1:3] == (48, 64)
    (remark,) = (one for one in task.remarks if one.kind == "stretched")
    assert remark.files == ("test/cut/0.png", "test/good/0.png")
    with pytest.raises(ValueError, match="page must be a whole number from 0"):
        load_task("folder", tmp_path, page=-2, show_progress=False)


def test_shells_of_one_photograph_are_in_one_part(tmp_path):
    states = ({"No issues": "No issues"}, {"shell": "Broken"}, {"glaze": "Flashover damage"})
    said = []
    for number in range(12):
        file = tmp_path / f"Images/{number:02}.JPG"
        file.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (30, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        objects = [
            {"bbox": [15 * place, 4, 10, 10], "string": 0, "conditions": states[place % 3]}
            for place in range(4)
        ]
        said.append({"filename": file.name, "Labels": {"objects": objects}})
    (tmp_path / "labels_v1.2.json").write_text(json.dumps(said))
    task = load_task("idid", tmp_path, image_size=16, show_progress=False)
    parts = [{name.split("/")[0] for name in part.names} for part in task.parts.values()]
    assert [len(part) for part in parts] == [6, 3, 3] and len(set.union(*parts)) == 12
    assert task.counts["test"] == {"good": 6, "broken": 3, "flashover": 3}
    assert task.train.class_names == ("good", "broken", "flashover")
    again = load_task("idid", tmp_path, image_size=16, show_progress=False)
    other = load_task("idid", tmp_path, image_size=16, seed=1, show_progress=False)
    assert again.fingerprint == task.fingerprint != other.fingerprint
    (tmp_path / "labels_v1.2.json").write_text(json.dumps(said[:3]))
    with pytest.raises(ValueError, match="3 photographs with shells; at least 4 are needed"):
        load_task("idid", tmp_path, show_progress=False)


@pytest.mark.parametrize(
    "dataset, options, message",
    [
        ("insulator", {}, "dataset must be one of insulators, idid, category"),
        ("folder", {}, "needs data_root"),
        ("idid", {}, "needs data_root, the folder with labels_v1.2.json"),
        ("idid", {"image_size": (64, 48)}, "shells are square, not 64 x 48 pixels"),
        ("insulators", {"image_size": (64, 48)}, "insulators are square, not 64 x 48 pixels"),
    ],
)
def test_bad_tasks(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        load_task(dataset, **options)
