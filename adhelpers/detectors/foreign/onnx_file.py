"""A detector in an ONNX file, run by ONNX Runtime on the CPU."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .forward import ForwardDetector, Wanted, first_line
from .onnx_normalisation import find_normalisation
from .onnx_reading import ModelFile, read_onnx
from .preprocessing import Preprocessing

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_MOST_THREADS = 4


class OnnxDetector(ForwardDetector):
    """A detector in an ONNX file.

    It is tried out with two noise images when it is made. That shows which of the outputs are
    score, map or reconstruction, and whether images may be given to it together: some exports
    declare a free batch and fail with two images or, worse, mix them up. Such a model gets its
    images one at a time. The file is data: operators that are not part of ONNX Runtime and weights
    outside of its folder are refused.

    Parameters
    ----------
    path : str or Path
    title : str, optional
        By default the file's name.
    output : str, optional
        Name of the output with the score, or of the only one that is used; by default found.
    map_output : str, optional
        Name of the output with the map; by default found.
    preprocessing : Preprocessing, optional
        What is given takes the place of what is found in the model; ``mean`` and ``std`` are never
        made up: a model that normalises inside, or needs nothing, has none.
    batch_size : int
        Largest number of images in one run.
    threads : int, optional
        Of ONNX Runtime; by default as many as the process may use, and at most four.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no ONNX file or a detector in no form that is known; its inputs and outputs are
        listed.

    Examples
    --------
    A detector that compares each image with grey:

    >>> import tempfile
    >>> from onnx import TensorProto, helper, save
    >>> info = helper.make_tensor_value_info
    >>> graph = helper.make_graph(
    ...     [helper.make_node("Abs", ["image"], ["anomaly_map"])],
    ...     "grey",
    ...     [info("image", TensorProto.FLOAT, ["n", 1, 16, 16])],
    ...     [info("anomaly_map", TensorProto.FLOAT, ["n", 1, 16, 16])],
    ... )
    >>> path = Path(tempfile.mkdtemp()) / "grey.onnx"
    >>> opset = helper.make_opsetid("", 17)
    >>> save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    >>> detector = OnnxDetector(path, preprocessing=Preprocessing(mean=(0.5,)))
    >>> detector.score(np.zeros((3, 32, 32, 1), np.float32)).tolist()
    [0.5, 0.5, 0.5]
    """

    def __init__(
        self,
        path: str | Path,
        *,
        title: str | None = None,
        output: str | None = None,
        map_output: str | None = None,
        preprocessing: Preprocessing | None = None,
        batch_size: int = 16,
        threads: int | None = None,
    ) -> None:
        file, asked = read_onnx(path), preprocessing or Preprocessing()
        self.path, self._asked = file.path, asked
        self.texts = {one.key: one.value for one in file.model.metadata_props}
        self._rebuilt = partial(
            type(self),
            title=title,
            output=output,
            map_output=map_output,
            preprocessing=preprocessing,
            batch_size=batch_size,
            threads=threads,
        )
        self._session = _session(file, threads)
        self._input = self._only_input()
        self._dtype = _TYPES[self._input.type]
        self._normalisation = find_normalisation(file.model, self._input.name)
        self._shape = [
            one if isinstance(one, int) and one > 0 else None for one in self._input.shape
        ]
        self._declares_free_batch = self._shape[0] is None
        super().__init__(
            title or file.path.name,
            self._forms(asked),
            Wanted(output, map_output, batch_size=batch_size, fixed_batch=self._shape[0]),
            fingerprint=file.fingerprint,
        )

    def sent_as(self) -> tuple[Callable[..., "OnnxDetector"], tuple[str]]:
        """How a worker process comes to its scores and maps: it reads the same file."""
        return self._rebuilt, (str(self.path.resolve()),)

    def _refusal(self, reason: str) -> ValueError:
        """Why the model cannot be used, and what goes in and out of it."""
        inputs, outputs = (
            ", ".join(
                f"{one.name} {_type_name(one.type)} ({_shape_text(one.shape)})" for one in some
            )
            for some in (self._session.get_inputs(), self._session.get_outputs())
        )
        return ValueError(f"{self.path} {reason}; inputs: {inputs}; outputs: {outputs}")

    def _only_input(self) -> Any:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise self._refusal(
                f"has {len(inputs)} inputs, where a detector takes images and nothing else"
            )
        if inputs[0].type not in _TYPES:
            wanted = ", ".join(_type_name(one) for one in _TYPES)
            raise self._refusal(
                f"takes values of the type {_type_name(inputs[0].type)}, not one of {wanted}"
            )
        if len(inputs[0].shape) != 4:
            raise self._refusal("does not take images, whose shape has four axes, NCHW or NHWC")
        return inputs[0]

    def _forms(self, asked: Preprocessing) -> Iterator[Preprocessing]:
        """What the declared shape and type allow, with what is found in the model."""
        found = Preprocessing(scale=self._normalisation.scale)
        if self._dtype is np.uint8:
            if asked.mean is not None or asked.std is not None or asked.scale not in (None, 255):
                raise self._refusal("takes bytes from 0 to 255: mean, std and scale do not apply")
            found = replace(found, scale=255.0)
        forms = [
            (layout, channels, size)
            for layout, axis, sides in (("NCHW", 1, slice(2, 4)), ("NHWC", 3, slice(1, 3)))
            for channels in (3, 1)
            for size in (self._size(asked, self._shape[sides]),)
            if self._shape[axis] in (None, channels)
            and asked.layout in (None, layout)
            and asked.channels in (None, channels)
            and size is not False
            # What is asked for needs three; a model whose channels are fixed says so itself.
            and not (channels == 1 and self._shape[axis] is None and asked.needs_colours)
        ]
        if not forms:
            raise self._refusal(
                "does not take such images: one axis is for one or three channels, the others for "
                "the batch, height and width, and what is asked for must agree with them"
            )
        for layout, channels, size in forms:
            bgr = self._normalisation.bgr and channels == 3
            found = replace(found, layout=layout, channels=channels, size=size, bgr=bgr)
            yield asked.over(found)

    @staticmethod
    def _size(asked: Preprocessing, declared: Sequence[int | None]) -> Any:
        """Height and width that images must have; None for any, False where it cannot be."""
        size = tuple(
            mine or theirs for mine, theirs in zip(declared, asked.size or declared, strict=True)
        )
        if asked.size is not None and size != tuple(asked.size):
            return False
        return None if None in size else size

    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        """Outputs by name for values as the model takes them."""
        if self._dtype is np.uint8:
            values = np.rint(values)
        fed = {self._input.name: values.astype(self._dtype, copy=False)}
        names = names or [one.name for one in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, fed), strict=True))

    def facts(self) -> list[str]:
        """What was found about the model and what is done to the images: sentences for a report."""
        taken = f"{_type_name(self._input.type)} ({_shape_text(self._input.shape)})"
        facts = [f"{self.path.name} takes {taken}, {self.preprocessing.layout}"]
        if self._normalisation.steps:
            twice = self._asked.mean is not None or self._asked.std is not None
            also = "; the mean and std that were given are applied before that" if twice else ""
            facts.append(f"By itself it {', then '.join(self._normalisation.steps)}{also}")
        return [*facts, *super().facts()]


def _session(file: ModelFile, threads: int | None) -> Any:
    """A session on the CPU with a bounded number of threads; nothing else is registered with it."""
    # Takes half a second, which who audits no ONNX file need not wait.
    import onnxruntime

    if threads is not None and threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(_MOST_THREADS, _cpus())
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # The file's own name does not decide its format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(
            # The weights that were checked lie beside the file itself, not beside a link to it.
            str(file.path.resolve()) if file.data is None else file.data,
            options,
            providers=["CPUExecutionProvider"],
            # It would print, and try the same once more.
            enable_fallback=0,
        )
    except Exception as error:
        # ONNX Runtime's errors have no class of their own.
        raise ValueError(
            f"{file.path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: "
            f"{first_line(error)}"
        ) from error


def _cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _type_name(declared: str) -> str:
    names = {"tensor(float)": "float32", "tensor(double)": "float64"}
    return names.get(declared, declared.removeprefix("tensor(").removesuffix(")"))


def _shape_text(shape: Sequence[Any]) -> str:
    # Names that exporters make up for free axes say nothing.
    sides = [str(one) if isinstance(one, int) or len(str(one)) < 9 else "?" for one in shape]
    return ", ".join(sides)
