"""Where fitted detectors are kept, and how they are found again instead of being fitted once more."""

import hashlib
import json
from pathlib import Path

from adhelpers.training.loop import remove_checkpoint

from .base import MANIFEST

# Raised when a change to the code makes stored detectors of the same parameters wrong.
_FORMAT = 2


def found_or_fitted(model, folder, fit, **loading):
    """The model that is stored in a folder, or else this one, fitted and stored there.

    Parameters
    ----------
    model : object
        With ``save(folder)`` and ``load(folder, **loading)``.
    folder : Path
    fit : callable
        ``fit(checkpoint)`` fits the model; an interrupted training goes on from that file.
    **loading
        For ``load``.

    Returns
    -------
    object
        Of the model's class, its ``folder`` set.
    """
    if (folder / MANIFEST).is_file():
        return type(model).load(folder, **loading)
    checkpoint = folder.with_suffix(".checkpoint.npz")
    fit(checkpoint)
    model.save(folder)
    remove_checkpoint(checkpoint)
    return model


def stored_folder(detector, category, models):
    """Where `fit_or_load` keeps a detector of these parameters that was fitted on this category's images.

    Parameters
    ----------
    detector : Detector
        Fitted or not.
    category : Category
    models : str or Path

    Returns
    -------
    Path
    """
    trained = {
        name: value
        for name, value in detector.parameters.items()
        if name not in detector.scoring_parameters
    }
    identity = json.dumps(
        [_FORMAT, type(detector).__name__, trained, category.fingerprint], sort_keys=True
    )
    return (
        Path(models)
        / category.name
        / detector.name
        / hashlib.sha256(identity.encode()).hexdigest()[:12]
    )


def fit_or_load(detector, category, models, *, show_progress=True, **options):
    """Fit a detector on a category's good images, or find the one that was fitted on them before.

    The place is ``models/<category>/<detector>/<hash of parameters and data>/``. Parameters that
    only say how a map becomes a score (`Detector.scoring_parameters`) are not part of the hash:
    they can be changed without another training. A training that was interrupted goes on from its
    last checkpoint.

    Parameters
    ----------
    detector : Detector
        Not fitted yet.
    category : Category
        Its ``train`` and ``validation`` images are used, its ``fingerprint`` is part of the hash.
    models : str or Path
        Folder for stored detectors.
    show_progress : bool
    **options
        More arguments for the detector's ``fit``, such as ``tensorboard``.

    Returns
    -------
    Detector
        Fitted; its ``folder`` is where it is stored, a place also for what belongs to it alone,
        such as its explanations.
    """

    def fit(checkpoint):
        detector.fit(
            category.train.images,
            category.validation.images,
            checkpoint=checkpoint,
            show_progress=show_progress,
            **options,
        )

    return found_or_fitted(
        detector,
        stored_folder(detector, category, models),
        fit,
        **{name: detector.parameters[name] for name in detector.scoring_parameters},
    )
