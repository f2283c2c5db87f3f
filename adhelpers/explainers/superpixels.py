"""Superpixels of a wanted number, by quickshift."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.segmentation import quickshift

from adhelpers._shared.checks import check_choice

from .explanation import check_pair, versioned

_SOURCES = ("image", "counterpart", "blend")
# Longer than any link; quickshift gives a pixel without a link the length 1e154.
_NO_LIMIT = 1e100


@dataclass(frozen=True)
class Superpixels:
    """How an explainer that works on regions cuts an image into them.

    Parameters
    ----------
    num_segments : int
        Wanted number of superpixels.
    source : {"blend", "image", "counterpart"}
        What is cut, see `segment_superpixels`.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((48, 32, 1))
    >>> np.unique(Superpixels(40).of(image, 0.5 * image, seed=0)).size
    40
    """

    num_segments: int = 100
    source: str = "blend"

    def of(self, image: ArrayLike, counterpart: ArrayLike, seed: int) -> NDArray[np.int64]:
        """`segment_superpixels` of an image and its counterpart: ndarray of int64, shape (h, w)."""
        return segment_superpixels(image, counterpart, self.source, self.num_segments, seed=seed)


# Raise the version when equal arguments give other segments.
@versioned(1)
def segment_superpixels(
    image: ArrayLike,
    counterpart: ArrayLike | None = None,
    source: str = "image",
    num_segments: int = 100,
    kernel_size: float = 2,
    ratio: float = 0.95,
    sigma: float = 0.05,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Cut an image into about ``num_segments`` superpixels with quickshift.

    Quickshift [1]_ links each pixel to its nearest neighbour of higher density; links longer than
    ``max_dist`` are cut, and each remaining tree is a segment. The number of segments is therefore
    the number of links longer than ``max_dist`` (a pixel without a link counts as one). One run
    gives all links, the ``max_dist`` that a bisection would end at is read from the sorted list of
    their lengths, and the longer ones are cut here, in place of a dozen runs or more.

    Parameters
    ----------
    image : ndarray of float, shape (h, w, c)
        In [0, 1], c = 1 or 3. Both kinds are compared in Lab space (grey repeated to three
        channels), where lightness runs from 0 to 100: in plain [0, 1] the distance in pixels would
        outweigh all contrast.
    counterpart : ndarray of float, shape (h, w, c), optional
        Needed for the sources ``"counterpart"`` and ``"blend"``.
    source : {"image", "counterpart", "blend"}
        What is segmented; ``"blend"`` is the mean of both, in which the edges of the object and of
        the defect both show.
    num_segments : int
        Wanted number of segments. Where links of equal length or pixels without a link make it
        unreachable (a small or constant image), the nearest reachable number is returned, the
        smaller one of two equally near.
    kernel_size : float
        Width in pixels of the Gaussian kernel of the density, at least 1. Links reach three times
        as far.
    ratio : float
        Weight of colour against place, in (0, 1].
    sigma : float
        Width in pixels of the smoothing beforehand.
    seed : int
        Seed of the tiny noise that breaks ties between densities.

    Returns
    -------
    ndarray of int64, shape (h, w)
        Labels from 0 without gaps. A segment need not be connected: a link can pass over pixels
        between.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the counterpart is missing for a source that needs
        it.

    References
    ----------
    .. [1] A. Vedaldi and S. Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((48, 32, 1))
    >>> segments = segment_superpixels(image, num_segments=40)
    >>> segments.shape, np.unique(segments).size
    ((48, 32), 40)
    """
    check_choice("source", source, _SOURCES)
    if counterpart is None and source != "image":
        raise ValueError(f"source={source!r} needs the counterpart")
    if not isinstance(num_segments, (int, np.integer)) or num_segments < 1:
        raise ValueError(f"num_segments must be an integer of at least 1, not {num_segments!r}")
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be at least 1, not {kernel_size!r}")
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must lie in (0, 1], not {ratio!r}")
    if sigma < 0:
        raise ValueError(f"sigma must not be negative, not {sigma!r}")
    image, counterpart = check_pair(image, image if counterpart is None else counterpart)
    sources: dict[str, NDArray[Any]] = {
        "image": image,
        "counterpart": counterpart,
        "blend": (image + counterpart) / 2,
    }
    # float64, because float32 cannot hold the noise that breaks ties and finds more pixels without
    # a link.
    pixels = np.clip(sources[source], 0, 1).astype(np.float64)
    pixels = np.broadcast_to(pixels, pixels.shape[:2] + (3,))
    options = dict(kernel_size=kernel_size, ratio=ratio, sigma=sigma, rng=seed)
    _, parents, lengths = quickshift(pixels, max_dist=_NO_LIMIT, return_tree=True, **options)
    roots, lengths = np.asarray(parents).ravel(), np.asarray(lengths).ravel()
    cut = lengths > _cut(lengths, num_segments)
    roots = np.where(cut, np.arange(len(roots)), roots)
    while not np.array_equal(further := roots[roots], roots):
        roots = further
    labels = np.unique(roots, return_inverse=True)[1]
    return labels.reshape(pixels.shape[:2]).astype(np.int64)


def _cut(lengths: NDArray[np.float64], num_segments: int) -> float:
    """The ``max_dist`` for which the number of greater ``lengths`` is nearest to the wanted one."""
    links, repeats = np.unique(lengths[lengths < _NO_LIMIT], return_counts=True)
    limits = np.concatenate([[0.0], links])
    longer = len(lengths) - np.concatenate([[0], np.cumsum(repeats)])
    # From the longest limit down, so that of two numbers equally near the smaller one is found
    # first.
    return limits[::-1][np.argmin(np.abs(longer[::-1] - num_segments))]
