"""What is mapped from disk takes no memory of the process, and all results are the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adhelpers._shared.large_arrays import LIMIT_VARIABLE, is_mapped
from adhelpers.data import load_category
from adhelpers.detectors import Fusion, MemoryBank, Subspace
from adhelpers.detectors.features import detector as feature_detector

SIDE, COUNT = 256, 300
# RssAnon is what belongs to the process alone; pages of a mapped file are the system's cache. The
# system counts no highest value of it, so a thread looks all the time.
CHILD = """
import hashlib, sys, threading
from adhelpers.data import load_category
def private():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024
load_category(sys.argv[1], "warm-up", 256)
levels, stop = [private()], threading.Event()
def watch():
    while not stop.wait(0.005):
        levels.append(private())
watcher = threading.Thread(target=watch)
watcher.start()
category = load_category(sys.argv[1], "disc", 256)
stop.set()
watcher.join()
parts = category.train, category.validation, category.test
digest = hashlib.sha256(b"".join(part.images.tobytes() for part in parts)).hexdigest()
print(max(levels) - levels[0], category.fingerprint, digest)
"""


def write(folder, count):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for index in range(count):
        kind = "train/good" if index < 0.8 * count else f"test/{('good', 'dent')[index % 2]}"
        pixels = np.where(np.hypot(rows - 128, columns - 100 - index % 50) < 60, 60, 200)
        pixels[index % SIDE] = index % 251
        path = folder / kind / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path, compress_level=1)


def loaded(root, mebibytes):
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(root)],
        env=os.environ | {LIMIT_VARIABLE: mebibytes, "XDG_CACHE_HOME": str(root / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    highest, *content = run.stdout.split()
    return float(highest), content


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_loading_beyond_the_bound_takes_no_memory_for_images(tmp_path):
    write(tmp_path / "warm-up", 10)
    write(tmp_path / "disc", COUNT)
    images = COUNT * SIDE**2 * 4 / 2**20
    mapped, content = loaded(tmp_path, "16")
    in_memory, same = loaded(tmp_path, "1024")
    assert content == same
    assert mapped < 0.3 * images and 0.9 * images < in_memory < 1.3 * images


@pytest.fixture
def bars(tmp_path):
    random, rows = np.random.default_rng(0), np.arange(64)[:, None]
    for index in range(24):
        kind = "train/good" if index < 16 else f"test/{('good', 'dent')[index % 2]}"
        pixels = 120 + 40 * np.sin(rows / 3) + random.normal(0, 4, (64, 64))
        if kind == "test/dent":
            pixels[28:36, 28:36] = 230
        path = tmp_path / "bars" / kind / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return tmp_path


def everything(root):
    """All that is computed of a category, from its files to what a fusion says."""
    category = load_category(root, "bars", 64)
    train, validation, test = (
        part.images for part in (category.train, category.validation, category.test)
    )
    bank, subspace = MemoryBank(coreset=0.2), Subspace()
    both = Fusion([bank, subspace]).fit(train, validation, show_progress=False)
    results = [part for one in (bank, subspace, both) for part in _answers(one, test)]
    return category.fingerprint, [train, test, *bank.score_map_counterpart(test), *results]


def _answers(detector, images):
    return detector.score(images), detector.anomaly_map(images), detector.counterpart(images)


def test_all_results_are_the_same_bit_for_bit(bars, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Several parts also of few images.
    monkeypatch.setattr(feature_detector, "batch_of", lambda _: 3)
    monkeypatch.setattr(Subspace, "_BATCH", 3)
    fingerprint, expected = everything(bars)
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
    again, found = everything(bars)
    assert fingerprint == again
    assert not any(map(is_mapped, expected)) and sum(map(is_mapped, found)) >= 8
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
