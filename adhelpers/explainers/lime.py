"""LIME of a detector's score: which superpixels raise it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from lime.lime_base import LimeBase
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import hadamard
from scipy.stats import ConstantInputWarning, spearmanr
from sklearn.metrics import pairwise_distances

from adhelpers._shared.arrays import Integers, ScoreFunction
from adhelpers._shared.checks import check_choice

from .composed import ComposedImage, RegionScoresOf
from .explanation import Explanation, check_pair, versioned
from .superpixels import Superpixels, segment_superpixels

_DESIGNS = ("orthogonal", "random")
# Scores that differ by less, relative to the largest, differ by float32 rounding only: there is
# nothing to rank.
_CONSTANT = 1e-6
# Masks that are in memory at once.
_BLOCK = 256

_Present: TypeAlias = NDArray[np.int64]  # 1 where a segment is present, shape (samples, segments)
_Values: TypeAlias = NDArray[np.float64]  # scores (samples,) or weights (segments,)
_Fit: TypeAlias = Callable[[_Present, _Values], tuple[_Values, float, float]]


@dataclass(frozen=True)
class Sampling:
    """Which perturbed images LIME scores, and how many.

    Parameters
    ----------
    num_samples : int or "auto"
        Number of scored images, the whole image included. ``"auto"`` doubles the number until the
        weights from the first half of the samples and those from the second half rank the segments
        alike, or ``max_samples`` would be exceeded.
    design : {"orthogonal", "random"}
        Which segments are present together. ``"random"`` tosses a coin for each, as lime does.
        ``"orthogonal"`` takes the rows of Hadamard matrices with random order, columns and signs,
        each row followed by its complement (a folded-over two-level design [1]_): each segment is
        present in half of the rows in the same way, so the weight of one segment is not disturbed
        by that of another, nor by what two segments do together. It aims at the same weights and
        reaches the same ranking with a fraction of the samples. (Lime's ridge draws all weights a
        little towards zero when samples are few, about 3 % for 257, with either design.)
    agreement : float
        With ``"auto"``: Spearman correlation of the two halves' weights at which the ranking counts
        as settled. Where halves agree to 0.95, all samples together agree with the truth to about
        0.99.
    max_samples : int
        With ``"auto"``: upper limit. A score that is a maximum over the image leaves most segments
        without any effect; their order is chance and never settles.

    Raises
    ------
    ValueError
        If a value is out of range.

    References
    ----------
    .. [1] G. E. P. Box, J. S. Hunter, W. G. Hunter, "Statistics for Experimenters", Wiley 2005,
       chapter 6.

    Examples
    --------
    >>> Sampling("auto", max_samples=1024).design
    'orthogonal'
    """

    num_samples: int | str = 1000
    design: str = "orthogonal"
    agreement: float = 0.95
    max_samples: int = 4096

    def __post_init__(self) -> None:
        for name, value, word in (
            ("num_samples", self.num_samples, "auto"),
            ("max_samples", self.max_samples, None),
        ):
            if value == word:
                continue
            if not isinstance(value, (int, np.integer)) or value < 4:
                allowed = f' or "{word}"' if word else ""
                raise ValueError(f"{name} must be an integer of at least 4{allowed}, not {value!r}")
        check_choice("design", self.design, _DESIGNS)
        if not 0 < self.agreement <= 1:
            raise ValueError(f"agreement must lie in (0, 1], not {self.agreement!r}")


_SUPERPIXELS, _SAMPLING = Superpixels(), Sampling()


# Raise the version when equal arguments give another explanation: other samples, another
# regression, other details. The superpixels have their own.
@versioned(1, segment_superpixels)
def explain_with_lime(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    segments: Integers | None = None,
    superpixels: Superpixels = _SUPERPIXELS,
    sampling: Sampling = _SAMPLING,
    kernel_width: float = 0.25,
    region_scores: RegionScoresOf | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Explanation:
    """Explain the score of one image with LIME.

    Segments are hidden by putting the counterpart in their place, the score of each such image is
    taken, and a weighted ridge regression of the scores on which segments were present gives each
    segment a weight. The regression is lime's own [1]_.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    image : ndarray, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : ndarray, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    segments : ndarray of int, shape (h, w), optional
        Labels from 0 without gaps, in place of ``superpixels``.
    superpixels : Superpixels
        How the image is cut into segments.
    sampling : Sampling
        Which segments are present together, and in how many images.
    kernel_width : float
        Width of the kernel ``sqrt(exp(-d² / width²))`` on the cosine distance from the whole image.
    region_scores : callable, optional
        ``region_scores(image, counterpart)``, where a detector offers a quicker way to the scores
        of composed images, see `RegionScores`; ``score`` is only asked
        for a check then.
    batch_size : int
        Largest number of images in one call of the score; on CPUs small batches stay in the cache
        and are quicker than 64.
    seed : int
        Seed of segmentation and samples.

    Returns
    -------
    Explanation
        Heatmap: the weight of each pixel's segment, in units of the score. Details: ``weights``
        (k,), ``intercept``, ``r2`` (of the weighted regression), ``num_samples``, ``num_segments``,
        ``segments`` (h, w), ``score`` (of the image), ``design``, ``agreement`` (of the halves) and
        ``settled``; the last two are None for a fixed number of samples.

    Raises
    ------
    ValueError
        For an argument out of range, segments that are no labels from 0 without gaps, or a score
        that does not return one finite number for each image.

    References
    ----------
    .. [1] M. T. Ribeiro, S. Singh, C. Guestrin, "Why should I trust you?", KDD 2016.

    Examples
    --------
    >>> image = np.zeros((16, 16, 1)); image[4:8, 8:12] = 1
    >>> segments = np.arange(16).reshape(4, 4).repeat(4, 0).repeat(4, 1)
    >>> def score(images):
    ...     return images.sum(axis=(1, 2, 3))
    >>> explanation = explain_with_lime(score, image, np.zeros((16, 16, 1)), segments=segments)
    >>> int(explanation.details["weights"].argmax()), round(explanation.details["r2"], 3)
    (6, 1.0)
    """
    image, counterpart = check_pair(image, counterpart)
    if not kernel_width > 0:
        raise ValueError(f"kernel_width must be positive, not {kernel_width!r}")
    if segments is None:
        segments = superpixels.of(image, counterpart, seed)
    segments = _check_segments(segments, image.shape[:2])
    count = int(segments.max()) + 1
    composed = ComposedImage(score, image, counterpart, batch_size, region_scores)
    composed.add(segments == np.arange(count)[:, None, None])

    def scores_of(present: _Present) -> _Values:
        blocks = [present[start : start + _BLOCK] for start in range(0, len(present), _BLOCK)]
        return np.concatenate(
            [composed(np.take(block.astype(bool), segments, axis=1), block) for block in blocks]
        )

    fit = partial(_surrogate, kernel_width=kernel_width, seed=seed)
    present, scores, agreed = _sampled(sampling, count, seed, scores_of, fit)
    weights, intercept, r2 = fit(present, scores)
    details = {
        "weights": weights,
        "intercept": intercept,
        "r2": r2,
        "num_samples": len(scores),
        "num_segments": count,
        "segments": segments,
        "score": float(scores[0]),
        "design": sampling.design,
        "agreement": agreed,
        "settled": None if agreed is None else agreed >= sampling.agreement,
    }
    return Explanation(weights[segments].astype(np.float32), details)


def _sampled(
    sampling: Sampling,
    count: int,
    seed: int,
    scores_of: Callable[[_Present], _Values],
    fit: _Fit,
) -> tuple[_Present, _Values, float | None]:
    """Samples of ``count`` segments, their scores and, for "auto", how well two halves agree."""
    automatic = isinstance(sampling.num_samples, str)
    # Two whole orthogonal blocks, one for each half.
    first = min(4 * _order(count), sampling.max_samples)
    samples = first if automatic else int(sampling.num_samples)
    scores = np.zeros(0)
    while True:
        present = _perturbations(samples, count, sampling.design, seed)
        scores = np.concatenate([scores, scores_of(present[len(scores) :])])
        if not automatic:
            return present, scores, None
        agreed = _agreement_of_halves(present, scores, fit)
        if agreed >= sampling.agreement or 2 * samples > sampling.max_samples:
            return present, scores, agreed
        samples *= 2


def _check_segments(segments: Integers, shape: tuple[int, ...]) -> Integers:
    segments = np.asarray(segments)
    if segments.shape != shape or not np.issubdtype(segments.dtype, np.integer):
        raise ValueError(
            f"segments must be integers of the shape {shape}, not {segments.dtype} of "
            f"{segments.shape}"
        )
    labels = np.unique(segments)
    if not np.array_equal(labels, np.arange(len(labels))):
        raise ValueError(
            f"segments must be labelled from 0 without gaps, but {len(labels)} labels run from "
            f"{labels[0]} to {labels[-1]}"
        )
    return segments


def _order(count: int) -> int:
    """Size of the smallest Hadamard matrix with a column for each segment beside the constant."""
    return 1 << count.bit_length()


def _perturbations(samples: int, count: int, design: str, seed: int) -> _Present:
    """Which segments each sample shows: 0 or 1; fewer samples are a prefix of more."""
    draws = np.random.RandomState(seed)
    if design == "random":
        # Drawn as lime_image does, so that equal seeds give equal explanations.
        present = draws.randint(0, 2, samples * count).reshape(samples, count)
        present[0] = 1
        return present
    order = _order(count)
    matrix = hadamard(order)
    blocks = [np.ones((1, count), dtype=np.int64)]
    for _ in range(-(-(samples - 1) // (2 * order))):
        columns = 1 + draws.permutation(order - 1)[:count]
        block = matrix[np.ix_(draws.permutation(order), columns)] * draws.choice(
            [-1, 1], size=count
        )
        blocks.append((np.stack([block, -block], axis=1).reshape(-1, count) + 1) // 2)
    return np.concatenate(blocks)[:samples]


def _surrogate(
    present: _Present, scores: _Values, kernel_width: float, seed: int
) -> tuple[_Values, float, float]:
    """Weights, intercept and R² of lime's regression."""
    base = LimeBase(
        lambda distances: np.sqrt(np.exp(-(distances**2) / kernel_width**2)),
        random_state=np.random.RandomState(seed),
    )
    distances = pairwise_distances(present, present[:1], metric="cosine").ravel()
    intercept, pairs, r2, _ = base.explain_instance_with_data(
        present, scores[:, None], distances, 0, present.shape[1], feature_selection="none"
    )
    weights = np.zeros(present.shape[1])
    for segment, weight in pairs:
        weights[segment] = weight
    return weights, float(intercept), float(r2)


def _agreement_of_halves(present: _Present, scores: _Values, fit: _Fit) -> float:
    """Spearman correlation of the two halves' weights; 1 for a constant score."""
    if np.ptp(scores) <= _CONSTANT * np.abs(scores).max() or present.shape[1] < 2:
        return 1.0
    half = 1 + (len(scores) - 1) // 2
    halves = (np.arange(half), np.r_[0, half : len(scores)])
    first, second = (fit(present[rows], scores[rows])[0] for rows in halves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        correlation = float(spearmanr(first, second).statistic)
    return correlation if np.isfinite(correlation) else 0.0
