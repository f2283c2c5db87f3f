import numpy as np
import pytest

from adhelpers.detectors import Subspace, load_detector, register
from adhelpers.detectors.registry import detector_class


def test_a_stored_detector_of_whatever_kind_is_loaded(tmp_path):
    good = np.random.default_rng(0).uniform(size=(6, 32, 32, 1)).astype("float32")
    detector = Subspace(n_components=2).fit(good[:4], good[4:])
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert type(loaded) is Subspace and loaded.folder == tmp_path / "model"
    np.testing.assert_array_equal(loaded.score(good), detector.score(good))


@pytest.mark.parametrize(
    "name",
    ["AnoGAN", "CAE", "DeepSAD", "FeatureSVM", "Fusion", "MemoryBank", "Subspace", "VAEGAN"],
)
def test_every_kind_is_known(name):
    assert detector_class(name).__name__ == name


def test_unknown_and_second_names_are_refused():
    with pytest.raises(ValueError, match="there is no detector 'os'; known are AnoGAN, CAE"):
        detector_class("os")
    with pytest.raises(ValueError, match="there is a detector 'Subspace' already"):
        register(type("Subspace", (Subspace,), {}))
