"""The memory bank against all distances, the published re-weighting by hand, and what stands in for a normal image."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from adhelpers.detectors import MemoryBank, feature_cache, reweighted_score
from adhelpers.detectors.features import patches as features_module

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


@pytest.fixture(scope="module")
def local():
    return fitted(neighbourhood=1)


def scaled_patches(detector, images):
    return detector._features(images).astype(np.float64) * detector._arrays["scale"]


def slow_cells(detector, images, radius=None):
    """Mean of the three smallest of all allowed distances."""
    bank, queries = scaled_patches(detector, stripes(6)), scaled_patches(detector, images)
    rows, columns = queries.shape[1:3]
    cells = np.zeros(queries.shape[:3])
    for row in range(rows):
        for column in range(columns):
            near = (
                bank
                if radius is None
                else bank[
                    :,
                    max(0, row - radius) : row + radius + 1,
                    max(0, column - radius) : column + radius + 1,
                ]
            )
            cells[:, row, column] = np.sort(
                cdist(queries[:, row, column], near.reshape(-1, near.shape[-1])), axis=1
            )[:, :3].mean(axis=1)
    return cells


@pytest.mark.parametrize("radius", [None, 1])
def test_the_map_is_the_distance_to_the_nearest_good_patches(whole, local, radius):
    detector, images = whole if radius is None else local, scratched(2)
    cells = detector._cells_of_features(tf.constant(detector._features(images), tf.float32)).numpy()
    np.testing.assert_allclose(cells, slow_cells(detector, images, radius), rtol=1e-3)
    large = tf.image.resize(cells[..., None], (SIZE, SIZE))[..., 0].numpy()
    expected = np.stack([gaussian_filter(one, 2.0, mode="reflect") for one in large])
    maps = detector.anomaly_map(images)
    np.testing.assert_allclose(maps, expected, rtol=1e-3)
    np.testing.assert_allclose(detector.score(images), maps.max(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"neighbourhood": 0},
        {"coreset": 0.3},
        {"coreset": 0.5, "neighbourhood": 1, "neighbours": 2},
        {"image_score": "max"},
        {"image_score": "reweighted", "scaling": "none"},
        {"stride": 16},
    ],
)
def test_a_scratch_scores_higher_and_is_found_at_its_place(parameters):
    detector = fitted(**parameters)
    assert detector.score(scratched(4)).min() > detector.score(stripes(4, seed=3)).max()
    for one in detector.anomaly_map(scratched(2)):
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert 20 <= row < 44 and 20 <= column < 44


def test_the_published_reweighting_by_hand():
    # exp(1) / (exp(1) + 3 exp(1)) is a quarter; exp(2) / (exp(2) + exp(2)) a half; distances in the
    # hundreds must not overflow.
    distances = tf.constant([[1.0, 1.0 + np.log(3)], [2.0, 2.0], [500.0, 500.0]], tf.float32)
    np.testing.assert_allclose(
        reweighted_score(distances[:, 0], distances), [0.75, 1.0, 250.0], rtol=1e-4
    )


@pytest.mark.parametrize("radius", [None, 1])
def test_the_reweighted_score_equals_a_slow_one(radius):
    detector, images = (
        fitted(image_score="reweighted", reweighting=4, neighbours=1, neighbourhood=radius),
        scratched(2),
    )
    bank, queries = scaled_patches(detector, stripes(6)), scaled_patches(detector, images)
    grid = queries.shape[1:3]
    for image, found in zip(queries, detector.score(images), strict=True):
        best = (-1,)
        for row in range(grid[0]):
            for column in range(grid[1]):
                near = (
                    bank
                    if radius is None
                    else bank[
                        :,
                        max(0, row - radius) : row + radius + 1,
                        max(0, column - radius) : column + radius + 1,
                    ]
                )
                near = near.reshape(-1, near.shape[-1])
                distances = cdist(image[row, column][None], near)[0]
                best = max(best, (distances.min(), row, column), key=lambda one: one[0])
                if best[1:] == (row, column):
                    around = np.argsort(cdist(near[distances.argmin()][None], near)[0])[:4]
                    weight = 1 - np.exp(distances.min()) / np.exp(distances[around]).sum()
        assert found == pytest.approx(weight * best[0], rel=1e-3)


def test_scores_have_a_gradient_and_equal_the_tensor(whole, local):
    images = scratched(2)
    for detector in (
        whole,
        local,
        fitted(image_score="reweighted", reweighting=3),
        fitted(image_score="max"),
    ):
        variable = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(variable)
            scores = detector.score_tensor(variable)
        # Features of the one are rounded to half precision.
        np.testing.assert_allclose(scores, detector.score(images), rtol=2e-3)
        assert np.abs(tape.gradient(scores, variable)).max() > 0
    activations, scores = whole.forward(tf.constant(images))
    assert activations.shape[0] == 2 and scores.shape == (2,)


def test_a_coreset_keeps_its_share_and_stays_near_the_whole_bank(whole, local):
    images = np.concatenate([stripes(3, seed=7), scratched(3)])
    assert (whole.bank_size, local.bank_size) == (6 * 64, 6 * 64)
    for detector, parameters in [
        (whole, {"coreset": 0.25}),
        (whole, {"coreset": 0.25, "coreset_method": "approximate", "projection": None}),
        (local, {"coreset": 0.5, "neighbourhood": 1}),
    ]:
        small = fitted(**parameters)
        assert small.bank_size == parameters["coreset"] * 384
        # Fewer good patches are never nearer.
        assert (small.score(images) >= detector.score(images) * 0.999).all()
        assert np.corrcoef(small.score(images), detector.score(images))[0, 1] > 0.98


def test_an_object_in_the_wrong_place_is_seen_with_a_neighbourhood_only():
    good = np.full((6, SIZE, SIZE, 1), 0.5, np.float32) + stripes(6) * 0.02
    good[:, 8:16, 8:16] = 0.9
    moved = good[:1].copy()
    moved[:, 8:16, 8:16], moved[:, 32:40, 32:40] = moved[:, 8:16, 24:32], 0.9
    ratios = {}
    for radius in (None, 0):
        detector = MemoryBank(coreset=1.0, neighbourhood=radius, neighbours=1, smoothing=0.0).fit(
            good[:5], good[5:], show_progress=False
        )
        ratios[radius] = detector.score(moved)[0]
    assert ratios[0] > 1.5 * ratios[None]


def test_the_counterpart_of_a_good_image_is_itself(whole):
    good = stripes(6)
    np.testing.assert_allclose(whole.counterpart(good), good, atol=3e-4)
    np.testing.assert_allclose(fitted(counterpart="patchwork").counterpart(good), good, atol=3e-4)
    assert [fitted(counterpart=one).counterpart_name for one in ("image", "patchwork")] == [
        "similar good image",
        "nearest good patches",
    ]


@pytest.mark.parametrize("radius", [None, 0])
def test_a_patchwork_has_no_scratch(radius):
    detector = fitted(counterpart="patchwork", neighbourhood=radius)
    clean, image = stripes(1, seed=1), scratched(1)
    patchwork = detector.counterpart(image)
    assert (
        np.abs(patchwork - clean)[:, 28:36, 28:36].mean()
        < 0.4 * np.abs(image - clean)[:, 28:36, 28:36].mean()
    )
    assert detector.score(patchwork) < 0.7 * detector.score(image)


def test_patches_need_not_divide_the_image():
    detector = fitted(stride=7, counterpart="patchwork")
    assert detector.anomaly_map(stripes(1)).shape == (1, SIZE, SIZE)
    np.testing.assert_allclose(detector.counterpart(stripes(6)), stripes(6), atol=3e-4)


def test_a_memory_limit_changes_nothing(local):
    images = scratched(3)
    for parameters in (
        {"memory_limit": 0.01},
        {"memory_limit": 0.01, "neighbourhood": 1},
        {"search": "numpy"},
    ):
        detector = fitted(**parameters)
        np.testing.assert_allclose(
            detector.score(images),
            (local if "neighbourhood" in parameters else fitted()).score(images),
            rtol=1e-5,
        )


@pytest.mark.parametrize(
    "parameters", [{"coreset": 0.4}, {"neighbourhood": 1, "counterpart": "patchwork"}]
)
def test_stored_and_loaded_scores_are_equal(tmp_path, parameters):
    detector, images = fitted(**parameters), scratched(2)
    detector.save(tmp_path / "bank")
    loaded = MemoryBank.load(tmp_path / "bank")
    np.testing.assert_array_equal(loaded.score(images), detector.score(images))
    np.testing.assert_array_equal(loaded.counterpart(images), detector.counterpart(images))
    assert loaded.bank_size == detector.bank_size and loaded.parameters == detector.parameters
    other = MemoryBank.load(tmp_path / "bank", image_score="max", smoothing=0.0)
    assert (other.score(images) != detector.score(images)).all()


def test_an_interrupted_feature_pass_goes_on_where_it_stopped(tmp_path, monkeypatch):
    good, seen = np.concatenate([stripes(20, seed=4), stripes(16, seed=8)]), []
    write, detector = features_module.np.save, MemoryBank(coreset=0.1)

    def stops(path, value):
        if len(seen) == 20:
            raise KeyboardInterrupt
        seen.append(path)
        write(path, value)

    with feature_cache(tmp_path):
        monkeypatch.setattr(features_module.np, "save", stops)
        with pytest.raises(KeyboardInterrupt):
            detector.fit(good, good[:1], show_progress=False)
        with pytest.raises(RuntimeError, match="not fitted"):
            detector.score(good)
        monkeypatch.setattr(features_module.np, "save", write)
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
        assert len(kept) == 20
        detector.fit(good, good[:1], show_progress=False)
        files = list(tmp_path.rglob("*.npy"))
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
        ({"scaling": "pixel"}, "scaling must be one of none, layer, channel"),
        ({"coreset": 0}, r"coreset must be a share in \(0, 1\]"),
        ({"coreset_method": "best"}, "coreset_method"),
        ({"neighbours": 0}, "neighbours must be 1"),
        ({"reweighting": 1}, "reweighting 2"),
        ({"neighbourhood": -1}, "neighbourhood must be None or"),
        ({"neighbourhood": 0.5}, "neighbourhood must be None or"),
        ({"projection": 0}, "projection"),
        ({"smoothing": -1}, "smoothing"),
        ({"image_score": "sum"}, "image_score"),
        ({"counterpart": "mean"}, "counterpart"),
        ({"search": "tree"}, "search"),
        ({"stride": 0}, "stride"),
        ({"neighbours": 7}, "7 nearest were asked for, but there are only 6 training images"),
        (
            {"image_score": "reweighted", "neighbourhood": 0},
            "reweighting: 9 nearest good patches were asked for, but a patch is compared with 6",
        ),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(**parameters)


def test_images_below_what_the_network_takes_are_named():
    small = stripes(4)[:, :24]
    with pytest.raises(ValueError, match="at least 32 x 32 pixels, not 24 x 64"):
        MemoryBank().fit(small, small, show_progress=False)
