"""Explanations of many images: with progress, without stopping at a bad one, and resumable."""

import hashlib
import inspect
import json
import time
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from adhelpers._shared.files import replacing
from adhelpers._shared.progress import progress

from .explanation import BatchedScore, Explanation, check_pair

_SCORE_DIGITS = 6
_ARRAY_PREFIX = "detail_"
_UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Explanations:
    """Explanations of several images by one explainer.

    Parameters
    ----------
    heatmaps : ndarray of float32, (n, h, w)
        Signed; NaN throughout for an image that could not be explained.
    details : list of dict
        What the explainer reports of each image; empty where it failed.
    errors : dict of int to str
        Index and error of each image that could not be explained.
    seconds : float
        Time taken by this call; explanations found in the store cost next to nothing.
    """

    heatmaps: np.ndarray
    details: list
    errors: dict
    seconds: float


def explain_images(
    explainer,
    score,
    images,
    counterparts,
    *,
    seed=0,
    description="Explaining",
    show_progress=True,
    store=None,
):
    """Explain the score of each image.

    Parameters
    ----------
    explainer : callable
        ``explainer(score, image, counterpart, *, seed) -> Explanation``, such as
        :func:`explain_with_lime`. Set its other parameters with :func:`functools.partial`.
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    images, counterparts : ndarray, (n, h, w, c)
        Images in [0, 1] and what a normal version of each looks like to the detector.
    seed : int
        Given to the explainer for each image.
    description : str
        Label of the progress bar.
    show_progress : bool
        False shows no bar.
    store : str or Path, optional
        A folder in which each explanation is written as soon as it is there. A later call with the
        same explainer, parameters, seed, image, counterpart and score of the image takes it from
        there, so an interrupted run goes on where it stopped. A damaged file is computed again.
        Nothing in it is pickled.

    Returns
    -------
    Explanations

    Raises
    ------
    ValueError
        Where images and counterparts are not arrays (n, h, w, c) of one shape.
    RuntimeError
        Where every single image failed; the first error is its cause.
    OSError
        Where the store cannot be written.

    Examples
    --------
    >>> from adhelpers.explainers import residual_map
    >>> images = np.stack([np.full((4, 4, 1), 0.5), np.full((4, 4, 1), np.nan)])
    >>> result = explain_images(residual_map, None, images, np.zeros((2, 4, 4, 1)), show_progress=False)
    >>> result.heatmaps[0].mean(), result.errors
    (np.float32(0.5), {1: 'ValueError: image holds NaN or infinite values'})
    """
    images, counterparts = np.asarray(images), np.asarray(counterparts)
    if images.ndim != 4 or images.shape != counterparts.shape:
        raise ValueError(
            "images and counterparts must both have the shape (n, height, width, channels), not "
            f"{images.shape} and {counterparts.shape}"
        )
    started = time.perf_counter()
    heatmaps = np.full(images.shape[:3], np.nan, dtype=np.float32)
    details, errors, first_error = [{} for _ in images], {}, None
    parameters = None if store is None else _parameters(explainer)
    with progress(description=description, total=len(images), enabled=show_progress) as bar:
        for index, (image, counterpart) in enumerate(zip(images, counterparts)):
            try:
                file = None
                if store is not None:
                    file = Path(store) / f"{_key(parameters, seed, score, image, counterpart)}.npz"
                explanation = None if file is None else _read(file, image.shape[:2])
                computed = explanation is None
                if computed:
                    explanation = explainer(score, image, counterpart, seed=seed)
                    _check_heatmap(explanation, image.shape[:2])
                    content = None if file is None else _content(explanation)
            except Exception as error:  # whatever is wrong with one image must not cost the others their explanation
                errors[index] = f"{type(error).__name__}: {error}"
                first_error = first_error or error
                bar.set_postfix_str(f"{len(errors)} failed")
            else:
                if computed and file is not None:
                    _write(file, content)
                heatmaps[index], details[index] = explanation.heatmap, explanation.details
            bar.update(1)
    if len(errors) == len(images) > 0:
        raise RuntimeError(
            f"none of the {len(images)} images could be explained; the first error was {errors[0]}"
        ) from first_error
    return Explanations(heatmaps, details, errors, time.perf_counter() - started)


def _parameters(explainer):
    """Name, code and complete parameters of an explainer as text, defaults and those set by ``functools.partial`` included."""
    function, settings = explainer, {}
    while isinstance(function, partial):
        if function.args:
            raise ValueError(
                "with a store, set the explainer's parameters by name: functools.partial(explainer, name=value)"
            )
        settings = {**function.keywords, **settings}
        function = function.func
    if not inspect.isfunction(function) or function.__code__.co_freevars:
        raise ValueError(
            "with a store, the explainer must be a function that uses no variables of a function around it"
        )
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name != "seed"
    }
    # The code too: a function edited in a notebook keeps its name.
    code = function.__code__
    constants = [repr(value) for value in code.co_consts if isinstance(value, (int, float, str))]
    identity = [
        function.__module__,
        function.__qualname__,
        code.co_code.hex(),
        code.co_names,
        constants,
    ]
    return json.dumps([identity, {**defaults, **settings}], sort_keys=True, default=_digest)


def _digest(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return [
            str(value.dtype),
            list(value.shape),
            hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
        ]
    if inspect.ismethod(value):
        # A detector's own function, such as its forward pass: the image's score stands for the
        # detector here too.
        return [value.__func__.__module__, value.__func__.__qualname__]
    raise ValueError(
        "with a store, the explainer's parameters must be numbers, strings, arrays or a detector's methods, not "
        f"{type(value).__name__}"
    )


def _key(parameters, seed, score, image, counterpart):
    image, counterpart = check_pair(image, counterpart)
    # The image's score stands for the detector, which has no name here.
    value = (
        None
        if score is None
        else float(f"{BatchedScore(score, 1)(image[None])[0]:.{_SCORE_DIGITS - 1}e}")
    )
    digest = hashlib.sha256(json.dumps([parameters, int(seed), value, image.shape]).encode())
    digest.update(image.tobytes())
    digest.update(counterpart.tobytes())
    return digest.hexdigest()[:40]


def _check_heatmap(explanation, shape):
    if not isinstance(explanation, Explanation) or np.shape(explanation.heatmap) != shape:
        raise ValueError(
            f"the explainer must return an Explanation with a heatmap of the shape {shape}"
        )
    if not np.isfinite(explanation.heatmap).all():
        raise ValueError("the explainer returned NaN or infinite values")


def _content(explanation):
    """An explanation as arrays for ``numpy.savez``: arrays by name, everything else as one JSON text."""
    arrays, plain = {}, {}
    for name, value in explanation.details.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            arrays[_ARRAY_PREFIX + name] = value
        else:
            plain[name] = value
    text = json.dumps(plain, default=_plain_number)
    return {
        "heatmap": np.asarray(explanation.heatmap, dtype=np.float32),
        "details": np.array(text),
        **arrays,
    }


def _plain_number(value):
    if isinstance(value, np.generic):
        return value.item()
    raise ValueError(
        f"details can be stored only as numbers, strings and arrays, not as {type(value).__name__}"
    )


def _write(file, content):
    try:
        with replacing(file) as temporary:
            np.savez_compressed(temporary, **content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write an explanation into the store ({error.strerror or error}); those before it "
            "are kept",
            str(file),
        ) from error


def _read(file, shape):
    """The stored explanation, or None where there is none or its file is damaged."""
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            heatmap = stored["heatmap"]
            details = json.loads(str(stored["details"]))
            details.update(
                {
                    name.removeprefix(_ARRAY_PREFIX): stored[name]
                    for name in stored.files
                    if name.startswith(_ARRAY_PREFIX)
                }
            )
    except _UNREADABLE:
        return None
    if heatmap.shape != shape or heatmap.dtype != np.float32 or not isinstance(details, dict):
        return None
    return Explanation(heatmap, details)
