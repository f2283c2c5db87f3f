"""Stages add up, also when their body fails, and can be forgotten."""

import time

import pytest

from adhelpers._shared.stages import forget_stages, stage, stage_seconds


@pytest.fixture(autouse=True)
def _fresh():
    forget_stages()
    yield
    forget_stages()


def test_the_same_stage_adds_up():
    for _ in range(2):
        with stage("wait"):
            time.sleep(0.02)
    assert stage_seconds()["wait"] >= 0.04


def test_a_failing_body_is_measured_and_its_error_goes_on():
    with pytest.raises(KeyError), stage("broken"):
        raise KeyError("x")
    assert list(stage_seconds()) == ["broken"]


def test_what_is_read_is_a_copy():
    with stage("one"):
        pass
    stage_seconds()["two"] = 1.0
    assert list(stage_seconds()) == ["one"]
