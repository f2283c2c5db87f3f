"""Time and memory from files to scores, by the number of images in a category.

Run with ``python -m pytest tests/benchmarks/test_many_images.py -s``: 100 to 6,400 images of 64
pixels, some minutes of processor time. The network is MobileNetV2 without training, since what is
measured is all around it: its two middle layers have 768 channels at the strides of VGG16's.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SIDE, COUNTS = 64, (100, 400, 1600, 6400)
# In mebibytes; small, so that also hundreds of images are beyond it.
LIMIT = "16"
CHILD = """
import json, sys, threading, time, warnings
from contextlib import contextmanager
warnings.simplefilter("ignore")
from adhelpers.data import load_category
from adhelpers.detectors.features import detector
from adhelpers.detectors import (
    BackboneSettings, FeatureSettings, MemoryBank, ResidualScore, Subspace, feature_cache
)
root, name, cache = sys.argv[1:]
seconds, highest, stop = {}, {}, threading.Event()
now = ["start"]
def watch():
    while not stop.wait(0.01):
        with open("/proc/self/status") as file:
            private = next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
        highest[now[0]] = max(highest.get(now[0], 0), private / 1024)
watcher = threading.Thread(target=watch)
watcher.start()
@contextmanager
def stage(name):
    now[0], begun = name, time.process_time()
    yield
    seconds[name] = time.process_time() - begun
# Blocks of features are a sixteenth as large as usual, or thousands of images would fit into one.
detector._BLOCK //= 16
network = BackboneSettings("mobilenet_v2", "random")
bank = MemoryBank(FeatureSettings("patch"), network, bank_limit=2000)
subspace = Subspace(scoring=ResidualScore())
warm = load_category(root, "warm-up", 64)
for one in (bank, subspace):
    one.fit(warm.train.images, warm.validation.images, show_progress=False).score(warm.test.images)
with stage("loading"):
    category = load_category(root, name, 64)
train, validation, test = (
    part.images for part in (category.train, category.validation, category.test)
)
with stage("subspace"):
    subspace = Subspace(scoring=ResidualScore())
    subspace.fit(train, validation)
    results = [subspace.score(test), subspace.anomaly_map(test), subspace.counterpart(test)]
with stage("memory bank"), feature_cache(cache):
    bank.fit(train, validation, show_progress=False)
    results += bank.score_map_counterpart(test)
stop.set()
watcher.join()
print(json.dumps([seconds, highest]))
"""


def write(folder, count):
    """Bars that lie alike, with noise; four fifths are good ones for training."""
    random, rows = np.random.default_rng(0), np.arange(SIDE)[:, None]
    for index in range(count):
        kind = "train/good" if index < 0.8 * count else f"test/{('good', 'dent')[index % 2]}"
        pixels = 120 + 40 * np.sin(rows / 5 + random.normal(0, 0.1))
        pixels = pixels + random.normal(0, 4, (SIDE, SIDE))
        path = folder / kind / f"{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, compress_level=1)


def test_time_is_linear_and_memory_hardly_grows(tmp_path, goal):
    if not sys.platform.startswith("linux"):
        pytest.skip("reads Linux's /proc")
    write(tmp_path / "warm-up", 60)
    found = []
    for count in COUNTS:
        write(tmp_path / str(count), count)
        arguments = [str(tmp_path), str(count), str(tmp_path / "cache" / str(count))]
        run = subprocess.run(
            [sys.executable, "-c", CHILD, *arguments],
            env=os.environ | {"ADHELPERS_ARRAYS_MIB": LIMIT, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(run.stdout.splitlines()[-1]))
        seconds, highest = found[-1]
        images = count * SIDE**2 * 4 / 2**20
        print(
            f"\n{count} images ({images:.0f} MiB): "
            + ", ".join(
                f"{name} {seconds[name]:.1f} s, at most {highest.get(name, 0):.0f} MiB"
                for name in seconds
            )
        )
    for stage in found[0][0]:
        times = [seconds[stage] for seconds, _ in found]
        slope = np.polyfit(np.log(COUNTS[1:]), np.log(times[1:]), 1)[0]
        print(f"{stage}: exponent {slope:.2f} from {COUNTS[1]} to {COUNTS[-1]} images")
        goal(f"{stage}, exponent", "number of images", slope, at_most=1.1)
    grown = max(found[-1][1].values()) - max(found[1][1].values())
    # What grows are the small versions that near copies are found by, whatever the images' size, so
    # it is compared with images of 512 pixels, of which 10,000 have to fit.
    images = (COUNTS[-1] - COUNTS[1]) * 512**2 * 4 / 2**20
    print(f"memory grows by {grown:.0f} MiB; as many images of 512 pixels have {images:.0f} MiB")
    goal("memory, growth", "images of 512 px", grown / images, at_most=0.1)
