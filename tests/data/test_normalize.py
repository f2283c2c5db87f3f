"""Light and pose, held against drawings whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.transform import warp

from adhelpers.data.images import load_category
from adhelpers.data.masks import resize_mask, warp_mask
from adhelpers.data.normalize import (
    BACKGROUND_REFERENCE,
    Corrections,
    common_box,
    divide_background,
    fit_aspect,
    frame_matrix,
    resize_image,
    unwarp_map,
    warp_image,
    whole_frame,
)
from adhelpers.data.objects import ObjectPose, background_colour, find_object, object_mask


def nail(angle, centre=(100, 110), shape=(200, 220), background=0.8, grey=0.2):
    """A nail 120 long with a head 36 wide; ``angle`` (degrees) turns its tip to the left."""
    # Corners in (down, right) from the nail's middle.
    corners = np.array(
        [
            (-60, -18),
            (-60, 18),
            (-46, 18),
            (-46, 6),
            (40, 6),
            (60, 0),
            (40, -6),
            (-46, -6),
            (-46, -18),
        ]
    )
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = corners @ np.array([[c, -s], [s, c]]) + np.array(centre)
    mask = polygon2mask(shape, points)
    return np.where(mask, grey, background).astype(np.float32)[..., None], mask


@given(st.floats(-180, 180), st.floats(90, 110), st.floats(100, 120))
@settings(max_examples=25, deadline=None)
def test_find_object_recovers_angle_middle_and_size(angle, row, column):
    image, _ = nail(angle, (row, column))
    pose = find_object(image)
    expected = np.array(
        [-np.sin(np.radians(angle)), np.cos(np.radians(angle))]
    )  # (x, y) of the tip's direction
    assert np.degrees(np.arccos(np.clip(pose.down @ expected, -1, 1))) < 1
    assert np.hypot(pose.centre[0] - column, pose.centre[1] - row) < 1.5
    assert pose.length == pytest.approx(120, abs=3) and pose.width == pytest.approx(36, abs=4)


@pytest.mark.parametrize("angle", [0, 35, 90, 180, -120])
def test_posed_images_and_masks_lie_alike(angle):
    upright, reference_mask = nail(0, (109.5, 109.5), (220, 220))
    image, mask = nail(angle)
    matrix = frame_matrix(find_object(image), (220, 220), (220, 220))
    assert np.abs(warp_image(image, matrix, (220, 220)) - upright).mean() < 0.01
    posed = warp_mask(mask, matrix, (220, 220))
    assert (posed & reference_mask).sum() / (posed | reference_mask).sum() > 0.9


def test_pose_of_a_large_image_is_found_on_a_small_copy_of_it():
    small, _ = nail(20)
    large = np.repeat(np.repeat(small, 6, axis=0), 6, axis=1)
    few, many = find_object(small), find_object(large)
    assert np.dot(few.down, many.down) > 0.9999
    assert many.length == pytest.approx(6 * few.length, rel=0.02)
    assert many.centre == pytest.approx([6 * value + 2.5 for value in few.centre], abs=4)


def test_a_shadow_and_a_highlight_do_not_move_the_object():
    image, mask = nail(0)
    # A soft shadow beyond the head and a bright stripe on the shank.
    shadow = (
        ndimage.gaussian_filter(np.roll(mask, (-14, 5), axis=(0, 1)).astype(np.float32), 4) * 0.25
    )
    image = np.where(mask, 0.2, 0.8 - shadow).astype(np.float32)[..., None]
    image[70:120, 109:112] = 0.8
    found = object_mask(image)
    assert (found & mask).sum() / (found | mask).sum() > 0.9


def test_object_of_two_tones_is_kept_whole():
    image, mask = nail(0)
    image[60:80][mask[60:80]] = 0.05  # A black end must not make the grey rest a shadow.
    assert (object_mask(image) & mask).sum() > 0.95 * mask.sum()


def test_without_turning_the_box_is_centred():
    image = np.full((60, 80, 1), 0.8, np.float32)
    image[10:30, 20:60] = 0.2
    pose = find_object(image, turn=False)
    assert (
        pose.centre == (39.5, 19.5)
        and pose.down == (0, 1)
        and (pose.length, pose.width) == (20, 40)
    )


@pytest.mark.parametrize(
    "image, text",
    [
        (np.full((64, 64, 1), 0.5), "almost uniform"),
        (np.random.default_rng(0).normal(0.5, 0.1, (64, 64, 1)).clip(0, 1), "no object stands out"),
        (np.tile(np.linspace(0, 1, 64), (64, 1))[..., None], "no object stands out"),
    ],
)
def test_find_object_refuses_an_image_without_one(image, text):
    with pytest.raises(ValueError, match=text):
        find_object(image)


def test_find_object_refuses_a_round_object():
    rows, columns = np.mgrid[:80, :80]
    image = np.where(np.hypot(rows - 40, columns - 40) < 20, 0.2, 0.8)[..., None]
    with pytest.raises(ValueError, match='too round.*pose="none"'):
        find_object(image)
    assert find_object(image, turn=False).length == pytest.approx(39, abs=1)


def test_common_box_ignores_an_outlier_and_fit_aspect_only_enlarges():
    image, _ = nail(0)
    pose = find_object(image)
    far = find_object(image, turn=False).__class__((0, 0), (0, 1), 1000, 900)
    height, width = common_box([pose] * 400 + [far], 0.1)
    assert height == pytest.approx(1.2 * pose.length, rel=0.01) and width == pytest.approx(
        1.2 * pose.width, rel=0.01
    )
    assert fit_aspect((100, 30), (256, 96)) == (100, 37.5)
    assert fit_aspect((100, 60), (256, 96)) == (160, 60)


@given(st.floats(0.25, 0.95), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_divide_background_gives_every_image_the_same_background(level, seed):
    noise = np.random.default_rng(seed).normal(0, 0.01, (40, 40, 1))
    image = np.clip(level + noise, 0, 1)
    image[15:25, 15:25] = 0.1
    result = divide_background(np.round(image * 255) / 255)
    assert result.dtype == np.float32 and result.min() >= 0 and result.max() <= 1
    assert abs(float(background_colour(result)[0]) - BACKGROUND_REFERENCE) <= 1 / 255
    assert np.allclose(result * 255, np.round(result * 255), atol=1e-4)


def test_divide_background_by_hand_and_keeps_hue():
    image = np.full((30, 30, 3), (0.6, 0.5, 0.4))
    image[10, 10] = (0.2, 0.1, 0.3)
    result = divide_background(image, grey_levels=65535)
    assert np.allclose(result[0, 0], (0.9, 0.75, 0.6), atol=1e-4) and np.allclose(
        result[10, 10], (0.3, 0.15, 0.45), atol=1e-4
    )


def test_real_values_are_not_rounded_to_black_and_white():
    image = np.full((30, 30, 1), 0.5)
    image[10, 10] = 0.123
    assert divide_background(image, grey_levels=1)[10, 10, 0] == pytest.approx(0.1845)


def test_divide_background_refuses_a_dark_background():
    with pytest.raises(ValueError, match='too dark.*illumination="none"'):
        divide_background(np.full((30, 30, 3), 0.1))


def test_resizing_antialiases_images_and_keeps_masks_binary():
    board = ((np.indices((64, 64)).sum(axis=0) % 2) * 1.0).astype(np.float32)[..., None]
    assert np.abs(resize_image(board, (16, 16))[2:-2, 2:-2] - 0.5).max() < 0.05
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert resize_mask(mask, (8, 2)).tolist() == [[True, True]] * 4 + [[False, False]] * 4
    matrix = frame_matrix(whole_frame((64, 64)), (64, 64), (16, 16))
    assert np.abs(warp_image(board, matrix, (16, 16))[2:-2, 2:-2] - 0.5).max() < 0.05


def test_outside_of_the_file_takes_the_background_colour():
    image = np.full((20, 20, 3), (0.9, 0.8, 0.7), np.float32)
    image[8:12, 8:12] = 0
    result = warp_image(image, frame_matrix(whole_frame((20, 20)), (60, 60), (60, 60)), (60, 60))
    assert (
        np.allclose(result[0, 0], (0.9, 0.8, 0.7))
        and not warp_mask(np.ones((20, 20), bool), np.eye(3), (60, 60))[30, 30]
    )


@pytest.mark.parametrize("angle", [0, 30, 200])
def test_a_map_comes_back_to_where_it_was_in_the_file(angle):
    image, _ = nail(angle)
    spot = np.zeros(image.shape[:2], np.float32)
    spot[100:108, 108:116] = 1
    smooth = ndimage.gaussian_filter(spot, 3)
    matrix = frame_matrix(find_object(image), (150, 75), (256, 128))
    there = warp_image(smooth[..., None], matrix, (256, 128))[..., 0]
    back = unwarp_map(there, matrix, image.shape[:2])
    assert back.shape == image.shape[:2] and back.dtype == np.float32
    assert np.abs(back - smooth).max() < 0.05 * smooth.max()
    corner = unwarp_map(np.ones((256, 128), np.float32), matrix, image.shape[:2])
    assert corner[0, 0] == 0 and corner[100, 110] == 1


def _trivial_statistics(images):
    return {
        "mean": images.mean(axis=(1, 2)),
        "standard deviation": images.std(axis=(1, 2)),
        "background": np.array([background_colour(image[..., None])[0] for image in images]),
    }


@pytest.mark.parametrize("pose", ["none", "axis"])
def test_real_screw_loses_the_brightness_shortcut(real_data, pose):
    from sklearn.metrics import roc_auc_score

    raw = load_category(real_data / "mvtec_ad", "screw", image_size=256)
    corrected = load_category(
        real_data / "mvtec_ad",
        "screw",
        image_size=256,
        corrections=Corrections(illumination="background", pose=pose),
    )
    assert roc_auc_score(raw.test.labels, raw.test.images.mean(axis=(1, 2, 3))) == 1
    for name, values in _trivial_statistics(corrected.test.images[..., 0]).items():
        assert 0.3 <= roc_auc_score(corrected.test.labels, values) <= 0.7, name
    assert (corrected.test.images == 1).mean() < 1e-4


def test_real_screws_stand_upright_and_alike(real_data):
    screw = load_category(
        real_data / "mvtec_ad",
        "screw",
        image_size=(256, 96),
        corrections=Corrections("background", "axis", "object"),
    )
    mean = screw.train.images.mean(axis=0)
    for images in (screw.train.images, screw.validation.images, screw.test.images):
        dark = images[..., 0] < 0.55
        rows = dark.any(axis=2)
        assert (dark[:, :90].sum(axis=(1, 2)) > dark[:, -90:].sum(axis=(1, 2))).all()  # heads up
        assert rows.sum(axis=1).min() > 0.8 * 256
        likeness = [np.corrcoef(image.ravel(), mean.ravel())[0, 1] for image in images]
        assert min(likeness) > 0.85
    hit = screw.test.masks.any(axis=(1, 2))
    assert (hit == (screw.test.labels == 1)).all()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"illumination": "gamma"}, "illumination"),
        ({"pose": "upright"}, "pose must be one of none, axis, auto, not 'upright'"),
        ({"crop": "tight"}, "crop"),
        ({"margin": -0.1}, "margin"),
        ({"fit": "letterbox"}, "fit must be one of stretch, pad"),
    ],
)
def test_wrong_corrections_are_named(options, text):
    with pytest.raises(ValueError, match=text):
        Corrections(**options)


@pytest.mark.parametrize(
    "shape, scale, angle, centre",
    [
        ((300, 260, 1), 4.0, 0.6, (130, 150)),
        ((170, 300, 3), 2.3, -2.0, (20, 160)),
        ((40, 50, 1), 1.05, 0.0, (25, 20)),
        ((64, 64, 1), 0.5, 1.0, (400, 400)),
        ((90, 700, 1), 9.0, 0.3, (350, 45)),
    ],
)
def test_warping_equals_smoothing_and_warping_the_whole_file(shape, scale, angle, centre):
    image = np.random.default_rng(3).uniform(size=shape).astype("float32")
    size = (48, 33)
    pose = ObjectPose(centre, (np.sin(angle), np.cos(angle)), 1, 1)
    matrix = frame_matrix(pose, (size[0] * scale, size[1] * scale), size)
    sigma = max(0.0, (scale - 1) / 2)
    expected = np.empty((*size, shape[2]), np.float32)
    for channel, fill in enumerate(background_colour(image)):
        plane = image[..., channel]
        if sigma > 0.05:
            plane = ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=3)
        expected[..., channel] = warp(
            plane, matrix, output_shape=size, order=1, mode="constant", cval=float(fill)
        )
    np.testing.assert_allclose(warp_image(image, matrix, size), expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(8, 90),
    st.integers(8, 90),
    st.integers(8, 60),
    st.integers(8, 60),
    st.sampled_from([1, 3]),
)
def test_resizing_is_that_of_pillow(height, width, rows, columns, channels):
    image = np.random.default_rng(height).random((height, width, channels), np.float32)
    found = resize_image(image, (rows, columns))
    assert found.shape == (rows, columns, channels) and found.flags.c_contiguous
    for channel in range(channels):
        resized = Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
            (columns, rows), Image.Resampling.BICUBIC
        )
        np.testing.assert_allclose(found[..., channel], np.clip(resized, 0, 1), atol=2e-6)


def test_a_long_side_is_resized_in_parts_as_well():
    image = np.random.default_rng(0).random((1300, 9, 1), np.float32)
    resized = Image.fromarray(image[..., 0]).resize((9, 600), Image.Resampling.BICUBIC)
    found = resize_image(image, (600, 9))[..., 0]
    np.testing.assert_allclose(found, np.clip(resized, 0, 1), atol=2e-6)
