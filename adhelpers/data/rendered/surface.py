"""What all drawings share: pixel grids, smooth noise, distances to strokes, camera."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from adhelpers._shared.arrays import Floats

_Edge: TypeAlias = Floats | np.floating[Any] | float


def pixel_grid(image_size: int, supersampling: int) -> tuple[Floats, Floats]:
    """Centres of the supersampled pixels over [-1, 1]: x to the right and y upwards, (m, m)."""
    count = image_size * supersampling
    axis = ((np.arange(count, dtype=np.float32) + 0.5) / count * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(axis, -axis)
    return x, y


def average_down(picture: Floats, supersampling: int) -> Floats:
    """Mean over square blocks of ``supersampling`` pixels a side; ``picture`` is (m, m, ...)."""
    count = picture.shape[0] // supersampling
    blocks = picture.reshape(count, supersampling, count, supersampling, *picture.shape[2:])
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def smooth_step(value: Floats, low: _Edge, high: _Edge) -> Floats:
    """0 below ``low``, 1 above ``high``, a cubic without kinks between."""
    fraction = np.clip((value - low) / (high - low), 0, 1)
    return fraction * fraction * (3 - 2 * fraction)


def lattice_noise(
    generator: np.random.Generator, shape: tuple[int, int], rows: Floats, columns: Floats
) -> Floats:
    """Smooth noise of about unit variance, read from a random lattice that repeats.

    One unit of ``rows`` or ``columns`` is one cell of the lattice, so a texture around an axis
    closes without a seam.
    """
    lattice = generator.standard_normal(shape).astype(np.float32)
    # Linear interpolation of eased coordinates is as smooth to the eye as a spline and three times
    # faster.
    eased = [
        np.floor(position) + smooth_step(position - np.floor(position), 0, 1)
        for position in (rows, columns)
    ]
    return 1.25 * map_coordinates(lattice, eased, order=1, mode="grid-wrap", output=np.float32)


def distance_to_segments(
    a: Floats, b: Floats, segments: ArrayLike
) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
    """Distance of points (a, b), each (n,), to the nearest segment of (k, 4): a0, b0, a1, b1.

    Returns
    -------
    distance : ndarray of float32, shape (n,)
    nearest : ndarray of int64, shape (n,)
        Index of the nearest segment.
    along : ndarray of float32, shape (n,), in [0, 1]
        Position on it.
    side : ndarray of float32, shape (n,)
        Signed distance from its line, positive on the left.
    """
    best = np.full(a.shape, np.inf, np.float32)
    nearest = np.zeros(a.shape, np.int64)
    along, side = np.zeros(a.shape, np.float32), np.zeros(a.shape, np.float32)
    for index, (a0, b0, a1, b1) in enumerate(np.asarray(segments, np.float32)):
        da, db = a1 - a0, b1 - b0
        length2 = max(da * da + db * db, 1e-12)
        fraction = np.clip(((a - a0) * da + (b - b0) * db) / length2, 0, 1)
        distance = np.hypot(a - a0 - fraction * da, b - b0 - fraction * db)
        closer = distance < best
        best = np.where(closer, distance, best)
        nearest = np.where(closer, index, nearest)
        along = np.where(closer, fraction, along)
        side = np.where(closer, ((b - b0) * da - (a - a0) * db) / np.sqrt(length2), side)
    return best, nearest, along, side


def wandering_line(
    generator: np.random.Generator,
    start: Floats,
    direction: float,
    length: float,
    steps: int,
    wobble: float,
) -> NDArray[np.float64]:
    """A jagged line of segments, shape (steps, 4), that wanders around ``direction`` (radians)."""
    angles = (
        direction
        + np.cumsum(generator.normal(0, wobble, steps)) * 0.6
        + generator.normal(0, wobble, steps)
    )
    lengths = length / steps * generator.uniform(0.6, 1.4, steps)
    points = (
        np.cumsum(np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], 1), axis=0) + start
    )
    points = np.vstack([start, points])
    return np.hstack([points[:-1], points[1:]])


def add_specks(
    picture: Floats,
    generator: np.random.Generator,
    count: int,
    size_range: tuple[float, float],
    strength_range: tuple[float, float],
) -> None:
    """Add dust to a picture (h, w, c) in place; sizes are shares of the picture's width."""
    height, width = picture.shape[:2]
    for _ in range(count):
        row, column = generator.uniform(0, height), generator.uniform(0, width)
        radius = max(generator.uniform(*size_range) * width, 0.45)
        strength = generator.uniform(*strength_range)
        stretch, turn = generator.uniform(0.5, 1.0), generator.uniform(0, np.pi)
        reach = int(np.ceil(3 * radius))
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        window = picture[top : int(row) + reach + 1, left : int(column) + reach + 1]
        y, x = np.mgrid[top : top + window.shape[0], left : left + window.shape[1]] + 0.5
        u = (x - column) * np.cos(turn) + (y - row) * np.sin(turn)
        v = (y - row) * np.cos(turn) - (x - column) * np.sin(turn)
        window += (strength * np.exp(-0.5 * ((u / radius) ** 2 + (v / (radius * stretch)) ** 2)))[
            ..., None
        ]


def through_lens(picture: Floats, focus: float) -> Floats:
    """A picture (h, w, c) blurred with a standard deviation of ``focus`` pixels."""
    return gaussian_filter(picture, (focus, focus, 0), mode="nearest")


def on_sensor(picture: Floats, generator: np.random.Generator, noise: float) -> NDArray[np.uint8]:
    """A picture (h, w, c) in 8 bits, with noise of standard deviation ``noise`` at mid grey."""
    # Photon noise grows with the light; most of it is shared by the channels, as after demosaicing.
    spread = noise * np.sqrt(0.35 + 1.3 * np.clip(picture, 0, 1))
    own = generator.standard_normal(picture.shape, dtype=np.float32)
    shared = generator.standard_normal(picture.shape[:2], dtype=np.float32)[..., None]
    noisy = picture + spread * (0.75 * shared + 0.66 * own if picture.shape[2] > 1 else shared)
    return np.round(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
