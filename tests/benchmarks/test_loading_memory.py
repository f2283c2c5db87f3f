"""Memory that loading a category takes, as a multiple of the loaded images and masks.

Run with ``python -m pytest tests/benchmarks/test_loading_memory.py -s``.
"""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SIDE = 512
# In a process of its own, because the highest level of a process never falls again.
CHILD = """
import resource, sys
from adhelpers.data import Corrections, load_category
crop, pose, side = sys.argv[3:]
corrections = Corrections(pose=pose, crop=crop)
category = load_category(sys.argv[1], sys.argv[2], int(side), corrections=corrections)
parts = category.train, category.validation, category.test
print(sum(part.images.nbytes + part.masks.nbytes for part in parts))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write_category(folder, count):
    """Discs on a plain background, 60 % of them for training, half of the others defective."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for index in range(count):
        defective = index >= 0.8 * count
        kind = "train/good" if index < 0.6 * count else f"test/{'dent' if defective else 'good'}"
        inside = np.hypot(rows - 256, (columns - 256 - index % 50) * 2) < 150
        pixels = np.where(inside, 60, 200) - index % 7
        path = folder / kind / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        if defective:
            mask = folder / "ground_truth/dent" / f"{index:04}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(((rows < 30) * 255).astype(np.uint8)).save(mask)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    for count in (100, 400):
        write_category(folder / str(count), count)
    return folder


@pytest.mark.parametrize("pose, crop", [("none", "none"), ("axis", "object")])
def test_slope_of_the_highest_level(root, goal, pose, crop):
    arrays, highest = np.transpose(
        [
            [
                int(line)
                for line in subprocess.run(
                    [sys.executable, "-c", CHILD, str(root), count, crop, pose, str(SIDE)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.split()
            ]
            for count in ("100", "400")
        ]
    )
    slope = np.ptp(highest) / np.ptp(arrays)
    print(
        f"\nLoading {SIDE}x{SIDE} grey images, pose {pose}, crop {crop}: {highest[1] / 1e6:.0f} MB "
        f"at most for {arrays[1] / 1e6:.0f} MB of images and masks, slope {slope:.2f}"
    )
    goal(f"memory of loading, pose {pose}, crop {crop}", "the images", slope, at_most=1.3)
    assert slope <= 1.1
