"""The parameters of the notebook on Deep SAD as those of its data, split, detector and curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from adhelpers._shared.stages import stage
from adhelpers._shared.text import listed
from adhelpers.data import (
    LabelledSamples,
    SemiSupervisedCategory,
    check_split,
    load_labelled,
    semi_supervised,
)
from adhelpers.detectors import FEWEST_SAMPLES, DeepSAD
from adhelpers.training import Augmentation

from .objects import loading_options

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
# The parameter that holds the shares of a curve, and the one that a curve changes.
_CURVES = {"curve_ratios": "ratio_known_outlier", "pollution_ratios": "ratio_pollution"}
_CURVE = (*_CURVES, "curve_classes", "curve_seeds")
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

    def changed(
        self, normal_class: str, seed: int, ratio: float, share: str = "ratio_known_outlier"
    ) -> "DeepSADSettings":
        """The same with another normal class, seed and share of known anomalies or of pollution."""
        split = {"normal_class": normal_class, "seed": seed, share: ratio}
        return replace(self, split=self.split | split, detector=self.detector | {"seed": seed})

    def of_curve(
        self,
        labelled: LabelledSamples,
        ratios: Sequence[float],
        classes: str,
        seeds: int,
        share: str = "ratio_known_outlier",
    ) -> "list[DeepSADSettings]":
        """Those of every training of `adhelpers.steps.run_label_curve`."""
        if classes == "all":
            chosen = tuple(sorted(set(map(str, labelled.classes))))
        else:
            chosen = listed(classes) or (self.split["normal_class"],)
        first = self.split["seed"]
        runs = product(chosen, range(first, first + seeds), ratios)
        return [self.changed(*one, share) for one in runs]

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
        classes, seeds = self.curve["curve_classes"], self.curve["curve_seeds"]
        for name, share in _CURVES.items():
            for one in self.of_curve(labelled, self.curve[name], classes, seeds, share):
                try:
                    check_split(labelled, **one.split)
                except ValueError as error:
                    raise ValueError(
                        f"{name}, curve_classes: a training with normal_class "
                        f"{one.split['normal_class']!r} and {share} {one.split[share]:g} is not "
                        f"possible: {error}"
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


def detector_settings(detector: DeepSAD) -> dict[str, Any]:
    """The parameters of a detector under the names of the notebook's."""
    parts = detector.parameters
    flat = parts | parts["plan"] | parts["augmentation"]
    flat |= {f"pretrain_{name}": parts["pretraining"][name] for name in _PLAN}
    return {name: flat[name] for name in _DETECTOR}
