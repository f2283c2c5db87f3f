"""Pictures of trainings."""

import pandas as pd

from adhelpers.steps.training_figures import loss_figure


def test_losses_are_drawn_but_neither_seconds_nor_learning_rates():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [3.0, 2.0, 1.0],
            "val_loss": [3.0, 1.5, 2.0],
            "accuracy": [0.2, 0.4, 0.6],
            "learning_rate": [0.1, 0.1, 0.05],
            "seconds": [1.0, 1.0, 1.0],
        }
    )
    figure = loss_figure(history, "Classifier", monitor="val_loss")
    assert [axes.get_title("left") for axes in figure.axes] == ["loss", "accuracy"]
    lines = [len(axes.get_lines()) for axes in figure.axes]
    # Training, validation and the epoch that was kept; of the accuracy training and that epoch.
    assert lines[0] >= 3 and lines[1] >= 1
    assert "seconds" in history and "learning_rate" in history
