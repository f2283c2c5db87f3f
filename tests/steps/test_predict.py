"""Decisions on new images: equal to the assessment, written as they come, whatever happens."""

import os
import shutil
import sys
import threading
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adhelpers.steps import predict
from adhelpers.steps.inspector import load_inspector

# The function has the name of its module.
module = sys.modules[predict.__module__]


def table_of(prediction):
    return pd.read_csv(prediction.folder / "predictions.csv")


@pytest.fixture
def photos(hazelnuts, tmp_path):
    """The test images, one file that is broken, and one that is no image."""
    folder = tmp_path / "photos"
    shutil.copytree(hazelnuts.root / "hazelnut" / "test", folder)
    (folder / "broken.png").write_bytes(b"\x89PNG no")
    (folder / "notes.txt").touch()
    return folder


def test_every_image_gets_the_decision_of_the_assessment(
    hazelnuts, stored, onnx_file, photos, tmp_path
):
    flags = dict(zip(hazelnuts.test.names, stored.flags, strict=True))
    for number, model in enumerate((stored.detector.folder, onnx_file)):
        prediction = predict(model, [photos], tmp_path / f"out{number}")
        table = table_of(prediction)
        read = table[table["remark"].isna()]
        names = ["test/" + name.split("photos/")[1] for name in read["file"]]
        assert (
            dict(zip(names, read["flagged"] == "True", strict=True)) == flags
            or dict(zip(names, read["flagged"].astype(bool), strict=True)) == flags
        )
        assert prediction.images == len(hazelnuts.test) and prediction.flagged == sum(stored.flags)
        (broken,) = table[table["remark"].notna()].itertuples()
        assert broken.file.endswith("broken.png") and "cannot be read" in broken.remark
        assert prediction.unreadable_count == 1 and "broken.png" in prediction.unreadable[0]
        assert prediction.exit_code() == 1 and prediction.exit_code(fail_on_flag=True) == 3
        overlays = sorted((prediction.folder / "overlays").iterdir())
        assert len(overlays) == prediction.flagged > 0
        assert Image.open(overlays[0]).size == (64, 64)
        page = (prediction.folder / "predictions.html").read_text()
        assert page.count('class="card"') == prediction.flagged and "broken.png" in page
        assert "could not be read" in " ".join(prediction.findings())


def test_the_box_lies_on_the_defect_in_the_photographs_own_pixels(stored, hazelnuts, tmp_path):
    """Photographs four times as large as what the detector sees, with a black square planted."""
    names = hazelnuts.validation.names[:2]
    large = []
    for index, name in enumerate(names):
        picture = Image.open(hazelnuts.root / "hazelnut" / name).convert("RGB")
        picture = picture.resize((256, 256), Image.Resampling.BICUBIC)
        if index == 0:
            picture.paste((255, 0, 255), (120, 140, 148, 160))
        large.append(tmp_path / f"{index}.png")
        picture.save(large[-1])
    prediction = predict(stored.detector.folder, large, tmp_path / "out", overlays="all")
    row = table_of(prediction).iloc[0]
    assert str(row["flagged"]) == "True"
    across = min(row["x"] + row["width"], 148) - max(row["x"], 120)
    down = min(row["y"] + row["height"], 160) - max(row["y"], 140)
    assert across > 20 and down > 14 and row["width"] < 60 and row["height"] < 60
    overlays = sorted((tmp_path / "out" / "overlays").iterdir())
    assert [Image.open(one).size for one in overlays] == [(256, 256)] * 2
    marked = np.asarray(Image.open(overlays[0])).astype(int)
    plain = np.asarray(Image.open(large[0])).astype(int)
    changed = np.abs(marked - plain).sum(axis=2) > 60
    assert changed[140:160, 120:148].mean() > 0.5 and changed[:60].mean() < 0.02


def test_without_a_threshold_there_are_scores_and_a_sentence(stored, photos, tmp_path):
    inspector = load_inspector(stored.detector.folder)
    blind = type(inspector)(inspector.title, inspector.detector, inspector.reader, None)
    prediction = predict(blind, [photos / "good"], tmp_path / "out")
    table = table_of(prediction)
    assert table["score"].notna().all() and table["flagged"].isna().all()
    assert not (tmp_path / "out" / "overlays").exists() and prediction.exit_code(True) == 0
    text = " ".join(prediction.findings())
    assert "No threshold is known" in text and "it is not known what the images" in text
    assert "Highest scores" in (tmp_path / "out" / "predictions.html").read_text()


def copies(folder, source, count, darker=1.0):
    """Good images under other names, each a little different, all of them darker if asked for."""
    folder.mkdir()
    files = sorted(source.iterdir())
    for index in range(count):
        values = np.asarray(Image.open(files[index % len(files)]), float)
        noise = np.random.default_rng(index).normal(0, 0.5, values.shape)
        picture = np.clip(values * darker + noise, 0, 255).astype("uint8")
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize(("darker", "noticed"), [(1.0, []), (0.7, ["light"])])
def test_darker_photographs_are_noticed_and_equal_ones_not(
    darker, noticed, stored, hazelnuts, tmp_path
):
    train = hazelnuts.root / "hazelnut" / "train" / "good"
    prediction = predict(
        stored.detector.folder, [copies(tmp_path / "new", train, 14, darker)], tmp_path / "out"
    )
    found = [one.measure for one in prediction.drift.noticed]
    assert ("light" in found) == bool(noticed) and (bool(found) == bool(noticed))
    assert prediction.drift.count == 14
    assert ("are not alike" in " ".join(prediction.findings())) == bool(noticed)


def test_one_image_is_too_few_for_a_drift(stored, photos, tmp_path):
    file = next((photos / "good").iterdir())
    prediction = predict(stored.detector.folder, [file], tmp_path / "out")
    assert "Drift: 1 new image beside" in " ".join(prediction.findings())
    assert "too few to say" in " ".join(prediction.findings())


def test_memory_does_not_grow_with_the_number_of_images(
    onnx_file, hazelnuts, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_MOST_CARDS", 10)
    folder = copies(tmp_path / "new", hazelnuts.root / "hazelnut" / "train" / "good", 12)
    inspector = load_inspector(onnx_file)
    high = type(inspector)(
        inspector.title,
        inspector.detector,
        inspector.reader,
        type(inspector.threshold)(-1.0, "all", False),
        inspector.statistics,
    )

    def peak(times):
        name = tmp_path / f"out{times}"
        tracemalloc.start()
        predict(high, [folder] * times, name, overlays="none")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    few, many = peak(2), peak(10)
    # A photograph has 49 kB in memory, a card about 2 kB; a few numbers are kept of each image.
    assert many < few + 96 * 1000, f"{few} bytes for 24 images, {many} for 120"


def test_an_interrupted_run_keeps_complete_rows_and_its_page(stored, photos, tmp_path, monkeypatch):
    take = module._Run.take

    def interrupted(self, read):
        if self.rows == 3:
            raise KeyboardInterrupt
        take(self, read)

    monkeypatch.setattr(module._Run, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(stored.detector.folder, [photos], tmp_path / "out")
    text = (tmp_path / "out" / "predictions.csv").read_text()
    assert text.count("\n") == 4 and text.endswith("\n")
    assert "New images: subspace" in (tmp_path / "out" / "predictions.html").read_text()


def followed(monkeypatch, until):
    """Look fast, and press Ctrl-C when ``until`` says so."""
    original, idle = module.watch_images, module._Run.idle
    monkeypatch.setattr(module, "watch_images", lambda *rest: original(*rest, interval=0.02))

    def and_end(self):
        idle(self)
        if until(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Run, "idle", and_end)


def test_a_followed_folder_is_decided_on_as_images_come(stored, photos, tmp_path, monkeypatch):
    """The copy of the second image stalls in the middle, for longer than two looks."""
    folder = tmp_path / "line"
    folder.mkdir()
    first, second, *_ = sorted((photos / "good").iterdir())
    shutil.copy(first, folder / "1.png")
    followed(monkeypatch, lambda run: run.rows == 2)

    def later():
        data = second.read_bytes()
        with (folder / "2.png").open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            time.sleep(0.5)
            file.write(data[len(data) // 2 :])

    thread = threading.Thread(target=later)
    thread.start()
    prediction = predict(stored.detector.folder, [folder], folder / "out", watch=True)
    thread.join()
    assert prediction.images == 2 and prediction.unreadable_count == 0
    assert "of 2 images" in (folder / "out" / "predictions.html").read_text()


def test_a_file_that_stays_broken_is_listed_in_the_end(stored, photos, tmp_path, monkeypatch):
    folder = tmp_path / "line"
    folder.mkdir()
    for name in ("old.png", "new.png"):
        shutil.copy(photos / "broken.png", folder / name)
    os.utime(folder / "old.png", (0, 0))
    followed(monkeypatch, lambda run: run.unreadable_count == 1 and run.stalled)
    prediction = predict(stored.detector.folder, [folder], tmp_path / "out", watch=True)
    assert [one.split(":")[0].split("/")[-1] for one in prediction.unreadable] == [
        "old.png",
        "new.png",
    ]
    assert len(table_of(prediction)) == 2 and prediction.exit_code() == 1


def test_wrong_use_is_refused_before_anything_is_written(stored, photos, tmp_path):
    out = tmp_path / "out"
    for images, options, error, message in (
        ([tmp_path / "no"], {}, FileNotFoundError, "there is no file or folder"),
        ([photos / "*.bmp"], {}, FileNotFoundError, "no image fits the pattern"),
        ([photos, photos], {"watch": True}, ValueError, "follows one folder, and 2 were given"),
        ([photos / "broken.png"], {"watch": True}, NotADirectoryError, "follows one folder"),
        ([photos], {"overlays": "some"}, ValueError, "overlays must be one of"),
    ):
        with pytest.raises(error, match=message):
            predict(stored.detector.folder, images, out, **options)
    assert not out.exists()
