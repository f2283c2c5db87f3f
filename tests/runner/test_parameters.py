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
    assert weights.checked("my/weights.h5") == "my/weights.h5"


def test_a_text_may_list_several():
    explainers = Parameter("explainers", "SHAP, LIME", "among SHAP, LIME and residual map")
    assert explainers.choices == Choices(("SHAP", "LIME", "residual map"), several=True)
    assert explainers.checked("residual map,SHAP") == "residual map,SHAP"
    assert Parameter("explainers", "", "any of SHAP or LIME").checked("LIME") == "LIME"
    with pytest.raises(UsageError, match="explainers takes any of SHAP, LIME, residual map"):
        explainers.checked("SHAP, GradCAM")


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
