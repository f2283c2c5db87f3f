"""What an ONNX model does to its input before its first layer: whether it normalises itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

# Channel means and deviations in use: ImageNet's, in [0, 1] and in [0, 255], in the order R, G, B.
_MEANS = ((0.485, 0.456, 0.406), (123.675, 116.28, 103.53), (123.68, 116.779, 103.939))
# An image in [0, 1] is neither shifted by more than this nor divided by as much as eight.
_LARGEST_SHIFT, _LEAST_DIVISOR = 2.0, 8.0
_ARITHMETIC = ("Sub", "Add", "Div", "Mul")
_PASSING = ("Cast", "Identity", "Resize", "Transpose", "Clip", "Squeeze", "Unsqueeze", "Reshape")
_LONGEST = 12


@dataclass(frozen=True)
class Normalisation:
    """What a model's first operations say about the numbers that it takes.

    Attributes
    ----------
    steps : tuple of str
        The arithmetic that it does itself, in words.
    scale : float
        255 where it can only be meant for values from 0 to 255, else 1.
    bgr : bool
        Whether it subtracts known channel means in the order blue, green, red.
    """

    steps: tuple[str, ...] = ()
    scale: float = 1.0
    bgr: bool = False


def find_normalisation(model: onnx.ModelProto, name: str) -> Normalisation:
    """Follow the input ``name`` of a model through the arithmetic with constants at its beginning.

    Parameters
    ----------
    model : onnx.ModelProto
    name : str

    Returns
    -------
    Normalisation
    """
    constants = _constants(model.graph)
    steps: list[str] = []
    shift, divisor, bgr = 0.0, 1.0, False
    for operation, number in _chain(model.graph, name, constants):
        steps.append(_in_words(operation, number))
        if operation in ("Sub", "Add"):
            shift = max(shift, float(np.abs(number).max()) * divisor)
            bgr = bgr or _is_reversed_mean(np.abs(number))
        else:
            size = float(np.abs(number).mean()) or 1.0
            divisor *= size if operation == "Div" else 1 / size
    bytes_wanted = shift > _LARGEST_SHIFT or divisor > _LEAST_DIVISOR
    return Normalisation(tuple(steps), 255.0 if bytes_wanted else 1.0, bgr)


def _chain(
    graph: onnx.GraphProto, name: str, constants: dict[str, NDArray[Any]]
) -> list[tuple[str, NDArray[Any]]]:
    """The arithmetic with constants that an input goes through, one after the other."""
    found: list[tuple[str, NDArray[Any]]] = []
    for _ in range(_LONGEST):
        # Its shape is often asked for too; that does not change the numbers.
        users = [node for node in graph.node if name in node.input and node.op_type != "Shape"]
        if len(users) != 1 or not users[0].output:
            break
        node = users[0]
        if node.op_type in _ARITHMETIC:
            others = [one for one in node.input if one != name]
            if len(others) != 1 or others[0] not in constants or node.input[0] != name:
                break
            found.append((node.op_type, constants[others[0]]))
        elif node.op_type not in _PASSING:
            break
        name = node.output[0]
    return found


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Small constant numbers by name; weights of layers are none of them."""
    tensors = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            tensors[node.output[0]] = node.attribute[0].t
    return {
        name: onnx.numpy_helper.to_array(tensor).astype(np.float64)
        for name, tensor in tensors.items()
        if np.prod(tensor.dims) in (1, 3)
        and tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        and tensor.data_location != onnx.TensorProto.EXTERNAL
    }


def _is_reversed_mean(number: NDArray[Any]) -> bool:
    values = np.ravel(number)
    return len(values) == 3 and any(
        np.allclose(values, mean[::-1], rtol=0.005) and not np.allclose(values, mean, rtol=0.005)
        for mean in _MEANS
    )


def _in_words(operation: str, number: NDArray[Any]) -> str:
    verb = {"Sub": "subtracts", "Add": "adds", "Div": "divides by", "Mul": "multiplies by"}
    return f"{verb[operation]} {' / '.join(f'{one:.4g}' for one in np.ravel(number))}"
