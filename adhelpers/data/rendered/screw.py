"""Countersunk wood screws with a helical thread and a soft shadow on a light background."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import (
    gaussian_filter,
    gaussian_filter1d,
    maximum_filter1d,
    minimum_filter1d,
    shift,
)

from adhelpers._shared.arrays import Floats, Masks

from . import surface

DEFECTS = ("manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top")
CHANNELS = 1
# Natural variation that is spread evenly over the images, see variation.py.
VARIATION = ("exposure", "length", "metal", "noise", "focus", "dust")
# Share of the light that the planted shortcut leaves: below what the natural range covers.
SHORTCUT_LIGHT = 0.84

_TABLE_RANGE, _TABLE_COUNT = (-0.25, 1.25), 3000
_HEAD_RADIUS, _NECK, _THREAD_START = 0.158, 0.165, 0.445


class Screw:
    """One screw in one light; ``render`` draws it without and with a defect.

    Lengths are shares of the screw's length.

    Parameters
    ----------
    generator : numpy.random.Generator
        Draws the pose, the thread's phase, the surface and the light.
    variation : dict of float
        A number in [0, 1) for each name in ``VARIATION``.
    """

    def __init__(self, generator: np.random.Generator, variation: Mapping[str, float]) -> None:
        uniform = generator.uniform
        self.exposure = 0.93 + 0.14 * variation["exposure"]
        self.length = 0.65 + 0.10 * variation["length"]
        self.metal = 0.84 + 0.22 * variation["metal"]
        self.noise = 0.006 * 3.0 ** variation["noise"]
        self.focus = 0.20 + 0.40 * variation["focus"]
        self.dust = variation["dust"]
        self.angle = uniform(0, 2 * np.pi)
        self.shift = uniform(-0.07, 0.07), uniform(-0.07, 0.07)
        tilt = np.radians(uniform(11, 17))
        # Plain floats: a NumPy scalar would turn the float32 pictures into float64.
        self.turn_cosine, self.turn_sine = float(np.cos(self.angle)), float(np.sin(self.angle))
        self.tilt_cosine, self.tilt_sine = float(np.cos(tilt)), float(np.sin(tilt))
        self.pitch = 0.066 + uniform(-0.001, 0.001)
        self.phase, self.recess_turn = uniform(), uniform(0, 2 * np.pi)
        azimuth, elevation = np.radians(uniform(60, 120)), np.radians(uniform(50, 65))
        self.light = (
            float(np.cos(elevation) * np.cos(azimuth)),
            float(np.cos(elevation) * np.sin(azimuth)),
            float(np.sin(elevation)),
        )
        self.texture_seed = generator.integers(2**63)
        self._make_tables()

    def _make_tables(self) -> None:
        """Core radius, thread height and their slopes over the position along the axis."""
        position = np.linspace(*_TABLE_RANGE, _TABLE_COUNT)
        core = PchipInterpolator(
            [
                0,
                0.006,
                0.018,
                0.035,
                0.06,
                0.10,
                0.135,
                _NECK,
                0.185,
                0.43,
                0.45,
                0.80,
                0.90,
                0.965,
                1.0,
            ],
            [
                0.149,
                0.156,
                _HEAD_RADIUS,
                0.147,
                0.121,
                0.083,
                0.060,
                0.051,
                0.049,
                0.049,
                0.043,
                0.041,
                0.034,
                0.016,
                0.002,
            ],
        )(np.clip(position, 0, 1))
        inside = (position >= 0) & (position <= 1)
        thread = np.interp(position, [_THREAD_START, 0.475, 0.86, 0.985], [0, 0.023, 0.023, 0.0])
        thread = gaussian_filter1d(thread, 10) * (position < 0.99)
        self.step = position[1] - position[0]
        self.core = gaussian_filter1d(core, 3).astype(np.float32)
        self.core_slope = np.gradient(self.core, self.step).astype(np.float32)
        self.thread = thread.astype(np.float32)
        outer = np.where(inside, self.core + self.thread, 0)
        window = int(2 * _HEAD_RADIUS * self.tilt_sine / self.step) | 1
        self.outer_bound = maximum_filter1d(outer, window).astype(np.float32)
        self.inner_bound = minimum_filter1d(np.where(inside, 0.9 * self.core, 0), window).astype(
            np.float32
        )

    def _look_up(self, table: Floats, along: Floats) -> Floats:
        index = ((along - _TABLE_RANGE[0]) * float(1 / self.step) + 0.5).astype(np.int32)
        return table[np.clip(index, 0, _TABLE_COUNT - 1)]

    def _ridge(self, along: Floats, turn: Floats) -> tuple[Floats, Floats]:
        """Height of the helical ridge, 0 to 1, and its slope; ``turn`` counts around the axis."""
        phase = along * float(1 / self.pitch) - turn + self.phase
        distance = phase - np.floor(phase) - 0.5
        height = np.exp(-0.5 * (distance / 0.115) ** 2)
        return height, -distance * float(1 / 0.115**2) * height

    def _surface(
        self, along: Floats, across: Floats, toward: Floats, defect: "ScrewDefect | None"
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Signed distance-like value of a point (negative inside) with what the shading needs."""
        radius = np.sqrt(across * across + toward * toward)
        turn = np.arctan2(across, toward) * float(1 / (2 * np.pi))
        ridge, slope = self._ridge(along, turn)
        thread, core = self._look_up(self.thread, along), self._look_up(self.core, along)
        end: Floats | float = 1.0
        if defect is not None:
            thread = thread * defect.thread_left(along, across, toward)
            end = defect.end(across)
        value = radius - core - thread * ridge
        value = np.where((along < 0) | (along > end), np.float32(1), value)
        return value, radius, thread, ridge, slope

    def _cast_rays(
        self, along_image: Floats, across: Floats, defect: "ScrewDefect | None"
    ) -> tuple[Floats, Floats, Masks, Masks]:
        """First hits of the rays in the screw's frame, and whether on its side or on its face."""
        sine, cosine = self.tilt_sine, self.tilt_cosine
        face_toward = along_image * float(1 / sine)
        face = across * across + face_toward * face_toward < 0.149**2
        high = self._look_up(self.outer_bound, along_image) ** 2
        low = self._look_up(self.inner_bound, along_image) ** 2
        steps = 14
        toward = np.zeros_like(along_image)
        hit = np.zeros(across.shape, bool)
        before_value, before = (
            np.full_like(across, 0.01),
            np.sqrt(np.maximum(high - across * across, 0)),
        )
        for index in range(1, steps + 1):
            here = np.sqrt(
                np.maximum(high + (low - high) * float(index / steps) - across * across, 0)
            )
            value, *_ = self._surface(
                (along_image - here * sine) * float(1 / cosine), across, here, defect
            )
            enters = (value < 0) & ~hit
            fraction = before_value / np.maximum(before_value - value, 1e-6)
            toward = np.where(enters, before + (here - before) * np.clip(fraction, 0, 1), toward)
            hit |= enters
            before_value, before = np.maximum(value, 1e-6), here
        toward = np.where(face, face_toward, toward)
        along = np.where(face, np.float32(0), (along_image - toward * sine) * float(1 / cosine))
        return along, toward, hit & ~face, face

    def render(self, image_size: int, defect: "ScrewDefect | None" = None) -> tuple[Floats, Floats]:
        """Draw the screw before the camera, without and with the defect.

        Returns
        -------
        clean, picture : ndarray of float32, shape (image_size, image_size, 1)
            The same array twice where there is no defect.
        """
        supersampling = max(2, -(-384 // image_size))
        grid_x, grid_y = surface.pixel_grid(image_size, supersampling)
        across_x, across_y = -self.turn_sine, self.turn_cosine
        x, y = grid_x - self.shift[0], grid_y - self.shift[1]
        scale = float(1 / (2 * self.length))
        along = (x * self.turn_cosine + y * self.turn_sine) * scale + 0.5
        across = (x * across_x + y * across_y) * scale
        clean = self._draw(image_size, supersampling, along, across, None)
        return clean, clean if defect is None else self._draw(
            image_size, supersampling, along, across, defect
        )

    def _draw(
        self,
        image_size: int,
        supersampling: int,
        along: Floats,
        across: Floats,
        defect: "ScrewDefect | None",
    ) -> Floats:
        """The picture of the screw on its background."""
        # The same numbers for the picture without and with the defect.
        generator = np.random.default_rng(self.texture_seed)
        if defect is not None:
            across = across - defect.bend(along)
        candidates = (
            (along > -0.06)
            & (along < 1.02)
            & (np.abs(across) < self._look_up(self.outer_bound, along) + 0.004)
        )
        image_along, image_across = along[candidates], across[candidates]
        position, toward, side, face = self._cast_rays(image_along, image_across, defect)
        tone = np.zeros_like(position)
        tone[side] = self._side(generator, position[side], image_across[side], toward[side], defect)
        tone[face] = self._face(generator, image_across[face], toward[face])
        if defect is not None:
            tone = defect.mark(position, image_across, toward, tone, side)
        cover = np.zeros(along.shape, np.float32)
        cover[candidates] = side | face
        drawn = np.zeros(along.shape, np.float32)
        drawn[candidates] = tone * (side | face)
        cover = surface.average_down(cover, supersampling)
        drawn = surface.average_down(drawn, supersampling)
        ground = self._background(generator, image_size) * self._shadow(cover)
        return (self.exposure * (drawn + (1 - cover) * ground))[..., None]

    def _background(self, generator: np.random.Generator, image_size: int) -> Floats:
        x, y = surface.pixel_grid(image_size, 1)
        slope_x, slope_y = generator.uniform(-0.018, 0.018, 2).astype(np.float32)
        corner = generator.uniform(0.02, 0.05)
        level = 0.755 * (1 + slope_x * x + slope_y * y - corner * (x * x + y * y) ** 2 / 4)
        level += 0.0025 * surface.lattice_noise(generator, (30, 30), (y + 1) * 15, (x + 1) * 15)
        level += 0.004 * surface.lattice_noise(generator, (6, 6), (y + 1) * 3, (x + 1) * 3)
        picture = level[..., None]
        count = int(4 + 26 * self.dust)
        surface.add_specks(picture, generator, count, (0.0015, 0.0045), (-0.13, -0.02))
        surface.add_specks(picture, generator, count // 4, (0.002, 0.006), (0.01, 0.05))
        return picture[..., 0]

    def _shadow(self, cover: Floats) -> Floats:
        """Share of the light that reaches the ground: a contact shadow and a soft one."""
        size = cover.shape[0]
        fall = 0.030 * size
        moved = shift(cover, (fall * self.light[1], -fall * self.light[0]), order=1)
        return (1 - 0.16 * gaussian_filter(moved, 0.045 * size)) * (
            1 - 0.26 * gaussian_filter(moved, 0.014 * size)
        )

    def _light_in_screw(self) -> tuple[float, float, float]:
        x, y, z = self.light
        return (
            x * self.turn_cosine + y * self.turn_sine,
            y * self.turn_cosine - x * self.turn_sine,
            z,
        )

    def _side(
        self,
        generator: np.random.Generator,
        along: Floats,
        across: Floats,
        toward: Floats,
        defect: "ScrewDefect | None",
    ) -> Floats:
        """Brightness of the head's cone, the shank and the thread."""
        _, radius, thread, ridge, slope = self._surface(along, across, toward, defect)
        normal_along = -self._look_up(self.core_slope, along) - thread * slope * float(
            1 / self.pitch
        )
        normal_around = thread * slope / (2 * np.pi * radius + 1e-6)
        safe = 1 / np.maximum(radius, 1e-6)
        normal_across = (across + normal_around * toward) * safe
        normal_toward = (toward - normal_around * across) * safe
        length = 1 / np.sqrt(normal_along**2 + normal_across**2 + normal_toward**2)
        lengthwise = (normal_along * self.tilt_cosine + normal_toward * self.tilt_sine) * length
        facing = np.clip(
            (normal_toward * self.tilt_cosine - normal_along * self.tilt_sine) * length, 0, 1
        )
        normal_across = normal_across * length
        light_along, light_across, light_toward = self._light_in_screw()
        lit = np.clip(
            lengthwise * light_along + normal_across * light_across + facing * light_toward, 0, 1
        )
        half = 1 / np.sqrt(light_along**2 + light_across**2 + (1 + light_toward) ** 2)
        mirror = np.clip(
            (lengthwise * light_along + normal_across * light_across + facing * (1 + light_toward))
            * half,
            0,
            1,
        )
        turn = np.arctan2(across, toward) * float(1 / (2 * np.pi))
        streaks = surface.lattice_noise(generator, (10, 90), along * 10, turn * 90)
        patches = surface.lattice_noise(generator, (22, 14), along * 22, turn * 14)
        crumbs = surface.lattice_noise(generator, (160, 60), along * 160, turn * 60)
        rings = surface.lattice_noise(generator, (190, 2), along * 190, turn * 2)
        # The head is turned and shows rings, the shank is rolled and shows streaks.
        head = 1 - surface.smooth_step(along, 0.12, 0.17)
        grain = head * rings + (1 - head) * streaks
        base = self.metal * (1 + 0.055 * grain + 0.05 * patches + 0.04 * crumbs)
        tone = base * (
            0.125
            + 0.14 * facing
            + 0.15 * lit
            + 0.15 * mirror**9 * (1 + 0.45 * grain)
            + 0.07 * mirror**50
        )
        # Sky light does not reach the bottom of the thread, and the crests are worn bright.
        threaded = np.clip(thread * float(1 / 0.023), 0, 1)
        tone = tone * (1 - threaded * (0.30 * (1 - ridge) * (1 - 0.6 * facing) + 0.10))
        tone += threaded * 0.13 * surface.smooth_step(ridge, 0.80, 1.0) * facing
        tone *= 1 - 0.45 * np.exp(-(((along - _NECK) / 0.016) ** 2)) * (1 - 0.5 * facing)
        # A bright edge runs around the head.
        tone += 0.08 * np.exp(-(((along - 0.018) / 0.006) ** 2)) * (0.4 + 0.6 * facing)
        return np.maximum(tone, 0.04)

    def _face(self, generator: np.random.Generator, across: Floats, toward: Floats) -> Floats:
        """Brightness of the head's flat top with its star-shaped recess."""
        radius, angle = (
            np.hypot(across, toward),
            np.arctan2(toward, across) + float(self.recess_turn),
        )
        _, _, light_toward = self._light_in_screw()
        rings = surface.lattice_noise(generator, (60, 4), radius * 380, angle * float(2 / np.pi))
        tone = self.metal * (0.285 + 0.06 * light_toward) * (1 + 0.06 * rings) + 0.05 * (
            radius > 0.138
        )
        star = 0.062 * (1 + 0.16 * np.cos(6 * angle))
        recess = 1 - surface.smooth_step(radius, star - 0.006, star + 0.003)
        glint = np.exp(-(((radius - star) / 0.007) ** 2)) * (toward < 0)
        return tone + recess * (0.12 - tone) * 0.85 + 0.16 * glint


class _Points(NamedTuple):
    """Where the visible points of the screw lie, and noise at them."""

    along: Floats
    across: Floats
    side: Masks
    coarse: Floats
    rough: Floats


class ScrewDefect:
    """A defect on the visible side of the screw.

    Parameters
    ----------
    kind : {"manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top"}
    severity : float
        From 0, subtle, to 1, obvious.
    generator : numpy.random.Generator
    """

    def __init__(self, kind: str, severity: float, generator: np.random.Generator) -> None:
        self.kind, self.severity = kind, severity
        self.sign = float(generator.choice([-1, 1]))
        self.position = float(generator.uniform())
        self.broken = kind == "manipulated_front" and generator.uniform() < 0.45
        self.bevel = float(generator.uniform(-0.5, 0.5))
        self.seed = generator.integers(2**63)

    def bend(self, along: Floats) -> Floats:
        """How far the screw is pushed aside at each position along it."""
        if self.kind != "manipulated_front" or self.broken:
            return np.zeros_like(along)
        beyond = np.maximum(along - 0.885, 0)
        return self.sign * (1.6 + 2.6 * self.severity) * beyond**2 * 2

    def end(self, across: Floats) -> Floats | float:
        """Where the screw ends along its axis."""
        if not self.broken:
            return 1.0
        ragged = 0.006 * np.sin(across * 310 + 6 * self.position) + 0.004 * np.sin(across * 790)
        return 0.972 - 0.062 * self.severity + self.bevel * across + ragged

    def thread_left(self, along: Floats, across: Floats, toward: Floats) -> Floats | float:
        """The share of the thread's height that is left."""
        if self.kind not in ("thread_side", "thread_top"):
            return 1.0
        centre, reach = 0.54 + 0.26 * self.position, 0.030 + 0.034 * self.severity
        window = 1 - surface.smooth_step(np.abs(along - centre), 0.6 * reach, reach)
        if self.kind == "thread_side":
            place = surface.smooth_step(self.sign * across, 0.012, 0.030)
        else:
            place = surface.smooth_step(toward, 0.020, 0.034)
        return 1 - (0.70 + 0.30 * self.severity) * window * place

    def mark(
        self, along: Floats, across: Floats, toward: Floats, tone: Floats, side: Masks
    ) -> Floats:
        """Brightness with the bright traces of the damage."""
        generator, severity = np.random.default_rng(self.seed), self.severity
        rough, coarse = (
            surface.lattice_noise(
                generator, (64, 64), (along + 0.2) * cells, (across + 0.3) * cells
            )
            for cells in (170, 60)
        )
        points = _Points(along, across, side, coarse, rough)
        if self.kind == "scratch_head":
            return self._scratched_head(generator, points, tone)
        if self.kind == "scratch_neck":
            return self._scratched_neck(generator, points, tone)
        if self.kind == "thread_top":
            length, width = 0.020 + 0.022 * severity, 0.016 + 0.012 * severity
            return self._patch(points, tone, self._thread_place(), 0.006, length, width)
        if self.kind == "thread_side":
            length, width = 0.018 + 0.024 * severity, 0.008 + 0.006 * severity
            return self._patch(points, tone, self._thread_place(), 0.038, length, width)
        if self.broken:
            fresh = surface.smooth_step(along - self.end(across), -0.012, 0.0) * side
            return tone + fresh * (0.30 + 0.15 * severity) * (1 + 0.3 * rough)
        return tone

    def _thread_place(self) -> float:
        """Where along the screw the thread is damaged."""
        return 0.54 + 0.26 * self.position

    def _scratched_head(
        self, generator: np.random.Generator, points: _Points, tone: Floats
    ) -> Floats:
        allowed = points.side & (points.along < 0.13)
        centre, length = 0.040 + 0.055 * self.position, 0.030 + 0.020 * self.severity
        return self._scratches(generator, points, tone, allowed, centre, length, 0.10)

    def _scratched_neck(
        self, generator: np.random.Generator, points: _Points, tone: Floats
    ) -> Floats:
        severity = self.severity
        length, width = 0.014 + 0.022 * severity, 0.010 + 0.009 * severity
        tone = self._patch(points, tone, 0.22 + 0.19 * self.position, 0.010, length, width)
        allowed = points.side & (points.along > 0.17) & (points.along < 0.44)
        centre, length = 0.22 + 0.18 * self.position, 0.040 + 0.04 * severity
        return self._scratches(generator, points, tone, allowed, centre, length, 0.035)

    def _patch(
        self,
        points: _Points,
        tone: Floats,
        centre: float,
        offset: float,
        length: float,
        width: float,
    ) -> Floats:
        """A dented spot: bright metal with a dark edge on one side."""
        along, across, side, coarse, rough = points
        offset = offset * self.sign
        distance = np.hypot((along - centre) / length, (across - offset) / width) + 0.25 * coarse
        spot = (1 - surface.smooth_step(distance, 0.75, 1.05)) * side
        edge = np.exp(-(((distance - 1.10) / 0.16) ** 2)) * (across < offset) * side
        bright = (0.50 + 0.20 * self.severity) * (1 + 0.16 * rough)
        tone = tone + spot * (0.60 + 0.40 * self.severity) * (bright - tone)
        return tone * (1 - 0.40 * edge)

    def _scratches(
        self,
        generator: np.random.Generator,
        points: _Points,
        tone: Floats,
        allowed: Masks,
        centre: float,
        length: float,
        spread: float,
    ) -> Floats:
        """Fine, nearly parallel bright lines, each with a dark one beside it."""
        along, across, _, _, rough = points
        common = generator.uniform(0.35, 1.2) * generator.choice([-1, 1])
        for _ in range(2 + int(3 * self.severity)):
            direction = common + generator.normal(0, 0.16)
            start = np.array(
                [centre + generator.normal(0, 0.018), generator.uniform(-spread, spread) * 0.8]
            )
            step = (
                0.5
                * length
                * generator.uniform(0.7, 1.3)
                * np.array([np.cos(direction), np.sin(direction)])
            )
            distance, _, _, side = surface.distance_to_segments(
                along, across, [[*(start - step), *(start + step)]]
            )
            half = 0.0036 + 0.0030 * self.severity
            line = (
                1 - surface.smooth_step(distance + 0.001 * rough, 0.5 * half, half + 0.003)
            ) * allowed
            dark = np.exp(-(((side + 1.8 * half) / half) ** 2)) * (distance < 3 * half) * allowed
            tone = tone * (1 - 0.40 * dark)
            tone = tone + line * (0.65 + 0.35 * self.severity) * (
                0.60 + 0.08 * self.severity - tone
            )
        return tone
