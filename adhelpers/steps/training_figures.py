"""Pictures of trainings."""

import pandas as pd
from matplotlib.figure import Figure

from adhelpers.reports import training_curves

_NOT_LOSSES = ["learning_rate", "seconds"]


def loss_figure(history: pd.DataFrame, title: str, monitor: str = "") -> Figure:
    """Losses and accuracies of a training over its epochs.

    Parameters
    ----------
    history : pandas.DataFrame
        A row for each epoch, as detectors keep it; learning rate and seconds are left out.
    title : str
    monitor : str
        The validation column whose lowest epoch was kept; empty where none was chosen.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 2.0], "seconds": [1.0, 1.0]})
    >>> [ax.get_title("left") for ax in loss_figure(history, "Classifier").axes]
    ['loss']
    """
    shown = history.drop(columns=_NOT_LOSSES, errors="ignore")
    return training_curves(shown, title=title, monitor=monitor)
