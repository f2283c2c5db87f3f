"""Curves of a training: what they hold and what they mark."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from adhelpers.reports.figures.training import training_curves


def test_training_curves_pair_training_with_validation():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [9.0, 5.0, 4.0],
            "val_loss": [8.0, 6.0, 7.0],
            "kl": [0.001, 0.1, 1.0],
            "note": ["a", "b", "c"],
        }
    )
    figure = training_curves(history, "VAE-GAN", monitor="val_loss")
    loss, kl = figure.axes
    assert (loss.get_title("left"), kl.get_title("left")) == ("loss", "kl")
    assert [text.get_text() for text in loss.get_legend().get_texts()] == [
        "training",
        "validation",
        "kept: epoch 2",
    ]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), history["loss"])
    np.testing.assert_allclose(loss.lines[1].get_ydata(), history["val_loss"])
    assert loss.lines[2].get_xydata().tolist() == [[2.0, 6.0]]
    assert (loss.get_yscale(), kl.get_yscale()) == ("linear", "log") and kl.get_legend() is None
    assert figure.get_suptitle() == "VAE-GAN" and plt.get_fignums() == []
    # With formulas off, a logarithmic axis must not be labelled with their source.
    figure.canvas.draw()
    assert not any("$" in label.get_text() for label in kl.get_yticklabels())


@pytest.mark.parametrize(
    "history, message",
    [
        (pd.DataFrame({"loss": [1.0]}), "column 'epoch'"),
        (pd.DataFrame({"epoch": [1], "note": ["a"]}), "numeric column besides"),
    ],
)
def test_training_curves_refuse_a_history_without_curves(history, message):
    with pytest.raises(ValueError, match=message):
        training_curves(history)


def test_training_curves_survive_a_diverged_training():
    figure = training_curves(
        pd.DataFrame({"epoch": [1, 2], "loss": [np.nan, np.nan], "val_loss": [np.nan, np.nan]}),
        monitor="val_loss",
    )
    assert len(figure.axes[0].lines) == 2
