"""Insulator strings as a drone sees them: shells on a rod before sky and land, some with a tag."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adhelpers._shared.arrays import Floats, Masks

from . import surface

# What a string is drawn with, and what is drawn so far: picture and marks.
_Look: TypeAlias = "tuple[InsulatorFault | None, Tag | None]"
_Drawn: TypeAlias = "tuple[Floats, NDArray[np.uint8], InsulatorFault | None, Tag | None]"

CLASSES = ("good", "broken", "flashover")
FAULTS = CLASSES[1:]
# Natural variation that is spread evenly over the images, see variation.py.
VARIATION = ("exposure", "haze", "noise", "focus", "glaze", "horizon", "elevation")

# Of a shell, in units of its radius: height of the dome, radius and height of the metal cap,
# thickness of the rim.
_DOME, _CAP_RADIUS, _CAP_HEIGHT, _RIM = 0.46, 0.26, 0.34, 0.075
_STEPS = 14
_FAULT, _TAG = 1, 2
# Brown glaze, grey glaze and green glass.
_GLAZES = np.array([(0.34, 0.17, 0.10), (0.52, 0.53, 0.55), (0.22, 0.36, 0.33)], np.float32)
_FRACTURE, _SOOT = (
    np.array((0.90, 0.88, 0.82), np.float32),
    np.array((0.035, 0.03, 0.03), np.float32),
)
_BARE, _METAL = np.array((0.72, 0.62, 0.50), np.float32), np.array((0.46, 0.47, 0.49), np.float32)


class Insulator:
    """One string in one scene; ``render`` draws it with and without a fault or a tag.

    Lengths are in units of half the image's side. The string hangs from the top, leaning a little;
    the drone looks down on it.

    Parameters
    ----------
    generator : numpy.random.Generator
        Draws the scene, the pose and the surface.
    variation : dict of float
        A number in [0, 1) for each name in ``VARIATION``.
    """

    def __init__(self, generator: np.random.Generator, variation: Mapping[str, float]) -> None:
        uniform = generator.uniform
        self.exposure = 0.88 + 0.24 * variation["exposure"]
        self.haze = 0.10 + 0.35 * variation["haze"]
        self.noise = 0.006 * 2.6 ** variation["noise"]
        self.focus = 0.20 + 0.40 * variation["focus"]
        self.horizon = -0.75 + 0.9 * variation["horizon"]
        elevation = np.radians(20 + 10 * variation["elevation"])
        # Plain floats: a NumPy scalar would turn the float32 pictures into float64.
        self.sine, self.cosine = float(np.sin(elevation)), float(np.cos(elevation))
        kind = variation["glaze"] * len(_GLAZES)
        self.glaze = _GLAZES[int(kind)] * float(0.85 + 0.3 * (kind % 1))
        self.count = int(generator.integers(4, 6))
        self.radius = float(uniform(0.40, 0.47))
        self.spacing = float(uniform(1.72, 1.80) / self.count)
        lean = float(np.radians(np.clip(generator.normal(0, 4), -9, 9)))
        self.along, self.across = (
            (float(np.sin(lean)), float(-np.cos(lean))),
            (float(np.cos(lean)), float(np.sin(lean))),
        )
        self.top = float(uniform(-0.12, 0.12)), float(uniform(0.62, 0.70))
        azimuth = (
            uniform(np.radians(200), np.radians(340))
            if uniform() < 0.5
            else uniform(np.radians(20), np.radians(160))
        )
        self.light = _unit([np.cos(azimuth) * 0.6, 0.75, 0.35 + 0.25 * abs(np.sin(azimuth))])
        self.scene_seed, self.surface_seed = (int(one) for one in generator.integers(2**62, size=2))

    def render(self, image_size: int, *looks: _Look) -> list[tuple[Floats, Masks, Masks]]:
        """Draw the string before the camera, once for each look; all else is the same.

        Parameters
        ----------
        image_size : int
        *looks : tuple of (InsulatorFault or None, Tag or None)

        Returns
        -------
        list of (picture, fault_mask, tag_mask)
            ndarray of float32, shape (image_size, image_size, 3), and of bool, shape (image_size,
            image_size): pixels of which at least a third shows the fault, or the tag. What is
            missing of a shell belongs to the fault.
        """
        supersampling = max(2, -(-128 // image_size))
        # The scene is soft and far away: only the string needs the finer grid.
        scene = self._scene(*surface.pixel_grid(image_size, 1), 2 / image_size)
        picture = scene.repeat(supersampling, axis=0).repeat(supersampling, axis=1)
        x, y = surface.pixel_grid(image_size, supersampling)
        # Along the string downwards and across it, from the centre of the top shell.
        down = (x - self.top[0]) * self.along[0] + (y - self.top[1]) * self.along[1]
        across = (x - self.top[0]) * self.across[0] + (y - self.top[1]) * self.across[1]
        self._rod(picture, down, across)
        drawn = [(picture.copy(), np.zeros(x.shape, np.uint8), *look) for look in looks]
        seeds = np.random.default_rng(self.surface_seed).integers(2**62, size=self.count)
        # From the lowest to the top shell: each hides a part of the one below.
        for shell in reversed(range(self.count)):
            window = self._window(shell, len(x))
            parts = [
                (picture[window], marks[window], fault, tag) for picture, marks, fault, tag in drawn
            ]
            self._shell(
                parts,
                shell,
                (down[window] - shell * self.spacing) / self.radius,
                across[window] / self.radius,
                np.random.default_rng(seeds[shell]),
            )
        shown = []
        for picture, marks, _, _ in drawn:
            fault, tag = (
                surface.average_down((marks == mark).astype(np.float32), supersampling) >= 1 / 3
                for mark in (_FAULT, _TAG)
            )
            picture = surface.average_down(self.exposure * picture, supersampling)
            shown.append((picture, fault, tag))
        return shown

    def _window(self, shell: int, size: int) -> tuple[slice, slice]:
        """Rows and columns of a picture of ``size`` pixels that a shell with its cap can reach."""
        middle = [
            start + step * shell * self.spacing
            for start, step in zip(self.top, self.along, strict=True)
        ]
        columns, rows = (
            slice(
                max(0, int((one - 1.15 * self.radius + 1) / 2 * size)),
                max(0, int((one + 1.15 * self.radius + 1) / 2 * size) + 2),
            )
            for one in (middle[0], -middle[1])
        )
        return rows, columns

    def _scene(self, x: Floats, y: Floats, pixel: float) -> Floats:
        """Sky with clouds, hills, and fields with trees, in the haze of the distance."""
        generator = np.random.default_rng(self.scene_seed)
        uniform = generator.uniform
        high, low = (
            np.array([0.36, 0.55, 0.80], np.float32),
            np.array([0.74, 0.82, 0.90], np.float32),
        )
        height = np.clip((y - self.horizon) / (1.001 - self.horizon), 0, 1)[..., None]
        cloud = np.zeros_like(x)
        for size, weight in ((4, 0.55), (9, 0.3), (21, 0.15)):
            rows, columns = (y + 1) * size * 0.6, (x + 1) * size * 0.3
            cloud += weight * surface.lattice_noise(generator, (size, size), rows, columns)
        cover = surface.smooth_step(cloud, uniform(-0.2, 0.7), 1.2)[..., None]
        sky = low + (high - low) * height**0.8
        sky = sky + 0.75 * cover * (np.float32(0.93) - sky)
        grass = np.array([0.30, 0.38, 0.17], np.float32) * np.float32(uniform(0.8, 1.2)) + np.array(
            [uniform(0, 0.12), 0, 0], np.float32
        )
        depth = np.clip((self.horizon - y) / (1 + self.horizon + 0.05), 0, 1)
        rows = (y - self.horizon) / (0.06 + depth)
        fields = surface.lattice_noise(generator, (9, 9), rows * 3, x * 2.2 / (0.3 + depth))
        tufts = surface.lattice_noise(generator, (63, 63), rows * 26, x * 16 / (0.3 + depth))
        land = grass * (1 + 0.20 * fields + 0.13 * tufts)[..., None]
        hills = (
            self.horizon
            + 0.10
            + 0.09 * surface.lattice_noise(generator, (1, 7), np.zeros_like(x), (x + 1) * 1.3)
        )
        trees = (
            self.horizon
            + 0.012
            + 0.035
            * np.abs(surface.lattice_noise(generator, (1, 41), np.zeros_like(x), (x + 1) * 11))
        )
        picture = sky
        for skyline, color in (
            (hills, np.array([0.40, 0.49, 0.55], np.float32)),
            (trees, np.array([0.15, 0.22, 0.11], np.float32) * (1 + 0.25 * tufts)[..., None]),
            (self.horizon, land),
        ):
            picture = picture + surface.smooth_step(skyline - y, -0.6 * pixel, 0.6 * pixel)[
                ..., None
            ] * (color - picture)
        below = np.clip(1 - depth, 0, 1)[..., None] * (y < hills)[..., None]
        return (picture + self.haze * below * (low - picture)).astype(np.float32)

    def _rod(self, picture: Floats, down: Floats, across: Floats) -> None:
        """The rod above and below the string, lit from one side."""
        width = np.float32(0.055)
        cover = (1 - surface.smooth_step(np.abs(across), width - 0.006, width + 0.006)) * (
            down < self.count * self.spacing + 0.30
        )
        tone = (
            0.55
            + 0.35 * across / width * np.sign(self.light[0])
            + 0.25 * np.exp(-((((across / width) - 0.3) / 0.25) ** 2))
        )
        picture += cover[..., None] * (_METAL * np.clip(tone, 0.1, 1.2)[..., None] - picture)

    def _shell(
        self,
        drawn: Sequence[_Drawn],
        shell: int,
        down: Floats,
        across: Floats,
        generator: np.random.Generator,
    ) -> None:
        """One shell with its cap; coordinates are in units of its radius from its rim's centre."""
        near = (np.abs(across) < 1.02) & (down > -1.1) & (down < 0.75)
        a, b = -down[near], across[near]
        radius, turn, depth, hit = self._hit(a, b)
        porcelain = self._porcelain(generator, radius, turn, depth, b)
        front = np.sqrt(np.maximum(1 - b * b, 0))
        edge = ~hit & (np.abs(b) < 1) & (a < 0) & (a >= -front * self.sine - _RIM)
        rim = (self.glaze * 0.42)[None] * (1 + 0.5 * front)[:, None]
        metal, cap = self._cap(a, b)
        for picture, marks, fault, tag in drawn:
            pixels, marked, color = picture[near], marks[near], porcelain
            mark, missing = np.zeros_like(marked), np.zeros_like(hit)
            if tag is not None:
                color, cover = tag.printed(shell, radius, turn, color)
                mark[cover > 0.5] = _TAG
            if fault is not None:
                missing = np.where(
                    edge,
                    fault.missing(shell, np.ones_like(b), np.arctan2(b, front)),
                    fault.missing(shell, radius, turn),
                )
                color, cover = fault.marked(shell, radius, turn, color)
                mark[cover > 0.25] = _FAULT
            # What is missing of a shell shows what is behind it.
            marked[(hit | edge) & missing] = _FAULT
            at_edge, at_dome = edge & ~missing, hit & ~missing
            pixels[at_edge], pixels[at_dome], pixels[cap] = rim[at_edge], color[at_dome], metal[cap]
            marked[at_edge], marked[at_dome], marked[cap] = 0, mark[at_dome], 0
            picture[near], marks[near] = pixels, marked

    def _hit(self, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats, Masks]:
        """Where the view meets the dome: radius, turn (0 towards the viewer), depth, whether."""
        half = np.sqrt(np.maximum(1 - b * b, 0))
        found = np.zeros(a.shape, bool)
        depth = np.zeros_like(a)
        before = np.full_like(a, -1.0)
        position = half
        # From the viewer backwards until the dome is higher than the ray.
        for step in range(_STEPS + 1):
            here = half * float(1 - 2 * step / _STEPS)
            gap = self._height(b, here) * self.cosine - here * self.sine - a
            enters = (gap >= 0) & ~found & (step > 0)
            fraction = np.divide(-before, gap - before, out=np.zeros_like(gap), where=gap > before)
            depth = np.where(enters, position + (here - position) * np.clip(fraction, 0, 1), depth)
            # The lowest points of the rim are met in the first step.
            first = (step == 0) & (gap >= 0) & (gap < 0.02)
            depth, found = np.where(first, here, depth), found | enters | first
            before, position = gap, here
        found &= np.abs(b) < 1
        # Below the rim's front edge the ray passes under the shell.
        found &= a >= -half * self.sine - 1e-4
        return np.hypot(b, depth), np.arctan2(b, depth), depth, found

    @staticmethod
    def _height(b: Floats, depth: Floats) -> Floats:
        square = np.clip(b * b + depth * depth, 0, 1)
        return _DOME * (1 - square ** np.float32(0.85))

    def _porcelain(
        self,
        generator: np.random.Generator,
        radius: Floats,
        turn: Floats,
        depth: Floats,
        b: Floats,
    ) -> Floats:
        """Glaze with its gloss, some dirt, and the ripples of its casting."""
        slope = _DOME * 2 * 0.85 * np.maximum(radius, 0.05) ** 0.7
        slope = slope + 0.18 * np.sin(radius * 22)
        length = 1 / np.sqrt(1 + slope * slope)
        normal = np.stack(
            [np.sin(turn) * slope * length, length, np.cos(turn) * slope * length], axis=-1
        )
        lit = np.clip(normal @ self.light, 0, 1)
        half = _unit(self.light + np.array([0, self.sine, self.cosine], np.float32))
        gloss = np.clip(normal @ half, 0, 1)
        dirt = surface.lattice_noise(generator, (8, 17), radius * 7, turn * float(17 / (2 * np.pi)))
        streak = surface.lattice_noise(
            generator, (3, 41), radius * 2, turn * float(41 / (2 * np.pi))
        )
        tone = (0.42 + 0.78 * lit) * (1 + 0.05 * dirt + 0.04 * streak)
        # The shell above keeps the sky's light from the middle, and the air behind lights the far
        # rim.
        tone = (
            tone
            * (0.70 + 0.30 * surface.smooth_step(radius, 0.25, 0.85))
            * (1 + 0.10 * np.clip(-depth, 0, 1))
        )
        sheen = 0.50 * gloss**60 + 0.16 * gloss**9
        color = self.glaze * tone[:, None] + (sheen * (1 + 0.1 * streak))[:, None] * np.float32(0.9)
        return (
            color + 0.04 * np.clip(dirt, 0, 2)[:, None] * np.array([0.5, 0.45, 0.35], np.float32)
        ).astype(np.float32)

    def _cap(self, a: Floats, b: Floats) -> tuple[Floats, Masks]:
        """The metal cap on a shell: a short cylinder with a flat top seen from above."""
        base = np.float32(_DOME * 0.93 * self.cosine)
        top = base + _CAP_HEIGHT * self.cosine
        bulge = np.sqrt(np.maximum(1 - (b / _CAP_RADIUS) ** 2, 0)) * _CAP_RADIUS * self.sine
        side = (np.abs(b) < _CAP_RADIUS) & (a > base - bulge) & (a < top)
        face = (b / _CAP_RADIUS) ** 2 + ((a - top) / (_CAP_RADIUS * self.sine)) ** 2 < 1
        around = b / _CAP_RADIUS
        tone = 0.45 + 0.40 * np.clip(
            around * self.light[0] + np.sqrt(np.maximum(1 - around**2, 0)) * self.light[2], 0, 1
        )
        tone = np.where(face, 0.62 + 0.30 * self.light[1], tone)
        return (_METAL * tone[:, None]).astype(np.float32), side | face


def _unit(vector: ArrayLike) -> Floats:
    vector = np.asarray(vector, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


class Tag:
    """A label printed on the top shell: white, with dark lines of writing.

    Parameters
    ----------
    generator : numpy.random.Generator
        Draws its place on the shell, its size and the writing.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.turn = float(generator.uniform(-0.75, 0.75))
        self.width, self.height = (
            float(generator.uniform(0.30, 0.36)),
            float(generator.uniform(0.22, 0.27)),
        )
        self.middle = float(generator.uniform(0.70, 0.76))
        self.writing = generator.uniform(size=(3, 9)) < 0.62
        self.writing[1, 0] = True

    def printed(
        self, shell: int, radius: Floats, turn: Floats, color: Floats
    ) -> tuple[Floats, Floats]:
        """The shell's colours (m, 3) with the tag, and how much of each place it covers (m,)."""
        if shell != 0:
            return color, np.zeros_like(radius)
        # Lengths on the surface, so that the tag is as wide near the cap as at the rim.
        u = (turn - self.turn) * self.middle / self.width
        v = (radius - self.middle) / self.height
        inside = (1 - surface.smooth_step(np.abs(u), 0.93, 1.0)) * (
            1 - surface.smooth_step(np.abs(v), 0.90, 1.0)
        )
        row, column = ((v + 0.85) / 1.7 * 5).astype(int), ((u + 0.86) / 1.72 * 9).astype(int)
        lines = (row % 2 == 0) & (row >= 0) & (row < 5) & (np.abs(u) < 0.86) & (np.abs(v) < 0.85)
        dark = lines & self.writing[np.clip(row // 2, 0, 2), np.clip(column, 0, 8)]
        paper = np.where(
            dark[:, None],
            np.array([0.10, 0.10, 0.12], np.float32),
            np.array([0.93, 0.91, 0.80], np.float32),
        )
        return color + (inside[:, None] * (paper - color)).astype(np.float32), inside


class InsulatorFault:
    """A fault on the string.

    A piece is broken out of a shell's rim, or a flashover has burnt two or three shells.

    Parameters
    ----------
    kind : {"broken", "flashover"}
    severity : float
        From 0, subtle, to 1, obvious.
    generator : numpy.random.Generator
    count : int
        Number of shells of the string.
    """

    def __init__(
        self, kind: str, severity: float, generator: np.random.Generator, count: int
    ) -> None:
        self.kind, self.severity = kind, severity
        # Never on the top shell, whose rim the tag would hide.
        self.shell = int(generator.integers(1, count))
        self.turn = float(
            generator.uniform(-1.45, 1.45) if kind == "broken" else generator.uniform(-0.9, 0.9)
        )
        self.span = (
            min(count, self.shell + (2 if severity < 0.6 else 3))
            if kind == "flashover"
            else self.shell + 1
        )
        # Half the angle that the broken piece takes of the rim.
        self.half = 0.36 + 0.30 * severity
        self.seed = int(generator.integers(2**62))

    def _edge(self, radius: Floats, turn: Floats) -> Floats:
        """How far inside the broken piece a place is: positive where the shell is missing."""
        generator = np.random.default_rng(self.seed)
        half = self.half
        jag = 0.05 * surface.lattice_noise(
            generator, (1, 31), np.zeros_like(turn), turn * float(31 / (2 * np.pi)) * 2
        )
        bite = 0.24 + 0.24 * self.severity
        return (
            radius
            - (1 - bite * np.sqrt(np.maximum(1 - ((turn - self.turn) / half) ** 2, 0)))
            + jag * (np.abs(turn - self.turn) < half)
        )

    def missing(self, shell: int, radius: Floats, turn: Floats) -> Masks:
        """Where a piece of the shell is broken out."""
        if self.kind != "broken" or shell != self.shell:
            return np.zeros(radius.shape, bool)
        return (self._edge(radius, turn) > 0) & (np.abs(turn - self.turn) < self.half)

    def marked(
        self, shell: int, radius: Floats, turn: Floats, color: Floats
    ) -> tuple[Floats, Floats]:
        """The shell's colours (m, 3) with traces of the fault, and how much they cover (m,)."""
        if not self.shell <= shell < self.span:
            return color, np.zeros_like(radius)
        if self.kind == "broken":
            # The fracture shows the white body of the porcelain.
            fresh = surface.smooth_step(self._edge(radius, turn), -0.085, -0.06) * (
                np.abs(turn - self.turn) < self.half + 0.04
            )
            fresh = fresh * (radius > 0.5) * (radius < 0.985)
            return color + (fresh[:, None] * (_FRACTURE - color)).astype(np.float32), fresh
        generator = np.random.default_rng(self.seed + shell)
        place = generator.normal(0, 0.14)
        ragged = surface.lattice_noise(
            generator, (9, 19), radius * 8, turn * float(19 / (2 * np.pi))
        )
        width = 0.30 + 0.22 * self.severity
        distance = (
            np.hypot((turn - self.turn - place) / width, (radius - 0.72) / 0.42) + 0.20 * ragged
        )
        soot = (1 - surface.smooth_step(distance, 0.55, 1.15)) * (0.72 + 0.25 * self.severity)
        color = color + (soot[:, None] * (_SOOT - color)).astype(np.float32)
        # In the middle the arc has blown the glaze off.
        bare = (1 - surface.smooth_step(distance, 0.12, 0.30)) * (0.30 + 0.5 * self.severity)
        return color + (bare[:, None] * (_BARE - color)).astype(np.float32), soot
