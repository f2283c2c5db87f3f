"""Which detector is audited: the simplest that no other one is shown to beat on planted defects."""

from dataclasses import replace

import numpy as np
import pytest

from adhelpers.data import load_category
from adhelpers.detectors import Detector, ResidualScore, Subspace
from adhelpers.steps import assess_detector, choose_audited

# Of the scores: as large as what is planted, so that the patches barely tell detectors apart.
_NOISE = 3.0


class _Memory(Detector):
    """Knows the good images by heart: whatever is planted in one of them is new to it."""

    def fit(self, train, validation, **options):
        self.known = np.concatenate([train, validation])
        return self

    def anomaly_map(self, images):
        return np.zeros(images.shape[:3], np.float32)

    def score(self, images):
        return np.array([np.abs(self.known - one).max(axis=(1, 2, 3)).min() for one in images])

    def counterpart(self, images):
        return images

    def _write(self, folder):
        return {}

    def _read(self, folder, manifest):
        return None


class _Blurred(_Memory):
    """The same, with so much noise that a few planted defects say little of it."""

    def __init__(self, seed, noise=_NOISE):
        super().__init__()
        self.random, self.noise = np.random.default_rng(seed), noise

    def score(self, images):
        return super().score(images) + self.random.normal(0, self.noise, len(images))


def _assessed(hazelnuts, title, detector):
    good = (hazelnuts.train.images, hazelnuts.validation.images)
    return assess_detector(title, detector.fit(*good), hazelnuts)


@pytest.fixture(scope="module")
def halved(hazelnuts):
    """Half of the good images are held out: with fewer hardly anything is shown."""
    return load_category(
        hazelnuts.root, "hazelnut", image_size=64, color="rgb", validation_fraction=0.5
    )


@pytest.fixture(scope="module")
def assessed(halved):
    return _assessed(halved, "subspace", Subspace(5, scoring=ResidualScore(smoothing=1.0)))


@pytest.fixture(scope="module")
def memory(halved):
    return _assessed(halved, "memory", _Memory())


def test_a_detector_that_finds_clearly_more_is_audited(assessed, memory):
    chosen = choose_audited({"subspace": assessed, "memory": memory})
    assert chosen.assessment is memory and chosen.simpler is assessed
    assert chosen.found["subspace"].value < chosen.found["memory"].value == 1
    difference = chosen.against_simplest["memory"].difference
    assert difference.low > 0
    table = chosen.table()
    assert table["audited"].to_dict() == {"subspace": "", "memory": "←"}
    assert table.loc["memory", "more than the subspace"] == f"{difference:+.3f}"
    (said,) = chosen.findings()
    assert f"{difference:.3f} more than the subspace, which is the simplest" in said
    assert "No test image has a say" in said


def test_of_detectors_that_differ_by_chance_the_simplest_is_audited(hazelnuts):
    # One of these has the highest AUROC, and it is not always the first.
    taken, best_is_first = [], []
    for seed in range(0, 30, 3):
        ones = {
            str(place): _assessed(hazelnuts, f"number {place}", _Blurred(seed + place))
            for place in range(3)
        }
        chosen = choose_audited(ones)
        taken.append(chosen.assessment.title)
        values = [one.value for one in chosen.found.values()]
        best_is_first.append(int(np.argmax(values)) == 0)
    assert sum(best_is_first) <= 6
    assert taken.count("number 0") >= 9


def test_the_reason_names_a_detector_that_is_higher_but_not_shown_to_be_better(hazelnuts):
    for seed in range(20):
        ones = [_assessed(hazelnuts, name, _Blurred(seed + i)) for i, name in enumerate("ab")]
        chosen = choose_audited(dict(zip("ab", ones, strict=True)))
        if chosen.found["b"].value > chosen.found["a"].value and chosen.simpler is None:
            break
    (said,) = chosen.findings()
    assert said.startswith("The a is audited")
    assert f"the b reaches {chosen.found['b']}, which is not shown to be better" in said


def test_of_equals_the_first_and_then_nothing_simpler_is_compared(assessed, memory):
    twin = replace(assessed, title="twin")
    equal = choose_audited({"subspace": assessed, "twin": twin})
    assert equal.assessment is assessed and equal.simpler is None
    assert "no other detector finds more" in equal.findings()[0]
    # Two that beat the simplest and are equal: the simpler of them.
    both = choose_audited({"subspace": assessed, "m": memory, "n": replace(memory, title="n")})
    assert both.assessment is memory and both.simpler is assessed


def test_a_detector_can_be_asked_for(assessed, memory):
    asked = choose_audited({"subspace": assessed, "memory": memory}, "subspace")
    assert asked.assessment is assessed and asked.simpler is None
    assert asked.findings() == ["The subspace is audited, as asked for."]
    with pytest.raises(ValueError, match="audited.*auto, subspace, memory"):
        choose_audited({"subspace": assessed, "memory": memory}, "vae")


def test_a_single_validation_image_cannot_rank_detectors(hazelnuts, detector):
    few = replace(hazelnuts, validation=hazelnuts.validation.subset(np.array([0])))
    ones = {
        "subspace": assess_detector("subspace", detector, few),
        "memory": _assessed(few, "memory", _Memory()),
    }
    chosen = choose_audited(ones)
    assert chosen.assessment is ones["subspace"] and chosen.against_simplest == {}
    assert chosen.table()["more than the subspace"].tolist() == ["", ""]


def test_the_choice_does_not_look_at_the_test_images(halved, assessed):
    test = halved.test
    other = replace(halved, test=replace(test, labels=1 - test.labels))
    swapped = assess_detector("subspace", assessed.detector, other)
    assert choose_audited({"subspace": swapped}).found == (
        choose_audited({"subspace": assessed}).found
    )
