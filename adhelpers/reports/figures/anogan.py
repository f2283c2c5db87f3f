"""What a generator makes: its samples over a training, and how a search walks through its images."""

import numpy as np

from ..style import (
    FAINT,
    GAP,
    check_batch,
    corner,
    headline,
    image_panels,
    name_panel,
    show_image,
    show_map,
    styled,
)

__all__ = ["sample_film", "search_walk"]


@styled
def sample_film(frames, epochs, images=None, title="Samples of the same noise over the training"):
    """A row of samples for each epoch that was kept, each column from the same noise.

    Parameters
    ----------
    frames : array (epochs, samples, h, w, c)
        Values in [0, 1].
    epochs : sequence of int (epochs,)
        Written over the rows.
    images : array (n, h, w, c), optional
        Good images for a last row, to compare with.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

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
            f"frames must have the shape (epochs, samples, h, w, c) with at least one epoch, not {frames.shape}."
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
        for ax, picture in zip(panels, pictures):
            show_image(ax, picture)
        for ax in panels[len(pictures) :]:
            ax.remove()
    return figure


@styled
def search_walk(images, walks, moments, losses, titles=None, title="How the search walks"):
    """A row for each image: the image, the generator's best picture after some numbers of steps, and what is left at the end.

    Parameters
    ----------
    images : array (n, h, w, c)
        Values in [0, 1].
    walks : array (n, moments, h, w, c)
        Values in [0, 1].
    moments : sequence of int (moments,)
        Numbers of steps.
    losses : array (n, moments)
        Written into the panels.
    titles : sequence of str (n,), optional
        What each image is.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        The differences share one colour scale.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> figure = search_walk(np.zeros((1, 8, 8, 1)), np.ones((1, 2, 8, 8, 1)), [0, 50], [[3.0, 1.0]], ["good"])
    >>> [ax.get_title("left") for ax in figure.axes]
    ['good', 'step 0', 'step 50', 'difference']
    """
    images, walks, losses = np.asarray(images), np.asarray(walks), np.asarray(losses, dtype=float)
    if walks.shape != (len(images), len(moments), *images.shape[1:]):
        raise ValueError(
            f"walks must have the shape {(len(images), len(moments), *images.shape[1:])}, not {walks.shape}."
        )
    check_batch(len(images), losses=losses, titles=titles)
    figure, axes = image_panels(
        len(images), len(moments) + 2, images.shape[1:], top=0.45, scale=0.75
    )
    headline(figure, title)
    left = np.abs(images - walks[:, -1]).mean(axis=-1)
    for row, panels in enumerate(axes):
        name_panel(panels[0], "image" if titles is None else titles[row])
        show_image(panels[0], images[row])
        for ax, moment, picture, loss in zip(
            panels[1:], moments, walks[row], losses[row], strict=False
        ):
            name_panel(ax, f"step {moment}", color=FAINT)
            show_image(ax, picture)
            corner(ax, f"A {loss:.4g}")
        name_panel(panels[-1], "difference", color=FAINT)
        show_map(panels[-1], left[row], float(left.max()) or 1.0)
    return figure
