"""A saved figure is drawn once and shown as it was saved."""

import base64
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from matplotlib.figure import Figure
from PIL import Image

from adhelpers.reports import describe, image_grid
from adhelpers.reports.saved_figures import save_figure, show_saved_figures


@pytest.fixture
def shown():
    """What a notebook shows of an object, its inline backend set up as a kernel does it."""
    shell = InteractiveShell.instance()
    select_figure_formats(shell, {"png"}, bbox_inches="tight")
    show_saved_figures()
    yield shell.display_formatter.format
    InteractiveShell.clear_instance()


@pytest.fixture
def draws(monkeypatch):
    printed = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *args: printed.append(1) or draw(*args))
    return printed


def png(data):
    return base64.b64decode(data["image/png"])


def pixels(content):
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


def test_a_saved_figure_is_shown_as_the_file_is_and_not_drawn_again(tmp_path, shown, draws):
    figure = image_grid(np.random.default_rng(0).random((2, 8, 8, 1)))
    describe(figure, "two images")
    plain, _ = shown(figure)
    save_figure(figure, tmp_path / "one.png")
    before = len(draws)
    data, metadata = shown(figure)
    assert len(draws) == before > 0
    assert png(data) == (tmp_path / "one.png").read_bytes()
    assert metadata["image/png"] == {"alt": "two images"}
    # It is what the notebook would have drawn.
    assert (pixels(png(data)) == pixels(png(plain))).all()


def test_what_is_changed_after_it_was_saved_is_drawn_again(tmp_path, shown):
    figure = image_grid(np.zeros((1, 8, 8, 1)))
    save_figure(figure, tmp_path / "one.png")
    figure.axes[0].set_title("another")
    data, _ = shown(figure)
    assert png(data) != (tmp_path / "one.png").read_bytes()


def test_plain_figures_are_shown_as_ever(tmp_path, shown):
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    plt.close(figure)
    save_figure(figure, tmp_path / "plain.png")
    assert png(shown(figure)[0]).startswith(b"\x89PNG")


def test_outside_of_a_notebook_nothing_is_set_up():
    InteractiveShell.clear_instance()
    show_saved_figures()


def test_without_an_inline_backend_a_figure_is_text():
    shell = InteractiveShell.instance()
    show_saved_figures()
    data, _ = shell.display_formatter.format(image_grid(np.zeros((1, 8, 8, 1))))
    InteractiveShell.clear_instance()
    assert "image/png" not in data and "Figure" in data["text/plain"]
