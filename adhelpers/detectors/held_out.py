"""Scores of training images by detectors that have not seen them."""

import numpy as np

from adhelpers._shared.arrays import Images, Scores
from adhelpers._shared.checks import checked_images
from adhelpers._shared.progress import progress

from .base import Detector
from .features.patches import features_kept

# Up to so many images each is left out alone; more are left out in so many groups.
_ALONE, _GROUPS = 30, 10


def held_out_scores(
    detector: Detector, train: Images, validation: Images, *, show_progress: bool = True
) -> Scores | None:
    """Score each training image by a copy of the detector that was fitted without it.

    Up to 30 images are left out one by one, more in ten groups. What the detector has chosen on
    good images, such as a number of components, the copies keep.

    Parameters
    ----------
    detector : Detector
        Fitted on ``train``.
    train, validation : ndarray of float32, shape (n, h, w, c)
        As for `Detector.fit`.
    show_progress : bool

    Returns
    -------
    ndarray of float32, shape (n,), or None
        None where the detector cannot be fitted again in seconds (see `Detector.unfitted_copy`), or
        there are fewer than three training images.

    References
    ----------
    Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of
    Statistics 2021.

    Examples
    --------
    >>> from adhelpers.detectors import Subspace
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Subspace(2).fit(good[:8], good[8:])
    >>> left_out = held_out_scores(detector, good[:8], good[8:], show_progress=False)
    >>> left_out.shape, bool((left_out > detector.score(good[:8])).all())
    ((8,), True)
    """
    train = checked_images(train, name="train")
    count = len(train)
    groups = count if count <= _ALONE else _GROUPS
    # Neighbours in a folder may be photographs of the same part: they are left out together.
    group = np.arange(count) * groups // max(count, 1)
    fewest = count - int(np.bincount(group).max(initial=0))
    # One copy that is fitted again and again: what it has compiled, it keeps.
    copy = detector.unfitted_copy(fewest) if fewest > 1 else None
    if copy is None:
        return None
    scores = np.empty(count, np.float32)
    bar = progress(description="held-out scores", total=groups, enabled=show_progress)
    with features_kept(), bar:
        for number in range(groups):
            out = group == number
            copy.fit(train[~out], validation, show_progress=False)
            scores[out] = copy.score(train[out])
            bar.update(1)
    return scores
