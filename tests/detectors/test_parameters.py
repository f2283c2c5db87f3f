"""Parameters are what a constructor was given, and parts come back from a file as they were."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from adhelpers.detectors import CAE, VAEGAN, ResidualScore, Subspace, VAELoss
from adhelpers.detectors.parameters import argument_names, arguments_from, plain
from adhelpers.training import Augmentation, TrainingPlan


@dataclass(frozen=True)
class Decaying(TrainingPlan):
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Outer:
    inner: Augmentation = field(default_factory=Augmentation)
    sizes: tuple[int, ...] = (1, 2)


class Thing:
    def __init__(
        self,
        count: int,
        plan: Decaying | None = None,
        either: VAELoss | Augmentation | None = None,
        outer: Outer | None = None,
        names: list[str] | None = None,
        place: str | Path = "",
    ) -> None:
        self.count, self.plan, self.either = count, plan, either
        self.outer, self.names, self.place = outer, names, place


def same(model):
    values = {name: plain(getattr(model, name)) for name in argument_names(type(model))}
    return type(model)(**arguments_from(type(model), json.loads(json.dumps(values))))


def test_parts_come_back_through_json():
    thing = Thing(
        np.int64(3),
        Decaying(epochs=2, milestones=(1, 2), weight_decay=0.5),
        Augmentation(flip="both"),
        Outer(Augmentation(rotation=5.0), (4, 5, 6)),
        ["a", "b"],
        Path("here"),
    )
    again = same(thing)
    assert (again.count, again.plan, again.either, again.outer) == (
        3,
        thing.plan,
        thing.either,
        thing.outer,
    )
    assert again.names == ["a", "b"] and again.place == "here"
    # What is not given stays what the constructor says.
    assert vars(same(Thing(1))) == vars(Thing(1))


def test_what_a_constructor_does_not_know_is_named():
    with pytest.raises(ValueError, match="Subspace has no parameter 'smoothing'; it has n_comp"):
        arguments_from(Subspace, {"n_components": 3, "smoothing": 2.0})
    with pytest.raises(ValueError, match="plan must have the fields epochs.*, not epochs, rate"):
        arguments_from(VAEGAN, {"plan": {"epochs": 3, "rate": 0.1}})
    with pytest.raises(TypeError, match="plain value or a dataclass of such, not ndarray"):
        plain({"one": [np.zeros(2)]})


@pytest.mark.parametrize(
    "detector",
    [
        Subspace(3, scoring=ResidualScore("top", top_fraction=0.1)),
        VAEGAN("paper", augmentation=Augmentation(rotation=10.0), seed=4),
        CAE("skip", plan=TrainingPlan(epochs=3, milestones=(1,))),
    ],
)
def test_a_detector_is_rebuilt_from_its_parameters(detector):
    again = type(detector).from_parameters(json.loads(json.dumps(detector.parameters)))
    assert again.parameters == detector.parameters and again.scoring == detector.scoring
    changed = type(detector).from_parameters(detector.parameters, scoring=ResidualScore("max"))
    assert changed.scoring == ResidualScore("max") != detector.scoring


def test_what_a_size_means_is_part_of_the_parameters():
    parameters = VAEGAN("paper").parameters
    assert parameters["latent_dim"] == 32 and parameters["plan"]["batch_size"] == 32
    assert parameters["loss"] == {
        "reconstruction": "binary_cross_entropy",
        "kl_weight": 1.0,
        "adversarial_weight": 1.0,
    }
