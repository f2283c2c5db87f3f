"""Loading beside a plain loop of Pillow, and posed loading beside the same steps done plainly.

Run with ``python -m pytest tests/benchmarks/test_loading_speed.py -s``.
"""

import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.filters import threshold_otsu
from skimage.measure import block_reduce
from skimage.transform import warp

from adhelpers.data import Corrections, load_category
from adhelpers.data.normalize import frame_matrix
from adhelpers.data.objects import ObjectPose, find_object

SIDE, COUNT, SIZE = 1024, 32, (128, 128)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Nails on a bright background with noise, each turned another way."""
    folder, random = tmp_path_factory.mktemp("loading"), np.random.default_rng(0)
    corners = [(-300, -90), (-300, 90), (-230, 30), (200, 30), (300, 0), (200, -30), (-230, -30)]
    for index in range(COUNT):
        angle = random.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        inside = polygon2mask((SIDE, SIDE), np.array(corners) @ turn + random.uniform(480, 540, 2))
        pixels = np.where(inside, 60, 180 + random.uniform(-20, 20)) + random.normal(
            0, 2, (SIDE, SIDE)
        )
        kind = "train/good" if index < COUNT - 4 else "test/good" if index % 2 else "test/bent"
        path = folder / "nail" / kind / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return folder


def in_turn(first, second, repeats=3):
    """Best seconds and least processor time of both, called in turn."""
    seconds = np.full((2, 2), np.inf)
    for _ in range(repeats):
        for row, function in zip(seconds, (first, second), strict=True):
            start = time.perf_counter(), time.process_time()
            function()
            row[:] = np.minimum(
                row, (time.perf_counter() - start[0], time.process_time() - start[1])
            )
    return 1000 * seconds / COUNT


def by_pillow(root):
    return np.stack(
        [
            np.asarray(Image.open(path).convert("L").resize(SIZE, Image.Resampling.BICUBIC))
            / np.float32(255)
            for path in sorted(root.rglob("*.png"))
        ]
    )


def test_plain_loading_beside_a_loop_of_pillow(root, goal):
    ours, plain = in_turn(lambda: load_category(root, "nail", SIZE), lambda: by_pillow(root))
    print(
        f"\nan image of {SIDE} px: {ours[0]:.1f} ms ({ours[1]:.1f} of processor time), Pillow's "
        f"loop {plain[0]:.1f} ({plain[1]:.1f}), ratio {plain[0] / ours[0]:.2f}"
    )
    goal("loading, as it lies", "a loop of Pillow", plain[0] / ours[0], at_least=0.9)
    assert plain[1] > 0.3 * ours[1]


def ring_median(image):
    thickness = round(0.04 * min(image.shape))
    ring = np.ones(image.shape, bool)
    ring[thickness:-thickness, thickness:-thickness] = False
    return np.median(image[ring])


def plain_mask(image):
    distance = np.abs(image - ring_median(image))
    threshold = threshold_otsu(distance)
    stricter = threshold_otsu(distance[distance > threshold / 2])
    if (distance > stricter).sum() >= 0.4 * (distance > threshold).sum():
        threshold = stricter
    radius = round(0.008 * max(image.shape))
    across = np.arange(-radius, radius + 1)
    disk = across[:, None] ** 2 + across**2 <= radius**2
    closed = ndimage.binary_closing(np.pad(distance > threshold, 2 * radius), disk)
    regions, _ = ndimage.label(ndimage.binary_fill_holes(closed))
    sizes = np.bincount(regions.ravel())[1:]
    inner = slice(2 * radius, -2 * radius)
    return (regions == 1 + sizes.argmax())[inner, inner]


def plainly_posed(path):
    """The same image from steps on the whole file, with scipy and scikit-image."""
    image = np.asarray(Image.open(path).convert("L")) / np.float32(255)
    image = np.round(np.clip(image * np.float32(0.75 / ring_median(image)), 0, 1) * 255)
    image = (image / 255).astype(np.float32)
    small = block_reduce(image, (2, 2), np.mean)
    mask = plain_mask(small).astype(np.float32)[..., None]
    pose = find_object(1 - mask)
    pose = ObjectPose(tuple((np.array(pose.centre) + 0.5) * 2 - 0.5), pose.down, 1, 1)
    smooth = ndimage.gaussian_filter(image, (SIDE / 128 - 1) / 2, mode="nearest", truncate=3)
    matrix = frame_matrix(pose, (SIDE, SIDE), SIZE)
    return warp(smooth, matrix, output_shape=SIZE, order=1, cval=float(ring_median(image)))


def test_posed_loading_beside_plain_steps(root, goal):
    paths = sorted((root / "nail/train/good").glob("*.png"))
    corrections = Corrections(illumination="background", pose="axis")
    ours, plain = in_turn(
        lambda: load_category(root, "nail", SIZE, corrections=corrections),
        lambda: [plainly_posed(path) for path in paths],
        repeats=2,
    )
    category = load_category(root, "nail", SIZE, corrections=corrections)
    for image, name in zip(category.train.images[:3], category.train.names, strict=False):
        expected = plainly_posed(root / "nail" / name)
        np.testing.assert_allclose(image[..., 0], expected, atol=2e-3)
    print(
        f"\na posed image of {SIDE} px: {ours[0]:.0f} ms ({ours[1]:.0f} of processor time), "
        f"plainly {plain[1] / ours[1]:.1f} times as much"
    )
    goal("loading, posed (processor time)", "plain steps", plain[1] / ours[1], at_least=1.3)
    assert plain[1] > 1.3 * ours[1]


def test_a_crop_beside_no_crop(root, monkeypatch):
    """Each file is decoded once, so measuring the object of all images first costs little."""

    def load(crop):
        corrections = Corrections(illumination="background", pose="axis", crop=crop)
        return load_category(root, "nail", SIZE, corrections=corrections)

    def twice():
        with monkeypatch.context() as patch:
            patch.setattr("adhelpers.data.frames.KeptImages.keep", lambda *_: None)
            load("object")

    cropped, decoded_twice = in_turn(lambda: load("object"), twice, repeats=2)
    print(
        f"\ncrop: {cropped[1]:.0f} ms of processor time an image, decoded twice "
        f"{decoded_twice[1] / cropped[1]:.2f} times as much"
    )
    assert cropped[1] < decoded_twice[1]
