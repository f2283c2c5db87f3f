"""LIME of a detector's score: which superpixels raise it."""
import numpy as np
from lime.lime_base import LimeBase
from scipy.stats import spearmanr
from sklearn.metrics import pairwise_distances

from .explanation import BatchedScore, Explanation, check_pair
from .superpixels import segment_superpixels

_FIRST_SAMPLES = 256


def explain_with_lime(score, image, counterpart, *, segments=None, num_segments=100, segment_source="blend", num_samples=1000,
                      max_samples=4096, settled=0.9, paired=True, kernel_width=0.25, batch_size=64, seed=0):
    """Explain the score of one image with LIME.
    """
    image, counterpart = check_pair(image, counterpart)
    if segments is None:
        segments = segment_superpixels(image, counterpart, segment_source, num_segments, seed=seed)
    count = int(segments.max()) + 1
    batched = BatchedScore(score, batch_size)
    base = LimeBase(lambda distances: np.sqrt(np.exp(-(distances ** 2) / kernel_width ** 2)), random_state=np.random.RandomState(seed))
    draws = np.random.RandomState(seed)
    present = np.zeros((0, count), dtype=np.int64)
    scores = np.zeros(0)
    wanted = num_samples
    rows = _draw(draws, wanted, count, paired)
    rows[0] = 1
    scores = _scores(batched, rows, segments, image, counterpart)
    w, b, r2 = _surrogate(base, rows, scores)
    return w, rows, scores, base


def _draw(draws, n, count, paired):
    if not paired:
        return draws.randint(0, 2, n * count).reshape(n, count)
    if paired is True:
        half = draws.randint(0, 2, n // 2 * count).reshape(-1, count)
        return np.stack([half, 1 - half], axis=1).reshape(-1, count)
    from scipy.linalg import hadamard
    order = 1 << count.bit_length()
    H = hadamard(order)
    out = []
    for _ in range(-(-n // (2 * order))):
        block = H[draws.permutation(order)][:, 1 + draws.permutation(order - 1)[:count]] * draws.choice([-1, 1], count)
        out.append(np.stack([block, -block], axis=1).reshape(-1, count))
    return (np.concatenate(out)[:n] + 1) // 2


def _scores(score, rows, segments, image, counterpart):
    parts = []
    for start in range(0, len(rows), score.batch_size):
        shown = rows[start:start + score.batch_size].astype(bool)[:, segments, None]
        parts.append(score(np.where(shown, image, counterpart)))
    return np.concatenate(parts)


def _surrogate(base, rows, scores):
    distances = pairwise_distances(rows, rows[:1], metric="cosine").ravel()
    intercept, pairs, r2, _ = base.explain_instance_with_data(rows, scores[:, None], distances, 0, rows.shape[1], "none")
    weights = np.empty(rows.shape[1])
    for segment, weight in pairs:
        weights[segment] = weight
    return weights, float(intercept), float(r2)
