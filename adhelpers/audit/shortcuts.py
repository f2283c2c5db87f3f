"""Can a trivial statistic tell good from defective images? Asked before any model: where it can, a high AUROC proves nothing."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError
from scipy import ndimage, stats
from skimage.filters import threshold_otsu

from adhelpers.metrics.comparison import holm
from adhelpers.metrics.intervals import checked_resampling, percentile_interval, resample_counts

SIGNIFICANCE = 0.05
"""A statistic counts as a shortcut where its corrected p-value is below this."""

NOTABLE = 0.7
"""From this AUROC on, a statistic that is not significant is still worth a word, and strata count as not alike."""

_FILE_STATISTICS = ("file_size", "file_height", "file_width")
_RING_SHARE = 0.04
# float32 holds grey levels with errors that grow with the level and would rank equal statistics by
# brightness. As whole multiples of 1 / 65535, which 8-bit and 16-bit levels are, their sums and
# differences are exact.
_LEVELS = 65535
# An 8-bit value that was resized may miss the end of the range by rounding.
_END_OF_RANGE = 0.5 / 255 * _LEVELS


def image_statistics(images, paths=None):
    """Trivial statistics of each image, none of which knows what a defect is.

    Parameters
    ----------
    images : (n, h, w, c) array of float
        In [0, 1], c = 1 or 3, h and w at least 3.
    paths : sequence of n paths, optional
        The images' files. Only their headers are read.

    Returns
    -------
    pandas.DataFrame
        A row for each image, in order. Grey is the mean over channels. Columns:

        - ``mean_brightness``, ``standard_deviation`` of the grey values.
        - ``median_background``: median of a ring along the border, 4 % of the shorter side wide, averaged over channels.
        - ``noise``: median absolute Laplacian of the grey values; ``sharpness``: variance of the Laplacian.
        - ``clipped_share``: share of pixels with a channel at an end of the range.
        - ``object_area`` (share of the image), ``object_row`` and ``object_column`` (centroid as a share of height and width
          from the top left; 0.5 without an object): pixels whose distance from the background
          colour is above Otsu's threshold.
        - RGB only: ``colour_saturation`` (mean saturation in HSV), ``mean_red``, ``mean_green``, ``mean_blue``.
        - With ``paths``: ``file_size`` (bytes), ``file_height``, ``file_width`` (pixels).

    Raises
    ------
    ValueError
        If images have another shape, are not finite or not in [0, 1], the number of paths differs,
        or a file is no image.
    FileNotFoundError
        If a file is missing.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Systems, Man,
    and Cybernetics, 1979.

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 1))
    >>> images[1] = 0.2
    >>> image_statistics(images)["mean_brightness"].tolist()
    [0.0, 0.2]
    """
    images = np.asarray(images)
    if (
        images.ndim != 4
        or not len(images)
        or images.shape[3] not in (1, 3)
        or min(images.shape[1:3]) < 3
    ):
        raise ValueError(
            "images must have shape (n, h, w, c) with n at least 1, h and w at least 3, c 1 or 3; "
            f"got {images.shape}"
        )
    if paths is not None and len(paths) != len(images):
        raise ValueError(
            f"paths must have one file for each of the {len(images)} images; got {len(paths)}"
        )
    rows = []
    for index, image in enumerate(images):
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"images must be finite and lie in [0, 1]; image {index} does not (divide 8-bit images by 255)"
            )
        rows.append(_pixel_statistics(image.astype(np.float64)))
        if paths is not None:
            rows[-1].update(_file_statistics(paths[index]))
    return pd.DataFrame(rows)


def _pixel_statistics(image):
    height, width, channels = image.shape
    image = np.round(image * _LEVELS)
    grey, white = image.sum(axis=2), _LEVELS * channels
    laplacian = ndimage.laplace(grey)[1:-1, 1:-1]
    thickness = max(1, round(_RING_SHARE * min(height, width)))
    ring = np.ones((height, width), bool)
    ring[thickness:-thickness, thickness:-thickness] = False
    background = np.median(image[ring], axis=0)
    distance = np.sqrt(((image - background) ** 2).mean(axis=2))
    row, column = np.nonzero(distance > threshold_otsu(distance))
    at_an_end = (image <= _END_OF_RANGE) | (image >= _LEVELS - _END_OF_RANGE)
    statistics = {
        "mean_brightness": grey.mean() / white,
        "standard_deviation": grey.std() / white,
        "median_background": background.sum() / white,
        "noise": np.median(np.abs(laplacian)) / white,
        "sharpness": laplacian.var() / white**2,
        "clipped_share": at_an_end.any(axis=2).mean(),
        "object_area": len(row) / grey.size,
        "object_row": (row.mean() + 0.5) / height if len(row) else 0.5,
        "object_column": (column.mean() + 0.5) / width if len(row) else 0.5,
    }
    if channels == 3:
        brightest = image.max(axis=2)
        saturation = np.divide(
            np.ptp(image, axis=2), brightest, out=np.zeros_like(brightest), where=brightest > 0
        )
        statistics["colour_saturation"] = saturation.mean()
        statistics.update(
            zip(("mean_red", "mean_green", "mean_blue"), image.mean(axis=(0, 1)) / _LEVELS)
        )
    return statistics


def _file_statistics(path):
    try:
        size = os.path.getsize(path)
        with Image.open(path) as file:
            width, height = file.size
    except FileNotFoundError as error:
        raise FileNotFoundError(f"paths: there is no file {path}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"paths: {path} is not an image that can be read") from error
    return dict(zip(_FILE_STATISTICS, (size, height, width)))


@dataclass(frozen=True)
class ShortcutProbe:
    """How well each trivial statistic tells test-good from test-anomalous.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each statistic, the most separating first. Columns: ``statistic``; ``auroc`` with
        "higher is anomalous"; ``direction`` in the anomalous images (``"higher"``, ``"lower"`` or
        ``"none"``); ``separability``, the AUROC in that direction; ``low``, ``high``, its 95 %
        bootstrap interval, direction held, so it may reach below 0.5; ``p_value``, Mann-Whitney,
        corrected after Holm; ``significant``. NaN and ``"unknown"`` where the test set has a single
        class.
    strongest : str or None
        The statistic that separates most, significantly or not; None where the test set has a
        single class.
    sentence : str
        What it means.
    """

    table: pd.DataFrame
    strongest: str | None
    sentence: str

    def as_dict(self):
        """The strongest statistic as plain values for JSON: ``name``, ``auroc``, ``separability``, ``direction``,
        ``significant``; None where the test set has a single class."""
        if self.strongest is None:
            return None
        first = self.table.iloc[0]
        return {
            "name": self.strongest,
            "auroc": float(first.auroc),
            "separability": float(first.separability),
            "direction": first.direction,
            "significant": bool(first.significant),
        }


def probe_shortcuts(statistics, labels, resamples=1000, seed=0):
    """Hold each trivial statistic against the labels of the test set.

    Parameters
    ----------
    statistics : pandas.DataFrame
        A row for each test image, a numeric column for each statistic: those of
        :func:`image_statistics`, or others.
    labels : (n,) array of int
        0 good, 1 anomalous.
    resamples : int
        Of the bootstrap, stratified by label.
    seed : int

    Returns
    -------
    ShortcutProbe

    Raises
    ------
    ValueError
        If there are no statistics, one is not a finite number, or labels do not fit.

    Notes
    -----
    A statistic can also separate because the defects themselves change it: a large dark hole lowers
    the mean brightness. The probe cannot tell that from a shortcut, and for a detector's AUROC it
    makes no difference: what brightness alone reaches does not show that the detector saw a hole.

    A constant statistic has AUROC 0.5 and is not counted in the correction for looking at many.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics, 1979.

    Examples
    --------
    >>> statistics = pd.DataFrame({"mean_brightness": np.arange(20), "noise": [1, 2] * 10})
    >>> probe = probe_shortcuts(statistics, [0] * 10 + [1] * 10)
    >>> probe.strongest, probe.table["separability"].tolist(), probe.table["significant"].tolist()
    ('mean_brightness', [1.0, 0.5], [True, False])
    """
    checked_resampling(resamples, 0.95)
    statistics = _checked_statistics(statistics)
    anomalous = _checked_labels(labels, len(statistics))
    if anomalous.all() or not anomalous.any():
        return _unknown(statistics, "anomalous" if anomalous.all() else "good")
    blocks = list(resample_counts(anomalous, resamples, seed))
    rows = []
    for name, values in statistics.items():
        wins = _wins(values.to_numpy(), anomalous)
        auroc, draws = float(wins.mean()), _resampled_means(wins, anomalous, blocks)
        direction = "none" if auroc == 0.5 else "higher" if auroc > 0.5 else "lower"
        interval = percentile_interval(
            max(auroc, 1 - auroc), 1 - draws if direction == "lower" else draws
        )
        p_value = np.nan
        if values.nunique() > 1:
            p_value = stats.mannwhitneyu(values[anomalous], values[~anomalous]).pvalue
        rows.append((name, auroc, direction, *interval, p_value))
    table = pd.DataFrame(
        rows, columns=["statistic", "auroc", "direction", "separability", "low", "high", "p_value"]
    )
    raw = table["p_value"].to_numpy(copy=True)
    table["p_value"] = holm(raw)
    table["significant"] = table["p_value"] < SIGNIFICANCE
    table = table.sort_values("separability", ascending=False, kind="stable", ignore_index=True)
    return ShortcutProbe(
        table, table["statistic"].iloc[0], _meaning(table, anomalous, np.isfinite(raw).sum())
    )


def _checked_statistics(statistics):
    statistics = pd.DataFrame(statistics)
    if statistics.empty or not statistics.columns.is_unique:
        raise ValueError(
            "statistics must have a row for each image and at least one column, each of another name"
        )
    strange = [
        str(name)
        for name, values in statistics.items()
        if not pd.api.types.is_numeric_dtype(values)
        or not np.isfinite(values.to_numpy(dtype=float)).all()
    ]
    if strange:
        raise ValueError(f"statistics must be finite numbers; {', '.join(strange)} has others")
    return statistics.astype(float).rename(columns=str).reset_index(drop=True)


def _checked_labels(labels, length):
    labels = np.asarray(labels)
    if labels.shape != (length,):
        raise ValueError(
            f"labels must have one value for each of the {length} images; got shape {labels.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 (good) or 1 (anomalous)")
    return labels == 1


def _checked_values(values, name, length=None):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or (length is not None and len(values) != length):
        wanted = "each image" if length is None else f"each of the {length} images"
        raise ValueError(f"{name} must hold one number for {wanted}; got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be finite; NaN or infinite at index {np.flatnonzero(~np.isfinite(values))[0]}"
        )
    return values


def _unknown(statistics, only):
    table = pd.DataFrame(
        {
            "statistic": statistics.columns,
            "auroc": np.nan,
            "direction": "unknown",
            "separability": np.nan,
            "low": np.nan,
            "high": np.nan,
            "p_value": np.nan,
            "significant": False,
        }
    )
    sentence = f"The test set has only {only} images: whether a trivial statistic tells good from defective cannot be known."
    return ShortcutProbe(table, None, sentence)


def _wins(values, anomalous):
    """For each pair of a good (row) and an anomalous image (column) 1 where the anomalous value is higher, ties half."""
    good, bad = values[~anomalous][:, None], values[anomalous]
    return (bad > good) + 0.5 * (bad == good)


def _resampled_means(wins, anomalous, blocks):
    """The mean over pairs in each bootstrap resample: pairs count as often as both their images were drawn."""
    sums = [((block[:, ~anomalous] @ wins) * block[:, anomalous]).sum(axis=1) for block in blocks]
    return np.concatenate(sums) / wins.size


def _words(name):
    return str(name).replace("_", " ")


def _meaning(table, anomalous, tested):
    first, good, bad = table.iloc[0], np.count_nonzero(~anomalous), np.count_nonzero(anomalous)
    name = _words(first.statistic)
    if first.significant:
        found = (
            f"{name[0].upper()}{name[1:]} alone tells good from defective test images "
            f"({first.direction} in the defective ones) with an AUROC of {first.separability:.3f}: "
        )
        if first.statistic in _FILE_STATISTICS:
            return f"{found}the files were not made alike, and what differs may reach a detector through the pixels."
        reach = (
            "a high AUROC"
            if first.separability >= 0.9995
            else f"an AUROC of up to {first.separability:.3f}"
        )
        return f"{found}{reach} of a detector on this test set proves nothing."
    if not tested:
        return "No trivial statistic tells good from defective test images: each is the same in all of them."
    sentence = (
        f"No trivial statistic tells good from defective test images: the strongest, {name}, has an AUROC of "
        f"{first.separability:.3f}, which may be chance (p = {first.p_value:.2f}, corrected for {tested} statistics)"
    )
    if first.separability >= NOTABLE:
        return f"{sentence}. With {good} good and {bad} defective images a shortcut cannot be ruled out either."
    return f"{sentence}."


def shortcut_dependence(
    scores,
    statistic,
    labels,
    validation_scores=None,
    validation_statistic=None,
    strata=5,
    resamples=1000,
    seed=0,
):
    """Does a detector's score follow a trivial statistic, and does it still find defects among images alike in that statistic?

    Parameters
    ----------
    scores, statistic : (n,) arrays of float
        The detector's score and the strongest statistic of each test image. A pandas Series gives
        its name to the sentence.
    labels : (n,) array of int
        0 good, 1 anomalous.
    validation_scores, validation_statistic : (m,) arrays of float, optional
        The same for good validation images: there no defect explains a correlation.
    strata : int
        Number of quantile strata of the statistic among the test images, at least 1.
    resamples, seed : int
        Of the bootstrap, within class and stratum.

    Returns
    -------
    dict
        - ``spearman_validation``, ``spearman_test``: rank correlation in [-1, 1]; None where not given or constant.
        - ``auroc``: Estimate of the detector over all pairs; None where the test set has a single class.
        - ``auroc_within_strata``: Estimate over the pairs of a good and an anomalous image of the same stratum, which weights
          strata by their pairs. None where no stratum holds both classes, or where the statistic
          separates the classes completely within all that do: the test set cannot prove skill.
        - ``statistic_auroc_within_strata``: what the statistic itself still reaches on those pairs, near 0.5 where the strata
          are fine enough; None without such pairs.
        - ``strata``: number of strata with both classes; ``pairs``: number of pairs compared in them.
        - ``sentence``: what it means.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or only one of the validation arrays is given.

    Examples
    --------
    >>> labels = np.array([0] * 10 + [1] * 10)
    >>> result = shortcut_dependence(np.arange(20.0), np.arange(20.0), labels)
    >>> result["spearman_test"], result["auroc_within_strata"]
    (1.0, None)
    >>> shortcut_dependence(np.arange(20.0), np.tile(np.arange(10.0), 2), labels)["auroc_within_strata"].value
    1.0
    """
    checked_resampling(resamples, 0.95)
    if strata < 1:
        raise ValueError(f"strata must be at least 1, better 5; got {strata}")
    name = _words(getattr(statistic, "name", None) or "the statistic")
    scores = _checked_values(scores, "scores")
    statistic = _checked_values(statistic, "statistic", len(scores))
    anomalous = _checked_labels(labels, len(scores))
    if (validation_scores is None) != (validation_statistic is None):
        raise ValueError("validation_scores and validation_statistic must be given together")
    validation = None
    if validation_scores is not None:
        validation_scores = _checked_values(validation_scores, "validation_scores")
        validation_statistic = _checked_values(
            validation_statistic, "validation_statistic", len(validation_scores)
        )
        validation = _spearman(validation_scores, validation_statistic)
    result = {
        "spearman_validation": validation,
        "spearman_test": _spearman(scores, statistic),
        "auroc": None,
        "auroc_within_strata": None,
        "statistic_auroc_within_strata": None,
        "strata": 0,
        "pairs": 0,
    }
    if anomalous.any() and not anomalous.all():
        wins = _wins(scores, anomalous)
        result["auroc"] = percentile_interval(
            wins.mean(),
            _resampled_means(wins, anomalous, list(resample_counts(anomalous, resamples, seed))),
        )
        result.update(_within_strata(wins, statistic, anomalous, strata, resamples, seed))
    return {**result, "sentence": _dependence(name, result)}


def _spearman(first, second):
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(stats.spearmanr(first, second).statistic)


def _within_strata(wins, statistic, anomalous, strata, resamples, seed):
    inner_edges = np.quantile(statistic, np.arange(1, strata) / strata)
    stratum = np.searchsorted(inner_edges, statistic, side="right")
    together = stratum[~anomalous][:, None] == stratum[anomalous]
    pairs = int(together.sum())
    if not pairs:
        return {}
    own = float(_wins(statistic, anomalous)[together].mean())
    compared = set(stratum[~anomalous]) & set(stratum[anomalous])
    result = {"statistic_auroc_within_strata": own, "pairs": pairs, "strata": len(compared)}
    if 0 < own < 1:
        # Drawn within class and stratum, the number of pairs stays the same in every resample.
        blocks = list(resample_counts(2 * stratum + anomalous, resamples, seed))
        draws = _resampled_means(wins * together, anomalous, blocks) * wins.size / pairs
        result["auroc_within_strata"] = percentile_interval(wins[together].mean(), draws)
    return result


def _dependence(name, result):
    parts = []
    for key, where in (
        ("spearman_validation", "good validation images"),
        ("spearman_test", "test images"),
    ):
        if result[key] is not None:
            parts.append(f"{result[key]:+.2f} among the {where}")
    follows = f"Rank correlation of the score with {name}: {', '.join(parts)}. " if parts else ""
    overall, within, own = (
        result["auroc"],
        result["auroc_within_strata"],
        result["statistic_auroc_within_strata"],
    )
    if overall is None:
        return (
            f"{follows}The test set has a single class: what the detector can do cannot be known."
        )
    if within is None:
        return (
            f"{follows}No good and defective test images are alike in {name}, so the AUROC of {overall.value:.3f} may come "
            "from it alone: the test set cannot prove skill."
        )
    alike = (
        f"{follows}Among test images alike in {name} the AUROC is {_text(within)} "
        f"({_text(overall)} over all; {result['pairs']} pairs in {result['strata']} strata)."
    )
    if max(own, 1 - own) >= NOTABLE:
        alike += f" Even there {name} reaches {max(own, 1 - own):.3f}, so the test set proves little skill."
    return alike


def _text(estimate):
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
