"""The parameters of notebook 07: what they refuse before training, and what is read again."""

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import LabelledSamples
from adhelpers.steps.deep_sad_settings import read_settings


def few(train, test=(2, 2)):
    """A table with as many samples of ``good`` and ``bad``, all different."""
    counts = [*train, *test]
    classes = np.repeat(["good", "bad", "good", "bad"], counts)
    values = np.random.default_rng(0).normal(size=(len(classes), 3))
    names = np.array([f"row/{index}" for index in range(len(classes))])
    is_test = np.arange(len(classes)) >= sum(train)
    return LabelledSamples("few", values, classes, names, is_test, None, "abc")


@pytest.mark.parametrize(
    "labelled, given, message",
    [
        (few((5, 3)), {}, "has 4 samples to train.*beside the 1.*need 6.*validation_fraction"),
        (few((8, 3), (0, 2)), {}, "test set has no normal sample, but needs both"),
        (few((8, 3), (2, 0)), {}, "test set has no anomalous sample.*its classes are good"),
        (few((1, 3)), {}, "no samples to train with beside the 1.*lower validation_fraction"),
        (
            few((8, 3)),
            {"ratio_known_normal": 0.99, "validation_fraction": 0},
            "validation_fraction 0 and ratio_known_normal 0.99 leave no sample for the threshold",
        ),
        (
            few((8, 1)),
            {"curve_ratios": (0.0, 0.3)},
            "curve_ratios.*ratio_known_outlier 0.3 asks for 3.*at most 0.222 works",
        ),
        (
            few((8, 1)),
            {"pollution_ratios": (0.0, 0.3)},
            "pollution_ratios, curve_classes.*and ratio_pollution 0.3 is not possible",
        ),
        (few((8, 3)), {"curve_classes": "good, bod"}, "curve_classes.*no class 'bod'"),
        (few((8, 1)), {"curve_classes": "all"}, "curve_classes.*'bad'.*no samples to train"),
    ],
)
def test_what_a_later_step_would_lack_is_said_before_training(
    digit_parameters, labelled, given, message, capsys
):
    enough = {"normal_class": "good", "ratio_known_normal": 0.0, "ratio_known_outlier": 0.0}
    enough |= {"ratio_pollution": 0.0, "curve_ratios": (0.0,)}
    enough |= {"pollution_ratios": ()}
    possible = read_settings(digit_parameters | enough).split_for_notebook(few((8, 1), (1, 1)))
    assert len(possible.test) == 2 and capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=message):
        read_settings(digit_parameters | enough | given).split_for_notebook(labelled)


def test_remarks_on_the_split_are_printed(digit_parameters, capsys):
    given = {"normal_class": "good", "ratio_known_normal": 0.0, "curve_ratios": ()}
    given |= {"pollution_ratios": ()}
    read_settings(digit_parameters | given).split_for_notebook(few((8, 3)))
    said = "Remark on the data: ratio_known_outlier 0.05, ratio_pollution 0.05 of 7 training"
    assert capsys.readouterr().out.startswith(said)


def test_images_of_a_folder_are_read_with_the_options_for_files(digit_parameters, tmp_path):
    for name, count in (("train/good", 4), ("test/good", 2), ("test/dent", 2)):
        for index in range(count):
            path = tmp_path / "spoon" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 10), 4095 - index, np.uint16)).save(path)
    given = {"dataset": "folder", "data_root": str(tmp_path), "category": "spoon"}
    given |= {"image_height": 16, "image_width": 16, "bit_depth": 12, "fit": "pad"}
    found = read_settings(digit_parameters | given).load_samples()
    assert found.samples.max() == pytest.approx(1) and found.samples.shape[1:] == (16, 16, 1)
    assert not [one for one in found.remarks if one.kind in ("bit_depth", "stretched")]
    assert len(
        read_settings(digit_parameters | given | {"bit_depth": 0}).load_samples().remarks
    ) > len(found.remarks)


def test_a_configuration_that_is_none_is_refused(digit_parameters, tmp_path):
    with pytest.raises(FileNotFoundError, match="load_config: there is no file"):
        read_settings(digit_parameters | {"load_config": str(tmp_path / "config.json")})
    for content, message in (
        ("{", "is not a config.json"),
        ("{}", "is not a config.json"),
        ('{"data": {}, "split": {}, "detector": {"epoch": 3}}', "sets 'epoch' in 'detector'"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_settings(digit_parameters | {"load_config": str(tmp_path / "config.json")})
