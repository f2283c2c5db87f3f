"""What is done to an image before a foreign model sees it: size, colours, range, order of axes."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from adhelpers._shared.arrays import Floats, Images
from adhelpers._shared.checks import check_choice
from adhelpers.data import resize_image, to_color

LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class Preprocessing:
    """How images in [0, 1] become what a model takes.

    They are resized, brought to one or three channels, put into the order blue, green, red where
    ``bgr`` says so, multiplied by ``scale``, and then normalised: ``(image - mean) / std``. What is
    None is found from the model, or not done.

    Parameters
    ----------
    size : tuple of int, optional
        Height and width.
    channels : {1, 3}, optional
    layout : {"NCHW", "NHWC"}, optional
        Where the channels stand.
    scale : float, optional
        255 for a model that takes values from 0 to 255.
    mean, std : tuple of float, optional
        One number, or one a channel in the model's order of channels.
    bgr : bool, optional
        The model takes blue, green, red.

    Raises
    ------
    ValueError
        If a value is none of these.

    Examples
    --------
    >>> images = np.full((2, 4, 4, 1), 0.5, np.float32)
    >>> taken = Preprocessing(size=(8, 8), channels=3, layout="NCHW", scale=255, mean=(127.5,))
    >>> taken.prepare(images).shape, float(taken.prepare(images).max())
    ((2, 3, 8, 8), 0.0)
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    layout: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bgr: bool | None = None

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std"):
            # A command line gives lists.
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size must be a height and a width in pixels, not {self.size!r}")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 or 3, not {self.channels!r}")
        if self.layout is not None:
            check_choice("layout", self.layout, LAYOUTS)
        if self.scale is not None and not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a number above 0, such as 255, not {self.scale!r}")
        for name in ("mean", "std"):
            self._check_numbers(name, getattr(self, name))
        if self.bgr and self.channels == 1:
            raise ValueError("bgr is for three channels; this model takes one")

    def _check_numbers(self, name: str, given: tuple[float, ...] | None) -> None:
        if given is None:
            return
        counts = (1, 3) if self.channels is None else (1, self.channels)
        if len(given) not in counts:
            wanted = " or ".join(str(count) for count in sorted(set(counts)))
            raise ValueError(f"{name} must have {wanted} numbers, not {len(given)}")
        if not np.isfinite(given).all() or (name == "std" and min(given) <= 0):
            above = " above 0" if name == "std" else ""
            raise ValueError(f"{name} must be finite numbers{above}, not {tuple(given)}")

    def over(self, found: "Preprocessing") -> "Preprocessing":
        """These settings, with what they leave open as it was ``found``."""
        return Preprocessing(
            **{
                one.name: getattr(found, one.name) if mine is None else mine
                for one in fields(self)
                for mine in (getattr(self, one.name),)
            }
        )

    def fitted(self, images: Images) -> Images:
        """Images in the model's size and number of channels, still in [0, 1], (n, h, w, c)."""
        if self.channels is not None:
            images = to_color(images, "rgb" if self.channels == 3 else "grayscale")
        if self.size is None or images.shape[1:3] == tuple(self.size):
            return images
        height, width = self.size
        return np.stack([resize_image(one, (height, width)) for one in images])

    def numbers(self, fitted: Images) -> Floats:
        """What the model takes of images from `fitted`: its order of channels, range and axes."""
        values: Any = fitted[..., ::-1] if self.bgr else fitted
        if self.scale is not None and self.scale != 1:
            values = values * np.float32(self.scale)
        if self.mean is not None:
            values = values - np.asarray(self.mean, np.float32)
        if self.std is not None:
            values = values / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(np.moveaxis(values, -1, 1) if self._first else values)

    def prepare(self, images: Images) -> Floats:
        """What the model takes of images in [0, 1]: float32 (n, c, h, w) or (n, h, w, c)."""
        return self.numbers(self.fitted(images))

    def undo(self, values: Any) -> Images:
        """The images in [0, 1], (n, h, w, c), of what is in the model's own numbers and axes."""
        images: Any = np.asarray(values, np.float32)
        images = np.moveaxis(images, 1, -1) if self._first else images
        if self.std is not None:
            images = images * np.asarray(self.std, np.float32)
        if self.mean is not None:
            images = images + np.asarray(self.mean, np.float32)
        images = images / np.float32(self.scale or 1)
        images = images[..., ::-1] if self.bgr else images
        # What is infinite must be found later and not become black or white here.
        return np.where(np.isfinite(images), np.clip(images, 0, 1), np.float32(np.nan))

    @property
    def needs_colours(self) -> bool:
        """Whether this can only be for three channels."""
        return bool(self.bgr) or any(len(one or ()) == 3 for one in (self.mean, self.std))

    @property
    def _first(self) -> bool:
        return self.layout == "NCHW"

    def facts(self) -> list[str]:
        """What is done, in sentences.

        Examples
        --------
        >>> Preprocessing(size=(64, 48)).facts()
        ['Images of another size are resized to 64 x 48 (bicubic)']
        """
        facts = []
        if self.size:
            height, width = self.size
            facts.append(f"Images of another size are resized to {height} x {width} (bicubic)")
        if self.channels:
            facts.append(
                "Images in colour are made grey"
                if self.channels == 1
                else "Grey images are repeated in three channels"
            )
        numbers = []
        if self.bgr:
            numbers.append("in the order blue, green, red")
        if self.scale not in (None, 1):
            numbers.append(f"from 0 to {self.scale:g}")
        if self.mean is not None:
            numbers.append(f"minus {_listed(self.mean)}")
        if self.std is not None:
            numbers.append(f"divided by {_listed(self.std)}")
        return [*facts, *([f"The detector gets them {', '.join(numbers)}"] if numbers else [])]


def _listed(numbers: tuple[float, ...]) -> str:
    return " / ".join(f"{number:.4g}" for number in numbers)
