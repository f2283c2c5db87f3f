import json

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import Corrections, ImageReader, load_category, render_category


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    counts = {"train_count": 6, "test_good_count": 1, "defect_count": 1}
    render_category(root, "screw", image_size=96, **counts)
    return root


@pytest.mark.parametrize(
    ("corrections", "color", "size"),
    [
        (Corrections(), "rgb", (32, 48)),
        (Corrections("background", "axis"), "grayscale", 64),
        (Corrections("auto", "auto", "object"), "grayscale", (64, 32)),
        (Corrections(fit="pad"), "grayscale", (32, 64)),
    ],
    ids=["plain", "axis", "crop", "pad"],
)
def test_a_file_is_read_as_the_category_was(root, corrections, color, size):
    """Also the frame of a crop, which is measured on all training images and not on this one."""
    category = load_category(root, "screw", size, color, corrections)
    values = json.loads(json.dumps(ImageReader.of_category(category).as_dict()))
    reader = ImageReader.from_dict(values)
    test = category.test
    for index, name in enumerate(test.names):
        new = reader.read(root / "screw" / name)
        np.testing.assert_allclose(new.image, test.images[index], atol=2e-6)
        np.testing.assert_allclose(new.matrix, test.transforms[index], atol=1e-6)
        assert new.photograph.shape[:2] == tuple(test.original_shapes[index]) and not new.remark


def test_what_cannot_be_corrected_is_read_without_and_said(root, tmp_path):
    """Asked for by name as well: one dark photograph must not end a shift."""
    category = load_category(root, "screw", 64, corrections=Corrections("background", "axis"))
    reader = ImageReader.of_category(category)
    Image.new("L", (96, 96), 10).save(tmp_path / "dark.png")
    new = reader.read(tmp_path / "dark.png")
    assert new.remark == "light not corrected, pose not corrected"
    assert new.image.shape == (64, 64, 1) and new.image.max() < 0.05


def test_a_photograph_keeps_its_size_where_none_is_set(tmp_path):
    Image.new("L", (40, 30), 128).save(tmp_path / "a.png")
    settings = dict(image_size=None, color="rgb", illumination="none", pose="none", crop="none")
    reader = ImageReader(settings | {"margin": 0.0})
    new = reader.read(tmp_path / "a.png")
    assert new.image.shape == (30, 40, 3) and (new.matrix == np.eye(3)).all()
    assert "in colour in its own size" in reader.facts()


def test_bad_files_and_settings_are_named(root, tmp_path):
    reader = ImageReader.of_category(load_category(root, "screw", 64))
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="broken.png: cannot be read as PNG"):
        reader.read(tmp_path / "broken.png")
    with pytest.raises(ValueError, match="lack crop"):
        ImageReader({name: "none" for name in ("image_size", "color", "illumination", "pose")})
    with pytest.raises(ValueError, match="pose must be one of"):
        ImageReader(reader.settings | {"pose": "sideways"})
