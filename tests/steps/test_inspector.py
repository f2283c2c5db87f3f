import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from adhelpers.detectors import (
    BackboneSettings,
    MemoryBank,
    Subspace,
    fit_or_load,
    update_record,
)
from adhelpers.steps import assess_detector, export_detector
from adhelpers.steps.inspector import Box, load_inspector, region_box


def test_folder_and_file_decide_as_the_assessment_did(hazelnuts, stored, onnx_file):
    test = hazelnuts.test
    for model in (stored.detector.folder, onnx_file):
        inspector = load_inspector(model)
        assert inspector.title == "subspace" and inspector.threshold == stored.threshold
        for index, name in enumerate(test.names):
            new = inspector.reader.read(hazelnuts.root / "hazelnut" / name)
            score, anomaly_map = inspector.inspect(new.image, with_map=True)
            assert score == pytest.approx(stored.scores[index], rel=1e-4)
            assert inspector.flags(score) == stored.flags[index]
            np.testing.assert_allclose(anomaly_map, stored.anomaly_maps[index], atol=1e-5)


def test_the_score_is_that_which_the_threshold_was_set_with(hazelnuts, tmp_path):
    """Not that of the fit: the smoothing may be changed without another one."""
    backbone = BackboneSettings(weights="random", layers=("block1_conv1",))
    with pytest.warns(UserWarning, match="random"):
        made = [MemoryBank(backbone=backbone, coreset=0.02, smoothing=size) for size in (4.0, 0.0)]
        fitted, other = (fit_or_load(one, hazelnuts, tmp_path, show_progress=False) for one in made)
        assert other.folder == fitted.folder
        assessed = assess_detector("memory bank", other, hazelnuts)
        inspector = load_inspector(other.folder)
    score, _ = inspector.inspect(hazelnuts.test.images[0], with_map=False)
    assert score == pytest.approx(assessed.scores[0], rel=1e-5)
    assert score != pytest.approx(fitted.score(hazelnuts.test.images[:1])[0], rel=1e-2)


def test_the_level_is_the_threshold_only_where_it_belongs_to_the_map(stored):
    inspector = load_inspector(stored.detector.folder, threshold=0.2)
    anomaly_map = np.float32([[0.1, 0.5]])
    assert inspector.level(0.5, anomaly_map) == 0.2
    # A sum over the image, and an image that passes: half of what the map has.
    assert inspector.level(99.0, anomaly_map) == pytest.approx(0.3)
    assert inspector.level(0.2, np.float32([[0.0, 0.2]])) == pytest.approx(0.1)


def test_a_threshold_that_is_given_wins(stored, onnx_file):
    for model in (stored.detector.folder, onnx_file):
        inspector = load_inspector(model, threshold=9.0)
        assert inspector.threshold.value == 9 and inspector.flags(8.9) is False
        assert inspector.statistics


def grey_onnx(path):
    """A detector from elsewhere: the difference from grey."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Abs", ["image"], ["anomaly_map"])],
        "grey",
        [info("image", TensorProto.FLOAT, ["n", 1, 16, 16])],
        [info("anomaly_map", TensorProto.FLOAT, ["n", 1, 16, 16])],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def test_a_file_from_elsewhere_has_scores_and_no_threshold(tmp_path):
    inspector = load_inspector(grey_onnx(tmp_path / "grey.onnx"))
    assert inspector.threshold is None and inspector.flags(1.0) is None
    assert not inspector.statistics and any("NCHW" in fact for fact in inspector.facts)
    score, anomaly_map = inspector.inspect(np.full((16, 16, 3), 0.5, "float32"), with_map=False)
    assert score == pytest.approx(0.5) and anomaly_map.shape == (16, 16)


def test_what_is_no_model_is_refused_in_one_sentence(stored, onnx_file, tmp_path):
    good = np.random.default_rng(0).uniform(size=(8, 16, 16, 1)).astype("float32")
    arrays = Subspace(2).fit(good[:6], good[6:])
    arrays.save(tmp_path / "arrays")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.onnx").write_bytes(b"no model")
    (tmp_path / "a.txt").write_text("no model")
    changed = onnx.load(onnx_file)
    for one in changed.metadata_props:
        if one.key == "adhelpers.record":
            one.value = one.value.replace("hazelnut", "walnut")
    onnx.save(changed, tmp_path / "changed.onnx")
    for name, error, message in (
        ("nothing", FileNotFoundError, "there is no folder or file .*nothing; give a stored"),
        ("empty", FileNotFoundError, "empty holds no manifest.json"),
        ("arrays", ValueError, "does not say how its images are read.*trains nothing anew$"),
        ("a.txt", ValueError, r"a\.txt is no model: give a folder"),
        ("a.onnx", ValueError, r"a\.onnx"),
        ("changed.onnx", ValueError, r"changed\.onnx holds a record that was changed by hand"),
    ):
        with pytest.raises(error, match=message) as caught:
            load_inspector(tmp_path / name)
        assert "\n" not in str(caught.value)
    # An export of arrays works: it only does not know how files are read.
    export_detector(tmp_path / "arrays", tmp_path / "arrays.onnx")
    assert load_inspector(tmp_path / "arrays.onnx").threshold is None
    update_record(tmp_path / "arrays", reading={"image_size": [16, 16]})
    with pytest.raises(ValueError, match="arrays holds a record that cannot be used: .*lack color"):
        load_inspector(tmp_path / "arrays")
    record = json.loads((tmp_path / "arrays" / "record.json").read_text())
    assert record["format"] == 1


def test_the_box_is_that_of_the_highest_region_in_the_photograph():
    """Turned by a quarter: rows of the map are columns of the photograph."""
    anomaly_map = np.zeros((10, 20), np.float32)
    anomaly_map[2:4, 5:9] = 0.7
    anomaly_map[8, 1] = 1
    anomaly_map[9, 2] = 0.6
    anomaly_map[0:2, 15:20] = 0.9
    plain = np.eye(3)
    # Regions hang together over corners, and a larger one that is lower is not shown.
    assert region_box(anomaly_map, 0.5, plain, (10, 20)) == Box(1, 8, 2, 2)
    turned = np.array([[0.0, -1, 9], [1, 0, 0], [0, 0, 1]])
    assert region_box(anomaly_map, 0.5, turned, (20, 10)) == Box(0, 1, 2, 2)
    # What lies outside of the photograph is cut, and something is always left.
    away = np.array([[1.0, 0, -30], [0, 1, 0], [0, 0, 1]])
    assert region_box(anomaly_map, 0.5, away, (10, 20)) == Box(0, 8, 1, 2)
    # A map without any place above the level: the highest one.
    assert region_box(anomaly_map, 2.0, plain, (10, 20)) == Box(1, 8, 1, 1)
