"""The steps of the notebook on Deep SAD: settings, decisions, baselines, pictures, stored files."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Flags, Floats, Images, Integers
from adhelpers._shared.files import write_json
from adhelpers._shared.stages import stage
from adhelpers._shared.text import listed
from adhelpers.data import (
    LabelledSamples,
    SemiSupervisedCategory,
    check_split,
    load_labelled,
    semi_supervised,
)
from adhelpers.detectors import FEWEST_SAMPLES, SHALLOW_METHODS, DeepSAD, fit_or_load, fit_shallow
from adhelpers.metrics import (
    Threshold,
    auroc_estimate,
    detection_report,
    image_auroc,
    normal_quantile,
)
from adhelpers.reports import image_grid, reconstruction_grid, write_samples
from adhelpers.training import Augmentation

from .assess import Assessment, pixel_figures
from .objects import loading_options
from .training_figures import loss_figure

GRID = 8
_TITLES = {
    "one_class_svm": "one-class SVM",
    "isolation_forest": "isolation forest",
    "kde": "kernel density",
    "supervised_svm": "SVM, known anomalies against the rest",
}
SIMPLEST = "one-class SVM on the samples"
_SOURCE = ("dataset", "data_root", "category", "label_column")
_DATA = (
    *_SOURCE,
    *("image_height", "image_width", "color", "illumination", "pose", "crop", "fit"),
    *("bit_depth", "page"),
)
_SPLIT = (
    *("normal_class", "known_outlier_class", "n_known_outlier_classes"),
    *("ratio_known_normal", "ratio_known_outlier", "ratio_pollution"),
    *("validation_fraction", "seed"),
)
_OWN = ("network", "latent_dim", "eta", "pretrain", "smoothing", "seed")
_PLAN = ("epochs", "learning_rate", "milestones", "batch_size", "weight_decay")
_AUGMENTATION = ("rotation", "shift", "brightness", "flip")
_CURVE = ("curve_ratios", "curve_classes", "curve_seeds")
_DETECTOR = (*_OWN, *_PLAN, *(f"pretrain_{name}" for name in _PLAN), *_AUGMENTATION)


@dataclass(frozen=True)
class DeepSADSettings:
    """The notebook's parameters for data, split, detector and curve, each under its own name.

    Attributes
    ----------
    data, split, detector, curve : dict
        The curve may be empty: then there is none.
    """

    data: dict[str, Any]
    split: dict[str, Any]
    detector: dict[str, Any]
    curve: dict[str, Any] = field(default_factory=dict)

    def changed(self, normal_class: str, seed: int, ratio: float) -> "DeepSADSettings":
        """The same with another normal class, seed and share of known anomalies."""
        split = {"normal_class": normal_class, "seed": seed, "ratio_known_outlier": ratio}
        return replace(self, split=self.split | split, detector=self.detector | {"seed": seed})

    def of_curve(
        self, labelled: LabelledSamples, ratios: Sequence[float], classes: str, seeds: int
    ) -> "list[DeepSADSettings]":
        """Those of every training of `adhelpers.steps.run_label_curve`."""
        if classes == "all":
            chosen = tuple(sorted(set(map(str, labelled.classes))))
        else:
            chosen = listed(classes) or (self.split["normal_class"],)
        first = self.split["seed"]
        return [self.changed(*one) for one in product(chosen, range(first, first + seeds), ratios)]

    def load_samples(self) -> LabelledSamples:
        """The samples of all classes, see `adhelpers.data.load_labelled`."""
        source = {name: self.data[name] for name in _SOURCE}
        with stage("samples"):
            return load_labelled(**source, **loading_options(self.data))

    def split_samples(self, labelled: LabelledSamples) -> SemiSupervisedCategory:
        """The samples as a detector gets them, see `adhelpers.data.semi_supervised`."""
        return semi_supervised(labelled, **self.split)

    def split_for_notebook(self, labelled: LabelledSamples) -> SemiSupervisedCategory:
        """The samples as the detector gets them; what is to be said of them is printed.

        What a later step of the notebook would lack is refused here, before anything is trained.
        """
        category = self.split_samples(labelled)
        unlabelled = int((category.known == 0).sum())
        fitted_on = int((category.known >= 0).sum())
        if not len(category.validation) and not unlabelled:
            raise ValueError(
                "validation_fraction 0 and ratio_known_normal "
                f"{self.split['ratio_known_normal']:g} leave no sample for the threshold: hold "
                "some out, or leave some unlabelled"
            )
        if fitted_on < FEWEST_SAMPLES:
            raise ValueError(
                f"normal_class {category.settings['normal_class']} has {fitted_on} "
                f"sample{'s' * (fitted_on != 1)} to train with beside the "
                f"{len(category.validation)} that are held out, and the shallow methods need "
                f"{FEWEST_SAMPLES}: choose one with more (or several), or lower validation_fraction"
            )
        if self.curve:
            self._check_curve(labelled)
        for remark in category.remarks:
            print(f"Remark on the data: {remark}")
        return category

    def _check_curve(self, labelled: LabelledSamples) -> None:
        """Refuse a curve that has a training without enough samples."""
        ratios, classes, seeds = (self.curve[name] for name in _CURVE)
        for one in self.of_curve(labelled, ratios, classes, seeds):
            try:
                check_split(labelled, **one.split)
            except ValueError as error:
                raise ValueError(
                    "curve_ratios, curve_classes: a training with normal_class "
                    f"{one.split['normal_class']!r} and ratio_known_outlier "
                    f"{one.split['ratio_known_outlier']:g} is not possible: {error}"
                ) from error

    def make_detector(self) -> DeepSAD:
        """A Deep SAD of these settings, not fitted yet."""

        def given(names: tuple[str, ...], prefix: str = "") -> dict[str, Any]:
            flat = self.detector
            return {name: flat[prefix + name] for name in names if prefix + name in flat}

        return DeepSAD(
            **given(_OWN),
            plan=replace(DeepSAD.default_plan(), **given(_PLAN)),
            pretraining=replace(DeepSAD.default_pretraining(), **given(_PLAN, "pretrain_")),
            augmentation=Augmentation(**given(_AUGMENTATION)),
        )


def read_settings(parameters: Mapping[str, Any]) -> DeepSADSettings:
    """The notebook's parameters for data, split, detector and curve.

    Parameters
    ----------
    parameters : dict
        By name. Where ``load_config`` names a ``config.json`` that `write_run` has left, its
        settings of the split and of the detector replace the others.

    Returns
    -------
    DeepSADSettings

    Raises
    ------
    FileNotFoundError
        If there is no such configuration.
    ValueError
        If it is none, or has a setting that is not known.
    """
    settings = DeepSADSettings(
        *(
            {name: parameters[name] for name in names}
            for names in (_DATA, _SPLIT, _DETECTOR, _CURVE)
        )
    )
    if not parameters.get("load_config"):
        return settings
    path = Path(parameters["load_config"])
    if not path.is_file():
        raise FileNotFoundError(f"load_config: there is no file {path}")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        split, detector = dict(stored["split"]), dict(stored["detector"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"load_config: {path} is not a config.json that this notebook has left ({error!r})"
        ) from error
    for part, values, known in (("split", split, _SPLIT), ("detector", detector, _DETECTOR)):
        unknown = [name for name in values if name not in known]
        if unknown:
            raise ValueError(
                f"load_config: {path} sets {unknown[0]!r} in {part!r}; what can be set there is "
                f"{', '.join(known)}"
            )
    return replace(settings, split=settings.split | split, detector=settings.detector | detector)


def _detector_settings(detector: DeepSAD) -> dict[str, Any]:
    """The parameters of a detector under the names of the notebook's."""
    parts = detector.parameters
    flat = parts | parts["plan"] | parts["augmentation"]
    flat |= {f"pretrain_{name}": parts["pretraining"][name] for name in _PLAN}
    return {name: flat[name] for name in _DETECTOR}


def split_facts(category: SemiSupervisedCategory) -> list[str]:
    """Facts on a split that hold on any machine: its counts, and whether labels are right."""
    counts, truth = category.counts, category.train.labels
    right = not (
        ((category.known == 1) & (truth == 1)).any()
        or ((category.known == -1) & (truth == 0)).any()
    )
    return [
        f"{category.name}: unlabelled {counts.unlabelled_normal} + {counts.unlabelled_outlier}, "
        f"known normal {counts.known_normal}, known outliers {counts.known_outlier} "
        f"({category.settings['known_outlier_class']}), validation {len(category.validation)}, "
        f"test {len(category.test)}",
        f"labels of known samples agree with their classes: {right}",
    ]


def train_deep_sad(
    settings: DeepSADSettings,
    category: SemiSupervisedCategory,
    models: str | Path,
    *,
    load_model: str | Path = "",
    show_progress: bool = True,
) -> DeepSAD:
    """Train Deep SAD, or load the one that was trained with these settings and samples.

    Parameters
    ----------
    settings : DeepSADSettings
    category : SemiSupervisedCategory
    models : str or Path
        Folder for stored models.
    load_model : str or Path
        Folder of a stored Deep SAD that is taken instead, whatever it was trained with.
    show_progress : bool

    Returns
    -------
    DeepSAD
    """
    if load_model:
        return DeepSAD.load(load_model)
    return fit_or_load(
        settings.make_detector(),
        category,
        models,
        labels=category.known,
        show_progress=show_progress,
    )


@dataclass(frozen=True, kw_only=True)
class SampleAssessment(Assessment):
    """What Deep SAD decides about test samples of which some anomalies are of known classes."""

    category: SemiSupervisedCategory
    detector: DeepSAD

    @property
    def known(self) -> dict[str, bool]:
        """Whether each outlier class of the test set is one that the detector was told of."""
        test = self.category.test
        known = set(map(str, self.category.train.types[self.category.known < 0]))
        return {kind: kind in known for kind in sorted(set(map(str, test.types[test.labels == 1])))}

    def table(self) -> pd.DataFrame:
        """One column: measures with their 95 % intervals, the threshold, and what was flagged."""
        renamed = {"image AUROC": "AUROC", "defects flagged": "anomalies flagged"}
        for kind, told in self.known.items():
            if told:
                renamed[f"recall, {kind}"] = f"recall, {kind} (known)"
        table = super().table()
        if self.pixels is None:
            table = table.drop(index=["pixel AUROC", "AUPRO to 30 % false positives"])
        return table.rename(index=renamed)

    def findings(self) -> list[str]:
        """How well anomalies are ranked, of classes known and not."""
        category, test, known = self.category, self.category.test, self.known
        found = [
            f"Deep SAD's AUROC on {len(test)} test samples is {self.detection.auroc}, with "
            f"{category.counts.known_outlier} known anomalies among {len(category.train)} training "
            "samples."
        ]
        told = [kind for kind in known if known[kind]]
        if told and not all(known.values()):
            of_known = np.isin(test.types, told)
            normal = test.labels == 0
            first, second = (
                image_auroc(self.scores[chosen], test.labels[chosen])
                for chosen in (normal | of_known, normal | ~of_known)
            )
            found.append(
                f"For anomalies of the class that was labelled ({', '.join(told)}) it is "
                f"{first:.3f}, for those of all other classes {second:.3f}."
            )
        return [*found, *self.leak_findings()]


def assess_deep_sad(
    detector: DeepSAD, category: SemiSupervisedCategory, *, quantile: float = 0.95, seed: int = 0
) -> SampleAssessment:
    """Score the test samples and decide on them.

    Parameters
    ----------
    detector : DeepSAD
        Fitted.
    category : SemiSupervisedCategory
    quantile : float
        Share of the normal validation samples that pass. Where none were held out, of the
        unlabelled training samples.
    seed : int
        For the bootstrap.

    Returns
    -------
    SampleAssessment
    """
    test = category.test
    with stage("Deep SAD: scores"):
        # The first call compiles the network.
        detector.score(test.images[:1])
        started = time.perf_counter()
        scores = detector.score(test.images)
        seconds = time.perf_counter() - started
        reference, threshold = _threshold(detector.score, category, quantile)
        pixels = None
        if category.has_masks:
            pixels = pixel_figures(detector.anomaly_map(test.images), test, seed=seed)
    return SampleAssessment(
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


def _threshold(
    score: Callable[[Any], Floats], category: SemiSupervisedCategory, quantile: float
) -> tuple[Floats, Threshold]:
    """A quantile of the scores of normal samples held out, or else of unlabelled ones; these."""
    if len(category.validation):
        reference = score(category.validation.images)
        return reference, normal_quantile(reference, quantile)
    reference = score(category.train.images[category.known == 0])
    rule = f"{quantile:g} quantile of {len(reference)} unlabelled training scores"
    return reference, Threshold(normal_quantile(reference, quantile).value, rule, False)


@dataclass(frozen=True)
class Baselines:
    """Deep SAD and shallow methods on the same training set.

    Attributes
    ----------
    results : pandas.DataFrame
        A row for each method and kind of input, Deep SAD first: ``method``, ``input``, ``AUROC``
        (an `Estimate`), ``chosen`` and ``chosen by``.
    simplest_flags : ndarray of bool, shape (n,), or None
        Which test samples `SIMPLEST` flags, its threshold taken as that of Deep SAD. It is named
        here, not chosen by the test.
    """

    results: pd.DataFrame
    simplest_flags: Flags | None = None

    def table(self) -> pd.DataFrame:
        """A row for each method and kind of input, the best first."""
        aurocs = [-one.value for one in self.results["AUROC"]]
        ordered = self.results.iloc[np.argsort(aurocs, kind="stable")]
        ordered = ordered.assign(AUROC=[str(one) for one in ordered["AUROC"]])
        return ordered.reset_index(drop=True)

    def findings(self) -> list[str]:
        """Where Deep SAD ranks among the shallow methods."""
        deep, others = self.results["AUROC"][0], self.results[1:]
        best = others.iloc[int(np.argmax([one.value for one in others["AUROC"]]))]
        other = best["AUROC"]
        overlap = deep.low <= other.high and other.low <= deep.high
        order = "as high as" if deep.value == other.value else "below"
        if deep.value > other.value:
            order = "above"
        return [
            f"Deep SAD's AUROC {deep} is {order} that of the best shallow method, "
            f"{best['method']} on the {best['input']} ({other}); the intervals "
            f"{'overlap' if overlap else 'do not overlap'}."
        ]


def compare_baselines(
    assessment: SampleAssessment, *, quantile: float = 0.95, seed: int = 0
) -> Baselines:
    """Shallow methods on the samples as they are and on the autoencoder's code, beside Deep SAD.

    What needs known anomalies is left out where there are none, and the code without pretraining.

    Parameters
    ----------
    assessment : SampleAssessment
    quantile : float
        Share of the normal validation samples that the simplest one lets pass.
    seed : int

    Returns
    -------
    Baselines
    """
    category, detector = assessment.category, assessment.detector
    train, test = category.train.images, category.test
    inputs = {"samples": (train, test.images)}
    if detector.pretrain:
        code = detector.autoencoder_features
        inputs["autoencoder's code"] = (code(train), code(test.images))
    first = {"method": "Deep SAD", "input": "samples", "AUROC": assessment.detection.auroc}
    rows: list[dict[str, Any]] = [first | {"chosen": "", "chosen by": ""}]
    flags = None
    with stage("baselines"):
        for method in SHALLOW_METHODS:
            if method == "supervised_svm" and not (category.known < 0).any():
                continue
            for name, (fitted_on, tested_on) in inputs.items():
                model = fit_shallow(method, fitted_on, category.known, seed=seed)
                scores = model.score(tested_on)
                if f"{_TITLES[method]} on the {name}" == SIMPLEST:
                    flags = scores > _threshold(model.score, category, quantile)[1].value
                auroc = auroc_estimate(scores, test.labels, test.types, seed=seed)
                chosen = ", ".join(f"{one} {value:.3g}" for one, value in model.chosen.items())
                rows.append(
                    {
                        "method": _TITLES[method],
                        "input": name,
                        "AUROC": auroc,
                        "chosen": chosen,
                        "chosen by": model.rule,
                    }
                )
    return Baselines(pd.DataFrame(rows), flags)


def sample_figure(category: SemiSupervisedCategory, count: int = GRID) -> Figure:
    """Training samples of each kind: unlabelled, known normal, known anomalies.

    Parameters
    ----------
    category : SemiSupervisedCategory
        Of images.
    count : int
        Maximum number of each kind.
    """
    told = {0: "unlabelled", 1: "known normal", -1: "known anomaly"}
    chosen = np.concatenate([np.flatnonzero(category.known == one)[:count] for one in told])
    return image_grid(
        category.train.images[chosen],
        [told[int(one)] for one in category.known[chosen]],
        columns=8,
        title="Training samples",
    )


def deep_sad_figures(detector: DeepSAD, category: SemiSupervisedCategory) -> dict[str, Figure]:
    """The losses of both trainings, and what the pretrained autoencoder makes of images, by name.

    Parameters
    ----------
    detector : DeepSAD
        Fitted.
    category : SemiSupervisedCategory
        Its first validation samples are reconstructed, or training ones where there are none.
    """
    figures = {}
    if detector.pretrain:
        figures["training-autoencoder"] = loss_figure(detector.pretraining_history, "Autoencoder")
    figures["training"] = loss_figure(detector.history, "Deep SAD")
    held_out = category.validation if len(category.validation) else category.train
    if detector.pretrain and held_out.images.ndim == 4:
        figures["autoencoder"] = _autoencoder_figure(detector, held_out.images[:8])
    return figures


def _autoencoder_figure(detector: DeepSAD, images: Images) -> Figure:
    """Images beside what the pretrained autoencoder makes of them."""
    again = detector.reconstruct(images)
    return reconstruction_grid(
        images,
        again,
        np.abs(images - again).mean(axis=-1),
        title="The pretrained autoencoder",
        names=("sample", "reconstruction", "difference"),
    )


def extremes(assessment: SampleAssessment, count: int = GRID) -> dict[str, Integers]:
    """Which test samples have the lowest and the highest scores, over all and among normal ones.

    Parameters
    ----------
    assessment : SampleAssessment
    count : int

    Returns
    -------
    dict of str to ndarray of int
        ``all_low``, ``all_high``, ``normals_low``, ``normals_high``: indices of at most ``count``
        test samples, the lowest or the highest first.
    """
    order = np.argsort(assessment.scores, kind="stable")
    normal = order[assessment.category.test.labels[order] == 0]
    return {
        "all_low": order[:count],
        "all_high": order[::-1][:count],
        "normals_low": normal[:count],
        "normals_high": normal[::-1][:count],
    }


def extreme_grids(assessment: SampleAssessment, count: int = GRID) -> dict[str, Figure]:
    """The pictures of `extremes`, each with its class and score; none where samples are vectors."""
    titles = {
        "all_low": "Lowest scores",
        "all_high": "Highest scores",
        "normals_low": "Normal samples, lowest scores",
        "normals_high": "Normal samples, highest scores",
    }
    test, scores = assessment.category.test, assessment.scores
    if test.images.ndim != 4:
        return {}
    return {
        name: image_grid(
            test.images[chosen],
            [f"{test.types[index]} {scores[index]:.2g}" for index in chosen],
            columns=8,
            title=titles[name],
        )
        for name, chosen in extremes(assessment, count).items()
    }


def attribution_figure(assessment: SampleAssessment, count: int = 4) -> Figure:
    """Where the score comes from: the anomalies and the normal samples with the highest scores.

    Parameters
    ----------
    assessment : SampleAssessment
        Of images.
    count : int
        Of each.
    """
    test, scores = assessment.category.test, assessment.scores
    order = np.argsort(-scores, kind="stable")
    chosen = np.concatenate([order[test.labels[order] == label][:count] for label in (1, 0)])
    return explain_samples(assessment, chosen)


def explain_samples(assessment: SampleAssessment, chosen: Integers) -> Figure:
    """Test samples of images beside their counterparts and where the scores come from."""
    test, scores, detector = assessment.category.test, assessment.scores, assessment.detector
    images = test.images[chosen]
    with stage("attributions"):
        counterparts, maps = detector.counterpart(images), detector.anomaly_map(images)
    return reconstruction_grid(
        images,
        counterparts,
        maps,
        test.types[chosen],
        scores[chosen],
        None if test.masks is None else test.masks[chosen],
        title="Where the score comes from",
        names=("sample", "most similar normal one", "attribution"),
    )


def write_run(
    folder: str | Path,
    assessment: SampleAssessment,
    settings: DeepSADSettings,
    *,
    seconds: Mapping[str, float],
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Leave what the published code leaves: ``results.json``, ``config.json`` and ``model/``.

    Parameters
    ----------
    folder : str or Path
    assessment : SampleAssessment
    settings : DeepSADSettings
        Of data and split; those of the detector are its own.
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
    folder, detector, category = Path(folder), assessment.detector, assessment.category
    labelled_scores = zip(category.test.labels, assessment.scores, strict=True)
    results = {
        "train_seconds": _epoch_seconds(detector.history),
        "pretrain_seconds": _epoch_seconds(detector.pretraining_history),
        "test_seconds": round(assessment.seconds, 4),
        "test_auc": assessment.detection.auroc.value,
        "counts": asdict(category.counts),
        "stages": {name: round(value, 3) for name, value in seconds.items()},
        "test_scores": [
            [index, int(label), float(score)]
            for index, (label, score) in enumerate(labelled_scores)
        ],
    }
    write_json(folder / "results.json", results)
    config = asdict(settings) | {"detector": _detector_settings(detector)}
    write_json(folder / "config.json", config)
    # The copy must not become the place where the detector is looked for.
    stored = detector.folder
    detector.save(folder / "model")
    detector.folder = stored
    for name, table in tables.items():
        write_samples(folder / f"{name}.csv", table)
    return results


def _epoch_seconds(history: pd.DataFrame) -> float:
    """Seconds of all epochs of a training; 0 where there was none."""
    return round(float(history["seconds"].sum()), 3) if len(history) else 0.0
