"""Anomalies that need no defect: realistic ones planted into good images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    map_coordinates,
    shift,
)
from skimage.draw import bezier_curve

from adhelpers._shared.arrays import Flags, Floats, Images

from .objects import object_or_all

# A pixel counts as changed, and is, where a channel moves by more than this: 2 of 255 levels.
VISIBLE = 2 / 255
# The diameter of a defect as a share of the side of a square as large as the object, and its
# contrast as a share of the image's range: both from small to large, evenly on a logarithmic scale.
_DIAMETERS, _CONTRASTS = (0.15, 0.6), (0.2, 1.2)
# What is foreign to an object need not be within its range, and a single grey level has none.
_LEAST_RANGE = 0.4
# Of so many parts of good images the one is taken that differs most from what it replaces.
_CUTS = 3
# So often another place is drawn where nothing changes.
_TRIES = 8


@dataclass(frozen=True)
class _Site:
    """Where a defect is planted.

    Attributes
    ----------
    place : ndarray of float32, shape (h, w, c)
        The part of the image around it.
    donor : ndarray of float32, shape (h, w, c)
        A part of another good image, of the same shape.
    away : ndarray of float, shape (2, h, w)
        Rows and columns from the centre.
    diameter, contrast : float
        In pixels; and as a share of [0, 1].
    """

    place: Images
    donor: Images
    away: Floats
    diameter: float
    contrast: float


def perlin_noise(shape: tuple[int, int], period: float, random: np.random.Generator) -> Floats:
    """Smooth noise: random gradients on a grid, blended between its points.

    Perlin, "An image synthesizer", SIGGRAPH 1985.

    Parameters
    ----------
    shape : tuple of int
    period : float
        Distance of the grid's points, in pixels, at least 1.
    random : numpy.random.Generator

    Returns
    -------
    ndarray of float, shape ``shape``
        Within [-0.71, 0.71], 0 at the points of the grid.

    Examples
    --------
    >>> noise = perlin_noise((9, 9), 4, np.random.default_rng(0))
    >>> bool((noise[::4, ::4] == 0).all()), bool(np.abs(noise).max() > 0.1)
    (True, True)
    """
    rows, columns = (np.arange(side) / period for side in shape)
    row, column = rows.astype(int)[:, None], columns.astype(int)
    down, right = rows[:, None] - row, columns - column
    angles = random.uniform(0, 2 * np.pi, (int(rows[-1]) + 2, int(columns[-1]) + 2))

    def slope(below: int, beside: int) -> Floats:
        angle = angles[row + below, column + beside]
        return np.sin(angle) * (down - below) + np.cos(angle) * (right - beside)

    def between(one: Floats, other: Floats, share: Floats) -> Floats:
        return one + share**3 * (share * (6 * share - 15) + 10) * (other - one)

    upper, lower = (between(slope(side, 0), slope(side, 1), right) for side in (0, 1))
    return between(upper, lower, down)


def _blob(site: _Site, random: np.random.Generator) -> Floats:
    """A soft ellipse with an irregular outline: 1 within, 0 without."""
    angle, flatness = random.uniform(0, np.pi), random.uniform(0.45, 1)
    down, right = site.away
    along = np.cos(angle) * down + np.sin(angle) * right
    across = (np.cos(angle) * right - np.sin(angle) * down) / flatness
    radius = site.diameter / 2
    noise = perlin_noise(site.place.shape[:2], max(2.0, radius / 1.5), random)
    # In pixels inside of the outline; it is soft over two.
    inside = radius * (1 + 0.8 * noise) - np.hypot(along, across)
    return np.clip(inside / 2 + 0.5, 0, 1)


def _shift(site: _Site, random: np.random.Generator) -> Floats:
    """By how much a defect is darker or lighter in each channel, where there is room for it."""
    level = site.place.mean()
    darker = random.uniform() < 0.5
    # A dark place has no room for what is darker still.
    if (level if darker else 1 - level) < site.contrast:
        darker = level > 0.5
    tint = np.asarray(random.uniform(0.6, 1, site.place.shape[2]))
    return site.contrast * tint / tint.max() * (-1 if darker else 1)


def _texture(site: _Site, random: np.random.Generator) -> Images:
    """Perlin noise decides where another texture of another brightness shows through."""
    period = max(2.0, site.diameter / random.uniform(1.5, 4))
    noise = perlin_noise(site.place.shape[:2], period, random)
    near = np.hypot(*site.away) / max(site.diameter, 1)
    where = np.clip((noise + 0.35 - near) * 8, 0, 1)[..., None]
    level = site.donor.mean(axis=(0, 1))
    other = site.place.mean(axis=(0, 1)) + random.uniform(0.5, 2) * (site.donor - level)
    return where * (other + _shift(site, random) - site.place)


def _paste(site: _Site, random: np.random.Generator) -> Images:
    """What another good image shows at another place, without a seam around it."""
    where = _blob(site, random)
    # In the brightness of what is around it: along the seam both are alike.
    ring = binary_dilation(where > 0, iterations=2) & (where < 1)
    if ring.any():
        match = (site.place - site.donor)[ring].mean(axis=0)
    else:
        match = np.zeros(site.place.shape[2])
    return where[..., None] * (site.donor + match - site.place)


def _scratch(site: _Site, random: np.random.Generator) -> Images:
    """A thin curve, darker or lighter than what it crosses, more so at some places."""
    height, width = site.place.shape[:2]
    reach, angle = site.diameter, random.uniform(0, np.pi)
    ends = reach * np.array([np.sin(angle), np.cos(angle)])
    bend = random.uniform(-0.6, 0.6) * np.array([ends[1], -ends[0]])
    middle = -site.away[:, 0, 0]
    points = np.round([middle - ends, middle + bend, middle + ends]).astype(int)
    (top, left), (row, column), (bottom, right) = points.tolist()
    line = np.zeros((height, width), bool)
    curve = bezier_curve(top, left, row, column, bottom, right, weight=1, shape=line.shape)
    line[curve] = True
    line[tuple(np.round(middle).astype(int))] = True
    half = random.uniform(0.5, max(1.0, site.diameter / 10))
    where = np.clip(half + 0.5 - distance_transform_edt(~line), 0, 1)
    pressure = 0.8 + 0.5 * perlin_noise((height, width), max(2.0, reach / 3), random)
    return (where * np.clip(pressure, 0.3, 1))[..., None] * _shift(site, random)


def _hole(site: _Site, random: np.random.Generator) -> Images:
    """A spot that has lost most of what the surface shows, with a rim on one side."""
    where = _blob(site, random)
    change_of_level = _shift(site, random)
    flat = site.place.mean(axis=(0, 1)) - site.place
    angle = random.uniform(0, 2 * np.pi)
    ahead = [shift(where, step * np.array([np.sin(angle), np.cos(angle)])) for step in (1, -1)]
    rim = (ahead[0] - ahead[1]) / 2
    change = where[..., None] * (random.uniform(0.3, 0.9) * flat + change_of_level)
    return change - 1.5 * (rim * (where > 0))[..., None] * change_of_level


def _warp(site: _Site, random: np.random.Generator) -> Images:
    """The surface itself pushed aside: a dent, or a bent thread."""
    angle = random.uniform(0, 2 * np.pi)
    near = np.hypot(*site.away) / max(site.diameter / 2, 1)
    bump = np.clip(1 - near**2, 0, None) ** 2
    # More than a third of the diameter would fold it.
    far = site.diameter * random.uniform(0.12, 0.32) * bump
    rows, columns = np.indices(site.place.shape[:2])
    at = [rows + far * np.sin(angle), columns + far * np.cos(angle)]
    moved = [
        map_coordinates(site.place[..., channel], at, order=1, mode="nearest")
        for channel in range(site.place.shape[2])
    ]
    return np.stack(moved, axis=-1) - site.place


_KINDS: dict[str, Callable[[_Site, np.random.Generator], Images]] = {
    "texture": _texture,
    "paste": _paste,
    "scratch": _scratch,
    "hole": _hole,
    "warp": _warp,
}
DEFECT_KINDS = tuple(_KINDS)


def plant_defect(
    image: Images,
    donors: Sequence[Images] | Images,
    random: np.random.Generator,
    *,
    kind: str | None = None,
    where: Flags | None = None,
) -> Flags:
    """Plant one defect into an image, in place.

    Its size, place and contrast are drawn, from obvious to subtle. Kinds: ``texture``, another
    texture and brightness under thresholded Perlin noise (Zavrtanik et al., "DRÆM", ICCV 2021);
    ``paste``, what lies elsewhere in another good image (Li et al., "CutPaste", CVPR 2021), with a
    soft irregular outline and the brightness of its surroundings, so that no seam shows;
    ``scratch``, a thin curve; ``hole``, a spot with a rim; ``warp``, the surface pushed aside.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c)
        In [0, 1].
    donors : sequence of ndarray of float32, each of shape (h', w', c)
        Good images, of which one is drawn.
    random : numpy.random.Generator
    kind : str, optional
        One of `DEFECT_KINDS`; drawn otherwise. Where this kind can change nothing, such as a warp
        of what is uniform, another one is planted.
    where : ndarray of bool, shape (h, w), optional
        Where a defect may be; default: on the object where one is found (`object_or_all`).

    Returns
    -------
    ndarray of bool, shape (h, w)
        Exactly the pixels that are changed, each by more than 2/255 in a channel. Never empty.

    Raises
    ------
    ValueError
        For an unknown kind, or where a defect may be nowhere.

    Examples
    --------
    >>> image = np.full((64, 64, 1), 0.5, np.float32)
    >>> before = image.copy()
    >>> mask = plant_defect(image, [before], np.random.default_rng(0), kind="scratch")
    >>> bool(mask.any()), bool((mask == (image != before)[..., 0]).all())
    (True, True)
    """
    if kind is not None and kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(DEFECT_KINDS)}, not {kind!r}")
    allowed = object_or_all(image) if where is None else where
    if not allowed.any():
        raise ValueError("where must have at least one pixel in which a defect may be")
    places = np.argwhere(allowed)
    # Not every image reaches from black to white.
    low, high = np.quantile(image[allowed], [0.02, 0.98])
    extent = max(float(high - low), _LEAST_RANGE)
    kinds = [kind or DEFECT_KINDS[int(random.integers(len(DEFECT_KINDS)))]]
    kinds = [*kinds * _TRIES, "hole"]
    for one in kinds:
        centre = places[int(random.integers(len(places)))]
        diameter = max(1.0, _log_uniform(_DIAMETERS, random) * float(np.sqrt(len(places))))
        contrast = min(_log_uniform(_CONTRASTS, random) * extent, 0.9)
        part, site = _site(image, donors, centre, diameter, contrast, random)
        changed = np.clip(site.place + _KINDS[one](site, random), 0, 1).astype(image.dtype)
        seen = (np.abs(changed - site.place) > VISIBLE).any(axis=-1) & allowed[part]
        if seen.any():
            image[part][seen] = changed[seen]
            return _in_image(seen, part, allowed.shape)
    # Nothing showed: one pixel is turned to the other side.
    at = tuple(places[int(random.integers(len(places)))])
    image[at] = np.where(image[at] > 0.5, image[at] - 0.4, image[at] + 0.4)
    mask = np.zeros(allowed.shape, bool)
    mask[at] = True
    return mask


def _log_uniform(limits: tuple[float, float], random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(*np.log(limits))))


def _in_image(seen: Flags, part: tuple[slice, ...], shape: tuple[int, ...]) -> Flags:
    mask = np.zeros(shape, bool)
    mask[part] = seen
    return mask


def _site(
    image: Images,
    donors: Sequence[Images] | Images,
    centre: Floats,
    diameter: float,
    contrast: float,
    random: np.random.Generator,
) -> tuple[tuple[slice, ...], _Site]:
    """The part of an image in which a defect lies, with room around it, and what it is made of."""
    # A scratch reaches a whole diameter to each side.
    reach = int(np.ceil(1.2 * diameter)) + 3
    starts = np.maximum(centre - reach, 0)
    stops = np.minimum(centre + reach + 1, image.shape[:2])
    part = tuple(slice(*ends) for ends in zip(starts.tolist(), stops.tolist(), strict=True))
    place = image[part]
    away = np.indices(place.shape[:2]) - (centre - starts)[:, None, None]
    cuts = [
        _cut(donors[int(random.integers(len(donors)))], place.shape, random) for _ in range(_CUTS)
    ]
    donor = max(cuts, key=lambda cut: float(np.square(cut - place).sum()))
    return part, _Site(place.copy(), donor, away, diameter, contrast)


def _cut(donor: Images, shape: tuple[int, ...], random: np.random.Generator) -> Images:
    """A part of a donor, mirrored at its border where it is too small, turned upside down or not.

    It comes from where the donor's object is: background on an object would be no subtle defect.
    """
    height, width = shape[:2]
    places = np.argwhere(object_or_all(donor))
    row, column = places[int(random.integers(len(places)))]
    rows, columns = (
        _mirrored(np.arange(side) + middle - side // 2, length)
        for side, middle, length in zip(
            (height, width), (row, column), donor.shape[:2], strict=True
        )
    )
    cut = donor[np.ix_(rows, columns)]
    return cut[:: random.choice([-1, 1]), :: random.choice([-1, 1])]


def _mirrored(indices: Floats, length: int) -> Floats:
    """Indices beyond an axis, mirrored back into it."""
    folded = np.mod(indices, 2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)
