import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save


@pytest.fixture
def write_onnx(tmp_path):
    """Writes a small model: nodes as (operator, inputs, outputs, attributes)."""

    def write(
        nodes,
        taken=("n", 3, 16, 16),
        outputs=None,
        constants=None,
        kind=TensorProto.FLOAT,
        name="model.onnx",
        inputs=None,
        kind_out=TensorProto.FLOAT,
    ):
        info = helper.make_tensor_value_info
        outputs = outputs or {"anomaly_map": ("n", 1, "h", "w")}
        graph = helper.make_graph(
            [
                helper.make_node(operator, into, out, **(rest[0] if rest else {}))
                for operator, into, out, *rest in nodes
            ],
            "graph",
            inputs or [info("image", kind, taken)],
            [
                info(key, *(shape if isinstance(shape[-1], tuple) else (kind_out, shape)))
                for key, shape in outputs.items()
            ],
            [
                numpy_helper.from_array(np.asarray(value), key)
                for key, value in (constants or {}).items()
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        save(model, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def images():
    """Four images with three channels; each has one bright pixel of another height."""
    images = np.random.default_rng(1).uniform(0.2, 0.4, (4, 16, 16, 3)).astype(np.float32)
    for index, image in enumerate(images):
        image[3, 4 + index] = 0.6 + 0.1 * index
    return images
