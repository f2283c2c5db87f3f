import pytest

from adhelpers.training import TrainingPlan


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
