"""Divides samples for semi-supervised anomaly detection: many unlabelled, a few known ones."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adhelpers._shared.arrays import Flags, Images, Integers
from adhelpers._shared.text import listed

from .duplicates import duplicate_remarks, held_out_groups
from .image_set import Category, ImageSet
from .labelled import LabelledSamples
from .reading import GOOD
from .remarks import Remark

# Kinds of remarks on copies: those of a folder are about its own splits.
_COPIES = ("duplicate_", "contradictory_")
# What floating point takes from a count that is whole.
_ROUNDING = 1e-9
# In standard deviations: the squared distance of a code, several layers on, must fit 32 bits.
_FARTHEST = 1e15


@dataclass(frozen=True)
class SplitCounts:
    """How many training samples of each kind there are.

    Attributes
    ----------
    unlabelled_normal, unlabelled_outlier, known_normal, known_outlier : int
        Unlabelled outliers are the pollution.
    """

    unlabelled_normal: int
    unlabelled_outlier: int
    known_normal: int
    known_outlier: int


def _check_ratios(**ratios: float) -> None:
    for name, ratio in ratios.items():
        if not 0 <= ratio < 1:
            raise ValueError(f"{name} must be from 0 to below 1, not {ratio}")


def split_counts(
    normal: int,
    ratio_known_normal: float = 0.0,
    ratio_known_outlier: float = 0.0,
    ratio_pollution: float = 0.0,
) -> SplitCounts:
    """How many outliers and labels the ratios ask for, when all normal samples are used.

    Four equations, as in the code published with Ruff et al., "Deep semi-supervised anomaly
    detection", ICLR 2020: known and unlabelled normal samples are all normal ones, known normal and
    known outliers have their shares of the whole training set, and unlabelled outliers theirs of
    what is unlabelled. What is not whole is cut.

    Parameters
    ----------
    normal : int
        Normal samples.
    ratio_known_normal, ratio_known_outlier : float
        Shares of the training set, in [0, 1).
    ratio_pollution : float
        Share of unlabelled outliers among the unlabelled samples, in [0, 1).

    Returns
    -------
    SplitCounts

    Raises
    ------
    ValueError
        If the ratios contradict each other.

    Examples
    --------
    >>> split_counts(5923, ratio_known_outlier=0.01, ratio_pollution=0.1)
    SplitCounts(unlabelled_normal=5923, unlabelled_outlier=658, known_normal=0, known_outlier=66)
    """
    _check_ratios(
        ratio_known_normal=ratio_known_normal,
        ratio_known_outlier=ratio_known_outlier,
        ratio_pollution=ratio_pollution,
    )
    # Unlabelled outliers for each unlabelled normal sample; then the four equations have this
    # solution.
    odds = ratio_pollution / (1 - ratio_pollution)
    total = normal * (1 + odds) / (1 + odds * ratio_known_normal - ratio_known_outlier)
    known_normal = ratio_known_normal * total
    if known_normal > normal or ratio_known_normal + ratio_known_outlier >= 1:
        raise ValueError(
            f"ratio_known_normal {ratio_known_normal} and ratio_known_outlier "
            f"{ratio_known_outlier} leave nothing unlabelled: their sum must stay below 1"
        )
    values = (
        normal - known_normal,
        odds * (normal - known_normal),
        known_normal,
        ratio_known_outlier * total,
    )
    return SplitCounts(*(math.floor(value + _ROUNDING * max(1, value)) for value in values))


@dataclass(frozen=True)
class SemiSupervisedCategory(Category):
    """A category whose training set may hold anomalies: unlabelled ones, and a few known ones.

    Everything is as in `Category`. The truth about the training samples is in ``train.labels`` and
    ``train.types``; a detector gets only ``known``. Samples may also be vectors, (n, d).

    Attributes
    ----------
    known : ndarray of int64, shape (n,)
        For each training sample 0 unlabelled, 1 known normal, -1 known anomaly.
    counts : SplitCounts
    """

    known: NDArray[np.int64]
    counts: SplitCounts

    def inventory(self) -> pd.DataFrame:
        """What the training, validation and test sets are made of.

        Returns
        -------
        pandas.DataFrame
            A row for each part: samples, classes, and what the detector is told of them.
        """
        train, rows = self.train, []
        for title, told, truth in (
            ("unlabelled, normal", 0, 0),
            ("unlabelled, outliers", 0, 1),
            ("known normal", 1, 0),
            ("known outliers", -1, 1),
        ):
            chosen = (self.known == told) & (train.labels == truth)
            rows.append(
                (
                    "train",
                    title,
                    chosen.sum(),
                    train.types[chosen],
                    {0: "nothing", 1: "normal", -1: "anomalous"}[told],
                )
            )
        rows.append(("validation", "normal", len(self.validation), self.validation.types, "normal"))
        for title, truth in (("normal", 0), ("outliers", 1)):
            chosen = self.test.labels == truth
            rows.append(("test", title, chosen.sum(), self.test.types[chosen], "nothing"))
        table = pd.DataFrame(
            rows, columns=["set", "part", "samples", "classes", "the detector is told"]
        )
        table["classes"] = [
            ", ".join(sorted(set(map(str, kinds)))) or "–" for kinds in table["classes"]
        ]
        return table.astype({"samples": int})


def _class_list(text: str, name: str, present: Sequence[str]) -> list[str]:
    """The classes that a text lists, all of which must be present."""
    chosen = list(listed(text))
    wrong = [one for one in chosen if one not in present]
    if wrong:
        raise ValueError(
            f"{name}: there is no class {wrong[0]!r}; the classes are {', '.join(present)}"
        )
    return chosen


def _largest(works: Callable[[float], bool]) -> float:
    """The largest ratio, in thousandths, for which ``works``."""
    low, high = 0, 999
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if works(middle / 1000) else (low, middle - 1)
    return low / 1000


def semi_supervised(
    labelled: LabelledSamples,
    normal_class: str = "",
    known_outlier_class: str = "",
    n_known_outlier_classes: int = 1,
    *,
    ratio_known_normal: float = 0.0,
    ratio_known_outlier: float = 0.0,
    ratio_pollution: float = 0.0,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> SemiSupervisedCategory:
    """Make one class the normal one, hide most labels and add unlabelled outliers.

    Parameters
    ----------
    labelled : LabelledSamples
    normal_class : str
        A class, or several with commas between; empty is ``good`` where there is such a class, else
        the first.
    known_outlier_class : str
        The classes that known anomalies are of, with commas between; empty draws
        ``n_known_outlier_classes`` of the others.
    n_known_outlier_classes : int
        Unlabelled outliers and test outliers are of all other classes.
    ratio_known_normal, ratio_known_outlier, ratio_pollution : float
        See `split_counts`.
    validation_fraction : float
        Share of the normal samples that is held out of training before the ratios are applied; 0
        holds none out, as published.
    seed : int
        Of the drawing.

    Returns
    -------
    SemiSupervisedCategory
        Types are ``good`` and the names of the outlier classes. Vectors are brought to mean 0 and
        deviation 1 of the training samples.

    Raises
    ------
    ValueError
        If a class does not exist, or has too few samples for the ratios: the largest ratio that
        works is named.

    Examples
    --------
    >>> from adhelpers.data import load_labelled
    >>> category = semi_supervised(
    ...     load_labelled("digits"), "3", "5", ratio_known_outlier=0.05, ratio_pollution=0.1
    ... )
    >>> category.counts
    SplitCounts(unlabelled_normal=99, unlabelled_outlier=11, known_normal=0, known_outlier=5)
    """
    plan = _plan(
        labelled,
        normal_class,
        known_outlier_class,
        n_known_outlier_classes,
        ratio_known_normal=ratio_known_normal,
        ratio_known_outlier=ratio_known_outlier,
        ratio_pollution=ratio_pollution,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    chosen, known = plan.chosen, plan.known
    samples, precision = _standardized(labelled, chosen)
    everything = _image_set(labelled, samples, plan.is_normal)
    identity = json.dumps([labelled.fingerprint, plan.settings], sort_keys=True)
    digest = hashlib.sha256(identity.encode())
    digest.update(chosen.astype("<i8").tobytes() + known.astype("<i8").tobytes())
    return SemiSupervisedCategory(
        name=labelled.name,
        root=None,
        train=everything.subset(chosen),
        validation=everything.subset(plan.validation),
        test=everything.subset(np.flatnonzero(labelled.is_test)),
        settings=plan.settings,
        fingerprint=digest.hexdigest(),
        files=_contents(labelled, plan.is_normal),
        known=known,
        counts=plan.counts,
        remarks=(
            *_copies(labelled, plan.is_normal, chosen, plan.validation),
            *(one for one in labelled.remarks if not one.kind.startswith(_COPIES)),
            *precision,
            *_unmet(plan),
        ),
    )


def check_split(labelled: LabelledSamples, **options: Any) -> None:
    """Raise what `semi_supervised` would raise for lack of samples, without making the sets.

    Parameters
    ----------
    labelled : LabelledSamples
    **options
        As for `semi_supervised`.

    Raises
    ------
    ValueError
    """
    _plan(labelled, **options)


@dataclass(frozen=True)
class _Plan:
    """Which samples are used for what, and the settings that say so."""

    settings: dict[str, Any]
    is_normal: Flags
    chosen: Integers
    known: NDArray[np.int64]
    validation: Integers
    counts: SplitCounts


def _plan(
    labelled: LabelledSamples,
    normal_class: str = "",
    known_outlier_class: str = "",
    n_known_outlier_classes: int = 1,
    *,
    ratio_known_normal: float = 0.0,
    ratio_known_outlier: float = 0.0,
    ratio_pollution: float = 0.0,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> _Plan:
    """Draw the samples of `semi_supervised`."""
    if not 0 <= validation_fraction < 1:
        raise ValueError(
            f"validation_fraction must be from 0 to below 1, not {validation_fraction}"
        )
    random = np.random.default_rng(seed)
    normal_classes, outlier_classes = _sorted_classes(labelled, normal_class)
    known_classes = _class_list(
        known_outlier_class, "known_outlier_class", outlier_classes
    ) or _drawn_classes(outlier_classes, n_known_outlier_classes, random)
    ratios = {
        "ratio_known_normal": ratio_known_normal,
        "ratio_known_outlier": ratio_known_outlier,
        "ratio_pollution": ratio_pollution,
    }
    name = ", ".join(normal_classes)
    settings = {
        "normal_class": name,
        "known_outlier_class": ", ".join(known_classes),
        **ratios,
        "validation_fraction": validation_fraction,
        "seed": seed,
    }
    is_normal = np.isin(labelled.classes, normal_classes)
    _check_test(labelled, is_normal, name)
    normal = random.permutation(np.flatnonzero(is_normal & ~labelled.is_test))
    outliers = random.permutation(np.flatnonzero(~is_normal & ~labelled.is_test))
    held_out = math.ceil(validation_fraction * len(normal))
    validation = held_out_groups(normal, labelled.copies, held_out)
    validation, normal = np.sort(validation), normal[~np.isin(normal, validation)]
    if len(normal) == 0:
        raise ValueError(
            f"normal_class {name} has no samples to train with beside the "
            f"{len(validation)} that are held out: choose one with more, or lower "
            "validation_fraction"
        )
    knowable = outliers[np.isin(labelled.classes[outliers], known_classes)]
    counts = _checked_counts(len(normal), len(knowable), len(outliers), known_classes, ratios)
    chosen, known = _training_set(normal, outliers, knowable, counts)
    if len(chosen) > 1 and len(set(labelled.copies[chosen].tolist())) == 1:
        raise ValueError(
            f"normal_class {name}: all {len(chosen)} training samples are the "
            "same; nothing can be learned from them"
        )
    return _Plan(settings, is_normal, chosen, known, validation, counts)


def _check_test(labelled: LabelledSamples, is_normal: Flags, normal_class: str) -> None:
    """Refuse a test set of one kind only."""
    tested = np.unique(labelled.classes[labelled.is_test]).tolist()
    for kind, chosen in (("normal", is_normal), ("anomalous", ~is_normal)):
        if not (chosen & labelled.is_test).any():
            raise ValueError(
                f"normal_class {normal_class}: the test set has no {kind} sample, but needs both "
                f"kinds; its classes are {', '.join(map(str, tested)) or '(none)'}: let "
                "normal_class name some of them, or add samples"
            )


def _unmet(plan: _Plan) -> tuple[Remark, ...]:
    """Ratios that ask for less than one sample."""
    counts = asdict(plan.counts)
    asked = {
        "ratio_known_normal": "known_normal",
        "ratio_known_outlier": "known_outlier",
        "ratio_pollution": "unlabelled_outlier",
    }
    unmet = [name for name, part in asked.items() if plan.settings[name] > 0 and counts[part] == 0]
    if not unmet:
        return ()
    given = ", ".join(f"{name} {plan.settings[name]:g}" for name in unmet)
    sentence = (
        f"{given} of {len(plan.chosen)} training samples is less than one sample, so that there is "
        "none; a higher share gives some"
    )
    return (Remark("ratio_without_samples", tuple(unmet), sentence),)


def _copies(
    labelled: LabelledSamples, is_normal: Flags, chosen: Integers, validation: Integers
) -> tuple[Remark, ...]:
    """Remarks on the samples in use that are there more than once."""
    parts = np.where(labelled.is_test, "test", "").astype(object)
    parts[chosen], parts[validation] = "train", "validation"
    used = np.flatnonzero(parts != "")
    return duplicate_remarks(
        labelled.names[used].tolist(), labelled.copies[used], parts[used].tolist(), ~is_normal[used]
    )


def _sorted_classes(labelled: LabelledSamples, normal_class: str) -> tuple[list[str], list[str]]:
    """The normal classes, and all others."""
    present = sorted(set(map(str, labelled.classes)))
    first = GOOD if GOOD in present else present[0]
    normal = _class_list(normal_class, "normal_class", present) or [first]
    others = [one for one in present if one not in normal]
    if not others:
        raise ValueError(
            f"normal_class {', '.join(normal)} leaves no other class that could be anomalous"
        )
    return normal, others


def _training_set(
    normal: Integers, outliers: Integers, knowable: Integers, counts: SplitCounts
) -> tuple[Integers, NDArray[np.int64]]:
    """Indices of the training samples, and what is known of each."""
    known_outliers = knowable[: counts.known_outlier]
    parts = {
        "unlabelled normal": (normal[: counts.unlabelled_normal], 0),
        "unlabelled outliers": (
            outliers[~np.isin(outliers, known_outliers)][: counts.unlabelled_outlier],
            0,
        ),
        "known normal": (normal[counts.unlabelled_normal :][: counts.known_normal], 1),
        "known outliers": (known_outliers, -1),
    }
    indices, known = zip(*parts.values(), strict=True)
    return np.concatenate(indices), np.repeat(known, [len(part) for part in indices])


def _drawn_classes(classes: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """The classes of the known outliers, where none are given."""
    if not 0 <= count <= len(classes):
        raise ValueError(
            f"n_known_outlier_classes must be from 0 to {len(classes)}, the number of other "
            f"classes, not {count}"
        )
    return sorted(map(str, random.permutation(classes)[:count]))


def _contents(labelled: LabelledSamples, is_normal: Flags) -> dict[str, str]:
    """What `Category.files` says: the same for every seed and ratio, another for other classes."""
    content = labelled.fingerprint.encode() + np.asarray(is_normal, bool).tobytes()
    return dict.fromkeys(("train", "test"), hashlib.sha256(content).hexdigest())


def _standardized(labelled: LabelledSamples, chosen: Integers) -> tuple[Images, tuple[Remark, ...]]:
    """Vectors with mean 0 and deviation 1 of the chosen ones; images as they are.

    In 64 bits: 32 would leave of time stamps, for example, only a few different values.
    """
    samples = labelled.samples
    if samples.ndim != 2:
        return samples.astype(np.float32, copy=False), ()
    columns = labelled.columns or [f"{index}" for index in range(samples.shape[1])]
    exact = np.asarray(samples, np.float64)
    training = exact[chosen]
    varies = (training != training[0]).any(axis=0)
    scaled = (exact - training.mean(axis=0)) / np.where(varies, training.std(axis=0), 1)
    far = np.argwhere(~(np.abs(scaled) <= _FARTHEST))
    if len(far):
        row, column = far[0]
        raise ValueError(
            f"column {columns[column]!r} holds {exact[row, column]:g} in {labelled.names[row]}: "
            f"{abs(scaled[row, column]):.1e} standard deviations from the mean of the training "
            f"samples, where more than {_FARTHEST:g} cannot be computed with; correct the value, "
            "or remove the row"
        )
    rounded = scaled.astype(np.float32)
    lost = [
        name
        for name, before, after in zip(columns, exact.T, rounded.T, strict=True)
        if 2 * len(np.unique(after)) < len(np.unique(before))
    ]
    if not lost:
        return rounded, ()
    sentence = (
        f"{len(lost)} column{'s' * (len(lost) > 1)} of the table cannot be told apart from a "
        f"constant in most rows ({', '.join(lost)}): a few values lie so far from the others that "
        "32 bits do not hold both; correct them, or remove their rows"
    )
    return rounded, (Remark("table_precision", tuple(lost), sentence),)


def _checked_counts(
    normal: int,
    knowable: int,
    outliers: int,
    known_classes: Sequence[str],
    ratios: dict[str, float],
) -> SplitCounts:
    """The counts that the ratios ask for, where there are as many samples."""
    counts = split_counts(normal, **ratios)

    def fits(name: str, value: float, parts: Sequence[str], there: int) -> bool:
        try:
            asked = asdict(split_counts(normal, **ratios | {name: value}))
        except ValueError:
            return False
        return sum(asked[part] for part in parts) <= there

    if counts.known_outlier > knowable:
        name, parts = "ratio_known_outlier", ("known_outlier",)
        most = _largest(lambda value: fits(name, value, parts, knowable))
        raise ValueError(
            f"{name} {ratios[name]} asks for {counts.known_outlier} known outliers beside {normal} "
            f"normal samples, but class {', '.join(known_classes) or '(none)'} has {knowable} to "
            f"train with: at most {most:g} works, or more known classes"
        )
    if counts.known_outlier + counts.unlabelled_outlier > outliers:
        name, both = "ratio_pollution", ("known_outlier", "unlabelled_outlier")
        most = _largest(lambda value: fits(name, value, both, outliers))
        raise ValueError(
            f"{name} {ratios[name]} asks for {counts.unlabelled_outlier} unlabelled outliers "
            f"beside {counts.known_outlier} known ones and {normal} normal samples, but there are "
            f"{outliers} outliers in all to train with: at most {most:g} works"
        )
    return counts


def _image_set(labelled: LabelledSamples, samples: Images, is_normal: Flags) -> ImageSet:
    """All samples, normal ones called good."""
    size = samples.shape[1:3] if samples.ndim == 4 else (0, 0)
    return ImageSet(
        images=samples,
        labels=np.where(is_normal, 0, 1).astype(np.int64),
        types=np.where(is_normal, GOOD, labelled.classes.astype(object)).astype(str),
        names=labelled.names,
        masks=labelled.masks,
        transforms=None,
        original_shapes=np.tile(np.array(size, np.int64), (len(samples), 1)),
    )
