"""Random changes to good images that leave them good images."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from adhelpers._shared.checks import check_choice

FLIPS = ("none", "horizontal", "vertical", "both")
# Of the number of a draw and a limit: a value for each image in (-limit, limit).
_Uniform = Callable[[int, float], tf.Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Random changes to good images that leave them good images.

    Parameters
    ----------
    rotation : float
        Largest turn in degrees, either way; 180 is any orientation.
    shift : float
        Largest shift along each axis, as a fraction of that axis.
    brightness : float
        Largest relative change of all grey values, either way.
    flip : {"none", "horizontal", "vertical", "both"}
        Mirror half of the images left-right, top-bottom, or each independently.

    Examples
    --------
    >>> Augmentation(rotation=10).active
    True
    """

    rotation: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    flip: str = "none"

    def __post_init__(self) -> None:
        for name, limit in (("rotation", 180), ("shift", 0.5), ("brightness", 1)):
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be from 0 to {limit}, not {getattr(self, name)}")
        check_choice("flip", self.flip, FLIPS)

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return self != Augmentation()

    def apply(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Change each image in its own way; the same seed gives the same changes.

        Parameters
        ----------
        images : tensor of float32, shape (n, h, w, c)
            In [0, 1]. Places outside of an image take the value of its nearest edge.
        seed : tensor of int32, shape (2,)

        Returns
        -------
        tensor of float32, shape (n, h, w, c)
        """
        if not self.active:
            return images
        count = tf.shape(images)[0]

        def uniform(number: int, limit: float) -> tf.Tensor:
            """Draw ``number`` of the seed: one value in (-limit, limit) for each image."""
            folded = tf.random.experimental.stateless_fold_in(seed, number)
            if not limit:
                return tf.zeros(count)
            return tf.random.stateless_uniform((count,), folded, -limit, limit)

        if self.rotation or self.shift or self.flip != "none":
            images = self._moved(images, uniform)
        if self.brightness:
            images = images * (1 + uniform(5, self.brightness))[:, None, None, None]
        return tf.clip_by_value(images, 0.0, 1.0)

    def _moved(self, images: tf.Tensor, uniform: _Uniform) -> tf.Tensor:
        """The images turned about their middle, shifted and mirrored."""
        count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]

        def mirrored(number: int, *flips: str) -> tf.Tensor:
            # Of the batch's size, and not like another tensor: TensorFlow then folds it away, and a
            # training of the same seed keeps its last bits.
            drawn = self.flip in flips
            return tf.where(uniform(number, 1.0) < 0, -1.0, 1.0) if drawn else tf.ones(count)

        angle = uniform(0, self.rotation * math.pi / 180)
        across, down = uniform(1, self.shift * width), uniform(2, self.shift * height)
        mirror_x, mirror_y = mirrored(3, "horizontal", "both"), mirrored(4, "vertical", "both")
        cosine, sine = tf.cos(angle), tf.sin(angle)
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        # Output pixel (x, y) is read at middle + rotation @ mirror @ ((x, y) - middle) + shift.
        rows = ((cosine * mirror_x, -sine * mirror_y), (sine * mirror_x, cosine * mirror_y))
        offset_x = middle_x + across - rows[0][0] * middle_x - rows[0][1] * middle_y
        offset_y = middle_y + down - rows[1][0] * middle_x - rows[1][1] * middle_y
        zero = tf.zeros(count)
        matrix = tf.stack(
            (rows[0][0], rows[0][1], offset_x, rows[1][0], rows[1][1], offset_y, zero, zero), axis=1
        )
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=matrix,
            output_shape=(height, width),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
