"""Where fitted models are kept, and how they are found again instead of being fitted once more."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from adhelpers._shared.stages import stage
from adhelpers.data import Category, ImageReader
from adhelpers.training import remove_checkpoint

from .base import Model
from .manifest import FORMAT, MANIFEST
from .record import update_record

_Kind = TypeVar("_Kind", bound=Model)


def stored_folder(model: Model, data: Any, models: str | Path) -> Path:
    """Where `fit_or_load` keeps a model of these parameters that was fitted on these data.

    Parameters
    ----------
    model : Model
        Fitted or not.
    data : Category or object
        Its ``name`` and ``fingerprint`` are used.
    models : str or Path
    """
    trained = {
        name: value
        for name, value in model.parameters.items()
        if name not in model.scoring_parameters
    }
    identity = json.dumps([FORMAT, type(model).__name__, trained, data.fingerprint], sort_keys=True)
    number = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return Path(models) / data.name / model.name / number


def fit_or_load(
    model: _Kind,
    data: Any,
    models: str | Path,
    *,
    show_progress: bool = True,
    **options: Any,
) -> _Kind:
    """Fit a model on data, or find the one that was fitted on them before.

    The place is ``models/<data>/<model>/<hash of parameters and data>/``. Parameters that only say
    how a map becomes a score (`Model.scoring_parameters`) are not part of the hash: they can be
    changed without another training. A training that was interrupted goes on from its last
    checkpoint. The seconds are those of the stage ``<model>: training``. How the category's files
    were read is kept beside the model (`record`), for images that come later.

    Parameters
    ----------
    model : Detector or Model
        Not fitted yet.
    data : Category or object
        Its ``name`` and ``fingerprint`` say where the model is stored; a detector takes its
        ``train`` and ``validation`` images, another model what its `Model.fit_on` says.
    models : str or Path
        Folder for stored models.
    show_progress : bool
    **options
        More arguments for the model's ``fit``, such as ``tensorboard`` or ``labels``.

    Returns
    -------
    Detector or Model
        Fitted; its ``folder`` is where it is stored, a place also for what belongs to it alone,
        such as its explanations.

    Raises
    ------
    FileNotFoundError, ValueError
        As `Model.load`, if what is stored there is damaged. It is not replaced: the message says
        which folder to remove.
    """
    folder = stored_folder(model, data, models)
    with stage(f"{model.title or model.name}: training"):
        if (folder / MANIFEST).is_file():
            model = type(model).load(folder, **model.scoring_arguments())
            # A folder that may only be read holds a model that can be used all the same.
            with contextlib.suppress(OSError):
                _remember_reading(folder, data)
            return model
        checkpoint = folder.with_suffix(".checkpoint.npz")
        model.fit_on(data, checkpoint=checkpoint, show_progress=show_progress, **options)
        model.save(folder)
        _remember_reading(folder, data)
        remove_checkpoint(checkpoint)
        return model


def _remember_reading(folder: Path, data: Any) -> None:
    """Keep with the model how the files of its images were read, for files that come later."""
    reader = ImageReader.of_category(data) if isinstance(data, Category) else None
    if reader is not None:
        update_record(folder, category=data.name, reading=reader.as_dict())
