"""A category that the tests of the loading draw themselves."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def write():
    """Function that saves pixels as an image file."""

    def save(path, pixels, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(path, **options)

    return save


@pytest.fixture(scope="session")
def picture():
    """Function that draws a bright background with noise and a dark bar that leans."""

    def draw(seed=0, shape=(40, 30), bright=200):
        generator = np.random.default_rng(seed)
        image = np.clip(generator.normal(bright, 2, shape), 0, 255).astype(np.uint8)
        for row in range(6, shape[0] - 6):
            left = shape[1] // 3 + row // 6
            image[row, left : left + (8 if row < 13 else 4)] = 40
        return image

    return draw


@pytest.fixture
def root(tmp_path, write, picture):
    """Ten good training images; test: two good, two cuts, one hole; with masks."""
    for index in range(10):
        write(tmp_path / "bar" / "train" / "good" / f"{index:03}.png", picture(index))
    for kind, count, first in (("good", 2, 128), ("cut", 2, 121), ("hole", 1, 135)):
        for index in range(count):
            write(
                tmp_path / "bar" / "test" / kind / f"{index:03}.png",
                picture(first + index),
            )
            if kind != "good":
                mask = np.zeros((40, 30), np.uint8)
                mask[10 + index : 14, 8:20] = 1  # Non-zero is defect, not only 255.
                write(tmp_path / "bar" / "ground_truth" / kind / f"{index:03}_mask.png", mask)
    return tmp_path
