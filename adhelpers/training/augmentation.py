"""Random changes to good images that leave them good images."""

import math
from dataclasses import dataclass

import tensorflow as tf

FLIPS = ("none", "horizontal", "vertical", "both")


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

    def __post_init__(self):
        for name, limit in (("rotation", 180), ("shift", 0.5), ("brightness", 1)):
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be from 0 to {limit}, not {getattr(self, name)}.")
        if self.flip not in FLIPS:
            raise ValueError(f"flip must be one of {', '.join(FLIPS)}, not {self.flip!r}.")

    @property
    def active(self):
        """Whether anything is changed at all."""
        return self != Augmentation()

    def apply(self, images, seed):
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
        count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]

        def uniform(number, limit):
            folded = tf.random.experimental.stateless_fold_in(seed, number)
            return (
                tf.random.stateless_uniform((count,), folded, -limit, limit)
                if limit
                else tf.zeros(count)
            )

        def mirrored(number, wanted):
            return tf.where(uniform(number, 1.0) < 0, -1.0, 1.0) if wanted else tf.ones(count)

        if self.rotation or self.shift or self.flip != "none":
            angle = uniform(0, self.rotation * math.pi / 180)
            across, down = uniform(1, self.shift * width), uniform(2, self.shift * height)
            mirror_x, mirror_y = (
                mirrored(3, self.flip in ("horizontal", "both")),
                mirrored(4, self.flip in ("vertical", "both")),
            )
            cosine, sine = tf.cos(angle), tf.sin(angle)
            middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
            # Output pixel (x, y) is read at: middle + rotation @ mirror @ ((x, y) - middle) +
            # shift.
            rows = ((cosine * mirror_x, -sine * mirror_y), (sine * mirror_x, cosine * mirror_y))
            offset_x = middle_x + across - rows[0][0] * middle_x - rows[0][1] * middle_y
            offset_y = middle_y + down - rows[1][0] * middle_x - rows[1][1] * middle_y
            zero = tf.zeros(count)
            matrix = tf.stack(
                (rows[0][0], rows[0][1], offset_x, rows[1][0], rows[1][1], offset_y, zero, zero),
                axis=1,
            )
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=matrix,
                output_shape=(height, width),
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="NEAREST",
            )
        if self.brightness:
            images = images * (1 + uniform(5, self.brightness))[:, None, None, None]
        return tf.clip_by_value(images, 0.0, 1.0)
