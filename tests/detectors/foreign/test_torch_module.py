"""With a stand-in for PyTorch, which is no dependency, and with itself where it is installed."""

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from adhelpers.detectors import wrap_detector
from adhelpers.detectors.foreign.torch_module import is_torch_module


class Tensor:
    """The part of a tensor that is used."""

    def __init__(self, values):
        self.values, self.gradient = values, True

    def to(self, device, dtype):
        assert device == "cpu"
        return Tensor(self.values.astype(dtype))

    def detach(self):
        other = Tensor(self.values)
        other.gradient = False
        return other

    def cpu(self):
        return self

    def is_floating_point(self):
        return self.values.dtype.kind == "f"

    def float(self):
        other = self.detach()
        other.values = self.values.astype(np.float32)
        return other

    def numpy(self):
        assert not self.gradient
        return self.values


@pytest.fixture
def module_class(monkeypatch):
    """A class that calls itself torch.nn.Module, and a package torch that makes its tensors."""
    package, state = ModuleType("torch"), SimpleNamespace(gradients=True)

    @contextmanager
    def no_grad():
        state.gradients = False
        yield
        state.gradients = True

    package.from_numpy, package.no_grad = Tensor, no_grad
    monkeypatch.setitem(sys.modules, "torch", package)

    class Module:
        def __init__(self, function, channels=3, dtype=np.float32):
            self.function, self.training = function, True
            weights = SimpleNamespace(shape=(8, channels, 3, 3), device="cpu", dtype=dtype)
            self.parameters = lambda: iter([weights])

        def eval(self):
            self.training = False

        def __call__(self, given):
            assert not self.training and not state.gradients
            return self.function(given.values)

    Module.__module__ = "torch.nn.modules.module"
    return Module


def test_channels_come_first_and_nothing_is_trained(module_class, images):
    seen = []

    def function(values):
        seen.append(values.shape[1:])
        return Tensor(values.mean(axis=1, keepdims=True))

    detector = wrap_detector(module_class(function))
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
    assert seen[-1] == (3, 16, 16)


def test_a_module_that_is_trained_on_is_set_back(module_class, images):
    module = module_class(lambda values: Tensor(values.mean(axis=(1, 2, 3))))
    detector = wrap_detector(module)
    module.training = True
    assert detector.score(images).shape == (4,)


def test_grey_images_get_the_channels_of_the_first_weights(module_class, images):
    module = module_class(lambda values: Tensor(values.mean(axis=(1, 2, 3))))
    assert np.allclose(
        wrap_detector(module).score(images[..., :1]), images[..., 0].mean(axis=(1, 2)), atol=1e-6
    )


def test_a_batch_of_anomalib_and_half_precision(module_class, images):
    def function(values):
        maps = values.mean(axis=1, keepdims=True)
        return SimpleNamespace(
            pred_score=Tensor(maps.max(axis=(1, 2, 3))),
            anomaly_map=Tensor(maps),
            pred_label=Tensor(maps.max(axis=(1, 2, 3)) > 0.5),
            pred_mask=None,
        )

    detector = wrap_detector(module_class(function, dtype=np.float16))
    assert np.allclose(detector.score(images), [0.6, 0.7, 0.8, 0.9], atol=1e-3)


def test_other_things_are_no_modules():
    assert not is_torch_module(np.zeros(2)) and not is_torch_module(Tensor)


def test_with_pytorch_itself(images):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is no dependency")

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 1, 1, bias=False)
            torch.nn.init.constant_(self.layer.weight, 1 / 3)
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, given):
            return self.drop(self.layer(given))

    detector = wrap_detector(Mean())
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)
