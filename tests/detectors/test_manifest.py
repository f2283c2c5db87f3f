"""A manifest names what a folder holds; what does not fit it is refused."""

import json
import shutil

import numpy as np
import pytest

from adhelpers.detectors import Subspace
from adhelpers.detectors.manifest import FORMAT, read_manifest


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    good = np.random.default_rng(0).uniform(size=(6, 32, 32, 1)).astype("float32")
    folder = tmp_path_factory.mktemp("models") / "subspace"
    Subspace(n_components=2).fit(good[:4], good[4:]).save(folder)
    return folder


def test_manifest_names_parameters_and_checksums(stored):
    manifest = read_manifest(stored)
    assert manifest["detector"] == "Subspace" and manifest["parameters"]["n_components"] == 2
    assert manifest["format"] == FORMAT
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
