"""Which counterpart is taken: detectors for which the right choice is known beforehand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import laplace, uniform_filter

from adhelpers.data import Category, ImageSet
from adhelpers.detectors import LinearReconstruction, inpainted
from adhelpers.metrics import normal_quantile
from adhelpers.steps.assess import ImageAssessment
from adhelpers.steps.counterparts import GOOD_ENOUGH, CounterpartCheck, _best, choose_counterpart


class Outside:
    """A detector from elsewhere that is only a function."""

    def __init__(self, score):
        self.score, self.title, self.counterpart_name = score, "outside", ""

    def with_counterpart(self, name, function):
        other = Outside(self.score)
        other.counterpart_name, other.counterpart = name, function
        return other


def category(images, test):
    """Half of the images to train on, a fourth held out."""

    def part(one, name):
        names = np.array([f"{name}/{index}.png" for index in range(len(one))])
        shapes = np.full((len(one), 2), one.shape[1])
        kinds = np.zeros(len(one), int), np.full(len(one), "good")
        return ImageSet(one, *kinds, names, None, None, shapes)

    half = len(images) // 2
    return Category(
        "thing", None, part(images[:half], "train"), part(images[half:], "validation"),
        part(test, "test"), {}, "0",
    )  # fmt: skip


def assessed(score, images, test=None):
    one = category(images, images[:2] if test is None else test)
    reference = np.asarray(score(one.validation.images), np.float32)
    return ImageAssessment(
        title="outside",
        category=one,
        detector=Outside(score),
        scores=np.asarray(score(one.test.images), np.float32),
        reference_scores=reference,
        threshold=normal_quantile(reference, 0.95),
        detection=SimpleNamespace(),
        anomaly_maps=np.zeros(one.test.images.shape[:3], np.float32),
        counterparts=one.test.images,
    )


def grain(count=28, side=40):
    """Sharp texture that is the same nowhere."""
    random = np.random.default_rng(0)
    return random.uniform(0.3, 0.7, size=(count, side, side, 1)).astype(np.float32)


def blur(images):
    """How blurred the least sharp place is; nothing else counts."""
    sharpness = [uniform_filter(np.abs(laplace(one[..., 0])), 7) for one in images]
    return np.array([-one[4:-4, 4:-4].min() for one in sharpness])


def waves(count=36, side=40):
    """Sums of three smooth waves: all there is to know is three numbers for each image."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:side, :side] / side
    basis = np.stack([np.sin(2 * np.pi * rows), np.cos(3 * columns), np.sin(2 * rows * columns)])
    weights = random.uniform(-0.15, 0.15, size=(count, 3))
    return (0.5 + np.tensordot(weights, basis, 1))[..., None].astype(np.float32)


def roughness(images):
    """The sharpest edge anywhere."""
    return np.array([np.abs(laplace(one[..., 0])).max() for one in images])


def test_a_detector_of_blur_gets_a_photograph():
    choice = choose_counterpart(assessed(blur, grain()), show_progress=False)
    checks = choice.checks
    assert choice.chosen == "nearest" and choice.verifiable
    assert checks["nearest"].lowest >= GOOD_ENOUGH > checks["subspace"].lowest
    assert choice.assessment.counterpart_name == "nearest good image"
    assert choice.table()["taken"].tolist().index("←") == 0


def test_a_detector_of_edges_gets_the_reconstruction():
    choice = choose_counterpart(assessed(roughness, waves()), show_progress=False)
    assert choice.chosen == "subspace" and choice.verifiable
    assert choice.checks["nearest"].part < choice.checks["subspace"].part
    # A photograph as a whole has no edge: only the repair of a region shows the seam.
    assert choice.checks["nearest"].whole >= GOOD_ENOUGH * choice.checks["nearest"].images


def by_heart(images):
    """A detector that knows every good image by heart and flags what differs in any place."""
    known = {one.tobytes() for one in images}
    return lambda given: np.array([float(one.tobytes() not in known) for one in given])


def test_a_detector_that_flags_every_seam_is_not_verifiable():
    images = grain()
    choice = choose_counterpart(assessed(by_heart(images), images), show_progress=False)
    assert not choice.verifiable
    assert all(check.part == 0 for check in choice.checks.values())
    # The nearest good image as a whole is one that it knows, and that must not be enough.
    assert choice.checks["nearest"].whole >= GOOD_ENOUGH * choice.checks["nearest"].images
    assert "not verifiable" in choice.findings()[1]


def check(whole, part, gone=9, seen=10):
    return CounterpartCheck("any", 10, whole, part, seen, gone)


@pytest.mark.parametrize(
    "checks, best",
    [
        # The lowest share counts, not the mean of all.
        ({"a": check(10, 7, 10), "b": check(8, 8, 8)}, "b"),
        ({"a": check(9, 9), "b": check(9, 9)}, "a"),
        # What only fills regions is for when nothing else is good enough, and it is.
        ({"a": check(8, 8, 8), "fill": check(-1, 10, 10)}, "a"),
        ({"a": check(7, 9, 9), "fill": check(-1, 8, 8)}, "fill"),
        ({"a": check(7, 9, 9), "fill": check(-1, 7, 10)}, "a"),
        # Two planted defects that are seen say nothing about a third.
        ({"a": check(8, 8, 0, seen=2), "b": check(7, 10, 2, seen=2)}, "a"),
    ],
)
def test_the_rule_by_hand(checks, best):
    assert _best(checks) == best


def test_inpainting_leaves_lime_and_shap_the_best_other():
    choice = choose_counterpart(assessed(roughness, waves()), "inpainting", show_progress=False)
    assert choice.chosen == "inpainting" and choice.assessment.fill is inpainted
    assert choice.assessment.detector.counterpart_name == "subspace reconstruction"
    assert choice.checks["inpainting"].row()["whole image stays normal"] == "–"


def test_a_name_that_is_asked_for_is_taken_and_judged_all_the_same():
    one = assessed(blur, grain())
    choice = choose_counterpart(one, "subspace", show_progress=False)
    assert choice.chosen == "subspace" and not choice.verifiable
    assert "as asked for" in choice.findings()[0] and list(choice.checks) == ["subspace"]
    with pytest.raises(ValueError, match="counterpart must be one of auto, nearest"):
        choose_counterpart(one, "nearest good")


def test_no_test_image_has_a_say():
    images = waves()
    first = choose_counterpart(assessed(roughness, images), show_progress=False)
    other = assessed(roughness, images, test=np.random.default_rng(3).uniform(size=(3, 40, 40, 1)))
    again = choose_counterpart(other, show_progress=False)
    assert again.checks == first.checks and again.chosen == first.chosen


def test_a_detector_with_its_own_counterpart_or_without_a_model_stays_as_it_is():
    one = assessed(blur, grain())
    own = replace(one, detector=SimpleNamespace(score=blur), counterpart_name="reconstruction")
    choice = choose_counterpart(own)
    assert choice.assessment is own and choice.verifiable and choice.table().empty
    assert "of its own: reconstruction" in choice.findings()[0]
    maps = replace(one, detector=None, has_counterparts=False)
    choice = choose_counterpart(maps)
    assert not choice.verifiable and "only maps" in choice.findings()[0]


def test_a_detector_that_says_itself_what_is_normal_is_taken_at_its_word_if_that_is_normal():
    images = waves()
    one = assessed(roughness, images)

    def own(function):
        detector = one.detector.with_counterpart("its reconstruction", function)
        return choose_counterpart(replace(one, detector=detector), show_progress=False)

    smooth = own(lambda given: 0 * given + given.mean(axis=(1, 2), keepdims=True))
    rough = own(lambda given: np.random.default_rng(0).uniform(size=given.shape))
    assert rough.chosen == "subspace" and rough.checks["own"].lowest < GOOD_ENOUGH
    # A flat image is normal to it as a whole, but a step where it is pasted.
    assert smooth.checks["own"].whole == smooth.checks["own"].images and smooth.chosen != "own"
    exact = own(LinearReconstruction().fit(one.category.train.images).counterpart)
    assert exact.chosen == "own" and "the detector's own" in exact.findings()[0]
    assert exact.assessment.counterpart_name == "its reconstruction"


@pytest.mark.parametrize("each, images", [(0.0, 24), (1.0, 15), (30.0, 10)])
def test_a_slow_detector_is_asked_less_often_but_not_too_rarely(each, images):
    one = assessed(roughness, waves(count=60))
    one = replace(one, seconds=each * len(one.category.test))
    choice = choose_counterpart(one, "subspace", show_progress=False)
    assert choice.checks["subspace"].images == images


def test_a_patch_that_nobody_sees_is_not_counted():
    images = grain()
    choice = choose_counterpart(
        assessed(lambda given: given[:, 0, 0, 0], images), show_progress=False
    )
    assert all(check.seen == 0 for check in choice.checks.values())
    assert "too few planted defects" in choice.findings()[0]
    assert choice.table()["planted defect is gone"].tolist() == ["none seen"] * 4
