"""A Keras model as a detector: its output is a score, a map or a reconstruction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from adhelpers._shared.arrays import Images

from .forward import ForwardDetector, Wanted
from .outputs import RECONSTRUCTION, named_outputs
from .preprocessing import Preprocessing


def is_keras_model(thing: Any) -> bool:
    """Whether a thing is a Keras model; Keras is not imported for it."""
    return any(
        one.__name__ == "Model" and one.__module__.split(".")[0] == "keras"
        for one in type(thing).__mro__
    )


class KerasDetector(ForwardDetector):
    """A Keras model; what its output is, its shape says.

    One number an image is a score. (h, w), and (h, w, 1) from images with three channels, is a map.
    The shape of the input is a reconstruction, with one channel too: the map is then the smoothed
    difference between the image and its reconstruction, the score the map's maximum. The
    reconstruction is also the counterpart.

    Parameters
    ----------
    model : keras.Model
        With one input (h, w, c); layers such as dropout are run as in prediction.
    title : str
    preprocessing : Preprocessing
        Size and channels are found where the model has them fixed.
    wanted : Wanted
    examples : ndarray of float32, shape (n, h, w, c), optional
        Images to try it out with.
    """

    def __init__(
        self,
        model: Any,
        title: str,
        preprocessing: Preprocessing,
        wanted: Wanted,
        examples: Images | None = None,
    ) -> None:
        self._model = model
        form = preprocessing.over(_form_of(model, title))
        super().__init__(title, [form], replace(wanted, grey=RECONSTRUCTION), examples=examples)

    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        found = self._model.predict_on_batch(values)
        if isinstance(found, (list, tuple)):
            return dict(zip(self._model.output_names, found, strict=True))
        return named_outputs(found)


def _form_of(model: Any, title: str) -> Preprocessing:
    """Size and channels of the images that a model takes, as far as it is built for some."""
    shape = getattr(model, "input_shape", None)
    if shape is None:
        return Preprocessing(layout="NHWC")
    if isinstance(shape, (list, dict)):
        raise ValueError(f"{title} has {len(shape)} inputs, where a detector takes images only")
    if len(shape) != 4:
        raise ValueError(
            f"{title} takes arrays of the shape {shape}, not images (n, h, w, c): wrap it in a "
            "function"
        )
    first = shape[1] in (1, 3) and shape[3] not in (1, 3)
    sides, channels = (shape[2:], shape[1]) if first else (shape[1:3], shape[3])
    return Preprocessing(
        size=None if None in sides else tuple(sides),
        channels=channels,
        layout="NCHW" if first else "NHWC",
    )
