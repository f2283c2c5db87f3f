"""Wrong models, maps and tables, each of which ends in one clear line."""

import pickle

import numpy as np
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from PIL import Image
from sklearn.neighbors import LocalOutlierFactor

from adhelpers.data import ImageSet
from adhelpers.detectors import (
    OnnxDetector,
    Preprocessing,
    import_object,
    read_maps,
    wrap_detector,
    wrap_functions,
)

NAMES = ["test/good/0.png", "test/good/1.png", "test/dent/0.png"]
IMAGES = ImageSet(
    images=np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype(np.float32),
    labels=np.array([0, 0, 1]),
    types=np.array(["good", "good", "dent"]),
    names=np.array(NAMES),
    masks=None,
    transforms=None,
    original_shapes=np.array([[8, 16]] * 3),
)
FREE = ("n", 3, 8, 8)
MEAN = ("ReduceMean", {"axes": [1], "keepdims": 1})


def write_model(path, operator=MEAN, inputs=(FREE,), output=("n", 1, 8, 8), change=None, **kinds):
    """A model of one operator; ``change`` may spoil it."""
    info = helper.make_tensor_value_info
    kind = kinds.get("kind", TensorProto.FLOAT)
    names = [f"image{number or ''}" for number in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(operator[0], names, ["anomaly_map"], **operator[1])],
        "graph",
        [info(name, kind, shape) for name, shape in zip(names, inputs, strict=True)],
        [info("anomaly_map", kind, output)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if change is not None:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


def with_secret(model):
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "weights")
    external_data_helper.set_external_data(tensor, "../secret")
    model.graph.initializer.append(tensor)


def with_custom_operator(model):
    model.graph.node[0].domain = "somebody"


def write_bytes(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return OnnxDetector(folder / name)

    return write


def cut_off(folder):
    path = write_model(folder / "m.onnx")
    path.write_bytes(path.read_bytes()[:-9])
    return OnnxDetector(path)


def model_with(*, asked=None, output_name=None, score_on=None, **options):
    def load(folder):
        path = write_model(folder / "m.onnx", **options)
        detector = OnnxDetector(path, preprocessing=asked, output=output_name)
        return detector if score_on is None else detector.score(score_on)

    return load


def save_maps(folder, shape=(8, 16), names=NAMES, level=None):
    for number, name in enumerate(names):
        path = folder / name.replace("png", "npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros(shape)
        values[1, 1] = number + 1 if level is None else level
        np.save(path, values)


def maps_with(change=None, table=None, **options):
    def load(folder):
        save_maps(folder / "maps", **options)
        if change is not None:
            change(folder / "maps/test")
        if table is not None:
            (folder / "scores.csv").write_text(table)
        return read_maps(
            folder / "maps", IMAGES, scores_file=folder / "scores.csv" if table else None
        )

    return load


def of_python(make):
    return lambda folder: make()


def colours(folder):
    (folder / "good/0.npy").unlink()
    picture = np.random.default_rng(0).integers(0, 255, (8, 16, 3)).astype(np.uint8)
    Image.fromarray(picture).save(folder / "good/0.png")


def with_nan(folder):
    np.save(folder / "good/1.npy", np.full((8, 16), np.nan))


def with_objects(folder):
    np.save(folder / "good/1.npy", np.array([{}], object), allow_pickle=True)


WRONG = {
    "no file": (lambda folder: OnnxDetector(folder / "m.onnx"), "no file .*m.onnx: give the path"),
    "a pickle": (write_bytes("m.onnx", pickle.dumps([1])), "m.onnx is not an ONNX file but a Pyt"),
    "a text": (write_bytes("m.onnx", b"hello"), "m.onnx is not an ONNX file"),
    "cut off": (cut_off, "m.onnx is not an ONNX file, or it is damaged or cut off"),
    "a secret": (model_with(change=with_secret), "m.onnx names weights outside of its own folder"),
    "custom": (model_with(change=with_custom_operator), r"not part of ONNX \(somebody.ReduceMean"),
    "two inputs": (
        model_with(operator=("Add", {}), inputs=(FREE, FREE), output=FREE),
        "has 2 inputs, where a detector takes images and nothing else; inputs: image float32",
    ),
    "rows": (model_with(inputs=(("n", 192),), operator=("Abs", {})), "does not take images, whose"),
    "integers": (model_with(kind=TensorProto.INT32), "takes values of the type int32, not one of"),
    "four channels": (
        model_with(inputs=(("n", 4, 8, 8),)),
        "one axis is for one or three channels",
    ),
    "logits": (
        model_with(operator=("Flatten", {}), output=("n", 192)),
        "has no output that is a score .*; outputs: anomaly_map float32",
    ),
    "another name": (model_with(output_name="heat"), "m.onnx has no output 'heat'; inputs: image"),
    "another size": (
        model_with(asked=Preprocessing(size=(16, 16))),
        "what is asked for must agree",
    ),
    "no numbers": (
        model_with(operator=("Log", {}), output=FREE, score_on=IMAGES.images * 0),
        "m.onnx: gave NaN or infinite values in the score of image 0, 1, 2",
    ),
    "a map too few": (
        maps_with(names=NAMES[1:]),
        "maps: 1 problem\n  no map of test/good/0.png",
    ),
    "a map too many": (
        maps_with(names=[*NAMES, "test/hole/9.png"]),
        "maps: 1 problem\n  test/hole/9.npy belongs to no image",
    ),
    "a map twice": (
        maps_with(lambda folder: np.savez(folder / "dent/0.npz", np.eye(8, 16))),
        "maps: 1 problem\n  test/dent/0.npy and test/dent/0.npz are both for test/dent/0.png",
    ),
    "NaN": (maps_with(with_nan), "1 problem\n  test/good/1.npy holds 128 values that are NaN"),
    "objects": (maps_with(with_objects), "1 problem\n  test/good/1.npy cannot be read as .npy"),
    "a heatmap in colours": (maps_with(colours), "1 problem\n  test/good/0.png is a picture in"),
    "turned": (maps_with(shape=(16, 8)), "8 x 16: rows and columns are exchanged"),
    "one maximum": (maps_with(level=1), "all maps have the same maximum"),
    "no score": (
        maps_with(table="image,score\ngood/0,1\ngood/1,2\n"),
        "1 problem\n  scores.csv: no score of test/dent/0.png",
    ),
    "a score twice": (
        maps_with(table="image,score\ngood/0,1\ngood/1,2\ndent/0,3\ndent/0,4\n"),
        r"more than one row for an image: dent/0 \(line 4\), dent/0 \(line 5\)",
    ),
    "a score that is none": (
        maps_with(table="image,score\ngood/0,nan\ngood/1,2\ndent/0,3\n"),
        r"scores that are no finite numbers: good/0 \(line 2\)",
    ),
    "no column": (maps_with(table="image,value\ngood/0,1\n"), "no column for the score, such as"),
    "a class": (of_python(lambda: wrap_detector(LocalOutlierFactor)), "is a class: give an object"),
    "a number": (of_python(lambda: wrap_detector(3)), "int is no detector that is known"),
    "not for new images": (
        of_python(lambda: wrap_detector(LocalOutlierFactor().fit(np.zeros((30, 2))))),
        "only when it is made with novelty=True",
    ),
    "nothing": (of_python(wrap_functions), "needs a function score, anomaly_map or both"),
    "words": (
        of_python(lambda: wrap_functions(lambda given: "high")),
        "your detector gives in 'score' what is not",
    ),
    "no module": (of_python(lambda: import_object("nowhere:thing")), "nowhere cannot be imported"),
}


@pytest.mark.parametrize(("load", "message"), WRONG.values(), ids=WRONG)
def test_each_ends_in_one_clear_line(tmp_path, load, message):
    """A list of files has a line for each file."""
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) <= 1 + len(getattr(caught.value, "problems", []))
    assert not lines[-1].endswith(".") and max(map(len, lines)) < 500
    assert "Traceback" not in lines[-1] and "0x" not in lines[-1]


def test_there_are_enough_of_them():
    assert len(WRONG) >= 25
