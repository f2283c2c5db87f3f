"""Detectors as they are given: exactly one, in the size that it takes, with an honest threshold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adhelpers.detectors import StoredMaps
from adhelpers.runner import find_notebooks
from adhelpers.steps import assess_given, open_detector
from adhelpers.steps.given import given_functions, load_images
from adhelpers.steps.given_example import write_example

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
[NOTEBOOK] = find_notebooks(["08"], FOLDER)


@pytest.fixture(scope="module")
def example(hazelnuts, tmp_path_factory):
    return write_example(hazelnuts, tmp_path_factory.mktemp("example"))


def parameters(category, **given):
    place = {"category": "hazelnut", "data_root": str(category.root)}
    return NOTEBOOK.defaults() | place | given


def contrast(images):
    return images.max(axis=(1, 2, 3)) - images.mean(axis=(1, 2, 3))


def test_images_have_the_size_and_colours_that_the_file_takes(hazelnuts, example):
    given = open_detector(parameters(hazelnuts, onnx=str(example[0])))
    # The file was made for 64 x 64 pixels in colour.
    assert given.category.test.images.shape[1:] == (64, 64, 3) and given.stored is None
    assert given.title == "ONNX detector subspace.onnx"
    said = " ".join(given.findings())
    assert "64 x 64 pixels, rgb" in said and "not corrected" in said and "(n, 64, 64, 3)" in said
    smaller = open_detector(parameters(hazelnuts, onnx=str(example[0]), image_height=32))
    assert smaller.category.test.images.shape[1:] == (32, 32, 3)
    assert smaller.model.anomaly_map(smaller.category.test.images).shape[1:] == (32, 32)


def test_axes_and_size_are_told_where_the_shape_of_the_input_leaves_them_open(hazelnuts, tmp_path):
    """The mean over the second axis can be computed of anything."""
    from onnx import TensorProto, helper, save

    info = helper.make_tensor_value_info

    def write(name, *shape):
        nodes = [helper.make_node("ReduceMean", ["image"], ["anomaly_map"], axes=[1], keepdims=1)]
        goes_in = info("image", TensorProto.FLOAT, ["n", *shape])
        comes_out = info("anomaly_map", TensorProto.FLOAT, ["n", 1, *shape[1:]])
        graph = helper.make_graph(nodes, "mean", [goes_in], [comes_out])
        opset = helper.make_opsetid("", 17)
        path = tmp_path / name
        save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
        return str(path)

    unclear, free = write("unclear.onnx", "a", "b", "c"), write("free.onnx", 3, "h", "w")
    with pytest.raises(ValueError, match="takes NCHW .* and N.*: say which .*--axes, --channels"):
        open_detector(parameters(hazelnuts, onnx=unclear))
    told = open_detector(parameters(hazelnuts, onnx=unclear, axes="NCHW", channels=3))
    images = told.category.test.images
    assert np.allclose(told.model.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
    sized = open_detector(parameters(hazelnuts, onnx=free, input_size=[48, 32]))
    assert sized.category.test.images.shape[1:] == (48, 32, 3)


def test_small_files_are_not_enlarged_and_what_is_asked_for_is_done(hazelnuts):
    assert load_images(parameters(hazelnuts)).test.images.shape[1:] == (64, 64, 3)
    one = load_images(parameters(hazelnuts, color="grayscale", image_height=48, image_width=32))
    assert one.test.images.shape[1:] == (48, 32, 1)


def test_maps_have_thresholds_of_their_own_good_images_where_there_are_any(hazelnuts, example):
    given = open_detector(parameters(hazelnuts, maps=str(example[1])))
    assert given.model is None
    one = assess_given(given)
    assert not one.threshold.uses_test_labels and not one.has_counterparts
    assert len(one.reference_scores) == len(hazelnuts.validation)
    # The same maps without those of good images: only labels can give a threshold, and it says so.
    bare = assess_given(replace(given, stored=replace(given.stored, reference_scores=None)))
    assert bare.threshold.uses_test_labels and "flatter" in bare.findings()[0]
    assert bare.detection.auroc.value == one.detection.auroc.value


def test_an_object_is_imported_from_where_it_lies(hazelnuts, tmp_path):
    (tmp_path / "their_detector.py").write_text(
        "def contrast(images):\n"
        "    return images.max(axis=(1, 2, 3)) - images.mean(axis=(1, 2, 3))\n"
    )
    options = {"detector": "their_detector:contrast", "import_from": str(tmp_path)}
    given = open_detector(parameters(hazelnuts, **options))
    one = assess_given(given)
    np.testing.assert_allclose(one.scores, contrast(given.category.test.images), rtol=1e-5)
    assert given.title == "Python detector contrast" and not one.has_maps and one.pixels is None


def test_a_stored_detector_of_ours_keeps_its_own_counterpart(hazelnuts, detector, tmp_path):
    detector.save(tmp_path / "subspace")
    given = open_detector(parameters(hazelnuts, model=str(tmp_path / "subspace")))
    one = assess_given(given)
    np.testing.assert_allclose(one.scores, detector.score(hazelnuts.test.images), rtol=1e-4)
    assert one.has_counterparts and one.counterpart_name == "reconstruction"


def test_one_detector_and_no_other(hazelnuts, example):
    with pytest.raises(ValueError, match="maps and onnx: give one of maps, onnx, detector, model"):
        open_detector(parameters(hazelnuts, maps=str(example[1]), onnx=str(example[0])))
    with pytest.raises(ValueError, match="scores: a file of scores goes with maps"):
        open_detector(parameters(hazelnuts, onnx=str(example[0]), scores="scores.csv"))
    with pytest.raises(ValueError, match="give one of maps"):
        open_detector(parameters(hazelnuts))
    with pytest.raises(ValueError, match="no_such_module cannot be imported"):
        open_detector(parameters(hazelnuts, detector="no_such_module:x"))


def test_python_gives_an_object_or_functions(hazelnuts):
    for wrong in ({}, {"detector": contrast, "score": contrast}):
        with pytest.raises(ValueError, match="give a detector, or the functions"):
            given_functions(hazelnuts, **wrong)
    only_map = given_functions(hazelnuts, anomaly_map=lambda images: images.mean(axis=-1))
    one = assess_given(only_map)
    # Without a score it is the map's maximum.
    np.testing.assert_allclose(one.scores, one.anomaly_maps.max(axis=(1, 2)), rtol=1e-6)
    maps = StoredMaps(one.anomaly_maps, one.scores, None, ("said",), "")
    assert given_functions(hazelnuts, maps).stored is maps
    with pytest.raises(ValueError, match="rule .threshold_rule. must be one of"):
        assess_given(only_map, rule="quantile")


def test_a_detector_that_says_the_same_of_every_image_is_refused(hazelnuts):
    given = given_functions(hazelnuts, score=lambda images: np.zeros(len(images)))
    with pytest.raises(ValueError, match="same score"):
        assess_given(given)
