"""The steps of the notebook on Deep SAD: decisions, baselines, the four grids, and the files of a run."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from adhelpers._shared.files import write_json, write_text
from adhelpers.detectors import SHALLOW_METHODS, fit_shallow
from adhelpers.metrics import (
    Threshold,
    bootstrap,
    detection_report,
    image_auroc,
    normal_quantile,
    pixel_report,
)
from adhelpers.reports import image_grid, reconstruction_grid

from .assess import Assessment, estimate_text

GRID = 32
_TITLES = {
    "one_class_svm": "one-class SVM",
    "isolation_forest": "isolation forest",
    "kde": "kernel density",
    "supervised_svm": "SVM, known anomalies against the rest",
}


_DATA = (
    "dataset",
    "data_root",
    "category",
    "label_column",
    "image_height",
    "image_width",
    "color",
    "illumination",
    "pose",
    "crop",
)
_SPLIT = (
    "normal_class",
    "known_outlier_class",
    "n_known_outlier_classes",
    "ratio_known_normal",
    "ratio_known_outlier",
    "ratio_pollution",
    "validation_fraction",
    "seed",
)
_DETECTOR = (
    "network",
    "latent_dim",
    "eta",
    "epochs",
    "learning_rate",
    "milestones",
    "batch_size",
    "weight_decay",
    "pretrain",
    "pretrain_epochs",
    "pretrain_learning_rate",
    "pretrain_milestones",
    "pretrain_batch_size",
    "pretrain_weight_decay",
    "rotation",
    "shift",
    "brightness",
    "flip",
    "smoothing",
    "seed",
)
_PARTS = {"data": _DATA, "split": _SPLIT, "detector": _DETECTOR}


def settings(variables):
    """The notebook's parameters as arguments of `load_labelled`, `semi_supervised` and `DeepSAD`.

    Parameters
    ----------
    variables : dict
        ``globals()``. Where ``load_config`` names a ``config.json`` that `write_run` has left, its
        settings of the split and of the detector replace the others; the data are those of the
        parameters.

    Returns
    -------
    data, split, detector : dict

    Raises
    ------
    FileNotFoundError, ValueError
        If the configuration is missing, is none, or has a setting that is not known.
    """
    parts = {part: {name: variables[name] for name in names} for part, names in _PARTS.items()}
    size = tuple(parts["data"].pop(side) for side in ("image_height", "image_width"))
    parts["data"]["image_size"] = size
    path = variables.get("load_config")
    if not path:
        return tuple(parts.values())
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_config: there is no file {path}")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        stored = {part: dict(stored[part]) for part in ("split", "detector")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"load_config: {path} is not a config.json that this notebook has left ({error!r})."
        ) from error
    for part, values in stored.items():
        unknown = [name for name in values if name not in parts[part]]
        if unknown:
            raise ValueError(
                f"load_config: {path} sets {unknown[0]!r} in {part!r}; what can be set there is {', '.join(parts[part])}."
            )
    return tuple(values | stored.get(part, {}) for part, values in parts.items())


def judge(category, detector, *, quantile=0.95, seed=0):
    """Score the test samples and decide on them.

    Parameters
    ----------
    category : SemiSupervisedCategory
    detector : DeepSAD
        Fitted.
    quantile : float
        Share of the normal validation samples that pass. Where none were held out, of the
        unlabelled training samples.
    seed : int
        For the bootstrap.

    Returns
    -------
    Assessment
    """
    test = category.test
    detector.score(test.images[:1])
    started = time.perf_counter()
    scores = detector.score(test.images)
    seconds = time.perf_counter() - started
    if len(category.validation):
        reference = detector.score(category.validation.images)
        threshold = normal_quantile(reference, quantile)
    else:
        reference = detector.score(category.train.images[category.known == 0])
        threshold = Threshold(
            normal_quantile(reference, quantile).value,
            f"{quantile:g} quantile of {len(reference)} unlabelled training scores",
            False,
        )
    pixels = (
        pixel_report(detector.anomaly_map(test.images), test.masks, seed=seed)
        if category.has_masks
        else None
    )
    return Assessment(
        title="Deep SAD",
        category=category,
        detector=detector,
        scores=scores,
        reference_scores=reference,
        threshold=threshold,
        detection=detection_report(scores, test.labels, test.types, threshold, seed=seed),
        pixels=pixels,
        seconds=seconds,
    )


def _known_types(category):
    """Whether each outlier class of the test set is one that the detector knows anomalies of."""
    known = set(map(str, category.train.types[category.known < 0]))
    return {
        kind: kind in known
        for kind in sorted(set(map(str, category.test.types[category.test.labels == 1])))
    }


def judgement_table(category, judgement):
    """Figures of a judgement as people read them, with 95 % bootstrap intervals.

    Parameters
    ----------
    category : SemiSupervisedCategory
    judgement : Assessment

    Returns
    -------
    pandas.DataFrame
        One column.
    """
    detection, pixels, confusion = (
        judgement.detection,
        judgement.pixels or {},
        judgement.detection.confusion,
    )
    known = _known_types(category)
    rows = {
        "AUROC": estimate_text(detection.auroc),
        "average precision": estimate_text(detection.average_precision),
        "threshold": f"{judgement.threshold.value:.4g}",
        "threshold rule": judgement.threshold.rule,
        "anomalies flagged": f"{confusion['tp']} of {confusion['tp'] + confusion['fn']}",
        "false alarms": f"{confusion['fp']} of {confusion['fp'] + confusion['tn']}",
        **{
            f"recall, {kind}{' (known)' if known[kind] else ''}": estimate_text(value)
            for kind, value in detection.recall.items()
        },
    }
    if pixels:
        rows |= {
            "pixel AUROC": estimate_text(pixels["pixel_auroc"]),
            "AUPRO to 30 % false positives": estimate_text(pixels["aupro"]),
        }
    return pd.DataFrame({"Deep SAD": rows})


def judgement_findings(category, judgement):
    """How well anomalies are ranked, of classes known and not, in sentences that are true for the data.

    Parameters
    ----------
    category : SemiSupervisedCategory
    judgement : Assessment

    Returns
    -------
    list of str
    """
    test, known = category.test, _known_types(category)
    found = [
        f"Deep SAD's AUROC on {len(test)} test samples is {estimate_text(judgement.detection.auroc)}, with {category.counts.known_outlier} known "
        f"anomalies among {len(category.train)} training samples."
    ]
    if any(known.values()) and not all(known.values()):
        of_known = np.isin(test.types, [kind for kind in known if known[kind]])
        areas = [
            image_auroc(judgement.scores[chosen], test.labels[chosen])
            for chosen in (
                (test.labels == 0) | of_known,
                (test.labels == 0) | ((test.labels == 1) & ~of_known),
            )
        ]
        found.append(
            f"For anomalies of the class that was labelled ({', '.join(kind for kind in known if known[kind])}) it is {areas[0]:.3f}, for those of all "
            f"other classes {areas[1]:.3f}."
        )
    return found


def overview(category, count=16):
    """Training samples of each kind: unlabelled, known normal, known anomalies.

    Parameters
    ----------
    category : SemiSupervisedCategory
        Of images.
    count : int
        At most so many of each.

    Returns
    -------
    matplotlib.figure.Figure
    """
    chosen = np.concatenate([np.flatnonzero(category.known == told)[:count] for told in (0, 1, -1)])
    told = {0: "unlabelled", 1: "known normal", -1: "known anomaly"}
    return image_grid(
        category.train.images[chosen],
        [told[int(one)] for one in category.known[chosen]],
        columns=8,
        title="Training samples",
    )


def compare_baselines(category, detector, judgement, *, seed=0):
    """Shallow methods on the same training set, on the samples as they are and on the autoencoder's code, beside Deep SAD.

    Parameters
    ----------
    category : SemiSupervisedCategory
    detector : DeepSAD
        Fitted; without pretraining there is no autoencoder's code, and its column is left out.
    judgement : Assessment
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row for each method and kind of input: ``method``, ``input``, ``AUROC`` (an `Estimate`),
        ``chosen`` and ``chosen by``. What needs known anomalies is left out where there are none.
    """
    train, test = category.train.images, category.test
    inputs = {"samples": (train, test.images)}
    if detector.parameters["pretrain"]:
        inputs["autoencoder's code"] = tuple(
            map(detector.autoencoder_features, (train, test.images))
        )
    rows = [
        {
            "method": "Deep SAD",
            "input": "samples",
            "AUROC": judgement.detection.auroc,
            "chosen": "",
            "chosen by": "",
        }
    ]
    for method in SHALLOW_METHODS:
        if method == "supervised_svm" and not (category.known < 0).any():
            continue
        for name, (fitted_on, tested_on) in inputs.items():
            model = fit_shallow(method, fitted_on, category.known, seed=seed)
            auroc = bootstrap(
                image_auroc,
                model.score(tested_on),
                test.labels,
                resamples=200,
                seed=seed,
                stratify=test.labels,
            )
            rows.append(
                {
                    "method": _TITLES[method],
                    "input": name,
                    "AUROC": auroc,
                    "chosen": ", ".join(
                        f"{one} {value:.3g}" for one, value in model.chosen.items()
                    ),
                    "chosen by": model.rule,
                }
            )
    return pd.DataFrame(rows)


def baseline_table(baselines):
    """`compare_baselines` as people read it, the best first."""
    ordered = baselines.iloc[np.argsort([-one.value for one in baselines["AUROC"]], kind="stable")]
    return ordered.assign(AUROC=[estimate_text(one) for one in ordered["AUROC"]]).reset_index(
        drop=True
    )


def baseline_findings(baselines):
    """Where Deep SAD stands among the shallow methods, in sentences that are true for the data.

    Parameters
    ----------
    baselines : pandas.DataFrame
        As from `compare_baselines`.

    Returns
    -------
    list of str
    """
    deep, others = baselines["AUROC"][0], baselines[1:]
    best = others.iloc[int(np.argmax([one.value for one in others["AUROC"]]))]
    relation = (
        "overlap"
        if deep.low <= best["AUROC"].high and best["AUROC"].low <= deep.high
        else "do not overlap"
    )
    order = (
        "above"
        if deep.value > best["AUROC"].value
        else "below"
        if deep.value < best["AUROC"].value
        else "as high as"
    )
    return [
        f"Deep SAD's AUROC {estimate_text(deep)} is {order} that of the best shallow method, {best['method']} on the {best['input']} "
        f"({estimate_text(best['AUROC'])}); the intervals {relation}."
    ]


def extremes(category, scores, count=GRID):
    """Which test samples have the lowest and the highest scores, over all and over the normal ones.

    Parameters
    ----------
    category : SemiSupervisedCategory
    scores : ndarray, shape (n,)
        Of the test samples.
    count : int

    Returns
    -------
    dict of str to ndarray of int
        ``all_low``, ``all_high``, ``normals_low``, ``normals_high``: indices of at most ``count``
        test samples, the lowest or the highest first.
    """
    order = np.argsort(scores, kind="stable")
    normal = order[category.test.labels[order] == 0]
    return {
        "all_low": order[:count],
        "all_high": order[::-1][:count],
        "normals_low": normal[:count],
        "normals_high": normal[::-1][:count],
    }


def extreme_grids(category, scores, count=GRID):
    """The pictures of `extremes`, each with its class and score.

    Parameters
    ----------
    category, scores, count
        As in `extremes`; the samples must be images.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
    """
    titles = {
        "all_low": "Lowest scores",
        "all_high": "Highest scores",
        "normals_low": "Normal samples, lowest scores",
        "normals_high": "Normal samples, highest scores",
    }
    test = category.test
    return {
        name: image_grid(
            test.images[chosen],
            [f"{test.types[index]} {scores[index]:.2g}" for index in chosen],
            columns=8,
            title=titles[name],
        )
        for name, chosen in extremes(category, scores, count).items()
    }


def explained(category, detector, scores, count=4):
    """Where the score comes from: the test anomalies with the highest and the normal samples with the highest scores, beside their counterparts.

    Parameters
    ----------
    category : SemiSupervisedCategory
    detector : DeepSAD
    scores : ndarray, shape (n,)
    count : int
        Of each.

    Returns
    -------
    matplotlib.figure.Figure
    """
    test, order = category.test, np.argsort(-scores, kind="stable")
    chosen = np.concatenate([order[test.labels[order] == label][:count] for label in (1, 0)])
    images = test.images[chosen]
    return reconstruction_grid(
        images,
        detector.counterpart(images),
        detector.anomaly_map(images),
        test.types[chosen],
        scores[chosen],
        None if test.masks is None else test.masks[chosen],
        title="Sample, most similar normal training sample, where the score comes from",
        names=("sample", "counterpart", "attribution"),
    )


def pretraining_figure(category, detector, count=8):
    """Validation samples, or training ones where there are none, beside what the pretrained autoencoder makes of them.

    Parameters
    ----------
    category : SemiSupervisedCategory
    detector : DeepSAD
        Fitted on images, with pretraining.
    count : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = (category.validation.images if len(category.validation) else category.train.images)[
        :count
    ]
    again = detector.reconstruct(images)
    return reconstruction_grid(
        images,
        again,
        np.abs(images - again).mean(axis=-1),
        title="The pretrained autoencoder",
        names=("sample", "reconstruction", "difference"),
    )


def write_run(folder, category, detector, judgement, *, data, split, seconds, tables):
    """Leave what the published code leaves: ``results.json``, ``config.json`` and the model in ``model/``.

    Parameters
    ----------
    folder : str or Path
    category : SemiSupervisedCategory
    detector : DeepSAD
    judgement : Assessment
    data, split : dict
        As from `settings`.
    seconds : dict of str to float
        By stage.
    tables : dict of str to pandas.DataFrame
        Each becomes ``<name>.csv``.

    Returns
    -------
    dict
        What stands in ``results.json``: ``train_seconds`` and ``pretrain_seconds`` (of the epochs,
        in this or an earlier run), ``test_seconds``, ``test_auc``, ``counts``, ``stages``,
        ``test_scores`` (index, label, score).
    """
    folder = Path(folder)
    scores = [
        [index, int(label), float(score)]
        for index, (label, score) in enumerate(
            zip(category.test.labels, judgement.scores, strict=True)
        )
    ]

    def epochs(history):
        return round(float(history["seconds"].sum()), 3) if len(history) else 0.0

    results = {
        "train_seconds": epochs(detector.history),
        "pretrain_seconds": epochs(detector.pretraining_history),
        "test_seconds": round(judgement.seconds, 4),
        "test_auc": judgement.detection.auroc.value,
        "counts": asdict(category.counts),
        "stages": {name: round(value, 3) for name, value in seconds.items()},
        "test_scores": scores,
    }
    write_json(folder / "results.json", results)
    write_json(
        folder / "config.json",
        {
            "data": data,
            "split": split,
            "detector": {name: detector.parameters[name] for name in _DETECTOR},
        },
    )
    stored = detector.folder
    detector.save(folder / "model")
    detector.folder = stored
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
    return results
