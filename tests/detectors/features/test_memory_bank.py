"""The memory bank against all distances, and what takes the place of a normal image."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist, pdist

from adhelpers.detectors import FeatureSettings, MemoryBank, feature_cache
from adhelpers.detectors.features import detector as detector_module
from adhelpers.detectors.features import patches as features_module
from adhelpers.detectors.features.detector import kept_images
from adhelpers.detectors.features.memory_bank import random_projection

SIZE = 64


def stripes(count, seed=0, shift=0):
    """Good images: the same stripes at the same place, a little noise."""
    random = np.random.default_rng(seed)
    wave = 0.5 + 0.2 * np.sin(2 * np.pi * (np.arange(SIZE) + shift) / 16)
    return np.clip(wave[None, :, None] + random.normal(0, 0.02, (count, SIZE, SIZE)), 0, 1)[
        ..., None
    ].astype(np.float32)


def scratched(count, seed=1):
    images = stripes(count, seed)
    images[:, 28:36, 28:36] = 0.9
    return images


def fitted(**parameters):
    return MemoryBank(**{"smoothing": 2.0, "coreset": 1.0} | parameters).fit(
        stripes(6), stripes(2, seed=5), show_progress=False
    )


@pytest.fixture(scope="module")
def whole():
    return fitted()


def scaled_patches(detector, images):
    return detector._features_of(images).astype(np.float64) * detector._arrays["scale"]


def slow_cells(detector, images):
    """Mean of the three smallest of all distances."""
    bank, queries = scaled_patches(detector, stripes(6)), scaled_patches(detector, images)
    flat = (one.reshape(-1, one.shape[-1]) for one in (queries, bank))
    return np.sort(cdist(*flat), axis=1)[:, :3].mean(axis=1).reshape(queries.shape[:3])


def test_the_map_is_the_distance_to_the_nearest_good_patches(whole):
    detector, images = whole, scratched(2)
    features = tf.constant(detector._features_of(images), tf.float32)
    cells = detector._cells_of_features(features).numpy()
    np.testing.assert_allclose(cells, slow_cells(detector, images), rtol=1e-3)
    large = tf.image.resize(cells[..., None], (SIZE, SIZE))[..., 0].numpy()
    expected = np.stack([gaussian_filter(one, 2.0, mode="reflect") for one in large])
    maps = detector.anomaly_map(images)
    np.testing.assert_allclose(maps, expected, rtol=1e-3)
    np.testing.assert_allclose(detector.score(images), maps.max(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"coreset": 0.3},
        {"coreset": 0.5, "neighbours": 2},
        {"features": FeatureSettings("patch", scaling="none")},
        {"features": FeatureSettings("patch", stride=16)},
    ],
)
def test_a_scratch_scores_higher_and_is_found_at_its_place(parameters):
    detector = fitted(**parameters)
    assert detector.score(scratched(4)).min() > detector.score(stripes(4, seed=3)).max()
    for one in detector.anomaly_map(scratched(2)):
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert 20 <= row < 44 and 20 <= column < 44


def test_a_projection_nearly_keeps_distances_and_is_seeded():
    points = np.random.default_rng(0).normal(size=(60, 2000)).astype(np.float16)
    scale = np.random.default_rng(1).uniform(0.5, 2, 2000).astype(np.float32)
    near = random_projection(points, scale, 600, seed=0)
    ratios = pdist(near) / pdist(points.astype(float) * scale)
    assert near.shape == (60, 600) and 0.85 < ratios.min() and ratios.max() < 1.15
    np.testing.assert_array_equal(near, random_projection(points, scale, 600, seed=0))
    np.testing.assert_array_equal(random_projection(points, scale, None, seed=0), points * scale)


def test_scores_have_a_gradient_and_equal_the_tensor(whole):
    images = scratched(2)
    variable = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        scores = whole.score_tensor(variable)
    # Features of the one are rounded to half precision.
    np.testing.assert_allclose(scores, whole.score(images), rtol=2e-3)
    assert np.abs(tape.gradient(scores, variable)).max() > 0
    activations, scores = whole.forward(tf.constant(images))
    assert activations.shape[0] == 2 and scores.shape == (2,)


@pytest.mark.parametrize("projection", [128, None])
def test_a_coreset_keeps_its_share_and_stays_near_the_whole_bank(whole, projection):
    images = np.concatenate([stripes(3, seed=7), scratched(3)])
    assert whole.bank_size == 6 * 64
    small = fitted(coreset=0.25, projection=projection)
    assert small.bank_size == 0.25 * 384
    # Fewer good patches are never nearer.
    assert (small.score(images) >= whole.score(images) * 0.999).all()
    assert np.corrcoef(small.score(images), whole.score(images))[0, 1] > 0.98


def test_a_bank_has_a_bound_whatever_the_share():
    assert fitted(coreset=0.5, bank_limit=100).bank_size == 100
    assert fitted(coreset=0.1, bank_limit=100).bank_size == round(0.1 * 384)
    assert fitted(bank_limit=2, neighbours=3).bank_size == 3
    assert fitted(bank_limit=None).bank_size == 384


def test_features_in_blocks_give_nearly_the_same_bank(monkeypatch):
    images, once = np.concatenate([stripes(3, seed=7), scratched(3)]), fitted(coreset=0.25)
    # Two images of 64 patches, 768 values and two bytes.
    monkeypatch.setattr(detector_module, "_BLOCK", 2 * 64 * 768 * 2)
    monkeypatch.setattr(detector_module, "_GOOD", 4)
    blocks, seen, before = MemoryBank(smoothing=2.0, coreset=0.25), [], MemoryBank._features_of

    def counted(self, part, bar=None):
        seen.append(len(part))
        return before(self, part, bar)

    monkeypatch.setattr(MemoryBank, "_features_of", counted)
    blocks.fit(stripes(6), stripes(2, seed=5), show_progress=False)
    # One more for the scale, of images from the whole set.
    assert seen == [2, 2, 2, 2]
    assert (
        blocks.bank_size == once.bank_size and len(blocks._good) == len(blocks._nearest_good) == 4
    )
    np.testing.assert_allclose(blocks.score(images), once.score(images), rtol=0.05)
    kept = stripes(6)[kept_images(stripes(6), blocks.seed)]
    np.testing.assert_allclose(blocks.counterpart(kept), kept, atol=3e-4)


def test_the_counterpart_of_a_good_image_is_itself(whole):
    good = stripes(6)
    np.testing.assert_allclose(whole.counterpart(good), good, atol=3e-4)
    assert whole.counterpart_name == "similar good images, composed"


def test_patches_need_not_divide_the_image():
    detector = fitted(features=FeatureSettings("patch", stride=7))
    assert detector.anomaly_map(stripes(1)).shape == (1, SIZE, SIZE)
    np.testing.assert_allclose(detector.counterpart(stripes(6)), stripes(6), atol=3e-4)


def test_a_memory_limit_changes_nothing(whole):
    images = scratched(3)
    np.testing.assert_allclose(
        fitted(memory_limit=0.01).score(images), whole.score(images), rtol=1e-5
    )


def test_stored_and_loaded_scores_are_equal(tmp_path):
    detector, images = fitted(coreset=0.4), scratched(2)
    detector.save(tmp_path / "bank")
    loaded = MemoryBank.load(tmp_path / "bank")
    np.testing.assert_array_equal(loaded.score(images), detector.score(images))
    np.testing.assert_array_equal(loaded.counterpart(images), detector.counterpart(images))
    assert loaded.bank_size == detector.bank_size and loaded.parameters == detector.parameters
    other = MemoryBank.load(tmp_path / "bank", neighbours=1, smoothing=0.0)
    assert (other.score(images) != detector.score(images)).all()
    with pytest.raises(ValueError, match="neighbours: 500 .* the bank holds 154"):
        MemoryBank.load(tmp_path / "bank", neighbours=500)


def test_an_interrupted_feature_pass_goes_on_where_it_stopped(tmp_path, monkeypatch):
    good, seen = np.concatenate([stripes(20, seed=4), stripes(16, seed=8)]), []
    write, detector = features_module.write_arrays, MemoryBank(coreset=0.1)

    def stops(path, value):
        if len(seen) == 20:
            raise KeyboardInterrupt
        seen.append(path)
        write(path, value)

    with feature_cache(tmp_path):
        monkeypatch.setattr(features_module, "write_arrays", stops)
        with pytest.raises(KeyboardInterrupt):
            detector.fit(good, good[:1], show_progress=False)
        with pytest.raises(RuntimeError, match="not fitted"):
            detector.score(good)
        monkeypatch.setattr(features_module, "write_arrays", write)
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrays")}
        assert len(kept) == 20
        detector.fit(good, good[:1], show_progress=False)
        files = list(tmp_path.rglob("*.arrays"))
        assert len(files) == 36 and all(
            path.stat().st_mtime_ns == time for path, time in kept.items()
        )
    np.testing.assert_allclose(
        detector.score(good[:4]),
        MemoryBank(coreset=0.1).fit(good, good[:1], show_progress=False).score(good[:4]),
        rtol=1e-3,
    )


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"coreset": 0}, r"coreset must be a share in \(0, 1\]"),
        ({"bank_limit": 0}, "bank_limit must be None or 1 patch or more, not 0"),
        ({"neighbours": 0}, "neighbours must be 1"),
        ({"projection": 0}, "projection"),
        ({"smoothing": -1}, "smoothing"),
        ({"memory_limit": 0}, "memory_limit"),
        ({"features": FeatureSettings("image")}, 'needs FeatureSettings."patch"'),
        ({"neighbours": 7}, "7 nearest were asked for, but there are only 6 training images"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(**parameters)


def test_images_below_what_the_network_takes_are_named():
    small = stripes(4)[:, :24]
    with pytest.raises(ValueError, match="at least 32 x 32 pixels, not 24 x 64"):
        MemoryBank().fit(small, small, show_progress=False)


def test_one_pass_gives_what_three_give(whole, monkeypatch):
    images, asked, before = np.r_[scratched(9), stripes(11, seed=7)], [], whole._features_of

    def counted(part, *more):
        asked.append(len(part))
        return before(part, *more)

    expected = whole.score(images), whole.anomaly_map(images), whole.counterpart(images)
    monkeypatch.setattr(whole, "_features_of", counted)
    for found, one in zip(whole.score_map_counterpart(images), expected, strict=True):
        assert found.dtype == one.dtype
        np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)
    assert sum(asked) == len(images)
