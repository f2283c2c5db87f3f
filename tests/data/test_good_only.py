import numpy as np
import pytest
from PIL import Image

from adhelpers.data import (
    PLANTED,
    CategoryError,
    good_only_root,
    is_planted,
    load_category,
    render_category,
)


def save(path, seed, side=40, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(top // 4, top // 2, (side, side), dtype=dtype)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tiles(tmp_path):
    for index in range(12):
        save(tmp_path / f"tiles/{index:02}.png", index)
    return tmp_path / "tiles"


def test_good_images_become_a_category_that_can_be_loaded(tiles, tmp_path):
    root = good_only_root(tiles, cache=tmp_path / "cache")
    loaded = load_category(root, "tiles", 40)
    types, test = loaded.test.types, loaded.test
    assert len(loaded.train) + len(loaded.validation) == 9
    assert [(types == kind).sum() for kind in ("good", PLANTED)] == [3, 3]
    # The patch is where the mask is, and nowhere else.
    changed = test.images[types == PLANTED] != test.images[types == "good"]
    masks = test.masks[types == PLANTED]
    assert masks.any(axis=(1, 2)).all() and not changed[..., 0][~masks].any() and changed.any()
    assert not loaded.remarks
    assert is_planted(root, "tiles") and not is_planted(tmp_path, "tiles")
    # None of the images tested is among those trained on.
    trained = {name.split("/")[-1] for name in loaded.train.names.tolist()}
    assert not trained & {name.split("/")[-1] for name in test.names.tolist()}


def test_the_same_images_are_found_again_and_others_are_not(tiles, tmp_path):
    cache = tmp_path / "cache"
    first = good_only_root(tiles, cache=cache)
    assert good_only_root(tiles, cache=cache) == first
    save(tiles / "00.png", 99)
    assert good_only_root(tiles, cache=cache) != first


def test_good_test_images_are_used_where_there_are_any(tiles, tmp_path):
    part = tmp_path / "part"
    for index in range(5):
        save(part / f"train/good/{index}.png", index)
    (part / "test/crack").mkdir(parents=True)
    for index in range(2):
        save(part / f"test/good/{index}.png", 10 + index)
    root = good_only_root(part, cache=tmp_path / "cache")
    loaded = load_category(root, "part", 32)
    assert len(loaded.train) + len(loaded.validation) == 5
    assert sorted(loaded.test.names[loaded.test.types == PLANTED]) == [
        "test/planted/0.png",
        "test/planted/1.png",
    ]


def test_files_of_twelve_bits_keep_them_in_training_and_their_light_in_the_test(tmp_path):
    for index in range(6):
        pixels = np.random.default_rng(index).integers(1000, 3000, (40, 40), dtype=np.uint16)
        path = tmp_path / f"deep/{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    root = good_only_root(tmp_path / "deep", bit_depth=12, cache=tmp_path / "cache")
    loaded = load_category(root, "deep", 40, bit_depth=12)
    means = loaded.train.images.mean(), loaded.test.images.mean()
    assert means[0] == pytest.approx(2000 / 4095, abs=0.01) and abs(means[0] - means[1]) < 0.01


def test_names_that_differ_in_their_suffix_alone_both_stay(tmp_path):
    for index in range(4):
        for suffix in ("png", "bmp"):
            save(tmp_path / f"two/{index}.{suffix}", index + 10 * (suffix == "bmp"))
    root = good_only_root(tmp_path / "two", cache=tmp_path / "cache")
    loaded = load_category(root, "two", 32)
    assert len(loaded.train) + len(loaded.validation) + len(loaded.test) // 2 == 8


def test_other_folders_are_left_to_the_loader(tmp_path):
    counts = {"image_size": 64, "train_count": 4, "test_good_count": 1, "defect_count": 1}
    render_category(tmp_path, "screw", **counts)
    save(tmp_path / "stray.png", 0)
    assert good_only_root(tmp_path / "screw") is None
    assert good_only_root(tmp_path) is None
    assert good_only_root(tmp_path / "screw" / "test") is None


def test_too_few_images_and_unreadable_ones_are_named(tmp_path):
    for index in range(3):
        save(tmp_path / f"few/{index}.png", index)
    with pytest.raises(CategoryError, match="there are 3 good images; at least four"):
        good_only_root(tmp_path / "few", cache=tmp_path / "cache")
    (tmp_path / "few/1.png").write_bytes(b"no picture")
    save(tmp_path / "few/3.png", 3)
    save(tmp_path / "few/4.png", 4)
    (tmp_path / "few/2.png").write_bytes(b"no picture")
    with pytest.raises(CategoryError, match=r"2\.png"):
        good_only_root(tmp_path / "few", cache=tmp_path / "cache")
