from dataclasses import asdict

import pytest

from adhelpers.training import TrainingPlan, WeightDecayPlan


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"patience": -1},
        {"learning_rate": 0},
        {"plateau": -1},
        {"cycle_epochs": 0},
        {"checkpoint_every": 0},
        {"schedule": "linear"},
    ],
)
def test_wrong_plans_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingPlan(**{"epochs": 1, "batch_size": 1, **wrong})


LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "cycle_epochs": 1,
    "patience": 0,
    "plateau": 0,
    "checkpoint_every": 1,
}


@pytest.mark.parametrize("name", LEAST)
def test_the_least_of_each_number_is_accepted_and_one_below_is_not(name):
    assert getattr(TrainingPlan(**{name: LEAST[name]}), name) == LEAST[name]
    below = LEAST[name] - 1
    with pytest.raises(ValueError, match=f"^{name} must be {LEAST[name]} or more, not {below}$"):
        TrainingPlan(**{name: below})


@pytest.mark.parametrize("rate", [0, -1e-3, float("nan")])
def test_a_learning_rate_is_above_zero_or_looked_for(rate):
    with pytest.raises(ValueError, match=f"^learning_rate must be above 0, not {rate}$"):
        TrainingPlan(learning_rate=rate)
    assert TrainingPlan(learning_rate=None).learning_rate is None
    assert TrainingPlan(learning_rate=1e-9).learning_rate == 1e-9
    assert TrainingPlan(learning_rate=2).learning_rate == 2


@pytest.mark.parametrize("milestones", [(0,), (-1, 3), (2, 1), (3, 3), (1, 2, 2), (1, 1, 2)])
def test_milestones_rise_from_one(milestones):
    with pytest.raises(ValueError, match="^milestones must be rising numbers of epochs from 1, no"):
        TrainingPlan(milestones=milestones)


def test_milestones_are_a_tuple_however_they_are_given():
    assert TrainingPlan(milestones=[1, 3]) == TrainingPlan(milestones=(1, 3))
    assert TrainingPlan(milestones=[1, 3]).milestones == (1, 3)


def test_defaults_are_as_documented_and_stored_plans_are_found_by_them():
    """Another default would be another plan: stored models and checkpoints are found by it."""
    assert asdict(TrainingPlan()) == {
        "epochs": 100,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "cycle_epochs": 10,
        "milestones": (),
        "patience": 0,
        "plateau": 0,
        "checkpoint_every": 5,
    }


@pytest.mark.parametrize("decay", [-1e-9, float("nan")])
def test_weight_decay_is_zero_or_more(decay):
    with pytest.raises(ValueError, match=f"^weight_decay must be 0 or more, not {decay}$"):
        WeightDecayPlan(weight_decay=decay)
    with pytest.raises(ValueError, match="^epochs must be 1 or more, not 0$"):
        WeightDecayPlan(epochs=0)
    assert WeightDecayPlan().weight_decay == 0 and WeightDecayPlan(weight_decay=2).epochs == 100


def test_plans_cannot_be_changed():
    for plan in (TrainingPlan(), WeightDecayPlan()):
        with pytest.raises(AttributeError):
            plan.epochs = 3
