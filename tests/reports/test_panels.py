"""What a strip shows, whatever it is drawn with."""

import numpy as np
import pytest

from adhelpers.reports import MapScale, Sample
from adhelpers.reports.panels import strip_layout, strip_panels

IMAGE, MASK = np.full((16, 16, 1), 0.5), np.eye(16) > 0


def panels_of(sample, scale=None):
    return strip_panels(sample, 0.5, scale, "nearest good image")


def test_each_panel_has_its_values_scale_and_words():
    heatmap = 2.0 * MASK - 1.0
    sample = Sample(
        IMAGE,
        {"SHAP": heatmap},
        1 - IMAGE,
        MASK * 0.25,
        MASK,
        score=0.25,
        optimal={"SHAP": (1.0, 0.5)},
        repaired=(IMAGE, 0.125),
    )
    panels = {panel.name: panel for panel in panels_of(sample)}
    assert list(panels) == [
        "image",
        "nearest good image",
        "anomaly map",
        "defect repaired",
        "SHAP",
        "SHAP: overlap",
    ]
    assert [panel.outlined for panel in panels.values()] == [True, False, True, False, True, False]
    # Its score is a value of the map, so the scale reaches the threshold.
    assert panels["anomaly map"].scale == MapScale(0.5, threshold=0.5)
    assert panels["SHAP"].scale == MapScale(1.0, signed=True)
    assert panels["defect repaired"].corner == "score 0.125"
    overlap = panels["SHAP: overlap"]
    assert overlap.corner == "J* 1.00" and overlap.sharp and overlap.values.shape == (16, 16, 3)
    assert panels_of(sample, MapScale(3.0))[2].scale == MapScale(3.0)


def test_nothing_to_show_is_none():
    nothing = np.full((16, 16), np.nan)
    sample = Sample(
        IMAGE, {"LIME": nothing}, anomaly_map=nothing, mask=MASK, optimal={"LIME": (np.nan, 0.0)}
    )
    panels = panels_of(sample)
    assert [panel.values is None for panel in panels] == [False, True, True, True]


@pytest.mark.parametrize("shape", [(16, 16), (64, 16), (16, 64)])
def test_colours_are_explained_only_where_there_is_room(shape):
    def explained(count, **parts):
        heatmaps = {f"E{number}": np.eye(*shape) for number in range(count)}
        sample = Sample(np.zeros((*shape, 1)), heatmaps, **parts)
        layout = strip_layout(sample, panels_of(sample), titled=False)
        assert layout.width >= 1.5 and layout.width / layout.height == shape[1] / shape[0]
        return layout.heatmaps, layout.overlaps

    assert explained(0) == (False, False) and explained(3) == (True, False)
