"""SHAP: the share of each region in the difference from the counterpart's score."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import shap
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import ScoreFunction

from .explanation import BatchedScore, Explanation, check_pair, versioned
from .shap_trees import partition_tree, uncompiled

# Relative to the largest score involved: float32 models repeat themselves to about 1e-6 between
# batches.
_ADDITIVITY_TOLERANCE = 1e-4
_SMALLEST_BUDGET = 4


# Raise the version when equal arguments give another explanation.
@versioned(1)
def explain_with_shap(
    score: ScoreFunction,
    image: ArrayLike,
    counterpart: ArrayLike,
    *,
    max_evaluations: int = 500,
    batch_size: int = 16,
    seed: int = 0,
) -> Explanation:
    """Explain the score of one image with SHAP's partition explainer.

    The image is halved again and again along its longer side, the regions that change the score
    most first; each region gets its Owen value, the Shapley value for this nesting of regions [1]_.
    "Absent" means replaced by the counterpart. Where the budget ends, the share of a region is
    spread evenly over its pixels. The channels' shares are summed.

    Parameters
    ----------
    score : callable
        ``score(images) -> (n,)`` for float32 images (n, h, w, c).
    image : ndarray, shape (h, w, c)
        In [0, 1], c = 1 or 3.
    counterpart : ndarray, shape (h, w, c)
        What a normal version of the image looks like to the detector.
    max_evaluations : int
        Budget of scored images, at least 4. More shows finer regions: each halving of all regions
        costs about four times as many as the one before, 500 come to regions of about 1/60 of the
        image's area, finer where the score changes.
    batch_size : int
        Largest number of images in one call of the score; on CPUs small batches stay in the cache
        and are quicker than 64.
    seed : int
        Orders regions whose effects are exactly equal.

    Returns
    -------
    Explanation
        Heatmap: each pixel's share, in units of the score; all shares sum to the score of the image
        minus that of the counterpart. Details: ``score``, ``base_value`` (the counterpart's score),
        ``num_evaluations``, ``additivity_error`` (absolute, in units of the score).

    Raises
    ------
    ValueError
        For an image, counterpart, score or budget out of range.
    RuntimeError
        If the shares do not sum to the difference of the scores to 1e-4 of the larger score: the
        score gives different values for the same image, or depends on the other images in the
        batch.

    References
    ----------
    .. [1] S. M. Lundberg and S.-I. Lee, "A unified approach to interpreting model predictions",
       NeurIPS 2017; G. Owen, "Values of games with a priori unions", 1977.

    Examples
    --------
    >>> image = np.zeros((8, 8, 1)); image[2:4, 4:8] = 1
    >>> def score(images):
    ...     return images.sum(axis=(1, 2, 3))
    >>> explanation = explain_with_shap(score, image, np.zeros((8, 8, 1)))
    >>> np.allclose(explanation.heatmap, image[..., 0])
    True
    """
    image, counterpart = check_pair(image, counterpart)
    if not isinstance(max_evaluations, (int, np.integer)) or max_evaluations < _SMALLEST_BUDGET:
        raise ValueError(
            f"max_evaluations must be an integer of at least {_SMALLEST_BUDGET}, not "
            f"{max_evaluations!r}"
        )
    batched = BatchedScore(score, batch_size)
    with _global_seed(seed), uncompiled():
        explainer = shap.PartitionExplainer(batched, _ImageMasker(counterpart))
        result = explainer(
            image[None], max_evals=int(max_evaluations), batch_size=batched.batch_size, silent=True
        )
    values = np.asarray(result.values, dtype=np.float64).reshape(image.shape).sum(axis=2)
    evaluations = batched.evaluations
    # Scored again rather than taken from the explainer, whose own sums telescope and would always
    # agree with themselves.
    of_image, of_counterpart = (float(batched(pair[None])[0]) for pair in (image, counterpart))
    error = abs(values.sum() + of_counterpart - of_image)
    if error > _ADDITIVITY_TOLERANCE * max(abs(of_image), abs(of_counterpart)):
        raise RuntimeError(
            f"SHAP values sum to {values.sum():.6g}, but the score rises by "
            f"{of_image - of_counterpart:.6g} from counterpart to image: score must give the same "
            "value for the same image in every batch"
        )
    details = {
        "score": of_image,
        "base_value": of_counterpart,
        "num_evaluations": evaluations,
        "additivity_error": float(error),
    }
    return Explanation(values.astype(np.float32), details)


class _ImageMasker(shap.maskers.Image):
    """shap's masker with a tree of regions that is built once for each shape."""

    def build_partition_tree(self) -> None:
        self.clustering = partition_tree(tuple(self.input_shape))


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which shap draws from, and put it back afterwards."""
    state = np.random.get_state()  # noqa: NPY002  (shap's own choice)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
