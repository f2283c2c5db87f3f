"""A sample refuses what does not belong to its image."""

import numpy as np
import pytest

from adhelpers.reports.sample import Sample

IMAGE, PLANE = np.zeros((6, 4, 3)), np.zeros((6, 4))


def test_only_image_and_heatmaps_are_needed():
    sample = Sample(IMAGE, {})
    assert sample.score is None and sample.name == "" and not sample.has_defect


@pytest.mark.parametrize(
    ("mask", "has_defect"), [(None, False), (PLANE > 0, False), (PLANE == 0, True)]
)
def test_a_defect_is_a_pixel_in_the_mask(mask, has_defect):
    assert Sample(IMAGE, {}, mask=mask).has_defect is has_defect


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"counterpart": IMAGE[1:]}, "counterpart must have the image's shape"),
        ({"counterpart": IMAGE[..., :1]}, "counterpart must have the image's shape"),
        ({"anomaly_map": PLANE[1:]}, "anomaly_map must have the image's shape"),
        ({"mask": PLANE.T > 0}, "mask must have the image's shape"),
        ({"heatmaps": {"LIME": IMAGE}}, r"heatmaps\['LIME'\] must have the image's shape"),
        ({"optimal": {"SHAP": (0.5, 0.1)}}, r"optimal must only name explainers.*\['SHAP'\]"),
        ({"image": IMAGE[..., :2]}, r"image must have shape \(h, w, 1\)"),
    ],
)
def test_what_does_not_fit_is_named(parts, message):
    with pytest.raises(ValueError, match=message):
        Sample(**({"image": IMAGE, "heatmaps": {"LIME": PLANE}} | parts))
