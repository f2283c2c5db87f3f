import io

import numpy as np
import pandas as pd
from PIL import Image

from adhelpers.reports import (
    PredictedCard,
    as_picture,
    csv_row,
    draw_overlay,
    jpeg_bytes,
    strip_webp,
    write_predictions_page,
)


def test_a_name_cannot_compute_break_a_row_or_a_terminal():
    row = csv_row(["=cmd()", 'a,"b"\n', "caf\udce9", -0.5, False, None])
    assert row == b'\'=cmd(),"a,""b""\\n",caf\\xe9,-0.5,False,\n'


def test_heat_lies_where_the_matrix_takes_it():
    """A map of a turned and shifted frame; half a pixel would be seen at these sizes."""
    photograph = as_picture(np.zeros((40, 60, 1), np.float32))
    anomaly_map = np.zeros((10, 10), np.float32)
    anomaly_map[0, 0] = 1
    # A quarter turn: x of the map runs down, y to the left, from (50.5, 10.5) on.
    matrix = np.array([[0, -2, 50.5], [2, 0, 10.5], [0, 0, 1.0]])
    drawn = np.asarray(draw_overlay(photograph, anomaly_map, matrix, 0.5, None)).sum(axis=2)
    rows, columns = np.nonzero(drawn > 0.5 * drawn.max())
    assert (rows.mean(), columns.mean()) == (10.5, 50.5)
    assert drawn[:, :45].max() == 0 and drawn.max() > 100


def test_below_half_of_the_level_nothing_is_coloured():
    photograph = as_picture(np.full((20, 20, 3), 0.5, np.float32))
    anomaly_map = np.full((20, 20), 0.24, np.float32)
    plain = np.asarray(draw_overlay(photograph, anomaly_map, np.eye(3), 0.5, None))
    assert (plain == 128).all()
    boxed = np.asarray(draw_overlay(photograph, None, np.eye(3), 0.5, (5, 6, 4, 3)))
    assert (boxed[6:9, 5:9] == 128).all(), "the line lies on what it is to show"
    assert (boxed[5, 4:10] != 128).any(axis=-1).all()


def test_strip_and_overlay_are_pictures():
    photograph = Image.new("RGB", (100, 700))
    overlay = draw_overlay(photograph, None, np.eye(3), 1.0, None)
    strip = strip_webp(photograph, overlay)
    assert strip[8:12] == b"WEBP" and jpeg_bytes(overlay)[:2] == b"\xff\xd8"
    assert Image.open(io.BytesIO(strip)).size == (2 * 46 + 6, 320)


def test_the_page_holds_nothing_that_runs_or_loads(tmp_path, Page):
    picture = strip_webp(Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8)))
    name = '"><script>alert(1)</script>.png'
    card = PredictedCard(3, name, 0.5, "flagged", picture, "3 x 4 at 1, 2", "", "overlays/a b#.jpg")
    path = write_predictions_page(
        tmp_path / "predictions.html",
        title=name,
        heading="Flagged images",
        notes=["<b>note</b>"],
        tables={"Counts": pd.DataFrame([{"images": 3, "flagged": None}])},
        cards=[card],
    )
    page = Page(path.read_text())
    assert "<script>alert" not in path.read_text() and name in page.text
    assert page.attributes("a", "href") == ["overlays/a%20b%23.jpg"]
    assert all(one.startswith("data:image/webp") for one in page.attributes("img", "src") if one)


def test_no_card_is_said(tmp_path):
    path = write_predictions_page(
        tmp_path / "p.html", title="t", heading="Flagged images", notes=[], tables={}, cards=[]
    )
    assert "<p>None.</p>" in path.read_text() and "<form" not in path.read_text()
