import json
import shutil

import numpy as np
import pytest

from adhelpers._shared.checks import checked_images
from adhelpers.detectors import VAEGAN, Subspace, read_manifest


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    good = np.random.default_rng(0).uniform(size=(6, 32, 32, 1)).astype("float32")
    folder = tmp_path_factory.mktemp("models") / "subspace"
    Subspace(n_components=2).fit(good[:4], good[4:]).save(folder)
    return folder


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 8, 8)), "shape"),
        (np.zeros((2, 8, 8, 2)), "1 or 3 channels"),
        (np.zeros((0, 8, 8, 1)), "no image"),
        (np.full((1, 8, 8, 1), 1.5), r"\[0, 1\]"),
        (np.full((1, 8, 8, 1), np.nan), r"\[0, 1\]"),
        (np.full((1, 8, 8, 1), -0.1), r"\[0, 1\]"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        checked_images(images)


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*\(16, 16, 1\)"):
        checked_images(np.zeros((1, 8, 8, 1)), (16, 16, 1))


def test_manifest_names_parameters_and_checksums(stored):
    manifest = read_manifest(stored)
    assert manifest["detector"] == "Subspace" and manifest["parameters"]["n_components"] == 2
    assert set(manifest["files"]) == {"pca.skops"} and len(manifest["files"]["pca.skops"]) == 64


def test_a_changed_file_is_refused(stored, tmp_path):
    for path in stored.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "pca.skops").read_bytes())
    content[-1] ^= 1
    (tmp_path / "pca.skops").write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256 of .*pca.skops"):
        Subspace.load(tmp_path)
    (tmp_path / "pca.skops").unlink()
    with pytest.raises(FileNotFoundError, match="pca.skops is missing"):
        Subspace.load(tmp_path)


def test_another_kind_of_detector_is_refused(stored):
    with pytest.raises(ValueError, match="holds a Subspace, not a VAEGAN"):
        VAEGAN.load(stored)


def test_a_folder_that_is_no_detector_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="manifest.json"):
        Subspace.load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"detector": "Subspace"}))
    with pytest.raises(ValueError, match="not a manifest"):
        Subspace.load(tmp_path)


@pytest.mark.parametrize("number", [None, 2, 99])
def test_a_manifest_of_another_format_is_refused(stored, tmp_path, number):
    folder = tmp_path / "old"
    shutil.copytree(stored, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["format"] = number
    if number is None:
        del manifest["format"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ValueError,
        match="old holds a Subspace that another version .*: remove the folder and train",
    ):
        Subspace.load(folder)


def test_an_unfitted_detector_says_so(tmp_path):
    with pytest.raises(RuntimeError, match="not fitted"):
        Subspace().score(np.zeros((1, 32, 32, 1)))
    with pytest.raises(RuntimeError, match="not fitted"):
        Subspace().save(tmp_path / "x")
    assert not (tmp_path / "x").exists()
