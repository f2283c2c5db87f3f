"""What both renderers of the embedded data share: pixel grids, smooth noise, distances to strokes, camera."""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates


def pixel_grid(image_size, supersampling):
    """Centres of the supersampled pixels: x to the right and y upwards, both (m, m) float32 over [-1, 1]."""
    count = image_size * supersampling
    axis = ((np.arange(count, dtype=np.float32) + 0.5) / count * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(axis, -axis)
    return x, y


def average_down(picture, supersampling):
    """Mean over blocks of ``supersampling`` pixels: (m, m, ...) to (m / supersampling, m / supersampling, ...)."""
    count = picture.shape[0] // supersampling
    blocks = picture.reshape(count, supersampling, count, supersampling, *picture.shape[2:])
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def smooth_step(value, low, high):
    """0 below ``low``, 1 above ``high``, a cubic without kinks between."""
    fraction = np.clip((value - low) / (high - low), 0, 1)
    return fraction * fraction * (3 - 2 * fraction)


def lattice_noise(generator, shape, rows, columns):
    """Smooth noise of about unit variance: a random lattice of ``shape`` that repeats, read at ``rows`` and ``columns``.

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


def distance_to_segments(a, b, segments):
    """Distance of the points (a, b), each (n,), to the nearest of ``segments`` (k, 4: a0, b0, a1, b1).

    Returns
    -------
    distance : (n,) float32
    nearest : (n,) int, index of the nearest segment
    along : (n,) float32, position on it from 0 to 1
    side : (n,) float32, signed distance from its line (positive on the left)
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


def wandering_line(generator, start, direction, length, steps, wobble):
    """A jagged line of ``steps`` segments (steps, 4) that wanders around ``direction`` (radians)."""
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


def add_specks(picture, generator, count, size_range, strength_range):
    """Add soft dust specks to ``picture`` (h, w, c) in place; sizes are shares of the picture's width."""
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


def through_lens(picture, focus):
    """Blur of standard deviation ``focus`` pixels: (h, w, c)."""
    return gaussian_filter(picture, (focus, focus, 0), mode="nearest")


def on_sensor(picture, generator, noise):
    """Sensor noise of standard deviation ``noise`` at mid grey, and 8 bits: (h, w, c) float32 to uint8."""
    # Photon noise grows with the light; most of it is shared by the channels, as after demosaicing.
    spread = noise * np.sqrt(0.35 + 1.3 * np.clip(picture, 0, 1))
    own = generator.standard_normal(picture.shape, dtype=np.float32)
    shared = generator.standard_normal(picture.shape[:2], dtype=np.float32)[..., None]
    noisy = picture + spread * (0.75 * shared + 0.66 * own if picture.shape[2] > 1 else shared)
    return np.round(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
