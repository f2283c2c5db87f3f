import numpy as np
import onnx
import pytest

from adhelpers.detectors.foreign.onnx_normalisation import find_normalisation

CAFFE = np.array([103.939, 116.779, 123.68], np.float32).reshape(1, 3, 1, 1)
IMAGENET = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)


def found(write_onnx, nodes, **constants):
    constants = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    end = [("ReduceMean", ["end"], ["anomaly_map"], {"axes": [1], "keepdims": 1})]
    return find_normalisation(onnx.load(write_onnx(nodes + end, constants=constants)), "image")


def test_no_arithmetic_says_nothing(write_onnx):
    one = found(write_onnx, [("Abs", ["image"], ["end"])])
    assert one.steps == () and one.scale == 1 and not one.bgr


def test_means_of_imagenet_are_for_values_up_to_one(write_onnx):
    nodes = [("Sub", ["image", "mean"], ["a"]), ("Div", ["a", "std"], ["end"])]
    one = found(write_onnx, nodes, mean=IMAGENET, std=0.225)
    assert one.scale == 1 and not one.bgr
    assert one.steps == ("subtracts 0.485 / 0.456 / 0.406", "divides by 0.225")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([("Div", ["image", "c"], ["end"])], {"c": 255}),
        ([("Mul", ["image", "c"], ["end"])], {"c": 1 / 255}),
        ([("Sub", ["image", "c"], ["end"])], {"c": 127.5}),
        ([("Cast", ["image"], ["a"], {"to": 1}), ("Div", ["a", "c"], ["end"])], {"c": 255}),
        # Divided first: what is subtracted then says nothing more.
        ([("Div", ["image", "c"], ["a"]), ("Sub", ["a", "d"], ["end"])], {"c": 255, "d": 0.5}),
    ],
)
def test_a_range_up_to_255_is_recognised(write_onnx, nodes, constants):
    assert found(write_onnx, nodes, **constants).scale == 255


def test_a_mean_in_the_order_of_caffe_means_bgr(write_onnx):
    one = found(write_onnx, [("Sub", ["image", "c"], ["end"])], c=CAFFE)
    assert one.bgr and one.scale == 255
    one = found(write_onnx, [("Sub", ["image", "c"], ["end"])], c=CAFFE[:, ::-1])
    assert not one.bgr and one.scale == 255


def test_a_constant_that_is_divided_by_the_image_is_no_normalisation(write_onnx):
    one = found(write_onnx, [("Div", ["c", "image"], ["end"])], c=255)
    assert one.steps == () and one.scale == 1


def test_an_input_that_is_used_twice_is_not_followed(write_onnx):
    nodes = [
        ("Div", ["image", "c"], ["a"]),
        ("Add", ["a", "image"], ["end"]),
    ]
    assert found(write_onnx, nodes, c=255).steps == ()
