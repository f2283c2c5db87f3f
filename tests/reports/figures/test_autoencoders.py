"""Figures for autoencoders: what their panels hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from adhelpers.metrics import Threshold
from adhelpers.reports import (
    MapScale,
    area_tuning_curves,
    counterparts_grid,
    learning_rate_curve,
    segmentation_grid,
)
from adhelpers.reports import (
    style as _style,
)


def test_the_sweep_shows_losses_and_the_suggested_rate():
    sweep = pd.DataFrame(
        {
            "learning_rate": [1e-4, 1e-3, 1e-2],
            "loss": [3.0, 2.0, 900.0],
            "smoothed": [3.0, 2.5, 5.0],
        }
    )
    ax = learning_rate_curve(sweep, 1e-3).axes[0]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), sweep["smoothed"])
    assert ax.get_xscale() == "log" and list(ax.lines[2].get_xdata()) == [1e-3, 1e-3]
    assert (
        ax.get_ylim()[1] == pytest.approx(5.5)
        and ax.get_legend().get_texts()[-1].get_text() == "suggested: 0.001"
    )
    with pytest.raises(ValueError, match="smoothed is missing"):
        learning_rate_curve(sweep.drop(columns="smoothed"), 1e-3)


def test_area_curves_mark_what_was_chosen_and_leave_gaps_where_there_is_no_threshold():
    table = pd.DataFrame(
        {
            "area": [5, 10, 15],
            "threshold": [np.nan, 0.5, 0.3],
            "true_positive_rate": [np.nan, 0.5, 0.75],
            "true_negative_rate": [np.nan, 1.0, 0.5],
            "balanced": [np.nan, 0.75, 0.625],
        }
    )
    left, right = area_tuning_curves(table, 10, Threshold(0.5, "by hand", False)).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), table["threshold"])
    assert (left.lines[1].get_xdata()[0], left.lines[1].get_ydata()[0]) == (10, 0.5)
    assert "chosen: 10 pixels, 0.5" in left.get_legend().get_texts()[0].get_text()
    assert [line.get_label() for line in right.lines[:3]] == [
        "true positive rate",
        "true negative rate",
        "balanced",
    ]
    np.testing.assert_array_equal(right.lines[2].get_ydata(), table["balanced"])
    with pytest.raises(ValueError, match="balanced is missing"):
        area_tuning_curves(table.drop(columns="balanced"), 10, 0.5)


def test_segmentations_show_found_missed_and_wrong_pixels():
    images, masks, found = (
        np.full((2, 16, 8, 1), 0.5),
        np.zeros((2, 16, 8), dtype=bool),
        np.zeros((2, 16, 8), dtype=bool),
    )
    masks[0, 2:6, 2:6] = True
    found[0, 4:8, 2:6] = True
    figure = segmentation_grid(images, found, masks, ["cut", "good"])
    canvas = figure.axes[1].images[0].get_array()
    colors = {
        name: 0.2 * 0.5 + 0.8 * np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        for name, color in (
            ("found", _style.OVERLAP),
            ("missed", _style.GROUND_TRUTH),
            ("wrong", _style.EXPLANATION),
        )
    }
    counts = {
        name: int((np.abs(canvas - color) < 0.01).all(axis=2).sum())
        for name, color in colors.items()
    }
    assert counts == {"found": 8, "missed": 8, "wrong": 8}
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["IoU 0.33", "nothing"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "found defect",
        "missed defect",
        "found, no defect",
    ]
    assert to_hex(figure.legends[0].get_patches()[0].get_facecolor()).upper() == _style.OVERLAP
    assert figure.axes[0].get_title("left") == "cut"
    assert len(segmentation_grid(images, found).axes) == 4
    for arguments, message in [
        ((images[:0], found[:0]), "at least one"),
        ((images, found[:1]), "segmentations"),
        ((images, found[:, :4]), "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            segmentation_grid(*arguments)


def test_every_detector_has_its_counterpart_above_its_map():
    image, mask = np.full((16, 8, 1), 0.5), np.zeros((16, 8), dtype=bool)
    mask[2:4, 2:4] = True
    counterparts = {"a": image * 0.5, "b": image}
    maps = {"a": np.ones((16, 8)), "b": np.zeros((16, 8))}
    figure = counterparts_grid(image, counterparts, maps, mask)
    assert [ax.get_title("left") for ax in figure.axes] == ["image", "a", "b", "", ""]
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), 0.25)
    assert (
        len(figure.axes[0].collections) == 1
        and len(figure.axes[3].collections) == 1
        and not figure.axes[1].collections
    )
    # Each map says its scale, which is its own or the one that was given.
    assert [ax.get_xlabel() for ax in figure.axes[3:]] == ["0 to 1", "0 to 1"]
    given = {"b": MapScale(4.0, threshold=2.0)}
    scaled = counterparts_grid(image, counterparts, maps, mask, scales=given).axes[4]
    assert scaled.get_xlabel() == "0 to 4\nthreshold 2"
    assert scaled.images[0].get_clim() == (0.0, 4.0)
    with pytest.raises(ValueError, match="same detectors"):
        counterparts_grid(image, counterparts, {"a": maps["a"]})
    with pytest.raises(ValueError, match=r"maps\['b'\]"):
        counterparts_grid(image, counterparts, {**maps, "b": np.zeros((4, 4))})
