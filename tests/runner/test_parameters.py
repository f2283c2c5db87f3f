"""What the comment of a parameter says about its values."""

from pathlib import Path

import pytest

from adhelpers.runner.parameters import Choices, Parameter, UsageError, choices_in, parameters_of


@pytest.mark.parametrize(
    "comment, default, values",
    [
        ("grayscale or rgb", "rgb", ("grayscale", "rgb")),
        ("none, or object: cut to the box of the object", "object", ("none", "object")),
        ("VAE-GAN: compact (two cores) or paper (128 x 128 (x 3))", "paper", ("compact", "paper")),
        ("of the discriminator: batch as published, or none", "none", ("batch", "none")),
        ("cosine (falls) or constant, as published", "cosine", ("cosine", "constant")),
        ("bank, bank and subspace", "bank", ("bank", "bank and subspace")),
        ("pixels: 32, 64 or 128; the GAN sees them at this size", 64, (32, 64, 128)),
        ("pixels of a region touch: 8 (corners) or 4 (edges)", 8, (8, 4)),
    ],
)
def test_values_are_named_in_plain_english(comment, default, values):
    assert choices_in(comment, default) == Choices(values)


@pytest.mark.parametrize(
    "comment, default",
    [
        ("folder of the objects in data_root", "screw"),
        ("bfloat16 trains faster on processors that support it", "float32"),
        ("passes over the training images, at most", 40),
        ("weight of R1, the penalty on the gradient; 0 as published", 1.0),
        ("whether an autoencoder is trained first: True or False", True),
        ("length of the code; None is the network's own", None),
        ("epochs after which the learning rate is a tenth", (30,)),
        ("", ""),
    ],
)
def test_other_comments_name_none(comment, default):
    assert choices_in(comment, default) is None


def test_a_description_leaves_the_list_open():
    weights = Parameter("weights", "hed", "hed (from pip), random, or the path of a weights file")
    assert weights.choices == Choices(("hed", "random"), is_open=True)
    assert weights.read("my/weights.h5") == "my/weights.h5"


def test_a_text_may_list_several():
    explainers = Parameter("explainers", "SHAP, LIME", "among SHAP, LIME and residual map")
    assert explainers.choices == Choices(("SHAP", "LIME", "residual map"), several=True)
    assert explainers.read("residual map,SHAP") == "residual map,SHAP"
    assert Parameter("explainers", "", "any of SHAP or LIME").read("LIME") == "LIME"
    with pytest.raises(UsageError, match="explainers takes any of SHAP, LIME, residual map"):
        explainers.read("SHAP, GradCAM")


def test_a_comment_is_found_where_the_formatter_puts_it():
    source = (
        'pose = (\n    "auto"  # none, axis or auto\n)\n'
        "shares = (\n    0.0,\n    0.1,\n)  # shares to compare\n"
        "seed = 0"
    )
    parameters = parameters_of(source, Path("n.ipynb"))
    assert parameters["pose"].choices == Choices(("none", "axis", "auto"))
    assert parameters["shares"] == Parameter("shares", (0.0, 0.1), "shares to compare")
    assert parameters["seed"].help == ""


@pytest.mark.parametrize(
    "default, text, value",
    [
        # YAML 1.1 reads 34, and 90 for 1:30.
        (0, "042", 42),
        (0, "+5", 5),
        (0, "-0", 0),
        (0, "1_000", 1000),
        (0, str(2**63 - 1), 2**63 - 1),
        (0.5, "1", 1.0),
        (0.5, "1e-3", 0.001),
        (0.5, ".5", 0.5),
        (0.5, "+5", 5.0),
        (0.5, "042", 42.0),
        (False, "yes", True),
        (False, "On", True),
        (True, "no", False),
        (True, "FALSE", False),
        ("screw", "007", "007"),
        ("screw", "2024-01-01", "2024-01-01"),
        ("screw", "no", "no"),
        ("screw", "null", "null"),
        ("screw", "1:30", "1:30"),
        ("screw", " a ", " a "),
        ("", "Größe 3", "Größe 3"),
        ((1,), "[20, 25]", [20, 25]),
        ((1,), "(020,)", [20]),
        ((1,), "20,25", [20, 25]),
        ((1,), "7", [7]),
        ((1,), "()", []),
        ((1,), "[ ]", []),
        ((1,), ["08", "9"], [8, 9]),
        ((1,), [], []),
        ((0.0, 1), "1, 0.5", [1.0, 0.5]),
        (("a", "b"), ["no", "1"], ["no", "1"]),
        (None, "None", None),
        (None, "null", None),
        (None, "032", 32),
        (None, "0.5", 0.5),
    ],
)
def test_a_text_is_read_by_the_type_of_the_default(default, text, value):
    read = Parameter("name", default, "").read(text)
    assert read == value and type(read) is type(value)
    if isinstance(value, list):
        assert [type(item) for item in read] == [type(item) for item in value]


@pytest.mark.parametrize(
    "default, wanted, texts",
    [
        (0, "a whole number", "1:30 1.0 1e3 0x10 nan .inf true null ٤٢ 2024-01-01 4__2"),
        (0, "a whole number", ["", "9" * 5000, str(2**63), "-" + str(2**63), ["1"], {"a": ""}]),
        (0.5, "a number", "1:30 nan .nan NaN inf -inf .inf Infinity 1e999 true null 1,5 0x1p3"),
        (0.5, "a number", ["", "9" * 5000, ["1"], {"a": ""}]),
        (False, "true or false", ["1", "0", "y", "", "None", ["true"]]),
        ("", "a text of one line", ["a\nb", "a\0b", "\ud800", "\x1b[2J", ["a"], {"a": ""}]),
        ((1,), "a list, such as [1, 2], each a whole number", ["", " ", "[", "[1,,2]", "1.5"]),
        ((1,), "each a whole number", [",", "[[1]]", "(1]", ["1:30"], [["1"]], {"1": ""}]),
        ((0.5,), "each a number", ["nan", "0.1, inf", ["x"]]),
        (None, "a number or None", ["1:30", "nan", "", "auto", "9" * 5000]),
        ({}, "nothing but its default", ["{}"]),
    ],
)
def test_what_is_of_another_type_is_refused_with_what_would_be_right(default, wanted, texts):
    for text in texts.split() if isinstance(texts, str) else texts:
        with pytest.raises(UsageError) as caught:
            Parameter("rate", default, "").read(text)
        message = str(caught.value)
        assert message.startswith("rate takes ") and wanted in message
        assert message.endswith(f"; the default is {default!r}") and len(message) < 250
