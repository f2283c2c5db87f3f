import pytest

from adhelpers.detectors import EncoderPlan, GanScore, GanSettings


@pytest.mark.parametrize(
    "part, wrong",
    [
        (GanSettings, {"latent_dim": 0}),
        (GanSettings, {"width": 0}),
        (GanSettings, {"discriminator_rate": -1}),
        (GanSettings, {"dropout": 1}),
        (GanSettings, {"average": 1}),
        (GanSettings, {"gradient_penalty": -1}),
        (GanSettings, {"reconstruction": -1}),
        (GanSettings, {"normalization": "spectral"}),
        (EncoderPlan, {"learning_rate": 0}),
        (GanScore, {"score": "max"}),
        (GanScore, {"smoothing": -1}),
        (GanScore, {"map": "ssim"}),
    ],
)
def test_wrong_values_are_named(part, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        part(**wrong)


@pytest.mark.parametrize("epochs", [0, -1])
def test_an_encoder_that_is_not_trained_is_none(epochs):
    with pytest.raises(ValueError, match="epochs of the encoder must be 1 or more.*encoder=None"):
        EncoderPlan(epochs=epochs)
