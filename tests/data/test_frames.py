"""Each file is decoded once, also where all of them are measured before one is cut."""

import numpy as np
import pytest

from adhelpers.data import Corrections, load_category
from adhelpers.data import frames as module
from adhelpers.data.duplicates import Look, bytes_of
from adhelpers.data.frames import FileFacts, KeptImages

NOTHING = FileFacts(None, "", Look("", np.zeros(0)), (), ())
CROP = Corrections(illumination="background", pose="axis", crop="object")


def loaded(root, **options):
    return load_category(root, "bar", (32, 24), corrections=CROP, **options)


def test_a_crop_decodes_each_file_once_and_changes_nothing(root, monkeypatch):
    read, before = [], module.read_entry
    monkeypatch.setattr(
        module, "read_entry", lambda entry, **how: read.append(entry.name) or before(entry, **how)
    )
    once = loaded(root)
    assert len(read) == len(set(read)) == 15
    monkeypatch.setattr(KeptImages, "keep", lambda *_: None)
    twice = loaded(root)
    assert len(read) == 15 + 25
    assert once.fingerprint == twice.fingerprint and once.remarks == twice.remarks
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(once, name).images, getattr(twice, name).images)


@pytest.mark.parametrize("levels", [255, 4095])
def test_kept_images_come_back_exactly_and_only_once(levels):
    random, kept = np.random.default_rng(0), KeptImages()
    drawn = random.integers(0, levels, (3, 9, 7, 3), endpoint=True).astype(np.float32)
    images = dict(zip("abc", drawn / np.float32(levels), strict=True))
    for name, image in images.items():
        kept.keep(name, image, NOTHING)
    for name in "cab":
        image, facts = kept.take(name)
        assert image.dtype == np.float32 and facts is NOTHING and kept.take(name) is None
        np.testing.assert_array_equal(image, images[name])
    kept.close()
    assert kept.take("a") is None


def test_what_does_not_fit_is_not_kept():
    kept, image = KeptImages(most=100), np.full((9, 7, 1), 0.2, np.float32)
    kept.keep("a", image, NOTHING)
    kept.keep("b", image, NOTHING)
    assert kept.take("a") is not None and kept.take("b") is None
    kept.close()


def test_a_full_disk_only_costs_time(monkeypatch):
    def full():
        raise OSError("no space left")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", full)
    kept = KeptImages()
    kept.keep("a", np.full((9, 7, 1), 0.2, np.float32), NOTHING)
    assert kept.take("a") is None
    kept.close()


def test_bytes_hold_all_256_levels_and_no_others():
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    np.testing.assert_array_equal(bytes_of(levels), np.arange(256))
    assert bytes_of(np.nextafter(levels, np.float32(1))[100:102]) is None
