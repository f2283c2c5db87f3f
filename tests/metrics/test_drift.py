import numpy as np
import pytest

from adhelpers.metrics import find_drift, light_and_sharpness


def draw(count, seed, light=0.6, sharpness=0.02):
    random = np.random.default_rng(seed)
    return {
        "light": random.normal(light, 0.05, count),
        "sharpness": random.gamma(4, sharpness / 4, count),
        "size": np.full(count, 1024.0),
    }


def test_equal_distributions_are_rarely_taken_for_different_ones():
    """Alarms over 200 draws: a level of 1 % allows about two, and most of these are too small."""
    reference = draw(100, 0)
    alarms = sum(bool(find_drift(reference, draw(30, seed)).noticed) for seed in range(1, 201))
    assert alarms <= 2


def test_thousands_of_images_make_no_notice_of_a_trifle():
    """The test alone would reject: a hundredth of a standard deviation times many images."""
    new = draw(20_000, 1, light=0.605)
    report = find_drift(draw(3000, 0), new)
    light = report.drifts[0]
    assert light.p_value < 1e-3 and not report.noticed
    assert "no difference in light, sharpness and size" in report.findings()[0]


def test_darker_images_are_noticed_with_the_number_they_rest_on():
    report = find_drift(draw(100, 0), draw(12, 1, light=0.45))
    assert [one.measure for one in report.noticed] == ["light"]
    (sentence,) = report.findings()
    assert "12 new images beside 100 of the training are not alike: they are darker" in sentence
    assert -4 < report.noticed[0].shift < -2
    table = report.table()
    assert (
        table["noticed"].tolist() == [True, False, False] and table["new images"].tolist()[0] == 12
    )


def test_a_few_dark_defects_are_no_drift():
    new = draw(40, 1)
    new["light"][:6] = 0
    assert not find_drift(draw(100, 0), new).noticed


def test_another_size_than_the_only_one_is_noticed():
    new = draw(20, 1) | {"size": np.full(20, 512.0)}
    (drift,) = find_drift(draw(50, 0), new).noticed
    assert drift.shift is None and "they are smaller: median size 512 against" in drift.sentence()


@pytest.mark.parametrize(("count", "said"), [(0, "0 new images"), (1, "1 new image"), (7, "7 new")])
def test_few_images_say_nothing(count, said):
    new = {name: values[:count] for name, values in draw(10, 1, light=0).items()}
    report = find_drift(draw(100, 0), new)
    assert not report.drifts and report.table().empty
    assert said in report.findings()[0] and "too few to say" in report.findings()[0]


def test_sharpness_does_not_mind_light_and_falls_with_blur():
    random = np.random.default_rng(0)
    image = random.uniform(0.2, 0.5, (32, 32, 3)).astype("float32")
    light, sharpness = light_and_sharpness(image)
    brighter = light_and_sharpness(image + 0.3)
    assert brighter[0] == pytest.approx(light + 0.3, abs=1e-6)
    assert brighter[1] == pytest.approx(sharpness, rel=1e-4)
    blurred = (image + np.roll(image, 1, 0) + np.roll(image, 1, 1)) / 3
    assert light_and_sharpness(blurred)[1] < 0.7 * sharpness
