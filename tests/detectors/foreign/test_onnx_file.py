import csv
import pickle

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sklearn.metrics import roc_auc_score

from adhelpers._shared.engine import _packed
from adhelpers.detectors import OnnxDetector, Preprocessing
from adhelpers.detectors.foreign import onnx_file

MEAN_MAP = [("ReduceMean", ["image"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
MAX_SCORE = [("ReduceMax", ["anomaly_map"], ["pred_score"], {"axes": [1, 2, 3], "keepdims": 0})]
BOTH = {"anomaly_map": ("n", 1, "h", "w"), "pred_score": ("n",)}
# Red counts four times as much as green, blue not at all.
WEIGHTS = np.array([0.8, 0.2, 0.0], np.float32)
WEIGHTED = [
    ("Mul", ["image", "weights"], ["weighted"]),
    ("ReduceSum", ["weighted", "axes"], ["anomaly_map"], {"keepdims": 1}),
]
FIRST = {"weights": WEIGHTS.reshape(1, 3, 1, 1), "axes": np.array([1])}
LAST = {"weights": WEIGHTS, "axes": np.array([3])}


def test_map_and_score_are_found(write_onnx, images):
    detector = OnnxDetector(write_onnx(MEAN_MAP + MAX_SCORE, outputs=BOTH))
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
    assert np.allclose(detector.score(images), [0.6, 0.7, 0.8, 0.9])
    scores, maps = detector.score_and_map(images)
    assert scores.dtype == maps.dtype == np.float32 and maps.shape == (4, 16, 16)
    assert detector.facts() == [
        "model.onnx takes float32 (n, 3, 16, 16), NCHW",
        "Images of another size are resized to 16 x 16 (bicubic)",
        "Grey images are repeated in three channels",
        "The map is its output 'anomaly_map'; the score is its output 'pred_score'",
    ]
    assert detector.title == "model.onnx" and len(detector.fingerprint) == 64


def test_a_worker_process_reads_the_same_file_with_the_same_settings(write_onnx, images):
    asked = Preprocessing(mean=(0.1, 0.2, 0.3), scale=255)
    outputs = {"first": ("n", 1, "h", "w"), "other": ("n", 1, "h", "w")}
    nodes = [(*MEAN_MAP[0][:2], ["first"], MEAN_MAP[0][3]), ("Neg", ["first"], ["other"])]
    detector = OnnxDetector(
        write_onnx(nodes, outputs=outputs), map_output="other", preprocessing=asked, title="mine"
    )
    sent = _packed(detector.with_counterpart("grey", lambda one: one).score)
    assert sent is not None and len(sent) < 1000
    again = pickle.loads(sent)
    assert (again(images) == detector.score(images)).all() and (again(images) < 0).all()
    assert again.__self__.title == "mine"


@pytest.mark.parametrize(
    ("taken", "constants"),
    [
        (("n", 3, 16, 16), FIRST),
        (("n", 16, 16, 3), LAST),
        ((1, 3, 16, 16), FIRST),
        ((3, 3, 16, 16), FIRST),
        (("n", 3, "h", "w"), FIRST),
        (("n", "h", "w", 3), LAST),
        # Three rows: the shape fits both orders of axes, what the model computes only one.
        (("n", "a", "b", "c"), LAST),
    ],
)
def test_every_layout_batch_and_size_gives_the_same(write_onnx, images, taken, constants):
    path = write_onnx(WEIGHTED, taken, {"anomaly_map": ("n", "a", "b", "c")}, constants=constants)
    asked = Preprocessing(layout="NHWC", channels=3) if taken[1:] == ("a", "b", "c") else None
    detector = OnnxDetector(path, preprocessing=asked)
    assert np.allclose(detector.anomaly_map(images), images @ WEIGHTS, atol=1e-6)


def test_a_shape_that_fits_both_orders_is_asked_for(write_onnx):
    """Three rows of three columns: both run, and one of them is wrong without a word."""
    path = write_onnx(
        [("ReduceMean", ["image"], ["anomaly_map"], {"axes": [1], "keepdims": 1})],
        ("n", 3, 16, 3),
        {"anomaly_map": ("n", 1, 16, 3)},
    )
    with pytest.raises(ValueError, match="takes NCHW with 3 channels and NHWC with 3 channels"):
        OnnxDetector(path)
    asked = Preprocessing(layout="NCHW")
    assert OnnxDetector(path, preprocessing=asked).preprocessing.size == (16, 3)


def test_a_free_size_is_the_images_own(write_onnx):
    path = write_onnx(MEAN_MAP, ("n", 3, "h", "w"))
    images = np.random.default_rng(0).uniform(size=(2, 20, 30, 3)).astype(np.float32)
    detector = OnnxDetector(path)
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
    sized = OnnxDetector(path, preprocessing=Preprocessing(size=(8, 8)))
    assert sized.anomaly_map(images).shape == (2, 20, 30)
    # First what would be done, then what was done.
    assert "Images of another size are resized to 8 x 8 (bicubic)" in sized.facts()
    assert "Images of 20 x 30 are resized to 8 x 8 (bicubic), which stretches them" in sized.facts()
    assert "Maps of 8 x 8 are resized to 20 x 30 (bilinear)" in sized.facts()


def test_a_small_map_is_said_before_the_first_image(write_onnx):
    nodes = [("AveragePool", ["image"], ["small"], {"kernel_shape": [4, 4], "strides": [4, 4]})]
    nodes += [("ReduceMean", ["small"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
    assert (
        "Maps of 4 x 4 are resized to 16 x 16 (bilinear)" in OnnxDetector(write_onnx(nodes)).facts()
    )


def test_images_may_lie_across_the_model_s_own_size(write_onnx):
    """The map has the model's upright size and belongs to it: nothing is exchanged."""
    detector = OnnxDetector(write_onnx(MEAN_MAP, ("n", 3, 32, 16)))
    images = np.random.default_rng(0).uniform(size=(2, 16, 32, 3)).astype(np.float32)
    assert detector.anomaly_map(images).shape == (2, 16, 32)
    exchanged = [("Transpose", ["image"], ["turned"], {"perm": [0, 1, 3, 2]})]
    exchanged += [("ReduceMean", ["turned"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
    detector = OnnxDetector(write_onnx(exchanged, ("n", 3, 32, 16)))
    with pytest.raises(ValueError, match="rows and columns are exchanged"):
        detector.anomaly_map(images)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_types_of_numbers(write_onnx, images, kind):
    path = write_onnx(MEAN_MAP, kind=kind, kind_out=kind)
    maps = OnnxDetector(path).anomaly_map(images)
    assert maps.dtype == np.float32 and np.allclose(maps, images.mean(axis=-1), atol=2e-3)


def test_bytes_are_given_from_0_to_255(write_onnx, images):
    nodes = [("Cast", ["image"], ["numbers"], {"to": TensorProto.FLOAT})]
    nodes += [("ReduceMean", ["numbers"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
    path = write_onnx(nodes, kind=TensorProto.UINT8)
    maps = OnnxDetector(path).anomaly_map(images)
    assert np.abs(maps / 255 - images.mean(axis=-1)).max() < 0.5 / 255 + 1e-6
    with pytest.raises(ValueError, match="bytes from 0 to 255: mean, std and scale do not apply"):
        OnnxDetector(path, preprocessing=Preprocessing(mean=(0.5,)))


def test_grey_and_coloured_images_are_made_to_fit(write_onnx, images):
    one = write_onnx([("Abs", ["image"], ["anomaly_map"])], ("n", 1, 16, 16))
    luma = images @ np.array([0.299, 0.587, 0.114], np.float32)
    assert np.allclose(OnnxDetector(one).anomaly_map(images), luma, atol=1e-6)
    three = write_onnx(MEAN_MAP)
    grey = images[..., :1]
    assert np.allclose(OnnxDetector(three).anomaly_map(grey), grey[..., 0], atol=1e-6)


def test_what_is_given_is_done_in_the_model_s_order_of_channels(write_onnx, images):
    path = write_onnx(WEIGHTED, constants=FIRST)
    asked = Preprocessing(bgr=True, scale=255, mean=(1, 2, 3), std=(4, 5, 6))
    taken = (images[..., ::-1] * 255 - [1, 2, 3]) / [4, 5, 6]
    maps = OnnxDetector(path, preprocessing=asked).anomaly_map(images)
    assert np.allclose(maps, taken @ WEIGHTS, rtol=1e-5)


def test_a_model_for_0_to_255_is_recognised_by_what_it_does(write_onnx, images):
    nodes = [("Div", ["image", "c"], ["scaled"])]
    nodes += [("ReduceMean", ["scaled"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
    path = write_onnx(nodes, constants={"c": np.float32(255)})
    detector = OnnxDetector(path)
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
    assert "By itself it divides by 255" in detector.facts()
    # What is asked for counts, right or wrong.
    asked = OnnxDetector(path, preprocessing=Preprocessing(scale=1))
    assert asked.score(images).max() < 0.01


def test_a_model_with_the_means_of_caffe_gets_bgr(write_onnx, images):
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    nodes = [("Sub", ["image", "mean"], ["shifted"])]
    nodes += [("Mul", ["shifted", "weights"], ["weighted"]), WEIGHTED[1]]
    path = write_onnx(nodes, constants={**FIRST, "mean": mean.reshape(1, 3, 1, 1)})
    expected = (images[..., ::-1] * 255 - mean) @ WEIGHTS
    detector = OnnxDetector(path)
    assert np.allclose(detector.anomaly_map(images), expected, rtol=1e-4, atol=1e-4)
    assert "in the order blue, green, red" in " ".join(detector.facts())


def test_a_free_batch_that_works_with_one_image_only_is_noticed(write_onnx, images):
    """As PatchCore of anomalib: a reshape keeps the batch of the export."""
    nodes = [("ReduceMean", ["image"], ["mean"], {"axes": [1], "keepdims": 1})]
    nodes += [("Reshape", ["mean", "shape"], ["anomaly_map"])]
    path = write_onnx(nodes, constants={"shape": np.array([1, 1, 16, 16])})
    detector = OnnxDetector(path)
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
    assert detector.facts()[-1] == (
        "It fails with two images at once, so each image is run alone (its file declares a free "
        "batch)"
    )


def test_a_batch_that_mixes_images_is_noticed(write_onnx, images):
    """Each map less the mean of the batch: no error, and no number that is right."""
    nodes = [
        ("ReduceMean", ["image"], ["mean"], {"axes": [1], "keepdims": 1}),
        ("ReduceMean", ["mean"], ["all"], {"axes": [0, 1, 2, 3], "keepdims": 1}),
        ("Sub", ["mean", "all"], ["anomaly_map"]),
    ]
    detector = OnnxDetector(write_onnx(nodes))
    plain = images.mean(axis=-1)
    expected = plain - plain.mean(axis=(1, 2), keepdims=True)
    assert np.allclose(detector.anomaly_map(images), expected, atol=1e-6)
    assert "other numbers in a batch than alone" in detector.facts()[-1]
    fixed = OnnxDetector(write_onnx(nodes, (2, 3, 16, 16), name="fixed.onnx"))
    assert np.allclose(fixed.anomaly_map(images), expected, atol=1e-6)


def test_outputs_are_chosen_by_name(write_onnx, images):
    nodes = [*MEAN_MAP, ("Neg", ["anomaly_map"], ["other"]), *MAX_SCORE]
    outputs = {**BOTH, "other": ("n", 1, "h", "w")}
    path = write_onnx(nodes, outputs=outputs)
    assert OnnxDetector(path).score(images).max() > 0
    other = OnnxDetector(path, output="pred_score", map_output="other")
    assert other.anomaly_map(images).max() < 0 < other.score(images).min()
    only = OnnxDetector(path, output="other")
    assert np.allclose(only.score(images), -images.mean(axis=-1).min(axis=(1, 2)))
    with pytest.raises(ValueError, match="has no output 'mine'; inputs: image float32"):
        OnnxDetector(path, output="mine")


def test_an_export_of_anomalib_is_recognised(write_onnx, images):
    """Its labels and masks rest on a threshold that is not the suite's and are left aside."""
    nodes = [*MEAN_MAP, *MAX_SCORE]
    nodes += [
        ("Greater", ["pred_score", "c"], ["pred_label"]),
        ("Greater", ["anomaly_map", "c"], ["pred_mask"]),
    ]
    outputs = {
        "pred_score": ("n",),
        "pred_label": ((TensorProto.BOOL), ("n",)),
        "anomaly_map": ("n", 1, "h", "w"),
        "pred_mask": (TensorProto.BOOL, ("n", 1, "h", "w")),
    }
    path = write_onnx(nodes, outputs=outputs, constants={"c": np.float32(0.5)})
    detector = OnnxDetector(path)
    assert np.allclose(detector.score(images), [0.6, 0.7, 0.8, 0.9]) and detector.has_map


def test_an_autoencoder_gives_its_reconstruction(write_onnx, images):
    path = write_onnx(
        [("Clip", ["image", "low", "high"], ["output"])],
        outputs={"output": ("n", 3, 16, 16)},
        constants={"low": np.float32(0), "high": np.float32(0.5)},
    )
    detector = OnnxDetector(path)
    assert np.allclose(detector.counterpart(images), np.minimum(images, 0.5), atol=1e-6)
    assert (np.diff(detector.score(images)) > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taken": ("n", 768)}, "does not take images, whose shape has four axes"),
        ({"taken": ("n", 4, 16, 16)}, "one axis is for one or three channels"),
        ({"kind": TensorProto.INT64, "kind_out": TensorProto.INT64}, "type int64, not one of"),
        ({"outputs": {"anomaly_map": ("n", 16)}, "axes": [1, 2]}, "has no output that is a score"),
    ],
)
def test_what_does_not_fit_is_refused_with_inputs_and_outputs(write_onnx, change, message):
    axes = change.pop("axes", [1])
    nodes = [("ReduceSum", ["image", "axes"], ["anomaly_map"], {"keepdims": int(axes == [1])})]
    if axes == [1, 2]:
        nodes = [("ReduceSum", ["image", "axes"], ["anomaly_map"], {"keepdims": 0})]
    path = write_onnx(nodes, constants={"axes": np.array(axes)}, **change)
    with pytest.raises(ValueError, match=message) as caught:
        OnnxDetector(path)
    text = str(caught.value)
    assert "; inputs: image " in text and "; outputs: anomaly_map " in text and "\n" not in text


def test_a_second_input_is_refused(write_onnx):
    info = helper.make_tensor_value_info
    inputs = [info(name, TensorProto.FLOAT, ("n", 3, 8, 8)) for name in ("image", "other")]
    path = write_onnx([("Add", ["image", "other"], ["anomaly_map"])], inputs=inputs)
    with pytest.raises(ValueError, match="has 2 inputs, where a detector takes images"):
        OnnxDetector(path)


def test_a_graph_that_is_broken_is_one_line(write_onnx, capfd):
    path = write_onnx([("Abs", ["nothing"], ["anomaly_map"])])
    with pytest.raises(ValueError, match="cannot be loaded by ONNX Runtime") as caught:
        OnnxDetector(path)
    assert "\n" not in str(caught.value)
    model = onnx.load(write_onnx(MEAN_MAP))
    model.opset_import[0].version = 99
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="cannot be loaded by ONNX Runtime"):
        OnnxDetector(path)
    # A name of two bytes that are no UTF-8: ONNX Runtime would print and try again.
    path.write_bytes(write_onnx(MEAN_MAP).read_bytes().replace(b"image", b"im\xec\xecge"))
    with pytest.raises(ValueError, match="cannot be loaded|is not an ONNX file"):
        OnnxDetector(path)
    assert capfd.readouterr() == ("", "")


def test_nan_is_named_by_image(write_onnx, images):
    nodes = [("Sub", ["image", "c"], ["less"]), ("Sqrt", ["less"], ["root"])]
    nodes += [("ReduceMean", ["root"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
    path = write_onnx(nodes, constants={"c": np.float32(0.1)})
    images = images.copy()
    images[2] = 0
    with pytest.raises(ValueError, match="NaN or infinite values in the score of image 2"):
        OnnxDetector(path).score(images)


def test_weights_in_a_file_beside_the_model_are_used(write_onnx, images):
    path = write_onnx(WEIGHTED, constants=FIRST)
    model = onnx.load(path)
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=43,
    )
    assert (path.parent / "weights.bin").stat().st_size >= 12
    assert np.allclose(OnnxDetector(path).anomaly_map(images), images @ WEIGHTS, atol=1e-6)
    # Weights beside a link to the model are not those that were checked.
    link = path.parent / "elsewhere" / "link.onnx"
    link.parent.mkdir()
    link.symlink_to(path)
    (link.parent / "weights.bin").write_bytes(np.ones(3, np.float32).tobytes())
    assert np.allclose(OnnxDetector(link).anomaly_map(images), images @ WEIGHTS, atol=1e-6)


def test_threads_are_bounded(write_onnx, monkeypatch):
    path = write_onnx(MEAN_MAP)
    monkeypatch.setattr(onnx_file, "_cpus", lambda: 64)
    options = OnnxDetector(path)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (4, 1)
    options = OnnxDetector(path, threads=1)._session.get_session_options()
    assert options.intra_op_num_threads == 1
    with pytest.raises(ValueError, match="threads must be 1 or more"):
        OnnxDetector(path, threads=0)


def test_an_exported_patchcore_gives_its_own_scores(real_data):
    """Four of the images whose scores were stored with the model."""
    folder = real_data / "peers"
    if not folder.is_dir():
        pytest.skip(f"no exported PatchCore in {folder}")
    with (folder / "expected_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = ["/good/" not in row["image"] for row in rows]
    expected = np.array([float(row["score"]) for row in rows])
    assert round(roc_auc_score(labels, expected), 3) == 0.934
    chosen = range(0, len(rows), 27)
    images = np.stack(
        [
            np.asarray(Image.open(real_data / "mvtec_ad/screw" / rows[one]["image"]).convert("RGB"))
            for one in chosen
        ]
    )
    detector = OnnxDetector(folder / "patchcore_vgg16_screw.onnx")
    scores = detector.score(images.astype(np.float32) / 255)
    assert np.abs(scores - expected[list(chosen)]).max() < 0.01
    assert "each image is run alone" in " ".join(detector.facts())
