"""Curves of deletion and insertion: closed forms of additive scores, and a slow version."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.audit import deletion_insertion


def total(images):
    return images.sum(axis=(1, 2, 3), dtype=np.float64)


def square(size, row, column, side=3):
    mask = np.zeros((size, size), dtype=bool)
    mask[row : row + side, column : column + side] = True
    return mask


class Recorder:
    """A score that keeps what it was asked; with batches of one nothing is asked twice."""

    def __init__(self, score=total):
        self.score, self.images, self.sizes = score, [], []

    def __call__(self, images):
        self.images.extend(images)
        self.sizes.append(len(images))
        return self.score(images)


def test_curves_of_an_additive_score_are_cumulative_sums():
    # 0.4, 0.3, 0.2, 0.1 of a score of 1; areas by hand: trapezia of 1, 0.6, 0.3, 0.1, 0 a quarter
    # wide.
    image = np.array([0.2, 0.4, 0.1, 0.3]).reshape(1, 2, 2, 1)
    result = deletion_insertion(
        total,
        image,
        0 * image,
        {"exact": image[..., 0], "inverted": -image[..., 0]},
        steps=4,
        show_progress=False,
    )
    assert result.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(result.deletion["exact"], [[1, 0.6, 0.3, 0.1, 0]], atol=1e-6)
    np.testing.assert_allclose(result.insertion["exact"], [[0, 0.4, 0.7, 0.9, 1]], atol=1e-6)
    areas = result.areas.set_index("explainer")
    np.testing.assert_allclose(
        areas.loc["exact", ["deletion", "insertion"]].astype(float), [0.375, 0.625], atol=1e-6
    )
    np.testing.assert_allclose(
        areas.loc["inverted", ["deletion", "insertion"]].astype(float), [0.625, 0.375], atol=1e-6
    )


def test_areas_in_closed_form():
    # All of the score in k of n pixels, equally: deletion falls to 0 at k / n, so its area is k /
    # 2n.
    image = square(16, 4, 4, side=4)[None, ..., None].astype(float)
    flat = np.zeros((1, 16, 16))
    result = deletion_insertion(
        total, image, 0 * image, {"exact": image[..., 0]}, steps=16, show_progress=False
    )
    np.testing.assert_allclose(
        result.areas[["deletion", "insertion"]], [[1 / 32, 31 / 32]], atol=1e-6
    )
    # Whatever the order, equal pixels give a straight line; an offset and a scale of the score
    # change nothing.
    result = deletion_insertion(
        lambda images: 3 * total(images) - 7,
        np.ones((1, 16, 16, 1)),
        np.full((1, 16, 16, 1), 0.25),
        {"flat": flat},
        steps=32,
        show_progress=False,
    )
    np.testing.assert_allclose(result.areas[["deletion", "insertion"]], [[0.5, 0.5]], atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.booleans())
def test_curves_are_those_of_a_slow_version(seed, steps, additive):
    random = np.random.default_rng(seed)
    images, counterparts = random.uniform(size=(2, 2, 5, 6, 3)).astype(np.float32)
    heatmaps = random.normal(size=(2, 5, 6))

    def score(batch):
        return total(batch) if additive else batch.max(axis=(1, 2, 3)) - batch.min(axis=(1, 2, 3))

    result = deletion_insertion(
        score, images, counterparts, {"any": heatmaps}, steps, batch_size=7, show_progress=False
    )
    for image, counterpart, heatmap, deletion, insertion in zip(
        images, counterparts, heatmaps, result.deletion["any"], result.insertion["any"], strict=True
    ):
        order = sorted(np.ndindex(5, 6), key=lambda place: -heatmap[place])
        for step in range(steps + 1):
            deleted, inserted = image.copy(), counterpart.copy()
            for place in order[: round(30 * step / steps)]:
                deleted[place], inserted[place] = counterpart[place], image[place]
            np.testing.assert_allclose(
                [deletion[step], insertion[step]], score(np.stack([deleted, inserted])), rtol=1e-6
            )
    areas = result.areas
    rises = score(images) > score(counterparts)
    assert (areas["deletion"].notna() == rises).all() and (
        areas["insertion"].notna() == rises
    ).all()
    if additive:
        np.testing.assert_allclose((areas["deletion"] + areas["insertion"])[rises], 1, atol=1e-3)


def test_failed_explanations_cost_no_call_and_have_no_curve():
    images = np.stack([np.full((4, 4, 1), 0.5), np.full((4, 4, 1), 0.75)])
    heatmaps = np.stack([np.full((4, 4), np.nan), np.arange(16.0).reshape(4, 4)])
    seen = Recorder()
    result = deletion_insertion(
        seen, images, 0 * images, {"LIME": heatmaps}, steps=5, batch_size=8, show_progress=False
    )
    assert (
        np.isnan(result.deletion["LIME"][0]).all() and np.isfinite(result.deletion["LIME"][1]).all()
    )
    assert result.areas["deletion"].isna().tolist() == [True, False]
    assert seen.sizes == [2, 2, 8]


def test_curves_refuse_bad_input():
    image = np.ones((1, 4, 4, 1))
    for change, message in [
        ({"steps": 0}, "steps"),
        ({"steps": 17}, "number of pixels, 16"),
        ({"heatmaps": {}}, "at least one explainer"),
        ({"counterparts": image[:, :2]}, "images and counterparts"),
        ({"score": lambda images: np.full(len(images), np.nan)}, "NaN"),
    ]:
        arguments = {
            "score": total,
            "images": image,
            "counterparts": 0 * image,
            "heatmaps": {"LIME": image[..., 0]},
            "steps": 4,
        }
        with pytest.raises(ValueError, match=message):
            deletion_insertion(**arguments | change, show_progress=False)


def test_table_and_findings_compare_mean_areas():
    images = np.array([[0.2, 0.4, 0.1, 0.3]] * 2).reshape(2, 2, 2, 1)
    maps = images[..., 0]
    result = deletion_insertion(
        total, images, 0 * images, {"good": maps, "bad": -maps}, steps=4, show_progress=False
    )
    np.testing.assert_allclose(result.table(), [[0.375, 0.625], [0.625, 0.375]], atol=1e-6)
    assert result.table().index.tolist() == ["good", "bad"]
    assert result.areas.index.tolist() == [0, 1, 2, 3]
    assert result.areas["explainer"].tolist() == ["good", "good", "bad", "bad"]
    assert result.areas["index"].tolist() == [0, 1, 0, 1]
    [sentence] = result.findings()
    assert "what good points at lowers the score fastest (mean deletion area 0.38)" in sentence
    assert "what good points at raises it fastest (mean insertion area 0.62)" in sentence
    dark = deletion_insertion(
        total, 0 * images, images, {"good": maps}, steps=4, show_progress=False
    )
    assert dark.findings() == [
        "No image scores above its counterpart, so there is nothing to delete."
    ]


def test_a_difference_below_float32_decides_the_order():
    image = np.array([0.1, 0.2, 0.3, 0.4]).reshape(1, 2, 2, 1)
    seen = Recorder()
    # Of equal values the first pixels would go first; here the last has the highest.
    heatmap = (1 + 1e-12 * np.arange(4.0)).reshape(1, 2, 2)
    result = deletion_insertion(
        seen, image, 0 * image, {"fine": heatmap}, steps=4, batch_size=1, show_progress=False
    )
    np.testing.assert_allclose(result.deletion["fine"], [[1, 0.6, 0.3, 0.1, 0]], atol=1e-6)
    # Images and counterparts of float64 reach the score as the detector's float32.
    assert {one.dtype for one in seen.images} == {np.dtype(np.float32)}


def test_32_images_are_scored_at_once_and_progress_is_shown_unless_said_otherwise(capsys):
    image = np.linspace(0.1, 0.9, 36).reshape(1, 6, 6, 1)
    seen = Recorder()
    arguments = seen, image, 0 * image, {"any": image[..., 0]}, 30
    deletion_insertion(*arguments)
    # 29 stages between the ends of each curve: 58 pictures, the second batch filled up.
    assert seen.sizes == [1, 1, 32, 32]
    assert "deletion and insertion" in "".join(capsys.readouterr())
    deletion_insertion(*arguments, show_progress=False)
    assert not "".join(capsys.readouterr())
