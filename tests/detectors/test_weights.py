"""Learned numbers in files: what a disk cannot take or a network cannot use ends in an error."""

import errno
import resource
import shutil

import h5py
import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA

from adhelpers._shared.files import error_sentence, replacing_folder
from adhelpers.detectors.manifest import StoredModelError, loading
from adhelpers.detectors.weights import load_arrays, load_estimator, load_weights, save_weights


def network(units=3):
    layers = [keras.Input((4,)), keras.layers.Dense(units), keras.layers.BatchNormalization()]
    return keras.Sequential(layers)


def test_weights_come_back_and_keras_can_read_the_file(tmp_path):
    first, second, third = network(), network(), network()
    save_weights(first, tmp_path / "a.weights.h5")
    load_weights(second, tmp_path / "a.weights.h5")
    third.load_weights(tmp_path / "a.weights.h5")
    for one, other, another in zip(first.weights, second.weights, third.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
        np.testing.assert_array_equal(one.numpy(), another.numpy())


def test_a_disk_that_takes_no_more_is_an_error_and_no_segmentation_fault(tmp_path):
    """HDF5 ends the process when it closes a file of many small parts that has no room."""
    dense = [keras.layers.Dense(100) for _ in range(20)]
    wide = keras.Sequential([keras.Input((100,)), *dense])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            save_weights(wide, tmp_path / "a.weights.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    save_weights(wide, tmp_path / "a.weights.h5")
    load_weights(wide, tmp_path / "a.weights.h5")


def test_a_full_disk_is_told_with_the_place_before_anything_is_written(tmp_path, monkeypatch):
    wide = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1_000)])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=300_000))
    with pytest.raises(OSError) as caught, replacing_folder(tmp_path / "model") as temporary:
        save_weights(wide, temporary / "a.weights.h5")
    place = tmp_path / "model" / "a.weights.h5"
    assert error_sentence(caught.value) == f"{place}: the disk is full"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("index", range(6))
def test_weights_that_are_no_numbers_are_refused(tmp_path, bad, index):
    """A single one, of the layer or of the moving averages."""
    broken = network()
    values = broken.weights[index].numpy()
    values.flat[-1] = bad
    broken.weights[index].assign(values)
    broken.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"^a.weights.h5 holds NaN, infinite values"):
        load_weights(network(), tmp_path / "a.weights.h5")


def empty(path):
    path.write_bytes(b"")


def other_groups(path):
    with h5py.File(path, "w") as file:
        file["layers"] = np.ones(3)


@pytest.mark.parametrize("write", [empty, other_groups, lambda path: network(7).save_weights(path)])
def test_a_file_of_other_weights_is_refused(tmp_path, write):
    write(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="a.weights.h5 does not fit the encoder .* architecture"):
        load_weights(network(), tmp_path / "a.weights.h5", "encoder")


def test_arrays_must_be_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.float16([1.5]), z=np.array([True]))
    assert {name: one.tolist() for name, one in load_arrays(tmp_path / "a.npz").items()} == {
        "x": [0, 1, 2],
        "y": [1.5],
        "z": [True],
    }
    for bad in (np.array([1, np.nan]), np.array([-np.inf]), np.array(["text"]), np.array([1j])):
        np.savez(tmp_path / "a.npz", x=np.arange(3), bad=bad)
        with pytest.raises(ValueError, match="a.npz holds NaN, infinite values or no numbers"):
            load_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"text", b"\x80\x04N."])
def test_a_damaged_file_is_one_kind_of_error(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    for load in (load_arrays, lambda path: load_estimator(path, PCA)):
        with pytest.raises(StoredModelError, match="cannot be loaded"), loading(tmp_path):
            load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", objects=np.array([None]))
    with pytest.raises(StoredModelError, match="cannot be loaded"), loading(tmp_path):
        load_arrays(tmp_path / "a.npz")
