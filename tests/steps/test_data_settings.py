from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adhelpers.audit import Decisions, find_answer
from adhelpers.data import good_only_root
from adhelpers.detectors.features.backbones import _VGG16_FILE
from adhelpers.metrics import Estimate
from adhelpers.steps import load_objects, suggest_settings
from adhelpers.steps.audited import AuditedDetector
from adhelpers.steps.run_answer import RunAnswer

OPEN = {
    "category": "part",
    "image_height": 0,
    "image_width": 0,
    "color": "auto",
    "illumination": "auto",
    "pose": "auto",
    "crop": "auto",
    "validation_fraction": 0.0,
    "neighbours": 0,
    "weights": "hed",
    "seed": 0,
}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(pixels)).save(path)


def grain(index):
    return np.random.default_rng(index).integers(60, 200, (60, 80, 3), dtype=np.uint8)


def bar(index):
    image = np.full((60, 80), 200, np.uint8)
    image[10 + 6 * index % 40 :][:8, 12:68] = 50
    return image


def write(root, make, train=20):
    for index in range(train):
        save(root / f"part/train/good/{index:02}.png", make(index))
    for name in ("good", "cut"):
        save(root / f"part/test/{name}/0.png", make(99))
    return OPEN | {"data_root": str(root)}


def test_a_coloured_surface_is_loaded_as_it_is_and_the_bank_is_said_to_suit(tmp_path):
    settings = suggest_settings(write(tmp_path, grain))
    assert settings.chosen == {
        "image_height": 96,
        "image_width": 128,
        "color": "rgb",
        "illumination": "none",
        "pose": "none",
        "crop": "none",
        "validation_fraction": 0.333,
        "neighbours": 3,
    }
    assert not settings.suits_subspace
    found = settings.findings()
    assert "1 good and 1 defective" in found[0] and "one in 10" in found[1]
    assert "a surface" in found[2] and "hardly suits" in found[2]
    assert settings.table().loc["good images", "decided"].startswith("13 to train on, 7")
    # What was chosen is what is loaded.
    loaded = load_objects(settings.parameters)
    assert loaded.train.images.shape == (13, 96, 128, 3)


def test_long_objects_are_turned_and_test_images_may_fail_to_be(tmp_path):
    asked = write(tmp_path, bar)
    save(tmp_path / "part/test/cut/0.png", np.full((60, 80), 200))
    settings = suggest_settings(asked, longest=64)
    assert settings.chosen["pose"] == settings.chosen["crop"] == "auto"
    loaded = load_objects(settings.parameters)
    assert loaded.settings["pose"] == "axis" and loaded.train.images.shape[1] == 64
    # An empty image is no error: it is loaded without the turn.
    assert loaded.test.uncorrected.tolist() == [True, False]


def test_what_was_asked_for_stays(tmp_path):
    asked = write(tmp_path, bar) | {"pose": "none", "crop": "none", "image_width": 48}
    asked |= {"color": "rgb", "validation_fraction": 0.5, "neighbours": 1}
    settings = suggest_settings(asked)
    assert settings.chosen == {"illumination": "auto"}
    assert settings.parameters == asked | settings.chosen
    assert "as asked for" in settings.findings()[2]
    assert settings.table().loc["good images", "decided"].startswith("10 to train on, 10")


def test_three_images_leave_two_neighbours_and_a_warning(tmp_path):
    settings = suggest_settings(write(tmp_path, grain, train=3))
    assert settings.chosen["neighbours"] == 2 and settings.held_out == 1
    assert "scores of 1 good image that" in settings.findings()[1]
    assert "about one in 2 other" in settings.findings()[1]
    assert settings.findings()[2].startswith("3 good images show little")


def test_many_images_need_no_larger_share_and_no_warning(tmp_path):
    settings = suggest_settings(write(tmp_path, grain, train=100))
    assert settings.chosen["validation_fraction"] == 0.2
    # 20 held out and 80 to train on, of which the 95th of 100 scores is the threshold: 6 of 101.
    assert "scores of 100 good images" in settings.findings()[1]
    assert "about one in 17 other" in settings.findings()[1]
    assert not any("show little" in one for one in settings.findings())


@pytest.mark.parametrize("present", [True, False])
def test_imagenet_weights_are_taken_where_keras_has_them(tmp_path, monkeypatch, present):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    if present:
        (tmp_path / "keras/models").mkdir(parents=True)
        (tmp_path / "keras/models" / _VGG16_FILE).touch()
    settings = suggest_settings(write(tmp_path, grain, train=4) | {"weights": "auto"})
    assert settings.chosen["weights"] == ("imagenet" if present else "hed")


def answered():
    main = Decisions("memory bank", good=12, false_alarms=0, defective=12, flagged=12, caused=12)
    return RunAnswer(find_answer(main), pd.DataFrame(), [], [], [])


def test_planted_defects_are_never_an_answer(tmp_path):
    asked = write(tmp_path, grain)
    real = suggest_settings(asked)
    assert answered().answer.answer == "Use it" and real.limit(answered()).answer.answer == "Use it"
    root = good_only_root(tmp_path / "part/train/good", cache=tmp_path / "cache")
    settings = suggest_settings(asked | {"data_root": str(root), "category": "good"})
    assert settings.planted and "no defective images" in settings.findings()[0]
    assert "into copies of 5 good images. F" in settings.findings()[0]
    limited = settings.limit(answered()).answer
    assert limited.answer == "Not enough images to say"
    assert "12 good and 0 defective" in limited.figures()[0]
    assert limited.reason.startswith("there are no defective test images")
    assert replace(real, planted=True).limit(answered()).answer.answer == limited.answer


def test_on_a_surface_the_memory_bank_comes_first(tmp_path):
    assessed = {"linear subspace": 1, "memory bank": 2}
    surface = suggest_settings(write(tmp_path / "a", grain, train=4))
    assert list(surface.ordered(assessed)) == ["memory bank", "linear subspace"]
    bars = suggest_settings(write(tmp_path / "b", bar, train=4))
    assert list(bars.ordered(assessed)) == ["linear subspace", "memory bank"]


def choice(settings, found, main, chosen_by="auto"):
    assessment = SimpleNamespace(title=main)
    return settings.choice(AuditedDetector(assessment, None, found, {}, chosen_by))


def test_the_choice_says_which_came_first_and_why(tmp_path):
    settings = suggest_settings(write(tmp_path, grain, train=4))
    found = {"memory bank": Estimate(0.5, 0.3, 0.7), "linear subspace": Estimate(0.6, 0.4, 0.8)}
    (kept,) = choice(settings, found, "memory bank")
    assert kept.startswith(
        "The memory bank is audited: on a surface it comes first, and the linear"
    )
    assert "0.500 [0.300, 0.700] against 0.600 [0.400, 0.800]" in kept
    (beaten,) = choice(settings, found, "linear subspace")
    assert "is shown to find more" in beaten and "memory bank, which comes first" in beaten
    assert choice(settings, found, "memory bank", "memory bank") == [
        "The memory bank is audited, as asked for."
    ]
