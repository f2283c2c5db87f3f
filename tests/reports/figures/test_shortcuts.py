"""The shortcut figure: the points, bars and words that a reader takes from it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from adhelpers.audit import probe_shortcuts
from adhelpers.reports import shortcut_figure
from adhelpers.reports import style as _style

LABELS = np.repeat([0, 1], [8, 12])
STATISTICS = pd.DataFrame(
    {
        "noise": np.tile([1.0, 2.0], 10),
        "mean_brightness": 20.0 - np.arange(20),
        "clipped_share": np.zeros(20),
    }
)


def _figure():
    probe = probe_shortcuts(STATISTICS, LABELS, resamples=50)
    return probe, shortcut_figure(probe, STATISTICS, LABELS)


def test_strip_shows_the_strongest_statistic_of_every_image_by_class():
    probe, figure = _figure()
    strip = figure.axes[0]
    assert strip.get_xlabel() == "mean brightness"
    assert [label.get_text() for label in strip.get_yticklabels()] == ["defective (12)", "good (8)"]
    for row, (points, label, color) in enumerate(
        zip(strip.collections, (1, 0), (_style.ANOMALOUS, _style.GOOD), strict=True)
    ):
        offsets = np.asarray(points.get_offsets())
        assert offsets[:, 0].tolist() == STATISTICS["mean_brightness"][LABELS == label].tolist()
        assert (np.abs(offsets[:, 1] - row) <= 0.3 + 1e-9).all()
        assert to_hex(points.get_facecolor()[0]).upper() == color
    assert figure.get_suptitle().replace("\n", " ") == probe.findings()[0]
    assert plt.get_fignums() == []


def test_bars_show_every_auroc_with_its_interval_strongest_on_top():
    probe, figure = _figure()
    bars = figure.axes[1]
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "clipped share",
        "noise",
        "mean brightness ↓",
    ]
    drawn = {round(patch.get_y() + patch.get_height() / 2): patch for patch in bars.patches}
    table = probe.statistics[::-1].reset_index(drop=True)
    intervals = next(part for part in bars.collections if len(part.get_paths()) == 3).get_segments()
    for row, found in table.iterrows():
        assert drawn[row].get_x() + drawn[row].get_width() == pytest.approx(found.separability)
        assert to_hex(drawn[row].get_facecolor()).upper() == (
            _style.ANOMALOUS if found.significant else "#FFFFFF"
        )
        # One that is constant has no interval.
        ends = np.asarray(intervals[row])[:, 0] if len(intervals[row]) else [np.nan, np.nan]
        assert ends == pytest.approx([found.low, found.high], nan_ok=True)
    assert [text.get_text() for text in bars.texts] == [
        f"{value:.2f}" for value in table["separability"]
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "significant",
        "may be chance",
    ]
    low, high = bars.get_xlim()
    assert low < table["low"].min() and high > 1


def test_a_single_class_says_so():
    probe = probe_shortcuts(STATISTICS, np.zeros(20))
    figure = shortcut_figure(probe, STATISTICS, np.zeros(20))
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["needs good and defective images"] * 2
    assert "cannot be known" in figure.get_suptitle()


def test_bad_input_is_refused():
    probe, _ = _figure()
    with pytest.raises(ValueError, match="statistics must have one entry for each of the 3"):
        shortcut_figure(probe, STATISTICS, [0, 1, 1])
    with pytest.raises(ValueError, match="the column 'mean_brightness'"):
        shortcut_figure(probe, STATISTICS[["noise"]], LABELS)
