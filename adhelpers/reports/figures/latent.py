"""Latent codes in a plane."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA

from ..style import check_batch, new_figure, one_line, styled, type_colors

_SPLIT_MARKERS = {"train": "o", "validation": "s", "test": "^"}


@styled
def latent_pca(
    latents: ArrayLike,
    types: ArrayLike,
    splits: ArrayLike | None = None,
    title: str = "Latent space",
) -> Figure:
    """The first two principal components of latent codes: a colour a type, a marker a split.

    Parameters
    ----------
    latents : array-like of float, shape (n, d)
        Latent codes, d ≥ 2, n ≥ 2.
    types : array-like of str, shape (n,)
        ``"good"`` or the defect's type.
    splits : array-like of str, shape (n,), optional
        ``"train"``, ``"validation"`` or ``"test"``; by default all are test codes.
    title

    Returns
    -------
    Figure
        The axes tell the share of the variance that each component explains.

    Raises
    ------
    ValueError
        If shapes do not fit, a code is not finite, or a split has another name.

    Examples
    --------
    >>> figure = latent_pca(np.eye(3), ["good", "good", "crack"])
    >>> figure.axes[0].get_xlabel()
    'first component (50 % of the variance)'
    """
    latents = np.asarray(latents, dtype=float)
    if latents.ndim != 2 or latents.shape[0] < 2 or latents.shape[1] < 2:
        raise ValueError(
            f"latents must have shape (n, d) with n and d at least 2; it has {latents.shape}"
        )
    if not np.isfinite(latents).all():
        raise ValueError("latents must be finite")
    types = np.asarray(types).astype(str)
    splits = np.full(len(latents), "test") if splits is None else np.asarray(splits).astype(str)
    check_batch(len(latents), types=types, splits=splits)
    unknown = sorted(map(str, set(splits) - set(_SPLIT_MARKERS)))
    if unknown:
        raise ValueError(f"splits must be 'train', 'validation' or 'test'; it has {unknown}")
    model = PCA(n_components=2, svd_solver="full").fit(latents)
    points = model.transform(latents)
    figure = new_figure(7.2, 4.6, layout="constrained")
    ax = figure.add_subplot(title=one_line(title))
    colors = type_colors(types)
    for split, marker in _SPLIT_MARKERS.items():
        for name, color in colors.items():
            chosen = (splits == split) & (types == name)
            if chosen.any():
                trained_on = split != "test"
                ax.scatter(
                    points[chosen, 0],
                    points[chosen, 1],
                    marker=marker,
                    s=14 if trained_on else 30,
                    color=color,
                    alpha=0.35 if trained_on else 0.85,
                    linewidths=0,
                    label=f"{name}, {split} ({chosen.sum()})",
                )
    shares = [f"{100 * share:.0f} % of the variance" for share in model.explained_variance_ratio_]
    ax.set(xlabel=f"first component ({shares[0]})", ylabel=f"second component ({shares[1]})")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
