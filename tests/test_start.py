"""The beginning with one's own images, on coloured grain with defects that anyone sees.

``python tests/test_start.py FOLDER`` writes these images, to try ``python -m adhelpers start`` on.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from adhelpers import steps
from adhelpers.data.layouts import image_name, mask_name
from adhelpers.runner import find_notebooks

KINDS = ("stain", "scratch", "hole", "thread")
_LIGHT, _DARK = np.array([0.72, 0.58, 0.44]), np.array([0.46, 0.33, 0.22])


def grain(random, height=300, width=400):
    """One good image, float (h, w, 3): fine fibres and coarse clouds, somewhere else each time."""
    fibres = gaussian_filter(random.standard_normal((height, width)), (1.0, 4.0), mode="wrap")
    clouds = gaussian_filter(random.standard_normal((height, width)), 14, mode="wrap")
    share = 0.5 + 0.17 * fibres / fibres.std() + 0.10 * clouds / clouds.std()
    image = _DARK + np.clip(share, 0, 1)[..., None] * (_LIGHT - _DARK)
    return image * random.uniform(0.94, 1.06) + random.normal(0, 0.012, image.shape)


def spoil(image, kind, random):
    """An obvious defect in an image, in place; returns its mask."""
    height, width = image.shape[:2]
    row, column = random.uniform(0.25, 0.75, 2) * (height, width)
    y, x = np.mgrid[:height, :width]
    turn = random.uniform(0, np.pi)
    along = (x - column) * np.cos(turn) + (y - row) * np.sin(turn)
    across = (y - row) * np.cos(turn) - (x - column) * np.sin(turn)
    side = min(height, width)
    mask = {
        "stain": (along / 1.3) ** 2 + across**2 < (0.07 * side) ** 2,
        "hole": along**2 + across**2 < (0.045 * side) ** 2,
        "scratch": (np.abs(across) < 0.008 * side) & (np.abs(along) < 0.2 * side),
        "thread": (np.abs(across - 0.03 * side * np.sin(along / 0.04 / side)) < 0.01 * side)
        & (np.abs(along) < 0.17 * side),
    }[kind]
    colour = {
        "stain": image[mask] * [0.55, 0.6, 0.75],
        "hole": np.full((mask.sum(), 3), 0.06),
        "scratch": np.full((mask.sum(), 3), 0.92),
        "thread": np.tile([0.25, 0.35, 0.75], (mask.sum(), 1)),
    }[kind]
    image[mask] = colour
    return mask


def write_grain(folder, train=20, good=10, each=2, size=(300, 400), seed=0, masks=True):
    """Write a category in the layout of MVTec AD; ``each`` of four kinds of defects."""
    random = np.random.default_rng(seed)
    counts = {("train", "good"): train, ("test", "good"): good}
    counts |= {("test", kind): each for kind in KINDS}
    for (split, kind), count in counts.items():
        for index in range(count):
            image = grain(random, *size)
            if kind != "good":
                mask = spoil(image, kind, random)
                if masks:
                    _save(folder / mask_name(kind, f"{index:03d}"), mask)
            _save(folder / image_name(split, kind, f"{index:03d}"), image)
    return Path(folder)


def _save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("grain")
    write_grain(root / "grain")
    (notebook,) = find_notebooks(["09_your_images"])
    own = {"category": "grain", "data_root": str(root), "weights": "hed"}
    return steps.suggest_settings(notebook.defaults() | own)


def test_eight_obvious_defects_on_a_coloured_surface_are_found(settings):
    """As the notebook does it, before the explanations."""
    objects = steps.load_objects(settings.parameters)
    assert objects.train.images.shape == (13, 96, 128, 3)
    assessed = {
        title: steps.assess_detector(
            title, one.fit(objects.train.images, objects.validation.images), objects
        )
        for title, one in steps.simple_detectors(settings.parameters).items()
    }
    chosen = steps.choose_audited(settings.ordered(assessed))
    assert chosen.assessment.title == "memory bank"
    confusion = chosen.assessment.detection.confusion
    assert confusion["tp"] == 8 and confusion["fp"] <= 2


def test_the_notebook_on_features_keeps_colour_and_proportions_of_own_files(settings):
    (notebook,) = find_notebooks(["05_ocsvm"])
    own = {name: settings.asked[name] for name in ("category", "data_root")}
    chosen = steps.suggest_settings(notebook.defaults() | own).chosen
    assert chosen == {"image_height": 96, "image_width": 128, "color": "rgb"}


if __name__ == "__main__":
    print(write_grain(Path(sys.argv[1])))
