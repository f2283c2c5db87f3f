"""The curve over labels shows the runs, their means, and what was published."""

import numpy as np
import pandas as pd
import pytest

from adhelpers.reports import label_curve


def runs(classes="ab"):
    rows = [
        {"ratio": ratio, "auroc": 0.8 + ratio + 0.01 * number, "normal_class": kind}
        for ratio in (0.0, 0.05, 0.2)
        for number, kind in enumerate(classes)
    ]
    return pd.DataFrame(rows)


def labelled(axes):
    return dict(
        zip(axes.get_legend_handles_labels()[1], axes.get_legend_handles_labels()[0], strict=True)
    )


def test_the_line_is_the_mean_and_the_band_the_deviation():
    [axes] = label_curve(runs()).axes
    mean = labelled(axes)["mean and deviation"]
    np.testing.assert_allclose(mean.get_ydata(), [0.805, 0.855, 1.005])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0 %", "5 %", "20 %"]
    band = axes.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(band[:, 1].min(), 0.805 - np.std([0.8, 0.81], ddof=1))
    assert {"normal: a", "normal: b"} <= set(labelled(axes)) and [
        text.get_text() for text in axes.texts
    ] == ["0.805", "0.855", "1.005"]


def test_one_class_and_one_run_have_no_band_of_nonsense():
    [axes] = label_curve(runs("a")).axes
    assert (
        "each training" in labelled(axes)
        and np.isfinite(axes.collections[0].get_paths()[0].vertices).all()
    )


def test_small_differences_stay_small():
    low, high = label_curve(runs().assign(auroc=[0.9, 0.901] * 3)).axes[0].get_ylim()
    assert high - low == pytest.approx(0.06) and low < 0.9 < 0.901 < high


def test_what_was_published_stands_at_its_own_ratios():
    published = pd.DataFrame({"ratio": [0.0, 0.1], "auroc": [0.9, 0.95]})
    [axes] = label_curve(runs(), published).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0 %", "5 %", "10 %", "20 %"]
    np.testing.assert_allclose(
        labelled(axes)["published on MNIST,\nmean over classes"].get_xdata(), [0, 2]
    )
    np.testing.assert_allclose(labelled(axes)["mean and deviation"].get_xdata(), [0, 1, 3])


def test_missing_columns_and_rows_are_named():
    with pytest.raises(ValueError, match="auroc is missing"):
        label_curve(runs().drop(columns="auroc"))
    with pytest.raises(ValueError, match="at least one row"):
        label_curve(runs()[:0])
