"""A detector made of a model that takes and returns arrays: tried out, then run in blocks."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.arrays import Images
from adhelpers._shared.checks import checked_images

from ..residuals import ResidualScore
from .base import Answer, ForeignDetector
from .outputs import MAP, Outputs, UnfitOutputs, as_maps, as_scores, find_outputs, kinds_of
from .preprocessing import Preprocessing

# Where a model takes any size it is tried out at the first of these that it accepts.
_TRIED_SIZES = (256, 224, 128, 64, 32)
# Numbers of two runs are equal within this share of the largest one.
_TOLERANCE = 1e-3
# Sides may differ by rounding before an image counts as stretched.
_STRETCH = 0.02
_LONGEST_TEXT = 200
# What errors of ONNX Runtime begin with.
_RUNTIME = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


@dataclass(frozen=True)
class Wanted:
    """What is asked of a model's outputs and batches.

    Parameters
    ----------
    output, map_output : str, optional
        Names of outputs, see `find_outputs`.
    grey : {"map", "reconstruction"}
        What an output is that has one channel and the size of a grey image.
    batch_size : int
        Largest number of images in one run.
    fixed_batch : int, optional
        The number of images that the model takes, where it takes no other.
    """

    output: str | None = None
    map_output: str | None = None
    grey: str = MAP
    batch_size: int = 16
    fixed_batch: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {self.batch_size}")


class ForwardDetector(ForeignDetector):
    """A detector whose model takes one array and returns arrays.

    It is tried out with two images when it is made. That shows which of the outputs are score, map
    or reconstruction, and whether images may be given to it together: some models fail with two
    images or, worse, mix them up. Such a model gets its images one at a time.

    Parameters
    ----------
    title : str
    forms : iterable of Preprocessing
        What the model may take; the one in which it runs is used.
    wanted : Wanted
    examples : ndarray of float32, shape (n, h, w, c), optional
        Images to try it out with; by default noise.
    fingerprint : str

    Attributes
    ----------
    preprocessing : Preprocessing
        What is done to images in [0, 1].
    """

    def __init__(
        self,
        title: str,
        forms: Iterable[Preprocessing],
        wanted: Wanted,
        *,
        examples: Images | None = None,
        fingerprint: str = "",
    ) -> None:
        self.title, self._wanted = title, wanted
        self._batch_size = wanted.fixed_batch or wanted.batch_size
        self._alone, self._tried_together = False, False
        self._remarks: list[str] = []
        self._scoring = ResidualScore()
        examples = None if examples is None else checked_images(examples, name="examples")
        self.preprocessing, tried, outputs = self._try_out(list(forms), examples)
        self._outputs = self._find_outputs(outputs, tried)
        super().__init__(title, has_map=self._outputs.has_map, fingerprint=fingerprint)
        self._note_sizes(outputs, tried, examples)
        self._try_together(tried)
        if self._outputs.reconstruction is not None:
            self.counterpart_name, self._counterpart = "reconstruction", self._reconstruct

    def converted(self, function: Callable[[Any], Any]) -> Callable[[Images], Images]:
        """A function that takes and returns what the model takes, as one of images in [0, 1]."""

        def of_images(images: Images) -> Images:
            height, width, channels = images.shape[1:]
            given = self.preprocessing.undo(function(self.preprocessing.prepare(images)))
            return Preprocessing((height, width), channels).fitted(given)

        return of_images

    @abstractmethod
    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        """Outputs by name (all of them for None) for values as the model takes them."""

    def _refusal(self, reason: str) -> ValueError:
        """The error that says why the model cannot be used."""
        return ValueError(f"{self.title} {reason}")

    def _try_out(
        self, forms: Sequence[Preprocessing], examples: Images | None
    ) -> tuple[Preprocessing, Images, Mapping[str, NDArray[Any]]]:
        """The form of the input in which the model runs, images, and its outputs for the first."""
        worked: list[tuple[Preprocessing, Images, Mapping[str, NDArray[Any]]]] = []
        problem: ValueError | None = None
        for form in forms:
            for images in _trials(form, examples):
                try:
                    worked.append((form, images, self._run(form.prepare(images[:1]))))
                    break
                except ValueError as error:
                    problem = error
        if not worked:
            raise self._refusal(f"does not run on an image: {problem}") from problem
        if len(worked) > 1:
            ways = " and ".join(
                f"{form.layout} with {form.channels} channels" for form, *_ in worked
            )
            raise self._refusal(
                f"takes {ways}: say which with layout and channels (--axes, --channels)"
            )
        return worked[0]

    def _find_outputs(self, outputs: Mapping[str, NDArray[Any]], tried: Images) -> Outputs:
        """Which of a model's outputs for one image is what."""
        taken = self.preprocessing.prepare(tried[:1]).shape[1:]
        kinds = kinds_of(outputs, 1, taken, grey=self._wanted.grey)
        try:
            return find_outputs(
                kinds, output=self._wanted.output, map_output=self._wanted.map_output
            )
        except UnfitOutputs as error:
            raise self._refusal(str(error)) from error

    def _try_together(self, tried: Images) -> None:
        """Whether two images that are given together get the numbers that each gets alone."""
        if self._tried_together or self._batch_size == 1 or len(tried) < 2:
            return
        self._tried_together = True
        # One darker than the other: what divides by the largest value of a batch shows then.
        shades = np.array([1, 0.5], np.float32).reshape(2, 1, 1, 1)
        values = self.preprocessing.prepare(tried[:2] * shades)
        alone = [self._rows(values[[row]]) for row in range(2)]
        try:
            together = self._rows(values)
        except ValueError:
            self._alone = True
            self._remarks.append(
                "It fails with two images at once, so each image is run alone"
                + (" (its file declares a free batch)" * self._declares_free_batch)
            )
            return
        if _equal(together, _joined(alone)):
            return
        self._alone = True
        repeats = _equal(self._rows(values[[0]]), alone[0])
        self._remarks.append(
            "It gives an image other numbers in a batch than alone, so each image is run alone"
            if repeats
            else "It gives other numbers each time it is run on the same image: no figure can be "
            "repeated exactly"
        )

    _declares_free_batch = False

    def _run(
        self, values: NDArray[Any], names: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Outputs by name for at most one batch of values, which fill a fixed batch."""
        missing = (self._wanted.fixed_batch or len(values)) - len(values)
        fed = values
        if missing > 0:
            fed = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
        try:
            found = self._forward(fed, names)
        except Exception as error:
            # Whatever a model of somebody else's raises becomes one line that names the model.
            raise ValueError(first_line(error)) from error
        arrays = {name: _as_array(one) for name, one in found.items()}
        return {
            name: one[: len(values)] if one.ndim and len(one) == len(fed) else one
            for name, one in arrays.items()
        }

    def _rows(
        self, values: NDArray[Any], names: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The outputs that are used, or some of them, with a row for each image."""
        names = names or self._outputs.names
        found = self._run(values, names)
        for name in names:
            if name not in found:
                raise ValueError(f"gives no {name!r} this time")
            one = found[name]
            if len(values) == 1 and (one.ndim == 0 or len(one) != 1):
                found[name] = one = one[None]
            if one.ndim == 0 or len(one) != len(values):
                raise ValueError(
                    f"gives {name!r} of the shape {one.shape} for {len(values)} images"
                )
        return {name: found[name] for name in names}

    def _blocks(
        self, images: Images, names: Sequence[str]
    ) -> Iterator[tuple[Images, dict[str, NDArray[Any]]]]:
        """Images in the model's size and what it says of them, block by block."""
        size = 1 if self._alone else self._batch_size
        self._note_images(images)
        for start in range(0, len(images), size):
            fitted = self.preprocessing.fitted(images[start : start + size])
            try:
                yield fitted, self._rows(self.preprocessing.numbers(fitted), names)
            except ValueError as error:
                height, width, channels = fitted.shape[1:]
                hint = "" if self.preprocessing.size else "; a size can be given with preprocessing"
                raise ValueError(
                    f"{self.title} does not run on images of {height} x {width} pixels with "
                    f"{channels} channel{'' if channels == 1 else 's'}: {error}{hint}"
                ) from error

    def _note_images(self, images: Images) -> None:
        """Keep for `facts` that images are resized to the model's size."""
        wanted, (height, width) = self.preprocessing.size, images.shape[1:3]
        if wanted is not None and wanted != (height, width):
            stretched = abs(height * wanted[1] / (width * wanted[0]) - 1) > _STRETCH
            self._resized.add(
                f"Images of {height} x {width} are resized to {wanted[0]} x {wanted[1]} (bicubic)"
                + ", which stretches them" * stretched
            )

    def _note_sizes(
        self,
        outputs: Mapping[str, NDArray[Any]],
        tried: Images,
        examples: Images | None,
    ) -> None:
        """What is known of resizing before the first image: for examples, and for fixed sizes."""
        if examples is not None:
            self._note_images(examples)
        known = examples is not None or self.preprocessing.size is not None
        if known and self._outputs.map is not None:
            self._note_maps(as_maps(outputs[self._outputs.map], 1).shape[1:], tried)

    def _answer(self, images: Images, *, score: bool = True, maps: bool = True) -> Answer:
        return self._answer_from(images, self._outputs.needed(score, maps))

    def _answer_from(self, images: Images, outputs: Outputs) -> Answer:
        """What some outputs say."""
        self._try_together(images)
        found: dict[str, list[NDArray[Any]]] = {"scores": [], "maps": [], "reconstructions": []}
        for fitted, arrays in self._blocks(images, outputs.names):
            for name, part in self._parts(outputs, fitted, arrays):
                found[name].append(part)
        return Answer(**{name: np.concatenate(parts) for name, parts in found.items() if parts})

    def _parts(
        self, outputs: Outputs, fitted: Images, arrays: Mapping[str, NDArray[Any]]
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Scores, maps and reconstructions of one block, as far as they are there."""
        count = len(fitted)
        if outputs.score is not None:
            yield "scores", as_scores(arrays[outputs.score], count)
        if outputs.map is not None:
            yield "maps", as_maps(arrays[outputs.map], count)
        if outputs.reconstruction is not None:
            again = self.preprocessing.undo(arrays[outputs.reconstruction])
            yield "reconstructions", again
            if outputs.map is None:
                maps = self._scoring.map_of(fitted, again)
                yield "maps", np.asarray(maps)
                if outputs.score is None:
                    yield "scores", np.asarray(self._scoring.reduce(maps))

    def _seen_size(self, images: Images) -> tuple[int, int]:
        return self.preprocessing.size or super()._seen_size(images)

    def _reconstruct(self, images: Images) -> Images:
        only = Outputs(reconstruction=self._outputs.reconstruction)
        reconstructions = self._answer_from(images, only).reconstructions
        assert reconstructions is not None
        height, width, channels = images.shape[1:]
        return Preprocessing((height, width), channels).fitted(reconstructions)

    def facts(self) -> list[str]:
        """What was found about the model and what is done to the images: sentences for a report."""
        return [
            *self.preprocessing.facts(),
            *self._outputs.facts(),
            *super().facts(),
            *self._remarks,
        ]


def _trials(form: Preprocessing, examples: Images | None) -> Iterator[Images]:
    """Images to try a model with: examples, or noise of every size and colour it may take."""
    if examples is not None:
        yield examples
        return
    for channels in (3, 1) if form.channels is None else (form.channels,):
        for size in [form.size] if form.size else [(side, side) for side in _TRIED_SIZES]:
            random = np.random.default_rng(0)
            yield random.uniform(size=(2, *size, channels)).astype(np.float32)


def _as_array(value: Any) -> NDArray[Any]:
    """An output as an array; tensors of other libraries convert themselves."""
    array = np.asarray(value)
    if array.dtype == object:
        raise ValueError(f"returns a {type(value).__name__}, which is no array of numbers")
    return array


def first_line(error: Exception) -> str:
    """What an error of somebody else's library says, in one line."""
    lines = str(error).strip().splitlines()
    text = _RUNTIME.sub("", lines[0]) if lines else type(error).__name__
    return text[:_LONGEST_TEXT].rstrip(". ")


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _equal(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return all(
        one[name].shape == other[name].shape
        and np.allclose(
            one[name],
            other[name],
            rtol=_TOLERANCE,
            atol=_TOLERANCE * float(np.nanmax(np.abs(other[name]), initial=0)),
            equal_nan=True,
        )
        for name in other
    )
