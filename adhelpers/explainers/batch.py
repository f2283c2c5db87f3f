"""Explanations of many images: with progress, without stopping at a bad one, and resumable."""

import hashlib
import inspect
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.array_files import KINDS, read_arrays, write_arrays
from adhelpers._shared.arrays import Maps, ScoreFunction
from adhelpers._shared.engine import spread
from adhelpers._shared.progress import progress
from adhelpers._shared.stages import stage

from .explanation import BatchedScore, Explanation, check_pair, versions_of

# explainer(score, image, counterpart, *, seed) -> Explanation
Explainer: TypeAlias = Callable[..., Explanation]
_SCORE_DIGITS = 6
_PLAIN = (bool, int, float, str, np.generic)
_ARRAY_PREFIX = "detail_"
# Arguments that do not tell explanations apart: the seed is told apart for each image, and the
# other one is only a quicker way to the same scores.
_UNTOLD = ("seed", "region_scores")


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

    heatmaps: Maps
    details: list[dict[str, Any]]
    errors: dict[int, str]
    seconds: float

    def table(self) -> pd.DataFrame:
        """A row for each image: the numbers and words of its details, and its ``error`` or ""."""
        rows = [
            {name: value for name, value in one.items() if isinstance(value, _PLAIN)}
            for one in self.details
        ]
        index = pd.RangeIndex(len(rows), name="image")
        table = pd.DataFrame(rows, index=index)
        return table.assign(error=[self.errors.get(image, "") for image in index])

    def findings(self) -> list[str]:
        """What is missing, as sentences; none where every image was explained."""
        if not self.errors:
            return []
        first, error = next(iter(self.errors.items()))
        return [
            f"{len(self.errors)} of {len(self.details)} images could not be explained; the first "
            f"is image {first}: {error}"
        ]


def explain_images(
    explainer: Explainer,
    score: ScoreFunction | None,
    images: ArrayLike,
    counterparts: ArrayLike,
    *,
    seed: int = 0,
    description: str = "Explaining",
    show_progress: bool = True,
    store: str | Path | None = None,
) -> Explanations:
    """Explain the score of each image.

    Parameters
    ----------
    explainer : callable
        ``explainer(score, image, counterpart, *, seed) -> Explanation``, such as
        `explain_with_lime`. Set its other parameters with `functools.partial`.
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c); None for an explainer that does
        not use it.
    images, counterparts : ndarray, shape (n, h, w, c)
        Images in [0, 1] and what a normal version of each looks like to the detector.
    seed : int
        Given to the explainer for each image.
    description : str
        Label of the progress bar, and of the stage whose seconds are measured
        (``explanations: {description}``).
    show_progress : bool
        False shows no bar.
    store : str or Path, optional
        A folder in which each explanation is written as soon as it is there. A later call with the
        same explainer in the same version (see `versioned`), with the same parameters, seed, image,
        counterpart and score of the image takes it from there, so an interrupted run goes on where
        it stopped. Each file has a checksum: what a damaged one held is computed again. Nothing in
        it is pickled.

    Returns
    -------
    Explanations

    Raises
    ------
    ValueError
        If images and counterparts are not arrays (n, h, w, c) of one shape, or an explainer that is
        given with a store has no version or parameters that cannot be told apart.
    RuntimeError
        If every single image failed; the first error is its cause.
    OSError
        If the store cannot be written.

    Examples
    --------
    >>> from adhelpers.explainers import residual_map
    >>> images = np.stack([np.full((4, 4, 1), 0.5), np.full((4, 4, 1), np.nan)])
    >>> result = explain_images(residual_map, None, images, 0 * images[:1].repeat(2, 0),
    ...                         show_progress=False)
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
    details: list[dict[str, Any]] = [{} for _ in images]
    errors: dict[int, str] = {}
    first_error = None
    parameters = None if store is None else _parameters(explainer)
    explain = partial(_explain, explainer, score, seed, store, parameters)
    bar = progress(description=description, total=len(images), enabled=show_progress)
    with stage(f"explanations: {description}"), bar:
        pairs = zip(images, counterparts, strict=True)
        # What asks for no score is done sooner than it could be sent.
        explained = map(explain, pairs) if score is None else spread(explain, pairs)
        for index, explanation in enumerate(explained):
            if isinstance(explanation, Exception):
                errors[index] = f"{type(explanation).__name__}: {explanation}"
                first_error = first_error or explanation
                bar.set_postfix_str(f"{len(errors)} failed")
            else:
                heatmaps[index], details[index] = explanation.heatmap, explanation.details
            bar.update(1)
    if len(errors) == len(images) > 0:
        raise RuntimeError(
            f"none of the {len(images)} images could be explained; the first error was {errors[0]}"
        ) from first_error
    return Explanations(heatmaps, details, errors, time.perf_counter() - started)


def _explain(
    explainer: Explainer,
    score: ScoreFunction | None,
    seed: int,
    store: str | Path | None,
    parameters: str | None,
    pair: tuple[NDArray[Any], NDArray[Any]],
) -> Explanation | Exception:
    """One image's explanation, from the store where it is there, or why there is none."""
    image, counterpart = pair
    file = None
    try:
        if store is not None:
            file = Path(store) / f"{_key(parameters, seed, score, image, counterpart)}.arrays"
        stored = None if file is None else _read(file, image.shape[:2])
        if stored is not None:
            return stored
        explanation = explainer(score, image, counterpart, seed=seed)
        _check_heatmap(explanation, image.shape[:2])
        content = None if file is None else _content(explanation)
    except Exception as error:  # one bad image must not cost the others their explanation
        return error
    if file is not None and content is not None:
        _write(file, content)
    return explanation


def _parameters(explainer: Explainer) -> str:
    """Name, versions and all parameters of an explainer, in partial objects or not, as text."""
    function: Any = explainer
    settings: dict[str, Any] = {}
    while isinstance(function, partial):
        if function.args:
            raise ValueError(
                "with a store, set the explainer's parameters by name: "
                "functools.partial(explainer, name=value)"
            )
        settings = {**function.keywords, **settings}
        function = function.func
    if not inspect.isfunction(function) or function.__code__.co_freevars:
        raise ValueError(
            "with a store, the explainer must be a function that uses no variables of a function "
            "around it"
        )
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name not in _UNTOLD
    }
    settings = {name: value for name, value in settings.items() if name not in _UNTOLD}
    # Nothing that another Python would write otherwise, such as bytecode.
    name = f"{function.__module__}.{function.__qualname__}"
    identity = [name, versions_of(function), {**defaults, **settings}]
    return json.dumps(identity, sort_keys=True, default=_digest)


def _digest(value: Any) -> Any:
    """What JSON cannot hold of an explainer's parameters, as something that it can."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), content]
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if inspect.ismethod(value):
        # A detector's own function, such as its forward pass: the image's score identifies the
        # detector here too.
        return [value.__func__.__module__, value.__func__.__qualname__]
    raise ValueError(
        "with a store, the explainer's parameters must be numbers, strings, arrays or a detector's "
        f"methods, not {type(value).__name__}"
    )


def _key(
    parameters: str | None,
    seed: int,
    score: ScoreFunction | None,
    image: ArrayLike,
    counterpart: ArrayLike,
) -> str:
    image, counterpart = check_pair(image, counterpart)
    # The image's score identifies the detector, which has no name here.
    value = (
        None
        if score is None
        else float(f"{BatchedScore(score, 1)(image[None])[0]:.{_SCORE_DIGITS - 1}e}")
    )
    digest = hashlib.sha256(json.dumps([parameters, int(seed), value, image.shape]).encode())
    digest.update(image.tobytes())
    digest.update(counterpart.tobytes())
    return digest.hexdigest()[:40]


def _check_heatmap(explanation: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(explanation, Explanation) or np.shape(explanation.heatmap) != shape:
        raise ValueError(
            f"the explainer must return an Explanation with a heatmap of the shape {shape}"
        )
    if not np.isfinite(explanation.heatmap).all():
        raise ValueError("the explainer returned NaN or infinite values")


def _content(explanation: Explanation) -> dict[str, NDArray[Any]]:
    """An explanation for `write_arrays`: arrays by name, everything else as one JSON text."""
    arrays: dict[str, NDArray[Any]] = {}
    plain: dict[str, Any] = {}
    for name, value in explanation.details.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
            arrays[_ARRAY_PREFIX + name] = value
        else:
            plain[name] = value
    text = json.dumps(plain, default=_plain_number)
    return {
        "heatmap": np.asarray(explanation.heatmap, dtype=np.float32),
        "details": np.frombuffer(text.encode(), np.uint8),
        **arrays,
    }


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise ValueError(
        f"details can be stored only as numbers, strings and arrays, not as {type(value).__name__}"
    )


def _write(file: Path, content: dict[str, NDArray[Any]]) -> None:
    try:
        write_arrays(file, content, compress=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write an explanation into the store ({error.strerror or error}); those "
            "before it are kept",
            str(file),
        ) from error


def _read(file: Path, shape: tuple[int, ...]) -> Explanation | None:
    """The stored explanation, or None where there is none or its file is damaged."""
    try:
        arrays = read_arrays(file)
        if arrays is None or arrays["heatmap"].dtype != np.float32:
            return None
        details = json.loads(arrays["details"].tobytes())
        details.update(
            {
                name.removeprefix(_ARRAY_PREFIX): array
                for name, array in arrays.items()
                if name.startswith(_ARRAY_PREFIX)
            }
        )
        explanation = Explanation(arrays["heatmap"], details)
        _check_heatmap(explanation, shape)
    # A file of another form, or one that cannot be read: the explanation is computed again.
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        return None
    return explanation
