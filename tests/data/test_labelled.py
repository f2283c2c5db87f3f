"""Labelled samples: IDX files, downloads, folders, CSV, and clear errors."""

import gzip
import struct

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adhelpers.data import load_labelled
from adhelpers.data.labelled import read_idx


def idx(values):
    values = np.asarray(values, np.uint8)
    return (
        bytes([0, 0, 8, values.ndim])
        + struct.pack(f">{values.ndim}I", *values.shape)
        + values.tobytes()
    )


def write_mnist(folder, split="t10k", count=40, seed=0, compressed=True):
    random = np.random.default_rng(seed)
    images, labels = random.integers(0, 256, (count, 6, 5)), np.arange(count) % 4
    for name, values in (
        (f"{split}-images-idx3-ubyte", images),
        (f"{split}-labels-idx1-ubyte", labels),
    ):
        (folder / (name + ".gz" * compressed)).write_bytes(
            gzip.compress(idx(values)) if compressed else idx(values)
        )
    return images, labels


def test_idx_files_are_read_plain_and_gzipped(tmp_path):
    values = np.arange(24).reshape(2, 3, 4)
    for name, content in (("plain", idx(values)), ("packed.gz", gzip.compress(idx(values)))):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_idx(tmp_path / name), values)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not an IDX file"),
        (b"PK\x03\x04 something", "not an IDX file"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), "not an IDX file of unsigned bytes"),
        (idx(np.zeros(9))[:-2], "holds 7 values, but its head announces 9"),
        (idx(np.zeros((2, 2))) + b"x", "holds 5 values.*announces 4"),
        (gzip.compress(idx(np.zeros(9)), mtime=0)[:20], "damaged gzip"),
    ],
)
def test_damaged_idx_files_are_named(content, message, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value)


def test_test_files_alone_are_divided_six_to_four_by_class_and_always_alike(tmp_path):
    images, labels = write_mnist(tmp_path)
    first, again = (load_labelled("mnist", tmp_path) for _ in range(2))
    assert first.name == "mnist" and len(first) == 40 and first.fingerprint == again.fingerprint
    np.testing.assert_allclose(first.samples[..., 0], images / 255, rtol=1e-6)
    assert first.classes.tolist() == [str(one) for one in labels]
    assert first.class_table().to_numpy().tolist() == [[6, 4]] * 4
    np.testing.assert_array_equal(first.is_test, again.is_test)


def test_training_files_beside_test_files_are_the_published_division(tmp_path):
    write_mnist(tmp_path, "t10k", 8)
    train, _ = write_mnist(tmp_path, "train", 20, seed=1, compressed=False)
    found = load_labelled("idx", tmp_path)
    assert found.is_test.tolist() == [False] * 20 + [True] * 8 and found.name == "idx"
    np.testing.assert_allclose(found.samples[:20, ..., 0], train / 255, rtol=1e-6)


def test_files_that_are_missing_or_do_not_belong_together_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match="train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-images",
    ):
        load_labelled("mnist", tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_labelled("idx", tmp_path / "nowhere")
    write_mnist(tmp_path, count=40)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(39))))
    with pytest.raises(ValueError, match="do not belong together"):
        load_labelled("mnist", tmp_path)


def test_downloads_go_through_keras(monkeypatch):
    train, test = (
        (np.full((4, 3, 3), 51, np.uint8), np.array([1, 0, 1, 0])),
        (np.zeros((2, 3, 3), np.uint8), np.array([0, 1])),
    )
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: (train, test))
    found = load_labelled("fashion_mnist")
    assert found.is_test.tolist() == [False] * 4 + [True] * 2 and found.samples[
        0, 0, 0, 0
    ] == pytest.approx(0.2)

    def offline():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    with pytest.raises(
        OSError,
        match="mnist could not be downloaded .URL fetch failure.*IDX files as data_root.*"
        "data set digits",
    ):
        load_labelled("mnist")


def test_digits_are_embedded():
    digits = load_labelled()
    assert (
        digits.samples.shape == (1797, 8, 8, 1)
        and digits.samples.min() == 0
        and digits.samples.max() == 1
    )
    table = digits.class_table()
    # The name of the index keeps a report from taking classes for row numbers.
    assert table.index.name == "class" and table.index.tolist() == [str(i) for i in range(10)]


def test_a_folder_gives_half_of_each_defect_to_train_with(tmp_path):
    random = np.random.default_rng(0)
    for name, count in (("train/good", 5), ("test/good", 3), ("test/dent", 4), ("test/hole", 3)):
        for index in range(count):
            path = tmp_path / "spoon" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    for kind, count in (("dent", 4), ("hole", 3)):
        (tmp_path / "spoon" / "ground_truth" / kind).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(mask).save(
                tmp_path / "spoon" / "ground_truth" / kind / f"{index}_mask.png"
            )
    found = load_labelled("folder", tmp_path, category="spoon", image_size=16)
    assert found.name == "spoon" and found.class_table().loc["good"].tolist() == [5, 3]
    assert found.class_table().loc[["dent", "hole"]].to_numpy().tolist() == [[2, 2], [1, 2]]
    assert (found.masks.any(axis=(1, 2)) == (found.classes != "good")).all()
    with pytest.raises(ValueError, match="category must name"):
        load_labelled("folder", tmp_path)


def test_a_table_gives_vectors(tmp_path):
    path = tmp_path / "flowers.csv"
    pd.DataFrame({"width": np.arange(10) % 7, "kind": list("ab") * 5, "height": 0.5}).to_csv(
        path, index=False
    )
    found = load_labelled("csv", path, label_column="kind")
    assert found.name == "flowers" and found.columns == ("width", "height")
    assert found.samples.shape == (10, 2) and found.classes[:2].tolist() == ["a", "b"]
    assert found.class_table().to_numpy().tolist() == [[3, 2], [3, 2]]


def test_a_table_with_a_single_sample_of_a_class_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,label\n1,x\n2,y\n3,y\n")
    with pytest.raises(ValueError, match="class 'x' has a single sample"):
        load_labelled("csv", path)


def test_many_classes_of_two_samples_have_one_to_test_on_each(tmp_path):
    rows = [f"{index * 7 % 13}.5,{index // 2}\n" for index in range(12)]
    (tmp_path / "table.csv").write_text("a,label\n" + "".join(rows))
    found = load_labelled("csv", tmp_path / "table.csv")
    assert found.class_table().to_numpy().tolist() == [[1, 1]] * 6


def test_wrong_data_sets_are_named(tmp_path):
    with pytest.raises(ValueError, match="dataset must be one of digits, mnist, .*not 'minst'"):
        load_labelled("minst")
    for dataset in ("idx", "folder", "csv"):
        with pytest.raises(ValueError, match=f"dataset '{dataset}' needs data_root"):
            load_labelled(dataset)
    with pytest.raises(FileNotFoundError, match="it is the file itself"):
        load_labelled("csv", tmp_path)
