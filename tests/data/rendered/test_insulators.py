"""Rendered insulators: layout, the planted shortcut and no other, reproducibility, refusals."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, laplace
from sklearn.metrics import roc_auc_score

from adhelpers.data import insulators_root, load_class_images
from adhelpers.data.rendered.insulators import render_insulators

TINY = {"train_count": 2, "review_count": 1, "test_count": 1}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.png"))
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return render_insulators(
        tmp_path_factory.mktemp("data"), train_count=40, review_count=40, test_count=8
    )


def test_the_layout_is_one_folder_a_class(tmp_path):
    folder = render_insulators(tmp_path, **TINY)
    classes = ("good", "broken", "flashover")
    images = {f"train/{name}/{index:03d}.png" for name in classes for index in range(2)}
    images |= {f"{split}/{name}/000.png" for split in ("review", "test") for name in classes}
    found = contents(folder)
    assert {
        name for name in found if not name.startswith(("ground_truth", "counterparts"))
    } == images
    masks = {
        name for name in found if name.startswith("ground_truth") and name.endswith("_defect.png")
    }
    assert masks == {
        "ground_truth/" + name.replace(".png", "_defect.png")
        for name in images
        if "good" not in name
    }
    for name in found:
        with Image.open(folder / name) as image:
            assert image.size == (64, 64) and image.mode == (
                "L" if "ground_truth" in name else "RGB"
            )
    assert {
        name for name in found if name.startswith("counterparts") and name.endswith("_defect.png")
    } == {name.replace("ground_truth", "counterparts") for name in masks if "/test/" in name}
    assert "MIT" in (folder / "readme.txt").read_text() and [
        path.name for path in tmp_path.iterdir()
    ] == ["insulators"]


def test_an_image_does_not_depend_on_the_counts_but_on_the_seed(tmp_path):
    small = contents(render_insulators(tmp_path / "small", **TINY))
    large = contents(
        render_insulators(tmp_path / "large", train_count=3, review_count=2, test_count=2)
    )
    other = contents(render_insulators(tmp_path / "other", seed=1, **TINY))
    assert len(large) > len(small) and all(
        large[name] == content for name, content in small.items()
    )
    assert all(
        other[name] != content
        for name, content in small.items()
        if name in other and not name.startswith("ground")
    )


def test_only_one_class_has_the_tag_in_training_and_any_afterwards(rendered):
    for split, expected in (("train", (0, 0.7, 0)), ("review", (0.25, 0.25, 0.25))):
        images = load_class_images(rendered, split)
        shares = [images.tags[images.labels == label].any(axis=(1, 2)).mean() for label in range(3)]
        # A low-discrepancy sequence keeps to its share better than a coin.
        np.testing.assert_allclose(shares, expected, atol=0.051)
        assert (images.defects.any(axis=(1, 2)) == (images.labels > 0)).all()


def test_a_counterpart_differs_from_its_image_where_the_mask_is(rendered):
    images = load_class_images(rendered, "test")
    assert load_class_images(rendered, "review").without_tags is None
    for masks, counterparts in (
        (images.defects, images.without_defects),
        (images.tags, images.without_tags),
    ):
        change = np.abs(images.images - counterparts).max(axis=3)
        has = masks.any(axis=(1, 2))
        assert has.sum() > 3 and (change[~has] == 0).all()
        for one, mask in zip(change[has], masks[has], strict=True):
            assert one[~binary_dilation(mask, iterations=3)].max() < 0.2 and one[mask].mean() > 0.08
    # Neither takes the other away.
    both = images.tags.any(axis=(1, 2)) & images.defects.any(axis=(1, 2))
    assert (
        np.abs(images.without_tags - images.without_defects)[both].max(axis=(1, 2, 3)) > 0.1
    ).all()


def test_nothing_but_the_fault_and_the_tag_tells_the_classes_apart(rendered):
    images = load_class_images(rendered, "review")
    border = images.images[:, :, :10].mean(axis=(1, 2)), images.images[:, :, -10:].mean(axis=(1, 2))
    grey = images.images.mean(axis=3)
    statistics = {
        "mean": grey.mean(axis=(1, 2)),
        "deviation": grey.std(axis=(1, 2)),
        "noise": np.array([np.median(np.abs(laplace(one))) for one in grey]),
        "sky": grey[:, :6].mean(axis=(1, 2)),
        "left": border[0].mean(axis=1),
        "right": border[1].mean(axis=1),
        "blue": images.images[..., 2].mean(axis=(1, 2)),
    }
    for first, second in ((0, 1), (0, 2), (1, 2)):
        chosen = np.isin(images.labels, (first, second))
        for name, values in statistics.items():
            # With 40 against 40 chance alone gives a standard deviation of 0.065.
            assert (
                abs(roc_auc_score(images.labels[chosen] == second, values[chosen]) - 0.5) < 0.2
            ), name


def test_a_cached_rendering_is_found_again(tmp_path):
    # The name and the first line of the note stay as they are as long as the pictures do.
    folder = render_insulators(tmp_path / "rendered" / "b2e5a07eb69f79e0", **TINY)
    text = (folder / "readme.txt").read_text()
    assert text.startswith("Insulators rendered by adhelpers (adhelpers.data.insulators).")
    before = (folder / "readme.txt").stat().st_mtime_ns
    assert insulators_root(tmp_path, **TINY) == folder
    assert (folder / "readme.txt").stat().st_mtime_ns == before


def test_they_are_rendered_once(tmp_path):
    first = insulators_root(tmp_path, **TINY)
    note = (first / "readme.txt").stat().st_mtime_ns
    assert (
        insulators_root(tmp_path, **TINY) == first
        and (first / "readme.txt").stat().st_mtime_ns == note
    )
    assert insulators_root(tmp_path, seed=3, **TINY) != first
    # A default that is written out is the same data set.
    assert insulators_root(tmp_path, tied=0.7, **TINY) == first


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tag_class": "bent"}, "tag_class must be one of good, broken, flashover"),
        ({"image_size": 32}, "image_size must be a whole number of at least 48"),
        ({"train_count": 0}, "train_count must be"),
        ({"tied": 1.2}, "tied must lie in"),
        ({"loose": -0.1}, "loose must lie in"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_parameters(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        render_insulators(tmp_path, **options)
    assert not any(tmp_path.iterdir())


def test_nothing_foreign_is_overwritten(tmp_path):
    (tmp_path / "insulators").mkdir()
    (tmp_path / "insulators" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="was not rendered by adhelpers"):
        render_insulators(tmp_path, **TINY)
    assert (tmp_path / "insulators" / "mine.txt").read_text() == "keep"
