"""Hazelnuts: a striped shell with a rough cap and a pointed tip on a dark background."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from adhelpers._shared.arrays import Floats, Masks

from . import surface

# Albedo (n, 3), shading (n,) and gloss (n,) of the visible points.
_Layers: TypeAlias = tuple[Floats, Floats, Floats]
# How much of each point is covered, its colour, and the share of the shading that is kept.
_Cover: TypeAlias = tuple[Floats, Any, float]

DEFECTS = ("crack", "cut", "hole", "print")
CHANNELS = 3
# Natural variation that is spread evenly over the images, see variation.py.
VARIATION = ("exposure", "roughness", "focus", "noise", "size", "background", "texture", "hue")
# Share of the light that the planted shortcut leaves: below what the natural range covers.
SHORTCUT_LIGHT = 0.58

_TABLE_RANGE, _TABLE_COUNT = 1.4, 2048
# Strokes of the printed letters on a grid 4 wide and 6 high.
_LETTERS: dict[str, list[tuple[float, float, float, float]]] = {
    "K": [(0, 0, 0, 6), (0, 2.6, 3.6, 6), (1.2, 3.6, 3.8, 0)],
    "O": [
        (1.2, 0, 2.8, 0),
        (2.8, 0, 4, 1.5),
        (4, 1.5, 4, 4.5),
        (4, 4.5, 2.8, 6),
        (2.8, 6, 1.2, 6),
        (1.2, 6, 0, 4.5),
        (0, 4.5, 0, 1.5),
        (0, 1.5, 1.2, 0),
    ],
    "I": [(1, 0, 1, 6)],
    "L": [(0, 6, 0, 0), (0, 0, 3.5, 0)],
    "A": [(0, 0, 2, 6), (2, 6, 4, 0), (0.8, 2.2, 3.2, 2.2)],
    "T": [(0, 6, 4, 6), (2, 6, 2, 0)],
    "N": [(0, 0, 0, 6), (0, 6, 3.8, 0), (3.8, 0, 3.8, 6)],
    "C": [
        (4, 5, 2.8, 6),
        (2.8, 6, 1.2, 6),
        (1.2, 6, 0, 4.5),
        (0, 4.5, 0, 1.5),
        (0, 1.5, 1.2, 0),
        (1.2, 0, 2.8, 0),
        (2.8, 0, 4, 1),
    ],
}


class Hazelnut:
    """One nut in one light; ``render`` draws it without and with a defect.

    Parameters
    ----------
    generator : numpy.random.Generator
        Draws the shape, the shell and the light.
    variation : dict of float
        A number in [0, 1) for each name in ``VARIATION``.
    """

    def __init__(self, generator: np.random.Generator, variation: Mapping[str, float]) -> None:
        uniform = generator.uniform
        self.exposure = 0.74 + 0.48 * variation["exposure"]
        self.size = 0.655 + 0.065 * variation["size"]
        self.texture = 0.50 + 0.75 * variation["texture"]
        self.noise = 0.006 * 4.3 ** variation["noise"]
        self.focus = 0.15 + 0.60 * variation["focus"]
        self.background = 0.80 + 0.40 * variation["background"]
        # Fine detail: the cap's crumbs and fibres, the shell's grain and pale flecks.
        self.roughness = 0.35 + 1.15 * variation["roughness"]
        self.hue = variation["hue"]
        self.angle = np.radians(np.clip(generator.normal(0, 7), -16, 16))
        self.tilt = np.radians(uniform(12, 27))
        # Plain floats: a NumPy scalar would turn the float32 pictures into float64.
        self.turn_cosine, self.turn_sine = float(np.cos(self.angle)), float(np.sin(self.angle))
        self.tilt_cosine, self.tilt_sine = float(np.cos(self.tilt)), float(np.sin(self.tilt))
        self.roll = uniform(0, 2 * np.pi)
        self.shift = uniform(-0.035, 0.035), uniform(-0.035, 0.035)
        self.lean = uniform(-0.05, 0.05)
        self.flatten = uniform(-0.05, 0.05), uniform(-0.05, 0.05)
        self.cap_edge = uniform(-0.65, -0.55)
        self.cap_tone = uniform(0.48, 0.66)
        azimuth, elevation = np.radians(uniform(85, 150)), np.radians(uniform(48, 66))
        self.light = np.array(
            [
                np.cos(elevation) * np.cos(azimuth),
                np.cos(elevation) * np.sin(azimuth),
                np.sin(elevation),
            ],
            np.float32,
        )
        self.gloss = uniform(0.05, 0.16)
        self._make_profile(uniform)
        self.texture_seed = generator.integers(2**63)

    def _make_profile(self, uniform: Callable[..., Any]) -> None:
        """Tables of squared radius and its slope along the axis, from a polar outline."""
        polar = np.radians([0, 8, 20, 40, 65, 90, 115, 138, 152, 165, 180])
        radius = np.array([1.10, 1.03, 0.985, 0.965, 0.97, 0.98, 0.97, 0.93, 0.85, 0.80, 0.785])
        radius[0] += uniform(-0.04, 0.06)
        radius[3:7] += uniform(-0.025, 0.025, 4)
        radius[8:] += uniform(-0.04, 0.03)
        angles = np.linspace(0, np.pi, 600)
        outline = PchipInterpolator(polar, radius)(angles)
        axial, squared = outline * np.cos(angles), (outline * np.sin(angles)) ** 2
        order = np.argsort(axial)
        positions = np.linspace(-_TABLE_RANGE, _TABLE_RANGE, _TABLE_COUNT)
        table = np.interp(positions, axial[order], squared[order])
        outside = np.maximum(positions - axial.max(), axial.min() - positions)
        # Beyond the ends the table goes on below zero, so that a ray there is never inside.
        table = gaussian_filter1d(np.where(outside > 0, -outside, table), 12)
        self.squared = table.astype(np.float32)
        self.slope = np.gradient(table, positions).astype(np.float32)
        self.tip, self.bottom = axial.max(), axial.min()

    def _look_up(self, table: Floats, axial: Floats) -> Floats:
        position = np.clip(
            (axial + _TABLE_RANGE) * ((_TABLE_COUNT - 1) / (2 * _TABLE_RANGE)),
            0,
            _TABLE_COUNT - 1.001,
        )
        index = position.astype(np.int32)
        fraction = position - index
        return table[index] * (1 - fraction) + table[index + 1] * fraction

    def _axes(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Position along the nut's axis and the two coordinates across it."""
        axial = y * self.tilt_cosine - z * self.tilt_sine + self.lean * x
        depth = y * self.tilt_sine + z * self.tilt_cosine
        return axial, depth

    def _outside(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Negative inside the nut, positive outside, and its slope along the ray."""
        axial, depth = self._axes(x, y, z)
        wide, skew = self.flatten
        value = (
            (1 + wide) * x * x
            + skew * x * depth
            + (1 - wide) * depth * depth
            - self._look_up(self.squared, axial)
        )
        slope = (skew * x + 2 * (1 - wide) * depth) * self.tilt_cosine + self._look_up(
            self.slope, axial
        ) * self.tilt_sine
        return value, slope

    def _cast_rays(self, x: Floats, y: Floats) -> tuple[Floats, Masks]:
        """Depth z of the first hit of each ray, and which rays hit."""
        top = np.sqrt(1.2**2 - x * x - y * y)
        steps = 11
        step = (top + 0.4) / steps
        before, _ = self._outside(x, y, top)
        depth, hit = np.zeros_like(x), np.zeros(x.shape, bool)
        for index in range(1, steps + 1):
            here = top - index * step
            value, _ = self._outside(x, y, here)
            enters = (value < 0) & ~hit
            between = before / np.maximum(before - value, 1e-6)
            depth = np.where(enters, here + step * (1 - between), depth)
            hit |= enters
            before = value
        return depth, hit

    def render(
        self, image_size: int, defect: "HazelnutDefect | None" = None
    ) -> tuple[Floats, Floats]:
        """Draw the nut before the camera, without and with the defect.

        Returns
        -------
        clean, picture : ndarray of float32, shape (image_size, image_size, 3)
            The same array twice where there is no defect.
        """
        supersampling = max(2, -(-192 // image_size))
        generator = np.random.default_rng(self.texture_seed)
        grid_x, grid_y = surface.pixel_grid(image_size, supersampling)
        cosine, sine = self.turn_cosine, self.turn_sine
        x = ((grid_x - self.shift[0]) * cosine + (grid_y - self.shift[1]) * sine) / self.size
        y = ((grid_y - self.shift[1]) * cosine - (grid_x - self.shift[0]) * sine) / self.size
        picture = self._background(generator, grid_x, grid_y, np.hypot(x, y))
        candidates = x * x + y * y < 1.19**2
        x, y = x[candidates], y[candidates]
        z, hit = self._cast_rays(x, y)
        x, y, z = x[hit], y[hit], z[hit]
        inside = np.zeros(candidates.shape, bool)
        inside[candidates] = hit
        for _ in range(2):
            value, slope = self._outside(x, y, z)
            z = z - np.clip(
                value / np.where(np.abs(slope) < 0.15, np.float32(0.15), slope), -0.05, 0.05
            )
        layers = self._shell(generator, x, y, z)
        picture[inside] = self._develop(*layers)
        clean = surface.average_down(picture, supersampling)
        if defect is None:
            return clean, clean
        picture[inside] = self._develop(*defect.apply(self, x, y, z, *layers))
        return clean, surface.average_down(picture, supersampling)

    def _develop(self, albedo: Floats, shade: Floats, gloss: Floats) -> Floats:
        return self.exposure * (albedo * shade[:, None] + np.maximum(gloss, 0)[:, None])

    def _background(
        self, generator: np.random.Generator, x: Floats, y: Floats, radius: Floats
    ) -> Floats:
        level = (
            self.background
            * self.exposure**0.5
            * (1 + 0.10 * (x * generator.uniform(-1, 1) + y * generator.uniform(-1, 1)))
        )
        cloth = surface.lattice_noise(generator, (40, 40), (y + 1) * 20, (x + 1) * 20)
        level = (
            level
            * (1 + 0.03 * cloth)
            * (1 - 0.40 * np.exp(-((np.maximum(radius - 0.85, 0) / 0.22) ** 2)))
        )
        picture = level[..., None] * np.array([0.125, 0.132, 0.148], np.float32)
        count = int(generator.integers(2, 12))
        surface.add_specks(picture, generator, count, (0.002, 0.006), (0.03, 0.28))
        return picture.astype(np.float32)

    def _shell(self, generator: np.random.Generator, x: Floats, y: Floats, z: Floats) -> _Layers:
        """Albedo (n, 3), shading (n,) and gloss (n,) of the surface points."""
        axial, depth = self._axes(x, y, z)
        turn = (np.arctan2(x, depth) + np.float32(self.roll)) * np.float32(1 / (2 * np.pi))
        straight = turn
        turn = turn + 0.0045 * surface.lattice_noise(
            generator, (6, 14), (axial + 1.4) * 2, turn * 14
        )

        def noise(rows: int, columns: int) -> Floats:
            return surface.lattice_noise(
                generator, (rows, columns), (axial + 1.4) * (rows / 2.8), turn * columns
            )

        bands, lines, fine, blotch, grain = (
            noise(1, 20),
            noise(1, 38),
            noise(7, 120),
            noise(6, 9),
            noise(70, 230),
        )
        dark_line = np.exp(-((lines / 0.36) ** 2)) * np.clip(0.75 + 0.3 * blotch, 0.1, 1.2)
        tone = self.texture * (0.10 * bands - 0.30 * dark_line + 0.05 * fine)
        tone += 0.045 * self.roughness * grain + 0.05 * blotch + 0.08
        warm = (
            np.array([0.60, 0.29, 0.165]) * (1 - self.hue)
            + np.array([0.60, 0.345, 0.205]) * self.hue
        )
        albedo = warm.astype(np.float32) * (
            1 + tone[:, None] * np.array([1.0, 1.15, 1.2], np.float32)
        )
        # The shell darkens towards the cap and has a greyish down at the tip.
        latitude = (axial - self.bottom) / (self.tip - self.bottom)
        albedo *= (0.86 + 0.20 * surface.smooth_step(latitude, 0.05, 0.55))[:, None]
        down = np.clip(
            surface.smooth_step(latitude + 0.05 * lines, 0.86, 1.02) * (0.75 + 0.25 * fine), 0, 1
        )
        grey = np.array([0.47, 0.39, 0.33], np.float32) * (1 + 0.2 * grain[:, None])
        albedo += down[:, None] * (grey - albedo)
        albedo, rough = self._cover_with_cap(generator, albedo, axial, x, depth, straight)
        flecks = noise(90, 160)
        albedo += (0.20 * self.roughness * surface.smooth_step(flecks, 2.3, 3.1) * (1 - rough))[
            :, None
        ]

        normal, light = self._normals(x, depth, axial), self._turned_light()
        ridge = self.texture * 0.10 * (bands + 0.6 * fine) * (1 - rough)
        lit = np.clip((normal @ light + 0.25) / 1.25 + 0.5 * ridge * normal[:, 0], 0, 1)
        shade = (0.22 + 0.90 * lit) * (0.62 + 0.38 * np.clip(normal[:, 2], 0, 1) ** 0.7)
        half = light + np.array([0, 0, 1], np.float32)
        half = half / np.linalg.norm(half)
        gloss = (
            self.gloss * np.clip(normal @ half, 0, 1) ** 22 * (1 - 0.9 * rough) * (1 + 0.35 * fine)
        )
        return albedo, shade, gloss

    def _cover_with_cap(
        self,
        generator: np.random.Generator,
        albedo: Floats,
        axial: Floats,
        x: Floats,
        depth: Floats,
        turn: Floats,
    ) -> tuple[Floats, Floats]:
        ragged = surface.lattice_noise(generator, (1, 17), np.zeros_like(turn), turn * 17)
        teeth = surface.lattice_noise(generator, (1, 58), np.zeros_like(turn), turn * 58)
        height = self.cap_edge + 0.022 * ragged + 0.016 * teeth - axial
        cap = surface.smooth_step(height, -0.006, 0.012)
        fibre = surface.lattice_noise(generator, (7, 110), 5 * np.hypot(x, depth), turn * 110)
        crumbs = surface.lattice_noise(generator, (96, 96), (x + 1.2) * 32, (depth + 1.2) * 32)
        blotch = surface.lattice_noise(generator, (8, 8), (x + 1.2) * 3, (depth + 1.2) * 3)
        detail = self.roughness * (0.13 * fibre + 0.22 * crumbs) + 0.13 * blotch
        mix = np.clip(self.cap_tone + detail, 0, 1.35)[:, None]
        dark, pale = np.array([0.155, 0.10, 0.075]), np.array([0.60, 0.47, 0.365])
        colour = dark + (pale - dark) * mix
        # Where the husk came off, a dark groove with pale teeth runs along the edge.
        groove = np.exp(-(((height - 0.020) / 0.022) ** 2))[:, None]
        colour = colour * (1 - 0.55 * groove) + groove * (
            np.array([0.62, 0.40, 0.27]) * np.clip(0.5 * teeth, 0, 1)[:, None]
        )
        albedo = albedo * (1 - 0.30 * np.exp(-((np.minimum(height, 0) / 0.05) ** 2)))[:, None]
        return (albedo + cap[:, None] * (colour - albedo)).astype(np.float32), cap

    def _normals(self, x: Floats, depth: Floats, axial: Floats) -> Floats:
        wide, skew = self.flatten
        across = 2 * (1 + wide) * x + skew * depth
        inward = skew * x + 2 * (1 - wide) * depth
        along = -self._look_up(self.slope, axial)
        normal = np.stack(
            [
                across + self.lean * along,
                along * self.tilt_cosine + inward * self.tilt_sine,
                inward * self.tilt_cosine - along * self.tilt_sine,
            ],
            1,
        )
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)

    def _turned_light(self) -> Floats:
        """The light's direction in the nut's own frame, which is turned in the image plane."""
        cosine, sine = self.turn_cosine, self.turn_sine
        x, y, z = self.light
        return np.array([x * cosine + y * sine, y * cosine - x * sine, z], np.float32)


class HazelnutDefect:
    """A defect on the visible side of the shell.

    Parameters
    ----------
    kind : {"crack", "cut", "hole", "print"}
    severity : float
        From 0, subtle, to 1, obvious.
    generator : numpy.random.Generator
    """

    def __init__(self, kind: str, severity: float, generator: np.random.Generator) -> None:
        self.kind, self.severity = kind, severity
        self.distance, self.bearing = (
            0.45 * np.sqrt(generator.uniform(0.02, 1)),
            generator.uniform(0, 2 * np.pi),
        )
        self.seed = generator.integers(2**63)

    def apply(
        self,
        nut: Hazelnut,
        x: Floats,
        y: Floats,
        z: Floats,
        albedo: Floats,
        shade: Floats,
        gloss: Floats,
    ) -> _Layers:
        """Colour, shading and gloss of the surface points with the defect."""
        generator = np.random.default_rng(self.seed)
        centre_x, centre_y = (
            self.distance * np.cos(self.bearing),
            0.10 + self.distance * np.sin(self.bearing),
        )
        middle = np.argmin((x - centre_x) ** 2 + (y - centre_y) ** 2)
        offset = np.stack([x, y, z], 1) - np.array([x[middle], y[middle], z[middle]])
        axial, depth = nut._axes(
            x[middle : middle + 1], y[middle : middle + 1], z[middle : middle + 1]
        )
        normal = nut._normals(x[middle : middle + 1], depth, axial)[0]
        # Tangent frame: b runs along the nut's axis as far as the surface allows, a across it.
        along = np.array([0, nut.tilt_cosine, -nut.tilt_sine])
        along = along - normal * (along @ normal)
        along = along / np.linalg.norm(along)
        a, b = (
            (offset @ np.cross(along, normal)).astype(np.float32),
            (offset @ along).astype(np.float32),
        )
        draw = {
            "crack": self._crack,
            "cut": self._cut,
            "hole": self._hole,
            "print": self._print,
        }[self.kind]
        for cover, colour, keeps_shade in draw(generator, a, b):
            cover = np.clip(cover, 0, 1)[:, None]
            albedo = albedo + cover * (np.asarray(colour, np.float32) - albedo)
            gloss = gloss * (1 - cover[:, 0])
            shade = shade + (1 - keeps_shade) * cover[:, 0] * (0.75 - shade)
        return albedo, shade, gloss

    def _crack(self, generator: np.random.Generator, a: Floats, b: Floats) -> Sequence[_Cover]:
        severity = self.severity
        length, width = 0.55 + 0.50 * severity, 0.015 + 0.028 * severity
        direction = generator.choice([-1, 1]) * np.pi / 2 + generator.normal(0, 0.35)
        start = -0.5 * length * np.array([np.cos(direction), np.sin(direction)])
        segments = surface.wandering_line(generator, start, direction, length, 11, 0.32)
        taper = np.sin(np.pi * (np.arange(11) + 0.5) / 11) ** 0.6
        if severity > 0.35:
            knee = segments[generator.integers(4, 8), :2]
            branch = surface.wandering_line(
                generator, knee, direction + generator.choice([-1, 1]) * 0.8, 0.4 * length, 5, 0.3
            )
            segments = np.vstack([segments, branch])
            taper = np.concatenate([taper, 0.6 * (1 - np.arange(5) / 5)])
        distance, nearest, _, side = surface.distance_to_segments(a, b, segments)
        half = width * taper[nearest]
        gap = 1 - surface.smooth_step(distance, 0.75 * half, half + 0.006)
        rim = (
            np.exp(-(((distance - half - 0.010) / 0.012) ** 2))
            * (side > 0)
            * (0.35 + 0.45 * severity)
        )
        return [
            (rim, (0.74, 0.55, 0.38), 1.0),
            (gap * (0.80 + 0.2 * severity), (0.055, 0.035, 0.03), 0.6),
        ]

    def _cut(self, generator: np.random.Generator, a: Floats, b: Floats) -> Sequence[_Cover]:
        severity = self.severity
        length, width = 0.42 + 0.35 * severity, 0.022 + 0.022 * severity
        direction = generator.uniform(0, np.pi)
        step = 0.5 * length * np.array([np.cos(direction), np.sin(direction)])
        bend = generator.normal(0, 0.03) * np.array([-np.sin(direction), np.cos(direction)])
        distance, nearest, along, side = surface.distance_to_segments(
            a, b, [[*-step, *bend], [*bend, *step]]
        )
        position = (nearest + along) / 2
        half = width * (0.25 + 0.75 * np.sin(np.pi * np.clip(position, 0.02, 0.98)))
        torn = surface.lattice_noise(generator, (8, 40), 40 * side + 4, 40 * position)
        wood = 1 - surface.smooth_step(distance + 0.004 * torn, 0.6 * half, half + 0.005)
        edge = np.exp(-(((side + half + 0.006) / 0.010) ** 2)) * (distance < half + 0.03) * 0.55
        tone = np.array([0.88, 0.72, 0.54]) * (1 + 0.12 * torn[:, None])
        return [(edge, (0.16, 0.08, 0.05), 1.0), (wood * (0.76 + 0.22 * severity), tone, 0.5)]

    def _hole(self, generator: np.random.Generator, a: Floats, b: Floats) -> Sequence[_Cover]:
        severity = self.severity
        radius = 0.060 + 0.075 * severity
        angle, distance = np.arctan2(b, a), np.hypot(a, b * generator.uniform(0.85, 1.15))
        ragged = surface.lattice_noise(
            generator, (1, 9), np.zeros_like(a), angle * (9 / (2 * np.pi))
        )
        broken = surface.lattice_noise(
            generator, (1, 6), np.zeros_like(a), angle * (6 / (2 * np.pi))
        )
        edge = radius * (1 + 0.09 * ragged)
        inside = 1 - surface.smooth_step(distance, edge - 0.010, edge + 0.004)
        rim_width = radius * (0.16 + 0.20 * np.clip(broken, 0, 2))
        rim = (1 - surface.smooth_step(distance, edge + 0.4 * rim_width, edge + rim_width)) * (
            0.5 + 0.4 * severity
        )
        wall = inside * surface.smooth_step(-b / radius, 0.25, 0.95) * 0.5
        return [
            (rim, (0.77, 0.585, 0.41), 0.8),
            (inside, (0.05, 0.032, 0.028), 0.5),
            (wall, (0.33, 0.19, 0.12), 0.8),
        ]

    def _print(self, generator: np.random.Generator, a: Floats, b: Floats) -> Sequence[_Cover]:
        severity = self.severity
        word = generator.choice(["KOKI", "KO", "LOT", "ACK", "NIT", "OK", "TAN", "IKO"])
        height = 0.22 + 0.08 * generator.uniform()
        turn = generator.normal(0, 0.35) + generator.choice([0, np.pi / 2, np.pi])
        lines, pen = [], 0.0
        for letter in word:
            lines += [(x0 + pen, y0, x1 + pen, y1) for x0, y0, x1, y1 in _LETTERS[letter]]
            pen += max(max(x0, x1) for x0, _, x1, _ in _LETTERS[letter]) + 1.6
        strokes = (np.array(lines) - [(pen - 1.6) / 2, 3, (pen - 1.6) / 2, 3]) * height / 6
        u, v = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
        distance, *_ = surface.distance_to_segments(u, v, strokes)
        worn = surface.lattice_noise(generator, (64, 64), (u + 1) * 26, (v + 1) * 26)
        patchy = surface.lattice_noise(generator, (8, 8), (u + 1) * 4, (v + 1) * 4)
        ink = 1 - surface.smooth_step(distance + 0.004 * worn, 0.020, 0.034)
        kept = surface.smooth_step(worn + 0.8 * patchy, -2.4 * severity - 0.4, 0.5 - 1.2 * severity)
        return [(ink * kept * (0.45 + 0.42 * severity), (0.90, 0.89, 0.87), 0.7)]
