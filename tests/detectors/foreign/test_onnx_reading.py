import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from adhelpers.detectors.foreign import onnx_reading
from adhelpers.detectors.foreign.onnx_reading import messages, read_onnx

MEAN_MAP = [("ReduceMean", ["image"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]


def with_weights_in(folder, location):
    """A model that multiplies by numbers that lie in another file."""
    tensor = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "weights")
    external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["image", "weights"], ["scaled"]),
            helper.make_node("ReduceMean", ["scaled"], ["anomaly_map"], axes=[1], keepdims=1),
        ],
        "graph",
        [info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [info("anomaly_map", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_model_are_part_of_what_it_is(tmp_path):
    path = with_weights_in(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(np.ones(3, np.float32).tobytes())
    first = read_onnx(path)
    assert first.data is None
    (tmp_path / "weights.bin").write_bytes(np.full(3, 2, np.float32).tobytes())
    assert read_onnx(path).fingerprint != first.fingerprint


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", ""])
def test_weights_outside_of_the_folder_are_refused(tmp_path, location):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(np.ones(3, np.float32).tobytes())
    with pytest.raises(ValueError, match="weights outside of its own folder"):
        read_onnx(with_weights_in(folder, location))


def test_a_link_out_of_the_folder_is_refused_too(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(np.ones(3, np.float32).tobytes())
    (folder / "weights.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="weights outside of its own folder"):
        read_onnx(with_weights_in(folder, "weights.bin"))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"needs the file weights.bin beside it"):
        read_onnx(with_weights_in(tmp_path, "weights.bin"))


def test_weights_of_inner_graphs_are_found(tmp_path):
    """A tensor in the branch of an If is as external as one at the top."""
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "inner")
    external_data_helper.set_external_data(tensor, "../secret")
    tensor.ClearField("raw_data")
    info = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [info("out", TensorProto.FLOAT, [1])],
        [tensor],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["choice"], ["score"], then_branch=branch, else_branch=branch)],
        "graph",
        [info("choice", TensorProto.BOOL, [])],
        [info("score", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=8).SerializeToString())
    assert (
        sum(
            isinstance(one, onnx.TensorProto)
            for one in messages(onnx.load(path, load_external_data=False))
        )
        == 2
    )
    with pytest.raises(ValueError, match="weights outside of its own folder"):
        read_onnx(path)


def test_custom_operators_are_refused_and_functions_of_the_model_are_not(write_onnx, tmp_path):
    path = write_onnx(MEAN_MAP)
    model = onnx.load(path)
    model.graph.node[0].domain, model.graph.node[0].op_type = "somebody", "Detect"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"not part of ONNX \(somebody.Detect\)"):
        read_onnx(path)
    function = helper.make_function(
        "somebody",
        "Detect",
        ["x"],
        ["y"],
        [helper.make_node("Abs", ["x"], ["y"])],
        [helper.make_opsetid("", 17)],
    )
    model.functions.append(function)
    path.write_bytes(model.SerializeToString())
    assert read_onnx(path).data is not None


def test_what_is_no_onnx_file_is_called_by_its_name(write_onnx, tmp_path):
    path = tmp_path / "other.onnx"
    for content, message in (
        (pickle.dumps({"weights": 1}), "a Python pickle, which is not opened"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"", "is empty"),
        (b"hello", "is not an ONNX file"),
        (write_onnx(MEAN_MAP).read_bytes()[:-20], "damaged or cut off"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_onnx(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="not a regular file"):
        read_onnx(tmp_path)


def test_a_model_that_is_too_large_is_refused(write_onnx, monkeypatch):
    path = write_onnx(MEAN_MAP)
    monkeypatch.setattr(onnx_reading, "MOST_BYTES", Path(path).stat().st_size - 1)
    with pytest.raises(ValueError, match="models of up to"):
        read_onnx(path)
