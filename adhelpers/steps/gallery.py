"""Pictures of a category and of what a detector and its explainers say about it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter
from skimage.transform import resize

from adhelpers._shared.arrays import Flags, Images, Integers, Maps, Names
from adhelpers._shared.stages import stage
from adhelpers.data import Category, read_image
from adhelpers.explainers import Explanations
from adhelpers.reports import (
    Card,
    MapScale,
    Sample,
    describe,
    explore,
    ground_truth_grid,
    image_grid,
    overlay_grid,
    reconstruction_grid,
    sample_strip,
    sample_webp,
    write_gallery,
)

from .assess import ImageAssessment
from .explain import REPAIR
from .localization import SHOWN, LocalizationAudit

_ORDER = (
    "wrong reason",
    "wrong place",
    "missed",
    "false alarm",
    "flagged, unverified",
    "flagged, not verifiable",
    "right reason, badly explained",
    "right reason, explained too coarsely",
    "right reason",
    "right place",
    "passed",
)


def examples(category: Category, per_type: int = 1) -> Integers:
    """Indices of test images that stand for their type: good ones first, then each defect."""
    types = category.test.types
    ordered = sorted(set(types), key=lambda kind: (kind != "good", kind))
    return np.concatenate([np.flatnonzero(types == kind)[:per_type] for kind in ordered])


def overview(category: Category, per_type: int = 4) -> Figure:
    """A few defective test images of each type, true defects outlined where there are masks."""
    test = category.test
    if test.masks is not None:
        return ground_truth_grid(test.images, test.masks, test.types, per_type=per_type)
    chosen = examples(category, per_type)
    return image_grid(test.images[chosen], test.types[chosen], title="Test images")


def reconstructions(assessment: ImageAssessment, indices: Sequence[int] | Integers) -> Figure:
    """Some test images beside their counterparts and anomaly maps."""
    test = assessment.category.test
    return reconstruction_grid(
        test.images[indices],
        assessment.counterparts[indices],
        assessment.anomaly_maps[indices],
        test.types[indices],
        assessment.scores[indices],
        None if test.masks is None else test.masks[indices],
        title=assessment.heading,
        names=("image", assessment.counterpart_name, "anomaly map"),
        scale=assessment.map_scale,
    )


def on_photographs(
    assessment: ImageAssessment, indices: Sequence[int] | Integers, size: int = 384
) -> Figure:
    """Anomaly maps on the photographs as they are on disk, before light, pose and crop changed.

    Below the threshold the map is transparent. Where the score is not a value of the map, half way
    to the limit of `ImageAssessment.map_scale` takes the threshold's place. True defects are
    outlined.

    Parameters
    ----------
    assessment : ImageAssessment
    indices : sequence of int
        Which test images to show.
    size : int
        Height of each picture in pixels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    category, test = assessment.category, assessment.category.test
    if test.files is None:
        raise ValueError("category must come from files: there are no photographs otherwise")
    settings, shape = category.settings, None
    pictures, maps, masks = list[Images](), list[Maps](), list[Flags]()
    for index in indices:
        photograph, _ = read_image(
            Path(test.files[index]).read_bytes(), settings.get("bit_depth"), settings.get("page")
        )
        height, width = photograph.shape[:2]
        shape = shape or (size, round(size * width / height))
        pictures.append(resize(photograph, shape, order=1, anti_aliasing=True))
        # Interpolation would lower a narrow peak below the threshold that it reaches; with the
        # neighbours as high as it is there is one place where it does not.
        raised = maximum_filter(assessment.anomaly_maps[index], size=3)
        original = test.to_original(raised, index)
        maps.append(resize(original, shape, order=1, anti_aliasing=False))
        if test.masks is not None:
            mask = test.to_original(test.masks[index].astype(np.float32), index)
            masks.append(resize(mask, shape, order=1, anti_aliasing=False) >= 0.5)
    scale, note = _visible(assessment.map_scale)
    return overlay_grid(
        np.clip(pictures, 0, 1),
        np.asarray(maps),
        scale,
        [str(test.names[index]) for index in indices],
        np.asarray(masks) if masks else None,
        title="Back on the photograph",
        note=note + ("; true defects outlined" if masks else ""),
    )


def _visible(scale: MapScale) -> tuple[MapScale, str]:
    """The part of a map's scale that is drawn on a photograph, and where it begins in words."""
    # Distances do not begin at 0.
    floor = max(0.0, scale.floor)
    # A score that sums over the image has a threshold that no pixel reaches.
    if scale.threshold is not None and scale.threshold > floor:
        start, what = scale.threshold, "the threshold"
    else:
        start, what = (floor + scale.limit) / 2, "half of the scale: the score is no pixel's"
    # Where no map is higher than the threshold there still is a scale.
    limit = scale.limit if scale.limit > start else 2 * start - floor
    return MapScale(limit, start), f"transparent below {start:.3g}, {what}"


def _panels(figure: Figure) -> list[str]:
    """What the panels of a strip are called."""
    return [name for ax in figure.axes if (name := ax.get_title("left"))]


@dataclass(frozen=True)
class Strips:
    """What the strips of a category's test images are drawn from.

    Attributes
    ----------
    assessment : ImageAssessment
    explanations : dict of str to Explanations
        Of all test images.
    localization : LocalizationAudit or None
    repaired : dict of int to (ndarray (h, w, c), float)
        For some test images the image after its defect was repaired, and its score; shown where
        there is no smallest repair.
    verdicts : sequence of str, optional
        One for each test image.
    names : tuple of str
        The explainers whose optimal Jaccard stands on a card; the strip shows one, the smallest
        repair where there is one and else the last of these.
    """

    assessment: ImageAssessment
    explanations: Mapping[str, Explanations]
    localization: LocalizationAudit | None = None
    repaired: Mapping[int, tuple[Images, float]] = field(default_factory=dict)
    verdicts: Sequence[str] | Names | None = None
    names: Sequence[str] = ("LIME", "SHAP")

    def _verdict(self, index: int) -> str:
        return "" if self.verdicts is None else str(self.verdicts[index])

    def rank(self, index: int) -> int:
        """Where an image belongs in a list that begins with what went wrong."""
        verdict = self._verdict(index)
        return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)

    def figure(self, index: int) -> Figure:
        """One test image: image, map, one explanation, the image repaired, overlap with the defect.

        File name, verdict, score and decision are above it.
        At most five panels, so that each is large enough for a small defect. The counterpart and
        the other explainers are in `explore`.

        Parameters
        ----------
        index : int
            Of the test image.

        Returns
        -------
        matplotlib.figure.Figure
        """
        one = self.assessment
        name = str(one.category.test.names[index]).removeprefix("test/")
        title = ": ".join(filter(None, (name, self._verdict(index))))
        figure = sample_strip(
            self._strip_sample(index), one.threshold, title=title, scale=one.map_scale
        )
        describe(figure, f"{title}; from the left: {', '.join(_panels(figure))}")
        return figure

    def _strip_sample(self, index: int) -> Sample:
        """What a strip shows of a test image."""
        shown = REPAIR if REPAIR in self.explanations else self.names[-1]
        return replace(self.sample(index, [shown]), counterpart=None)

    def sample(self, index: int, names: Iterable[str]) -> Sample:
        """One test image with what the detector and the explainers ``names`` say about it."""
        one, test, audit = self.assessment, self.assessment.category.test, self.localization
        smallest = self._smallest_repair(index)
        return Sample(
            test.images[index],
            {name: self.explanations[name].heatmaps[index] for name in names},
            one.counterparts[index] if one.has_counterparts else None,
            one.anomaly_maps[index] if one.has_maps else None,
            mask=None if test.masks is None else test.masks[index],
            score=float(one.scores[index]),
            name=str(test.names[index]),
            type=str(test.types[index]),
            optimal=None
            if audit is None
            else {
                name: (audit.jaccards[name][index], audit.cuts[name][index])
                for name in names
                if name in audit.jaccards
            },
            repaired=smallest or self.repaired.get(index),
            repaired_name="repaired" if smallest else Sample.repaired_name,
        )

    def _smallest_repair(self, index: int) -> tuple[Images, float] | None:
        """A test image after its smallest repair, and its score; None where nothing is repaired."""
        if REPAIR not in self.explanations:
            return None
        found = self.explanations[REPAIR]
        region = found.heatmaps[index] > 0
        if not region.any():
            return None
        image = self.assessment.category.test.images[index]
        mended = np.where(region[..., None], self.assessment.counterparts[index], image)
        return mended, float(found.details[index]["repaired score"])

    def card(self, index: int) -> Card:
        """The gallery's card of one test image, with its strip."""
        one, test, audit = self.assessment, self.assessment.category.test, self.localization
        jaccards = (
            {name: float(audit.jaccards[name][index]) for name in self.names} if audit else {}
        )
        flagged = bool(one.flags[index])
        return Card(
            name=str(test.names[index]),
            type=str(test.types[index]),
            index=index,
            score=float(one.scores[index]),
            decision="flagged" if flagged else "passed",
            correct=flagged == (test.labels[index] == 1),
            jaccards={
                name: value if np.isfinite(value) else None for name, value in jaccards.items()
            },
            picture=sample_webp(self._strip_sample(index), one.threshold, scale=one.map_scale),
            badges=()
            if test.uncorrected is None or not test.uncorrected[index]
            else ("uncorrected",),
            verdict=self._verdict(index),
        )

    def explore(self, max_static: int = 6) -> Any:
        """One test image at a time, with a slider; see `adhelpers.reports.explore`."""
        one = self.assessment
        shown = [name for name in SHOWN if name in self.explanations]
        names = shown or [self.names[-1]]
        return explore(
            [self.sample(index, names) for index in range(len(one.category.test))],
            one.threshold,
            max_static=max_static,
            counterpart_name=one.counterpart_name,
        )


def save_gallery(
    path: str | Path,
    strips: Strips,
    *,
    title: str,
    tables: Mapping[str, pd.DataFrame],
    notes: Sequence[str] = (),
) -> None:
    """Write the gallery page: tables folded, then a card with its strip for each test image.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    strips : Strips
    title : str
    tables : dict of str to pandas.DataFrame
    notes : list of str
        Sentences at the top.
    """
    one = strips.assessment
    settings = {
        "detector": one.title,
        "threshold": f"{one.threshold.value:.4f} ({one.threshold.rule})",
        **{name: str(value) for name, value in one.category.settings.items()},
    }
    with stage("gallery"):
        # What went wrong comes first.
        order = sorted(range(len(one.category.test)), key=strips.rank)
        cards = [strips.card(index) for index in order]
        write_gallery(
            path, title=title, settings=settings, tables=tables, cards=cards, notes=list(notes)
        )
