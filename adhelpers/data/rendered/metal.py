"""Brushed metal: a sheet from above with fine streaks, uneven light and a band of gloss."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter1d

from adhelpers._shared.arrays import Floats

from . import surface

# How much of each place a defect covers, and how bright that is against the sheet.
_Cover: TypeAlias = tuple[Floats, float]

DEFECTS = ("black_spot", "thin_line", "arc")
CHANNELS = 1
# Natural variation that is spread evenly over the images, see variation.py.
VARIATION = ("exposure", "contrast", "noise", "focus", "gloss", "dust")
# Share of the light that the planted shortcut leaves: below what the natural range covers.
SHORTCUT_LIGHT = 0.72


class Metal:
    """One cut-out of a brushed sheet in one light; ``render`` draws it without and with a defect.

    Lengths are in units of half the image's side.

    Parameters
    ----------
    generator : numpy.random.Generator
        Draws the streaks, the direction and the light.
    variation : dict of float
        A number in [0, 1) for each name in ``VARIATION``.
    """

    def __init__(self, generator: np.random.Generator, variation: Mapping[str, float]) -> None:
        uniform = generator.uniform
        self.exposure = 0.90 + 0.20 * variation["exposure"]
        self.contrast = 0.70 + 0.60 * variation["contrast"]
        self.noise = 0.005 * 2.6 ** variation["noise"]
        self.focus = 0.20 + 0.40 * variation["focus"]
        self.gloss = 0.04 + 0.10 * variation["gloss"]
        self.dust = variation["dust"]
        self.direction = float(np.radians(np.clip(generator.normal(0, 1.6), -4, 4)))
        self.slope = uniform(-0.05, 0.05), uniform(-0.05, 0.05)
        self.band, self.band_width = uniform(-0.9, 0.9), uniform(0.45, 0.8)
        self.texture_seed = generator.integers(2**63)

    def along_and_across(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Coordinates along the brushing and across it."""
        cosine, sine = float(np.cos(self.direction)), float(np.sin(self.direction))
        return x * cosine + y * sine, y * cosine - x * sine

    def render(self, image_size: int, defect: "MetalDefect | None" = None) -> tuple[Floats, Floats]:
        """Draw the sheet before the camera, without and with the defect.

        Returns
        -------
        clean, picture : ndarray of float32, shape (image_size, image_size, 1)
            The same array twice where there is no defect.
        """
        supersampling = max(2, -(-256 // image_size))
        generator = np.random.default_rng(self.texture_seed)
        x, y = surface.pixel_grid(image_size, supersampling)
        along, across = self.along_and_across(x, y)
        picture = (
            self.exposure
            * self._light(x, y, along)
            * (0.50 + self._streaks(generator, along, across))
        )
        picture = picture[..., None].astype(np.float32)
        surface.add_specks(picture, generator, int(14 * self.dust), (0.0015, 0.003), (-0.10, 0.06))
        clean = surface.average_down(picture, supersampling)
        if defect is None:
            return clean, clean
        return clean, surface.average_down(defect.apply(self, x, y, picture), supersampling)

    def _light(self, x: Floats, y: Floats, along: Floats) -> Floats:
        # The streaks are tiny grooves: they spread a lamp's reflection across them into a band.
        band = self.gloss * np.exp(-(((along - self.band) / self.band_width) ** 2))
        return 1 + self.slope[0] * x + self.slope[1] * y + band

    def _streaks(self, generator: np.random.Generator, along: Floats, across: Floats) -> Floats:
        """Streaks of several sizes: lattices, long along the brushing and fine across it."""
        value = np.zeros_like(along)
        for cells_along, cells_across, weight in (
            (3, 60, 0.30),
            (5, 150, 0.50),
            (9, 330, 0.45),
            (2, 14, 0.22),
        ):
            value += weight * surface.lattice_noise(
                generator,
                (cells_across, cells_along),
                (across + 1.1) * (cells_across / 2.2),
                (along + 1.1) * (cells_along / 2.2),
            )
        # A few deeper grooves, as every brush leaves: thin and straight in the brushing direction,
        # and so no defect.
        positions = generator.uniform(-1.1, 1.1, 9)
        table = np.zeros(4096, np.float32)
        np.add.at(
            table,
            ((positions + 1.1) / 2.2 * 4095).astype(int),
            generator.uniform(-1, 0.6, 9).astype(np.float32),
        )
        grooves = gaussian_filter1d(table, 6) * 6 * np.sqrt(2 * np.pi)
        value += 0.8 * grooves[np.clip(((across + 1.1) * (4095 / 2.2)).astype(int), 0, 4095)]
        return 0.055 * self.contrast * value


class MetalDefect:
    """A defect on the sheet.

    Parameters
    ----------
    kind : {"black_spot", "thin_line", "arc"}
    severity : float
        From 0, subtle, to 1, obvious.
    generator : numpy.random.Generator
    """

    def __init__(self, kind: str, severity: float, generator: np.random.Generator) -> None:
        self.kind, self.severity = kind, severity
        self.centre = generator.uniform(-0.68, 0.68, 2)
        self.seed = generator.integers(2**63)

    def apply(self, metal: Metal, x: Floats, y: Floats, picture: Floats) -> Floats:
        """The picture (m, m, 1) with the defect."""
        generator = np.random.default_rng(self.seed)
        a, b = (x - self.centre[0]).astype(np.float32), (y - self.centre[1]).astype(np.float32)
        draw = {
            "black_spot": self._black_spot,
            "thin_line": self._thin_line,
            "arc": self._arc,
        }[self.kind]
        cover, tone = draw(generator, metal, a, b)
        cover = np.clip(cover, 0, 1)[..., None].astype(np.float32)
        return picture + cover * (np.float32(tone) * picture - picture)

    def _black_spot(
        self, generator: np.random.Generator, metal: Metal, a: Floats, b: Floats
    ) -> _Cover:
        radius = 0.032 + 0.040 * self.severity
        stretch, turn = generator.uniform(0.75, 1.0), generator.uniform(0, np.pi)
        u, v = a * np.cos(turn) + b * np.sin(turn), (b * np.cos(turn) - a * np.sin(turn)) / stretch
        angle = np.arctan2(v, u)
        ragged = surface.lattice_noise(
            generator, (1, 7), np.zeros_like(a), (angle * (7 / (2 * np.pi))).astype(np.float32)
        )
        edge = radius * (1 + 0.12 * ragged)
        return 1 - surface.smooth_step(
            np.hypot(u, v), edge - 0.012, edge + 0.010
        ), 0.52 - 0.38 * self.severity

    def _thin_line(
        self, generator: np.random.Generator, metal: Metal, a: Floats, b: Floats
    ) -> _Cover:
        # Across the brushing or aslant: a scratch along it would be one more groove.
        direction = metal.direction + generator.choice([-1, 1]) * generator.uniform(
            np.radians(28), np.radians(90)
        )
        length = 0.30 + 0.45 * self.severity
        step = 0.5 * length * np.array([np.cos(direction), np.sin(direction)])
        bend = generator.normal(0, 0.012) * np.array([-np.sin(direction), np.cos(direction)])
        return self._stroke(a, b, [[*-step, *bend], [*bend, *step]])

    def _arc(self, generator: np.random.Generator, metal: Metal, a: Floats, b: Floats) -> _Cover:
        radius, opening = (
            0.13 + 0.16 * self.severity,
            generator.uniform(np.radians(110), np.radians(230)),
        )
        angles = generator.uniform(0, 2 * np.pi) + np.linspace(0, opening, 19)
        points = radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        return self._stroke(a, b, np.hstack([points[:-1], points[1:]]))

    def _stroke(self, a: Floats, b: Floats, segments: Floats | list[list[float]]) -> _Cover:
        """A bright or dark scratch along the segments, thinner towards its ends."""
        distance, nearest, along, _ = surface.distance_to_segments(a.ravel(), b.ravel(), segments)
        position = (nearest + along) / len(segments)
        half = (0.006 + 0.007 * self.severity) * (
            0.45 + 0.55 * np.sin(np.pi * np.clip(position, 0, 1))
        )
        cover = 1 - surface.smooth_step(distance, half, half + 0.010)
        tone = 1.30 + 0.35 * self.severity if self.seed % 2 else 0.72 - 0.30 * self.severity
        return (cover * (0.75 + 0.25 * self.severity)).reshape(a.shape), tone
