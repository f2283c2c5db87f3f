"""Are new images like those that a detector was made for? Their statistics are compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from adhelpers._shared.arrays import Images
from adhelpers._shared.checks import checked_scores
from adhelpers._shared.text import and_list

# Below this number of new images, or of those that they are compared with, nothing is said.
FEWEST_FOR_DRIFT = 8
# Share of comparisons of like images in which a difference may be announced.
_LEVEL = 0.01
# Share of pairs of a new and an earlier image in which the new one is the larger: a half where they
# are alike. With many images the smallest difference is no chance; it must matter as well.
_LEAST_SHARE = 0.7
# What is said of a higher and of a lower value.
_WORDS = {
    "light": ("brighter", "darker"),
    "sharpness": ("sharper", "less sharp"),
    "size": ("larger", "smaller"),
    "distance": ("farther from the good images", "nearer to the good images"),
}


def light_and_sharpness(image: Images) -> tuple[float, float]:
    """The mean grey value of an image, and the standard deviation of its Laplacian.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, c), in [0, 1], h and w at least 3

    Returns
    -------
    light, sharpness : float

    Examples
    --------
    >>> light_and_sharpness(np.full((8, 8, 1), 0.5, np.float32))
    (0.5, 0.0)
    """
    grey = image[..., 0] if image.shape[-1] == 1 else image.mean(axis=-1)
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    return float(grey.mean()), float(laplacian.std())


@dataclass(frozen=True)
class Drift:
    """How far one statistic of new images lies from that of earlier ones.

    Attributes
    ----------
    measure : str
        Such as ``"light"``.
    new, reference : float
        Medians.
    shift : float or None
        Their difference in standard deviations of the reference, estimated from its median absolute
        deviation; None where the reference does not vary.
    larger : float
        Share of pairs of a new and an earlier image in which the new one's value is larger; ties
        count half.
    p_value : float
        Of the Mann-Whitney test.
    noticed : bool
        Whether the difference is neither chance nor small.
    count, reference_count : int
        Images that it rests on.
    """

    measure: str
    new: float
    reference: float
    shift: float | None
    larger: float
    p_value: float
    noticed: bool
    count: int
    reference_count: int

    def sentence(self) -> str:
        """What is different, and by how much."""
        higher, lower = _WORDS.get(self.measure, (f"higher in {self.measure}",) * 2)
        up = self.larger > 0.5
        share = self.larger if up else 1 - self.larger
        far = "" if self.shift is None else f", {abs(self.shift):.1f} standard deviations away"
        return (
            f"they are {higher if up else lower}: median {self.measure} {self.new:.3g} against "
            f"{self.reference:.3g}{far} ({100 * share:.0f} % of pairs)"
        )


@dataclass(frozen=True)
class DriftReport:
    """All statistics of new images beside those of earlier ones.

    Attributes
    ----------
    drifts : list of Drift
        Empty where there are too few images to say anything.
    count, reference_count : int
        Images compared.
    """

    drifts: list[Drift]
    count: int
    reference_count: int

    @property
    def noticed(self) -> list[Drift]:
        """Those that are neither chance nor small."""
        return [one for one in self.drifts if one.noticed]

    def table(self) -> pd.DataFrame:
        """A row for each statistic."""
        rows = [
            {
                "statistic": one.measure,
                "median of new images": one.new,
                "median in training": one.reference,
                "standard deviations away": one.shift,
                "new images": one.count,
                "training images": one.reference_count,
                "noticed": one.noticed,
            }
            for one in self.drifts
        ]
        return pd.DataFrame(rows)

    def findings(self) -> list[str]:
        """One sentence: whether the new images are like the earlier ones."""
        images = f"{self.count} new {'image' if self.count == 1 else 'images'}"
        if not self.drifts:
            return [
                f"Drift: {images} beside {self.reference_count} of the training are too few to say "
                f"whether they are alike ({FEWEST_FOR_DRIFT} of each are needed)."
            ]
        rests = f"{images} beside {self.reference_count} of the training"
        if not self.noticed:
            names = and_list([one.measure for one in self.drifts])
            return [f"Drift: {rests} show no difference in {names}."]
        what = "; ".join(one.sentence() for one in self.noticed)
        return [f"Drift: {rests} are not alike: {what}. The threshold was not set for such images."]


def find_drift(reference: Mapping[str, ArrayLike], new: Mapping[str, ArrayLike]) -> DriftReport:
    """Compare statistics of new images with those of the images that a detector was made for.

    Each statistic is compared by the Mann-Whitney test, at a level of 1 % divided by the number of
    statistics, and a difference is noticed where it is large as well: in 70 % of pairs the one
    image's value must be above the other's. Medians and ranks do not mind a few defective images.
    The test takes images as independent; photographs that are taken one after the other are alike,
    so that a few minutes of them say less than their number.

    Parameters
    ----------
    reference, new : dict of str to array-like of float, shapes (m,) and (n,)
        Values by statistic; those that both have are compared.

    Returns
    -------
    DriftReport

    References
    ----------
    H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is
    stochastically larger than the other", Annals of Mathematical Statistics, 1947.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> light = random.normal(0.6, 0.05, 100)
    >>> dark = find_drift({"light": light}, {"light": light[:20] - 0.2}).noticed[0]
    >>> dark.sentence().split(",")[0], round(dark.shift, 1)
    ('they are darker: median light 0.391 against 0.604', -4.1)
    >>> find_drift({"light": light}, {"light": light[:1]}).drifts
    []
    """
    names = [name for name in reference if name in new]
    before = {name: np.asarray(reference[name], np.float64) for name in names}
    after = {name: np.asarray(new[name], np.float64) for name in names}
    reference_count = max((len(one) for one in before.values()), default=0)
    count = max((len(one) for one in after.values()), default=0)
    drifts = [
        _compared(name, before[name], after[name], _LEVEL / len(names))
        for name in names
        if min(len(before[name]), len(after[name])) >= FEWEST_FOR_DRIFT
    ]
    return DriftReport(drifts, count, reference_count)


def _compared(measure: str, reference: ArrayLike, new: ArrayLike, level: float) -> Drift:
    before, after = checked_scores(reference, measure), checked_scores(new, measure)
    test = stats.mannwhitneyu(after, before, alternative="two-sided")
    larger = float(test.statistic) / (len(before) * len(after))
    spread = float(stats.median_abs_deviation(before, scale="normal"))
    medians = float(np.median(after)), float(np.median(before))
    # All equal: no test is needed, and SciPy gives none.
    p_value = float(test.pvalue) if np.isfinite(test.pvalue) else 1.0
    return Drift(
        measure,
        *medians,
        shift=(medians[0] - medians[1]) / spread if spread > 0 else None,
        larger=larger,
        p_value=p_value,
        noticed=p_value < level and max(larger, 1 - larger) >= _LEAST_SHARE,
        count=len(after),
        reference_count=len(before),
    )
