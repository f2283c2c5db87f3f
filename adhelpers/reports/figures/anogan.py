"""What a generator makes: its samples during a training, and the steps of a latent search."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats, Images

from ..maps import MapScale, color_bar, show_map
from ..style import (
    FAINT,
    GAP,
    Texts,
    check_batch,
    corner,
    describe,
    headline,
    image_panels,
    name_panel,
    show_image,
    styled,
)


@styled
def sample_film(
    frames: Floats,
    epochs: Sequence[int],
    images: Images | None = None,
    title: str = "Samples of the same noise over the training",
) -> Figure:
    """A row of samples for each epoch that was kept, each column from the same noise.

    Parameters
    ----------
    frames : ndarray of float, shape (epochs, samples, h, w, c)
        Values in [0, 1].
    epochs
        One for each frame, written above its row.
    images : ndarray of float, shape (n, h, w, c), optional
        Good images for a last row, to compare with.
    title

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no frames, or lengths differ.

    Examples
    --------
    >>> figure = sample_film(np.zeros((2, 3, 8, 8, 1)), [1, 50], images=np.ones((3, 8, 8, 1)))
    >>> [ax.get_title("left") for ax in figure.axes if ax.get_title("left")]
    ['epoch 1', 'epoch 50', 'good images']
    """
    frames = np.asarray(frames)
    if frames.ndim != 5 or not len(frames):
        raise ValueError(
            "frames must have the shape (epochs, samples, h, w, c) with at least one epoch, "
            f"not {frames.shape}"
        )
    check_batch(len(frames), epochs=epochs)
    rows = [(f"epoch {epoch}", frame) for epoch, frame in zip(epochs, frames, strict=True)]
    if images is not None:
        rows.append(("good images", images[: frames.shape[1]]))
    figure, axes = image_panels(
        len(rows),
        frames.shape[1],
        frames.shape[2:],
        top=0.45,
        row_gap=0.2,
        scale=0.5,
        column_gap=0.5 * GAP,
    )
    headline(figure, title)
    for panels, (name, pictures) in zip(axes, rows, strict=True):
        panels[0].set_title(name, fontsize=8, pad=2.5, color=FAINT, fontweight="normal")
        for ax, picture in zip(panels, pictures, strict=False):
            show_image(ax, picture)
        for ax in panels[len(pictures) :]:
            ax.remove()
    describe(figure, f"{title}: a row for each epoch, the last one holds good images")
    return figure


@styled
def search_walk(
    images: Images,
    walks: Floats,
    moments: Sequence[int],
    losses: ArrayLike,
    titles: Texts | None = None,
    title: str = "Steps of the latent search",
) -> Figure:
    """Rows of an image, the generator's best picture after some steps, and their difference.

    Parameters
    ----------
    images : ndarray of float, shape (n, h, w, c)
        Values in [0, 1].
    walks : ndarray of float, shape (n, moments, h, w, c)
        Values in [0, 1].
    moments
        Numbers of steps.
    losses : array-like of float, shape (n, moments)
        Written into the panels.
    titles
        What each image is.
    title

    Returns
    -------
    Figure
        The differences share one colour scale, which has a bar.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> image, walk = np.zeros((1, 8, 8, 1)), np.ones((1, 2, 8, 8, 1))
    >>> figure = search_walk(image, walk, [0, 50], [[3.0, 1.0]], ["good"])
    >>> [ax.get_title("left") for ax in figure.axes[:-1]]
    ['good', 'step 0', 'step 50', 'difference']
    """
    images, walks, losses = np.asarray(images), np.asarray(walks), np.asarray(losses, dtype=float)
    shape = (len(images), len(moments), *images.shape[1:])
    if walks.shape != shape:
        raise ValueError(f"walks must have the shape {shape}, not {walks.shape}")
    check_batch(len(images), losses=losses, titles=titles)
    figure, axes = image_panels(
        len(images), len(moments) + 2, images.shape[1:], top=0.45, right=0.75, scale=0.75
    )
    headline(figure, title)
    left = np.abs(images - walks[:, -1]).mean(axis=-1)
    scale = MapScale(float(left.max()) or 1.0)
    for row, (first, *steps, last) in enumerate(axes):
        name_panel(first, "image" if titles is None else titles[row])
        show_image(first, images[row])
        for ax, moment, picture, loss in zip(steps, moments, walks[row], losses[row], strict=True):
            name_panel(ax, f"step {moment}", color=FAINT)
            show_image(ax, picture)
            corner(ax, f"A {loss:.4g}")
        name_panel(last, "difference", color=FAINT)
        show_map(last, left[row], scale, told=False)
    color_bar(figure, axes[0, -1].images[0], axes[0, -1], scale)
    describe(
        figure,
        f"{title}: an image, the pictures that the search passes, and what remains different",
    )
    return figure
