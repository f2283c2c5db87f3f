"""A manifest names what a folder holds; what does not fit it is refused with one kind of error."""

import json
import os
import shutil

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from adhelpers._shared.files import sha256
from adhelpers.detectors import Subspace, load_detector
from adhelpers.detectors.manifest import (
    FORMAT,
    MANIFEST,
    StoredFiles,
    StoredModelError,
    loading,
    read_manifest,
    signed,
)

GOOD = np.random.default_rng(0).uniform(size=(6, 32, 32, 1)).astype("float32")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "subspace"
    Subspace(n_components=2).fit(GOOD[:4], GOOD[4:]).save(folder)
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
    (tmp_path / "manifest.json").write_text(json.dumps({"format": FORMAT}))
    with pytest.raises(ValueError, match="not a manifest"):
        Subspace.load(tmp_path)


@pytest.mark.parametrize("number", [None, 3, 99])
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
        match="old holds a Subspace that another version .*manifest format "
        f"{number or 'without a number'}, this version reads {FORMAT}.: remove the folder",
    ):
        Subspace.load(folder)


def test_the_checksum_of_a_manifest_is_over_all_that_it_holds():
    content = {"alpha": 1, "sha256": "earlier", "zeta": (1, 2)}
    found = signed(content)
    assert found == signed(found) and found["zeta"] == [1, 2] and found["alpha"] == 1
    checksums = {signed(content | {name: 3})["sha256"] for name in ("alpha", "zeta", "new")}
    assert len(checksums | {found["sha256"]}) == 4
    assert signed({"sha256": "other", "zeta": [1, 2], "alpha": 1}) == found


@pytest.fixture
def copy(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "copy")


def content_of(folder):
    return json.loads((folder / MANIFEST).read_text())


def sign(folder, **changed):
    """Change a manifest as one would who knows of its checksum."""
    content = {
        name: value
        for name, value in (content_of(folder) | changed).items()
        if value is not NotImplemented
    }
    (folder / MANIFEST).write_text(json.dumps(signed(content)))


def refused(folder, load=Subspace.load):
    """The message of the one kind of error; it has the folder and what to do."""
    with pytest.raises((StoredModelError, FileNotFoundError)) as caught:
        load(folder)
    message = str(caught.value)
    assert str(folder) in message and message.endswith("train again"), message
    assert "\n" not in message
    return message


def places(value, path=()):
    """The way to each value inside of dicts and lists."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(content, path, value):
    content = json.loads(json.dumps(content))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is NotImplemented:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


OTHERS = (None, -1, 0.5, 10**400, "x", [], {}, [None], {"x": []}, True, NotImplemented)


def test_every_field_of_a_manifest_that_is_changed_is_noticed(copy):
    """Without its checksum a changed smoothing would give other scores."""
    content = content_of(copy)
    ways = list(places(content))
    assert len(ways) > 12 and ("parameters", "scoring", "smoothing") in ways
    for path in ways:
        for value in OTHERS:
            text = json.dumps(replaced(content, path, value))
            if text != json.dumps(content):
                (copy / MANIFEST).write_text(text)
                refused(copy)


def test_every_byte_of_a_manifest_that_is_changed_is_noticed_or_changes_nothing(copy):
    whole = (copy / MANIFEST).read_bytes()
    outcomes = set()
    for place in range(0, len(whole), 3):
        for changed in (whole[:place] + b"7" + whole[place + 1 :], whole[:place]):
            (copy / MANIFEST).write_bytes(changed)
            if json_or_none(changed) == json_or_none(whole):
                outcomes.add("same")
            else:
                outcomes.add("other")
                refused(copy)
    (copy / MANIFEST).write_bytes(whole.replace(b"  ", b" "))
    assert outcomes == {"same", "other"}
    expected = Subspace(n_components=2).fit(GOOD[:4], GOOD[4:]).score(GOOD)
    np.testing.assert_array_equal(Subspace.load(copy).score(GOOD), expected)


def json_or_none(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_a_forged_manifest_ends_in_the_same_error_or_in_a_model(copy):
    """By someone who knows of the checksum: still no TypeError, KeyError or AttributeError."""
    content = content_of(copy)
    del content["sha256"]
    for path in places(content):
        if path == ("detector",):
            continue
        for value in (None, -1, 0.5, "x", [], {}, [None], {"x": []}, True, NotImplemented):
            (copy / MANIFEST).write_text(json.dumps(signed(replaced(content, path, value))))
            try:
                Subspace.load(copy)
            except (StoredModelError, FileNotFoundError) as error:
                assert str(copy) in str(error) and str(error).endswith("train again")
            else:
                assert path[0] in ("parameters", "selection")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"no JSON",
        b"[]",
        b"null",
        b"7",
        b'{"format": 4, "detector": ["Subspace"]}',
        b'{"detector": ' + b"[" * 100_000,
        b'{"format": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda text: text[:30],
)
def test_a_manifest_that_is_none_is_refused(copy, text):
    (copy / MANIFEST).write_bytes(text)
    assert "manifest.json is not" in refused(copy)
    assert "manifest.json is not" in refused(copy, load_detector)


def test_a_manifest_of_gigabytes_is_not_read(copy):
    with (copy / MANIFEST).open("r+b") as file:
        file.truncate(2**36)
    assert "more than 64 MiB" in refused(copy)


def test_a_file_that_the_manifest_does_not_name_is_not_read(copy):
    sign(copy, files={})
    assert "does not name pca.skops" in refused(copy)
    files = StoredFiles(copy, frozenset({"a/b.npz"}))
    assert files / "a/b.npz" == copy / "a" / "b.npz"
    with pytest.raises(ValueError, match="does not name a"):
        files / "a"


@pytest.mark.parametrize(
    "name", ["../outside.npz", "{folder}/outside.npz", "link.npz", "a/../../outside.npz"]
)
def test_a_file_outside_of_the_folder_is_refused_though_its_checksum_holds(copy, name):
    outside = copy.parent / "outside.npz"
    np.savez(outside, a=1)
    (copy / "link.npz").symlink_to(outside)
    (copy / "a").mkdir()
    name = name.format(folder=copy.parent)
    assert (copy / name).read_bytes() == outside.read_bytes()
    sign(copy, files=content_of(copy)["files"] | {name: sha256(outside)})
    assert "not inside the folder" in refused(copy)


def test_a_folder_that_is_reached_through_a_link_is_loaded(copy, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    assert Subspace.load(tmp_path / "link").score(GOOD).shape == (6,)


@pytest.mark.parametrize("name", ["x" * 5_000, "a\0b", "circle", "pipe", "folder", "", "gone"])
def test_a_name_of_no_file_is_refused(copy, name):
    (copy / "circle").symlink_to("circle")
    os.mkfifo(copy / "pipe")
    (copy / "folder").mkdir()
    sign(copy, files=content_of(copy)["files"] | {name: "0"})
    assert "which is no file" in refused(copy) or "is missing" in refused(copy)


def fitted(**changed):
    pca = PCA(2, svd_solver="full").fit(GOOD.reshape(len(GOOD), -1))
    vars(pca).update(changed)
    return pca


@pytest.mark.parametrize(
    "part, reason",
    [
        (b"", "BadZipFile"),
        (b"no archive", "BadZipFile"),
        (lambda path: np.savez(path.with_suffix(".npz"), a=1), "KeyError"),
        (StandardScaler(), "holds a StandardScaler, not a PCA"),
        ({"a": 1}, "holds a dict, not a PCA"),
        (PCA(2), "AttributeError"),
        (fitted(mean_=np.full(1024, np.nan)), "NaN"),
        (fitted(components_=np.full((2, 1024), np.inf)), "NaN or infinite"),
        (fitted(components_=np.zeros((2, 7))), "ValueError|cannot be loaded"),
        (fitted(components_="text"), "TypeError"),
        (PCA(2).fit(np.random.default_rng(0).uniform(size=(4, 9))), "another size"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_part_of_another_form_is_refused_though_its_checksum_holds(copy, part, reason):
    path = copy / "pca.skops"
    if isinstance(part, bytes):
        path.write_bytes(part)
    elif callable(part):
        part(path)
        path.with_suffix(".npz").replace(path)
    else:
        skops.io.dump(part, path)
    sign(copy, files={"pca.skops": sha256(path)})
    message = refused(copy)
    assert any(one in message for one in reason.split("|")), message


def test_errors_of_the_content_become_one_and_those_of_the_disk_pass_through(tmp_path):
    for error in (
        KeyError("a"),
        TypeError("b"),
        OSError("no HDF5\nin it"),
        MemoryError(),
        ValueError(),
    ):
        with pytest.raises(StoredModelError, match="cannot be loaded") as caught, loading(tmp_path):
            raise error
        assert caught.value.__cause__ is error and "\n" not in str(caught.value)
    for error in (
        PermissionError(13, "Permission denied", "a"),
        OSError(5, "Input/output error", "a"),
        FileNotFoundError("weights: there is no file a"),
        ConnectionError("no network"),
        StoredModelError("take other weights"),
        KeyboardInterrupt(),
    ):
        with pytest.raises(type(error)) as caught, loading(tmp_path):
            raise error
        assert caught.value is error


def test_what_the_caller_chose_may_be_the_reason(tmp_path):
    with (
        pytest.raises(
            StoredModelError,
            match=r"\(neighbours: too many\). Give another neighbours or seed, or remove",
        ),
        loading(tmp_path, ["neighbours", "seed"]),
    ):
        raise ValueError("neighbours: too many")
