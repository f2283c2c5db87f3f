import shutil

import pytest

from adhelpers.steps import load_objects, object_facts

PARAMETERS = {
    "category": "hazelnut",
    "data_root": "",
    "image_height": 32,
    "image_width": 48,
    "color": "rgb",
    "illumination": "none",
    "pose": "none",
    "crop": "none",
    "validation_fraction": 0.25,
    "seed": 3,
    "epochs": 10,
}


def test_a_folder_is_loaded_as_the_parameters_say(hazelnuts):
    loaded = load_objects(PARAMETERS | {"data_root": str(hazelnuts.root)}, image_size=16)
    assert loaded.test.images.shape == (12, 32, 48, 3) and loaded.root == hazelnuts.root
    assert len(loaded.validation) == round(0.25 * 14)


def test_remarks_are_printed_where_images_are_loaded_and_a_side_may_be_left_open(hazelnuts, capsys):
    given = PARAMETERS | {"data_root": str(hazelnuts.root)}
    load_objects(given)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Remark on the data: 26 of 26 images are stretched")
    assert "(-p image_height 48 -p image_width 48)" in line
    square = load_objects(given | {"image_width": 0})
    assert square.test.images.shape[1:3] == (32, 32) and not capsys.readouterr().out


def test_what_is_not_set_about_files_leaves_the_fingerprint(hazelnuts):
    given = PARAMETERS | {"data_root": str(hazelnuts.root)}
    unset = {"fit": "stretch", "bit_depth": 0, "page": -1}
    assert load_objects(given | unset).fingerprint == load_objects(given).fingerprint
    chosen = load_objects(given | {"fit": "pad", "bit_depth": 12, "page": 0})
    names = ("fit", "bit_depth", "page")
    assert [chosen.settings[name] for name in names] == ["pad", 12, 0]
    with pytest.raises(ValueError, match="bit_depth must be a whole number from 1 to 16, not 40"):
        load_objects(given | {"bit_depth": 40})


def test_where_no_folder_is_given_images_are_rendered(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *names: str(tmp_path))
    counts = {"image_size": 64, "train_count": 4, "test_good_count": 2, "defect_count": 1}
    loaded = load_objects(PARAMETERS, **counts)
    assert len(loaded.test) == 6 and loaded.root.is_relative_to(tmp_path)


def test_the_facts_say_what_holds_on_any_machine(hazelnuts, bare):
    first, second, third = object_facts(hazelnuts).splitlines()
    assert first.startswith("hazelnut: train 11, validation 3, test 12, defect types crack, cut")
    assert second == "illumination: none · pose: none" and third == "labels and masks agree: True"
    assert object_facts(bare).endswith("True")


def test_a_test_set_too_small_for_the_choice_of_the_area_is_refused_at_loading(hazelnuts, tmp_path):
    shutil.copytree(hazelnuts.root / "hazelnut", tmp_path / "hazelnut")
    for place in ("test/cut/001.png", "ground_truth/cut/001_mask.png"):
        (tmp_path / "hazelnut" / place).unlink()
    given = PARAMETERS | {"data_root": str(tmp_path), "finetune_share": 0.2, "strict": True}
    text = r"type 'cut' has 1 test image, but .*finetune_share.* take selection normal-only"
    with pytest.raises(ValueError, match=text):
        load_objects(given | {"selection": "balanced"})
    # What the message offers, in the notebook's own parameters.
    assert load_objects(given | {"selection": "normal-only"}).test
    assert load_objects(given | {"selection": "balanced", "strict": False}).test
    assert load_objects(given).test
