"""What is normal to a detector that cannot say it: counterparts for detectors from elsewhere."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as shift_image
from skimage.registration import phase_cross_correlation
from skimage.restoration import inpaint_biharmonic
from skimage.transform import resize, resize_local_mean
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from adhelpers._shared.arrays import Flags, Floats, Images
from adhelpers._shared.checks import checked_images, checked_mask

# Longer side of the small pictures that are compared first, in pixels.
_SMALL = 32
# The nearest good images that are aligned, and the largest shift as a share of the shorter side.
_ALIGNED, _LARGEST_SHIFT = 4, 0.125
# Of the differing pixels the most different tenth is left out: the defect must not choose.
_COMPARED = 0.9
_COMPONENTS = 50
# Good patches that are kept, and the dimensions in which they are compared.
_PATCHES, _DIMENSIONS = 20_000, 24
# The place of a patch counts half as much as what it shows.
_PLACE = 0.5
# Over what part of an image's side good images are compared around a place, how much better one
# must be there to be taken alone, and at what scale of the image this is decided.
_NEIGHBOURHOOD, _PREFERENCE, _COARSE = 1 / 12, 8.0, 4
# Pixels around a region from which it is inpainted.
_AROUND = 8


class CounterpartMaker(ABC):
    """Learns from good images what a normal version of an image looks like.

    Attributes
    ----------
    name : str
        What the counterpart is, as it is written above its picture.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, train: Images, *, seed: int = 0) -> Self:
        """Learn from good images: float32 (n, h, w, c) in [0, 1], at least two."""

    @abstractmethod
    def _normal(self, image: Images) -> Images:
        """The normal version of one image (h, w, c)."""

    def counterpart(self, images: Images) -> Images:
        """The normal version of each image.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c)

        Returns
        -------
        ndarray of float32, shape (n, h, w, c)
            In [0, 1].

        Raises
        ------
        ValueError
            If the images have another shape than those in `fit`.
        """
        images = checked_images(images, self._shape)
        made = [self._normal(image) for image in images]
        return np.clip(np.reshape(made, images.shape), 0, 1).astype(np.float32)

    def _take(self, train: Images) -> Images:
        train = checked_images(train, name="train")
        if len(train) < 2:
            raise ValueError("train holds one image; what is normal is learned from at least two")
        self._shape: tuple[int, ...] = train.shape[1:]
        return train


class NearestGood(CounterpartMaker):
    """The good training image that is most like an image, moved to lie as the image does.

    It is a photograph, as sharp and noisy as any; where objects differ it differs too.

    Examples
    --------
    >>> good = np.zeros((3, 16, 16, 1), np.float32)
    >>> good[1, 4:8, 4:8] = 0.5
    >>> NearestGood().fit(good).counterpart(good[1:2] * 0.9).max()
    np.float32(0.5)
    """

    name = "nearest good image"

    def fit(self, train: Images, *, seed: int = 0) -> Self:
        """Keep the training images and small pictures of them; see `CounterpartMaker.fit`."""
        self._train = self._take(train)
        self._small = np.stack([_small(image) for image in self._train])
        return self

    def _normal(self, image: Images) -> Images:
        away = np.abs(self._small - _small(image)).mean(axis=1)
        nearest = self._train[np.argsort(away, kind="stable")[:_ALIGNED]]
        candidates = [*nearest, *(_aligned(one, image) for one in nearest)]
        return min(candidates, key=lambda one: _difference(one, image))


class LinearReconstruction(CounterpartMaker):
    """What a linear subspace of the good images can reproduce of an image.

    It fits where objects lie alike, and is blurred: a detector that looks for blur does not find it
    normal.

    Examples
    --------
    >>> good = np.linspace(0, 1, 5, dtype=np.float32)[:, None, None, None] * np.ones((8, 8, 1))
    >>> image = np.full((1, 8, 8, 1), 0.3, np.float32)
    >>> bool(np.allclose(LinearReconstruction().fit(good).counterpart(image), image, atol=1e-5))
    True
    """

    name = "subspace reconstruction"

    def fit(self, train: Images, *, seed: int = 0) -> Self:
        """Fit principal components; see `CounterpartMaker.fit`."""
        flat = self._take(train).reshape(len(train), -1)
        # Half as many components as images: with all of them single images are learned by heart.
        count = max(1, min(_COMPONENTS, len(flat) // 2, flat.shape[1]))
        self._pca = PCA(count, svd_solver="randomized", random_state=seed).fit(flat)
        return self

    def _normal(self, image: Images) -> Images:
        return self._pca.inverse_transform(self._pca.transform(image.reshape(1, -1)))


class PatchBlend(CounterpartMaker):
    """Each patch of an image replaced by the most similar good patch, blended where they overlap.

    It is sharp where good patches are alike, wherever objects lie.

    Examples
    --------
    >>> good = np.full((2, 32, 32, 1), 0.5, np.float32)
    >>> good[1] += 0.1
    >>> spoiled = good[:1].copy()
    >>> spoiled[0, 12:16, 12:16] = 0
    >>> bool(np.allclose(PatchBlend().fit(good).counterpart(spoiled), 0.5, atol=1e-3))
    True
    """

    name = "nearest good patches"

    def fit(self, train: Images, *, seed: int = 0) -> Self:
        """Keep a sample of the good patches; see `CounterpartMaker.fit`."""
        train = self._take(train)
        height, width = self._shape[:2]
        self._side = side = min(height, width, max(8, min(height, width) // 16))
        self._corners = np.array(
            [
                (row, column)
                for row in _starts(height, side, side // 2)
                for column in _starts(width, side, side // 2)
            ]
        )
        random = np.random.default_rng(seed)
        each = max(1, _PATCHES // len(train))
        kept, places = [], []
        for image in train:
            chosen = random.permutation(len(self._corners))[:each]
            kept.append(self._cut(image, self._corners[chosen]))
            places.append(self._corners[chosen])
        self._patches = np.concatenate(kept)
        flat = self._patches.reshape(len(self._patches), -1)
        count = min(_DIMENSIONS, *flat.shape)
        self._pca = PCA(count, svd_solver="randomized", random_state=seed).fit(flat)
        # The standard deviation of what patches show is the scale of their place.
        spread = float(np.sqrt(self._pca.explained_variance_.sum()))
        self._scale = _PLACE * spread / max(height, width)
        keys = self._keys(flat, np.concatenate(places))
        self._search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(keys)
        window = np.hanning(side + 2)[1:-1]
        self._weights = np.outer(window, window)[..., None]
        return self

    def _cut(self, image: Images, corners: Floats) -> Images:
        side = self._side
        return np.stack(
            [image[row : row + side, column : column + side] for row, column in corners]
        )

    def _keys(self, flat: Floats, places: Floats) -> Floats:
        return np.hstack([self._pca.transform(flat), self._scale * places]).astype(np.float32)

    def _normal(self, image: Images) -> Images:
        flat = self._cut(image, self._corners).reshape(len(self._corners), -1)
        keys = self._keys(flat, self._corners)
        found = self._search.kneighbors(keys, return_distance=False)[:, 0]
        total, weights = np.zeros(self._shape), np.zeros((*self._shape[:2], 1))
        for (row, column), patch in zip(self._corners, self._patches[found], strict=True):
            place = np.s_[row : row + self._side, column : column + self._side]
            total[place] += self._weights * patch
            weights[place] += self._weights
        return (total / weights).astype(np.float32)


def composed(image: Images, good: Images) -> Images:
    """Good images blended into one: at each place the one counts that is most like it around there.

    Each is first moved to lie as the image does. Where seams would be, the images are mixed.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c)
        In [0, 1].
    good : ndarray of float, shape (k, h, w, c)
        Good images that are like it as a whole.

    Returns
    -------
    ndarray of float32, shape (h, w, c)
        In [0, 1]; the image itself where it is among them.

    Examples
    --------
    >>> good = np.zeros((2, 32, 32, 1), np.float32)
    >>> good[0, 8:24, :12], good[1, 8:24, 20:] = 0.8, 0.6
    >>> both = good.max(axis=0)
    >>> bool(np.abs(composed(both, good) - both).mean() < 0.1 < np.abs(good - both).mean())
    True
    """
    moved = np.stack([_aligned(one.astype(np.float32), image) for one in good])
    height, width = image.shape[:2]
    away = np.abs(moved - image).mean(axis=3).transpose(1, 2, 0)
    size = -(-height // _COARSE), -(-width // _COARSE)
    sigma = np.sqrt(size[0] * size[1]) * _NEIGHBOURHOOD
    away = gaussian_filter(resize_local_mean(away, size, channel_axis=2), (sigma, sigma, 0))
    best = away.min(axis=2, keepdims=True)
    scale = max(float(best.mean()), np.finfo(np.float32).tiny)
    weights = np.exp(-_PREFERENCE * (away - best) / scale)
    weights = gaussian_filter(weights, (sigma / 2, sigma / 2, 0))
    weights = resize(weights / weights.sum(axis=2, keepdims=True), (height, width), order=1)
    weights /= weights.sum(axis=2, keepdims=True)
    return np.einsum("hwk,khwc->hwc", weights, moved).astype(np.float32)


def inpainted(image: Images, region: Flags) -> Images:
    """The image with a region filled smoothly from its surroundings (biharmonic equation).

    Damelin and Hoang, "On Surface Completion and Image Inpainting by Biharmonic Functions:
    Numerical Aspects", International Journal of Mathematics and Mathematical Sciences 2018.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c)
        In [0, 1].
    region : ndarray of bool, shape (h, w)
        An empty one, or one that leaves nothing to start from, changes nothing.

    Returns
    -------
    ndarray of float32, shape (h, w, c)
        A new array in [0, 1].

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> image = np.tile(np.linspace(0, 1, 12, dtype=np.float32), (12, 1))[..., None]
    >>> region = np.zeros((12, 12), bool)
    >>> region[4:7, 4:7] = True
    >>> bool(np.abs(inpainted(np.where(region[..., None], 0, image), region) - image).max() < 1e-3)
    True
    """
    image = np.asarray(image, np.float32)
    region = checked_mask(region, image.shape[:2], "region")
    filled = image.copy()
    if not region.any() or region.all():
        return filled
    # What lies farther away has no influence; the whole image would only take longer.
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    part = np.s_[
        max(0, rows[0] - _AROUND) : rows[-1] + _AROUND + 1,
        max(0, columns[0] - _AROUND) : columns[-1] + _AROUND + 1,
    ]
    filled[part] = np.clip(
        inpaint_biharmonic(image[part], region[part], channel_axis=-1), 0, 1
    ).astype(np.float32)
    return filled


def _small(image: Images) -> Floats:
    """A small picture of an image as a row of numbers."""
    height, width = image.shape[:2]
    scale = min(1.0, _SMALL / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize(image, size, order=1, anti_aliasing=True).astype(np.float32).ravel()


def _aligned(good: Images, image: Images) -> Images:
    """A good image moved by whole pixels to lie as ``image`` does; itself where it lies far off."""
    # Of an image that is black throughout there is nothing to align.
    if not (good.any() and image.any()):
        return good
    moved, _, _ = phase_cross_correlation(image.mean(axis=2), good.mean(axis=2))
    if np.abs(moved).max() > _LARGEST_SHIFT * min(image.shape[:2]) or not moved.any():
        return good
    # Whole pixels are copied: the moved image is as sharp as before.
    return shift_image(good, (*moved, 0), order=0, mode="nearest")


def _difference(one: Images, image: Images) -> float:
    """How different two images are without the places where they differ most."""
    away = np.sort(np.abs(one - image).mean(axis=2), axis=None)
    return float(away[: max(1, round(_COMPARED * len(away)))].mean())


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where patches begin along one side of an image, the last one at its end."""
    return sorted({*range(0, length - side + 1, step), length - side})
