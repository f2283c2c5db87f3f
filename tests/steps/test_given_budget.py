"""Budgets: a slow detector gets fewer evaluations, but enough to say something."""

from dataclasses import replace

import pytest

from adhelpers.steps import ExplainerSettings, plan_budget
from adhelpers.steps.explain import REPAIR


def slow(assessed, seconds_each):
    return replace(assessed, seconds=seconds_each * len(assessed.category.test))


def test_a_fast_detector_gets_all_and_a_slow_one_what_fits(assessed):
    plans = [plan_budget(slow(assessed, each), minutes=10) for each in (0, 0.05, 0.15, 0.3, 1, 3)]
    assert plans[0].explainers == ("LIME", "SHAP", REPAIR) and not plans[0].reduced
    assert plans[0].settings == ExplainerSettings()
    evaluations = [plan.expected / (plan.seconds_each + 5e-4) for plan in plans]
    assert evaluations == sorted(evaluations, reverse=True) and evaluations[0] > evaluations[-1]
    # The detector's own map speaks for it where nothing else can be afforded.
    assert plans[-1].explainers == () and plans[-1].effort.control_draws == 9
    assert all(plan.expected <= 600 for plan in plans[:-1])


def test_without_a_map_something_is_explained_all_the_same(assessed):
    plan = plan_budget(replace(slow(assessed, 30), has_maps=False), minutes=1)
    assert plan.explainers == (REPAIR,) and plan.expected > 60
    assert "though 60 s were allowed" in plan.findings()[0]


def test_no_limit_means_no_limit_and_no_repair_no_smallest_repair(assessed):
    plan = plan_budget(slow(assessed, 30), minutes=0)
    assert not plan.reduced and plan.settings == ExplainerSettings()
    plan = plan_budget(assessed, repairs=False)
    assert plan.explainers == ("LIME", "SHAP")
    with pytest.raises(ValueError, match="minutes must be 0"):
        plan_budget(assessed, minutes=-1)


def test_small_budgets_are_not_raised(assessed):
    settings = ExplainerSettings(8, 17, 16, good_explained=1)
    plan = plan_budget(slow(assessed, 1), settings, minutes=10)
    assert plan.settings.lime_samples == 17 and plan.settings.shap_evaluations == 16
    assert plan.settings.num_segments == 8 and plan.settings.good_explained == 1
