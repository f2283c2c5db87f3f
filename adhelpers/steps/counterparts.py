"""Which normal version of an image a detector from elsewhere accepts as normal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adhelpers._shared.arrays import Flags, Images, Masks
from adhelpers._shared.checks import check_choice
from adhelpers._shared.progress import progress
from adhelpers._shared.stages import stage
from adhelpers.audit import paste_region, repaired
from adhelpers.data import plant_defect
from adhelpers.detectors import (
    CounterpartMaker,
    LinearReconstruction,
    NearestGood,
    PatchBlend,
    inpainted,
)
from adhelpers.explainers import BatchedScore
from adhelpers.metrics import share_estimate

from .assess import ImageAssessment

MAKERS: dict[str, Callable[[], CounterpartMaker]] = {
    "nearest": NearestGood,
    "subspace": LinearReconstruction,
    "patches": PatchBlend,
}
INPAINTING = "inpainting"
# What a detector from elsewhere says itself, such as a model that returns a reconstruction.
OWN = "own"
NAMES = ("auto", *MAKERS, INPAINTING)
# What a counterpart must reach in each of its shares for a repair with it to prove something.
GOOD_ENOUGH = 0.75
# Good validation images that are repaired for each candidate; of a slow detector fewer, so that it
# is asked for these seconds, but with fewer than the smallest number shares say nothing.
_IMAGES, _FEWEST_IMAGES, _SECONDS = 24, 10, 180
# How often an image is scored: planted, three times for each of three makers, twice inpainted.
_SCORED = 12
# With fewer planted defects that are seen their share says nothing.
_FEWEST_SEEN = 3
# A planted defect is seen where it raises the score by this share of the good scores' deviation.
_SEEN = 0.5
_BATCH = 32
Fill = Callable[[Images, Flags], Images]


class _Maker(Protocol):
    """Makes a normal version of each image."""

    @property
    def name(self) -> str:
        """Of the counterpart, as people read it."""

    def counterpart(self, images: Images) -> Images:
        """The normal versions."""


class _Own(NamedTuple):
    """A detector's own."""

    name: str
    counterpart: Callable[[Images], Images]


@dataclass(frozen=True)
class CounterpartCheck:
    """What a detector says of good images that one kind of counterpart has changed.

    Attributes
    ----------
    name : str
        Of the counterpart, as people read it.
    images : int
        Number of good validation images.
    whole, part : int
        How many of them stay normal when replaced by their counterpart, and when a random region
        of them is repaired; ``whole`` is -1 for what only fills regions.
    seen, gone : int
        How many planted defects raise the score noticeably, and how many of these the repair takes
        back.
    """

    name: str
    images: int
    whole: int
    part: int
    seen: int
    gone: int

    @property
    def shares(self) -> list[float]:
        """The shares that count: of the images, and of the planted defects where some are seen."""
        found = [] if self.whole < 0 else [self.whole / self.images]
        found.append(self.part / self.images)
        return found + ([self.gone / self.seen] if self.seen >= _FEWEST_SEEN else [])

    @property
    def lowest(self) -> float:
        """The lowest of the shares, in [0, 1]."""
        return min(self.shares)

    def row(self) -> dict[str, str]:
        """The shares with their exact 95 % intervals."""

        def share(count: int, of: int) -> str:
            return f"{count} of {of} ({share_estimate(count, of):.2f})" if of else "none seen"

        return {
            "whole image stays normal": "–" if self.whole < 0 else share(self.whole, self.images),
            "repaired region stays normal": share(self.part, self.images),
            "planted defect is gone": share(self.gone, self.seen),
        }


@dataclass(frozen=True)
class CounterpartChoice:
    """Which counterpart a detector got, and how well it keeps good images normal.

    Attributes
    ----------
    assessment : ImageAssessment
        Of the detector, with the chosen counterparts.
    checks : dict of str to CounterpartCheck
        By the name that can be asked for; empty where the detector has one of its own, or where
        there is no model.
    chosen : str
        One of these names; empty where ``checks`` is.
    asked : str
        ``"auto"`` or the name that was asked for.
    """

    assessment: ImageAssessment
    checks: Mapping[str, CounterpartCheck]
    chosen: str = ""
    asked: str = "auto"

    @property
    def verifiable(self) -> bool:
        """Whether a repair can say what raised a flag."""
        if not self.assessment.has_counterparts:
            return False
        return not self.chosen or self.checks[self.chosen].lowest >= GOOD_ENOUGH

    def table(self) -> pd.DataFrame:
        """A row for each candidate, the chosen one marked."""
        rows = {
            check.name: check.row() | {"taken": "←" if name == self.chosen else ""}
            for name, check in self.checks.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def findings(self) -> list[str]:
        """Which counterpart was taken and why, and what that means for the repair test."""
        one = self.assessment
        if not one.has_counterparts:
            return [
                "There are only maps and no model: nothing can be repaired and scored again, so "
                "verdicts rest on where the maps are highest, against chance."
            ]
        if not self.chosen:
            return [f"The {one.title} has a counterpart of its own: {one.counterpart_name}."]
        check = self.checks[self.chosen]
        how = "it keeps good images normal best"
        if self.asked != "auto" or self.chosen == OWN:
            how = "the detector's own" if self.chosen == OWN else "as asked for"
        found = (
            f"A defect is repaired with: {check.name} ({how}). A repaired region stays normal in "
            f"{check.part} of {check.images} good validation images"
        )
        if check.whole >= 0:
            found += f", the whole counterpart in {check.whole}"
        found += (
            f"; {check.gone} of {check.seen} planted defects that raise the score are gone."
            if check.seen >= _FEWEST_SEEN
            else "; too few planted defects raise the score to say whether a repair removes one."
        )
        if self.verifiable:
            return [found]
        return [
            found,
            f"That is too few (each share must reach {GOOD_ENOUGH:.0%}): to this detector a repair "
            "is an anomaly of its own, so no repair can say what raised a flag, and flags are "
            "“flagged, not verifiable”.",
        ]


def choose_counterpart(
    assessment: ImageAssessment,
    counterpart: str = "auto",
    *,
    seed: int = 0,
    show_progress: bool = True,
) -> CounterpartChoice:
    """Give a detector from elsewhere a normal version of each image.

    Candidates are made from the good training images alone and tried on good validation images: the
    whole image replaced, a random region repaired, and a planted defect repaired. What counts is
    what the detector itself says of the result. No test image has a say in this.

    Parameters
    ----------
    assessment : ImageAssessment
        Of a detector with ``with_counterpart``; one that has a counterpart of its own, or of which
        there are only maps, stays as it is.
    counterpart : str
        ``"auto"``: the detector's own where it has one that is good enough; else the candidate
        whose lowest share is highest; inpainting, which only fills regions, where no other one is
        good enough. Or one of ``nearest``, ``subspace``,
        ``patches``, ``inpainting``.
    seed : int
    show_progress : bool

    Returns
    -------
    CounterpartChoice

    Raises
    ------
    ValueError
        For an unknown name.
    """
    check_choice("counterpart", counterpart, NAMES)
    # mypy: only a detector from elsewhere has the method.
    detector: Any = assessment.detector
    if not assessment.has_counterparts or not hasattr(detector, "with_counterpart"):
        return CounterpartChoice(assessment, {})
    category = assessment.category
    wanted = MAKERS if counterpart in ("auto", INPAINTING) else {counterpart: MAKERS[counterpart]}
    with stage("counterparts"):
        makers: dict[str, _Maker] = {}
        if counterpart == "auto" and detector.counterpart_name:
            makers[OWN] = _Own(detector.counterpart_name, detector.counterpart)
        for name, make in wanted.items():
            makers[name] = make().fit(category.train.images, seed=seed)
        trial = _Trial.on(assessment, seed)
        candidates: dict[str, tuple[str, Fill, _Maker | None]] = {
            name: (maker.name, _whole_fill(maker), maker) for name, maker in makers.items()
        }
        if counterpart in ("auto", INPAINTING):
            candidates[INPAINTING] = (INPAINTING, inpainted, None)
        checks = {
            name: trial.check(title, fill, maker)
            for name, (title, fill, maker) in progress(
                list(candidates.items()), "counterparts", enabled=show_progress
            )
        }
        chosen = _best(checks) if counterpart == "auto" else counterpart
        # What only fills regions leaves LIME and SHAP, which replace many at once, the best other.
        maker = makers[chosen if chosen in makers else _best({n: checks[n] for n in makers})]
        counterparts = maker.counterpart(category.test.images)
    given = replace(
        assessment,
        detector=detector.with_counterpart(maker.name, maker.counterpart),
        counterparts=counterparts,
        counterpart_name=maker.name,
        fill=inpainted if chosen == INPAINTING else None,
    )
    return CounterpartChoice(given, checks, chosen, counterpart)


def _best(checks: Mapping[str, CounterpartCheck]) -> str:
    """The candidate with the highest lowest share; what only fills regions stands behind others."""
    if OWN in checks and checks[OWN].lowest >= GOOD_ENOUGH:
        return OWN
    whole = [name for name, check in checks.items() if check.whole >= 0]
    # max() keeps the first of equals.
    best = max(whole, key=lambda name: (checks[name].lowest, sum(checks[name].shares)))
    others = [name for name in checks if name not in whole]
    if others and checks[best].lowest < GOOD_ENOUGH <= checks[others[0]].lowest:
        return others[0]
    return best


def _whole_fill(maker: _Maker) -> Fill:
    """A maker's counterpart of the whole image, from which a region is pasted."""
    return lambda image, region: maker.counterpart(image[None])[0]


@dataclass(frozen=True)
class _Trial:
    """Good validation images with and without planted defects, and what the detector says."""

    score: BatchedScore
    good: Images
    planted: Images
    places: Masks
    regions: Masks
    before: NDArray[np.float64]
    with_patch: NDArray[np.float64]
    threshold: float

    @classmethod
    def on(cls, assessment: ImageAssessment, seed: int) -> "_Trial":
        """Plant defects and draw regions in at most `_IMAGES` validation images."""
        good = assessment.category.validation.images
        each = assessment.seconds / max(1, len(assessment.category.test))
        affordable = int(_SECONDS / (_SCORED * each)) if each > 0 else _IMAGES
        count = min(_IMAGES, max(_FEWEST_IMAGES, affordable), len(good))
        chosen = np.unique(np.linspace(0, len(good) - 1, count).astype(int))
        good = good[chosen]
        # What a repair is tried on comes from good images: no counterpart is pulled along by it.
        planted, random = good.copy(), np.random.default_rng(seed)
        for image in planted:
            plant_defect(image, good, random, kind="paste")
        score = BatchedScore(assessment.detector.score, _BATCH)
        return cls(
            score,
            good,
            planted,
            np.stack([_box(one) for one in (planted != good).any(axis=-1)]),
            _random_regions(good.shape[:3], seed),
            np.asarray(assessment.reference_scores[chosen], np.float64),
            score(planted),
            assessment.threshold.value,
        )

    def check(self, name: str, fill: Fill, maker: _Maker | None) -> CounterpartCheck:
        """Score what a counterpart makes of the good images and of the planted defects."""
        # An image that was above the threshold before may stay where it was.
        limits = np.maximum(self.threshold, self.before) + _rounding(self.before)
        part = self.score(self._repaired(self.good, self.regions, fill))
        after = self.score(self._repaired(self.planted, self.places, fill))
        rise = self.with_patch - self.before
        seen = rise > _SEEN * self.before.std() + _rounding(self.before)
        gone = seen & (after <= self.before + rise / 2) & (after <= limits)
        whole = -1
        if maker is not None:
            scores = self.score(maker.counterpart(self.good))
            whole = int((scores <= self.threshold + _rounding(self.before)).sum())
        stays = int((part <= limits).sum())
        counts = {"whole": whole, "part": stays, "seen": int(seen.sum()), "gone": int(gone.sum())}
        return CounterpartCheck(name, len(self.good), **counts)

    def _repaired(self, images: Images, regions: Sequence[Flags] | Masks, fill: Fill) -> Images:
        """Images whose regions are repaired as the repair test does it."""
        return np.stack(
            [
                repaired(image, fill(image, paste_region(region)), region)
                for image, region in zip(images, regions, strict=True)
            ]
        )


def _rounding(scores: NDArray[np.float64]) -> float:
    """What the same image's score may differ by in another batch."""
    return 1e-5 * float(np.abs(scores).max())


def _box(region: Flags) -> Flags:
    """The box around a region; the whole image where nothing differs."""
    if not region.any():
        return np.ones_like(region)
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = np.zeros_like(region)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box


def _random_regions(shape: Sequence[int], seed: int) -> Masks:
    """A rectangle in each image, from a tenth to a fourth of its sides."""
    random = np.random.default_rng([seed, 1])
    count, height, width = shape
    regions = np.zeros((count, height, width), bool)
    for region in regions:
        rows, columns = (
            int(random.integers(max(2, side // 10), max(3, side // 4), endpoint=True))
            for side in (height, width)
        )
        row = random.integers(max(1, height - rows))
        column = random.integers(max(1, width - columns))
        region[row : row + rows, column : column + columns] = True
    return regions
