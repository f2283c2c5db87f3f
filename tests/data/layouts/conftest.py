"""Tiny data sets in the layouts that people have."""

import numpy as np
import pytest

SHAPE = (24, 32)


@pytest.fixture(scope="session")
def grain():
    """Function that gives pixels that no other seed gives."""

    def draw(seed, shape=SHAPE):
        return np.random.default_rng(seed).integers(90, 160, shape).astype(np.uint8)

    return draw


@pytest.fixture(scope="session")
def marked():
    """Function that gives a mask with a rectangle of a value: rows and columns from, to."""

    def draw(rows, columns, value=255):
        mask = np.zeros(SHAPE, np.uint8)
        mask[slice(*rows), slice(*columns)] = value
        return mask

    return draw


@pytest.fixture
def fill(write, grain):
    """Function that writes images of grain, each with the next seed."""

    def save(folder, *names, start=0):
        for seed, name in enumerate(names, start=start):
            write(folder / name, grain(seed))

    return save
