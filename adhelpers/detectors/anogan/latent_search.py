"""The search for the noise from which a generator makes an image: many images at once, each as if it were alone."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

# Images are searched for in blocks of exactly so many rows, the last one filled up: with one shape
# only the arithmetic of a row is bit for bit the same whatever stands in the other rows and
# wherever the row stands. Another shape may round differently, and hundreds of steps make a visible
# difference of that.
BLOCK = 16
# An image's loss is looked at after so many steps; if it has not fallen in them, it has settled.
STRETCH = 50
SCHEDULES = ("cosine", "constant")
# A rate that falls makes long steps first, which a long memory of squared gradients would shorten.
_MOMENTUM, _SECOND_MOMENTUM, _EPSILON = 0.9, {"cosine": 0.9, "constant": 0.999}, 1e-8
_LAST_RATE = 0.1
_ROWS = 64


@dataclass(frozen=True)
class Found:
    """What a search found: the best, not the last.

    Attributes
    ----------
    noise : ndarray of float32, shape (n, latent_dim)
    residual, feature : ndarray of float32, shape (n,)
        The two sums of `LatentSearch.losses` at that noise.
    steps : ndarray of int, shape (n,)
        How many steps the start took that led there; fewer than asked for where its loss had
        settled.
    """

    noise: np.ndarray
    residual: np.ndarray
    feature: np.ndarray
    steps: np.ndarray


class LatentSearch:
    """Gradient descent in the generator's input, for each image on its own.

    Schlegl et al., "Unsupervised anomaly detection with generative adversarial networks to guide
    marker discovery", IPMI 2017: A(x) = (1 - w) sum |x - G(z)| + w sum |f(x) - f(G(z))|, in the
    networks' scale of [-1, 1], f the discriminator's features in inference mode. Each image and
    start has its own state of Adam.

    Parameters
    ----------
    generator : keras.Model
        (n, latent_dim) -> images in [-1, 1].
    discriminator : keras.Model
        Images -> logits and features.
    feature_weight : float
        The w above, in [0, 1].
    learning_rate : float
        Of Adam, in units of the noise's standard deviation.
    schedule : {"cosine", "constant"}
        ``cosine``: the rate falls to a tenth over the steps, and Adam forgets squared gradients
        sooner; a fifth of the steps then comes as far as all of them at a constant rate, the
        published way.
    tolerance : float
        A start is given up when its lowest loss has fallen by less than this share in 50 steps; 0
        takes all steps. With a rate that falls this begins after half of the steps: the first ones
        are long and need not go downhill.

    Examples
    --------
    >>> keras.utils.set_random_seed(0)
    >>> generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))])
    >>> image = keras.Input((4, 4, 1))
    >>> discriminator = keras.Model(image, (keras.layers.Dense(1)(keras.layers.Flatten()(image)), image))
    >>> search = LatentSearch(generator, discriminator, learning_rate=0.2)
    >>> wanted = generator(np.array([[0.5, -1.0]], "float32")).numpy()
    >>> found = search.find(wanted, np.zeros((1, 1, 2), "float32"), steps=100)
    >>> bool(np.abs(found.noise - [[0.5, -1.0]]).max() < 0.05)
    True
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        feature_weight=0.1,
        learning_rate=0.5,
        schedule="cosine",
        tolerance=0.002,
    ):
        if schedule not in SCHEDULES:
            raise ValueError(
                f"schedule (search_schedule) must be one of {', '.join(SCHEDULES)}, not {schedule!r}."
            )
        self.generator, self.discriminator = generator, discriminator
        self.feature_weight, self.learning_rate, self.schedule, self.tolerance = (
            feature_weight,
            learning_rate,
            schedule,
            tolerance,
        )
        self._latent_dim = generator.input_shape[-1]
        image, noise = (
            tf.TensorSpec(generator.output_shape, tf.float32),
            tf.TensorSpec((None, self._latent_dim), tf.float32),
        )
        self._compiled_losses = tf.function(self._losses_of, input_signature=(image, noise))
        self._compiled_generator = tf.function(
            lambda codes: generator(codes, training=False), input_signature=(noise,)
        )
        block, numbers = (
            tf.TensorSpec((BLOCK, self._latent_dim), tf.float32),
            tf.TensorSpec((BLOCK,), tf.float32),
        )
        self._compiled_advance = tf.function(
            self._advance,
            input_signature=(
                tf.TensorSpec((BLOCK, *generator.output_shape[1:]), tf.float32),
                *(block,) * 4,
                *(numbers,) * 4,
                tf.TensorSpec((BLOCK,), tf.int32),
                tf.TensorSpec((BLOCK,), tf.int32),
                tf.TensorSpec((), tf.float32),
            ),
        )

    def features(self, images):
        """The discriminator's features of images in [-1, 1], in inference mode."""
        return self.discriminator(images, training=False)[1]

    def losses(self, noise, images, wanted):
        """Both sums between images and what the generator makes of the noise.

        Parameters
        ----------
        noise : tensor of float32, shape (n, latent_dim)
        images : tensor of float32, shape (n, h, w, c)
            In [-1, 1].
        wanted : tensor of float32, shape (n, ...)
            `features` of the images.

        Returns
        -------
        residual, feature : tensor of float32, shape (n,)
        """
        made = self.generator(noise, training=False)
        residual = tf.reduce_sum(tf.abs(images - made), axis=(1, 2, 3))
        return residual, tf.reduce_sum(tf.abs(wanted - self.features(made)), axis=(1, 2, 3))

    def total(self, residual, feature):
        """The anomaly score A of both sums."""
        return (1 - self.feature_weight) * residual + self.feature_weight * feature

    def _losses_of(self, images, noise):
        return self.losses(noise, images, self.features(images))

    def generate(self, noise):
        """What the generator makes of noise (n, latent_dim): float32 (n, h, w, c) in [-1, 1]."""
        return np.concatenate(
            [
                self._compiled_generator(tf.constant(noise[start : start + _ROWS])).numpy()
                for start in range(0, len(noise), _ROWS)
            ]
        )

    def evaluate(self, images, noise):
        """`losses` of images in [-1, 1] and noise as arrays: two ndarrays of float32, shape (n,)."""
        parts = [
            self._compiled_losses(
                tf.constant(images[start : start + _ROWS]),
                tf.constant(noise[start : start + _ROWS]),
            )
            for start in range(0, len(images), _ROWS)
        ]
        return tuple(np.concatenate([part[index].numpy() for part in parts]) for index in range(2))

    def _advance(
        self,
        images,
        noise,
        first,
        second,
        best,
        best_loss,
        best_residual,
        best_feature,
        settled_loss,
        taken,
        until,
        steps,
    ):
        """Steps of Adam for each row that has not taken as many as it should; the loss at the last noise is looked at as well."""
        wanted = self.features(images)
        second_momentum = _SECOND_MOMENTUM[self.schedule]

        def unfinished(*state):
            return tf.reduce_any(state[-1] <= until)

        def step(
            noise, first, second, best, best_loss, best_residual, best_feature, settled_loss, taken
        ):
            with tf.GradientTape() as tape:
                tape.watch(noise)
                residual, feature = self.losses(noise, images, wanted)
                loss = self.total(residual, feature)
            gradient = tape.gradient(loss, noise)
            # A row that has taken its steps stands still while others of its block go on.
            moving = taken <= until
            better = moving & (loss < best_loss)
            best, best_loss = (
                tf.where(better[:, None], noise, best),
                tf.where(better, loss, best_loss),
            )
            best_residual, best_feature = (
                tf.where(better, residual, best_residual),
                tf.where(better, feature, best_feature),
            )
            count = tf.cast(taken + 1, tf.float32)[:, None]
            new_first = _MOMENTUM * first + (1 - _MOMENTUM) * gradient
            new_second = second_momentum * second + (1 - second_momentum) * gradient**2
            change = (new_first / (1 - _MOMENTUM**count)) / (
                tf.sqrt(new_second / (1 - second_momentum**count)) + _EPSILON
            )
            rate = self._rate(count - 1, steps)
            # The look at the last noise takes no step: it comes first when the row goes on.
            stepping = (taken < until)[:, None]
            return (
                tf.where(stepping, noise - rate * change, noise),
                tf.where(stepping, new_first, first),
                tf.where(stepping, new_second, second),
                best,
                best_loss,
                best_residual,
                best_feature,
                settled_loss,
                taken + tf.cast(moving, tf.int32),
            )

        state = tf.while_loop(
            unfinished,
            step,
            (
                noise,
                first,
                second,
                best,
                best_loss,
                best_residual,
                best_feature,
                settled_loss,
                taken,
            ),
        )
        # A look is not a step.
        return *state[:-1], state[-1] - 1

    def _rate(self, taken, steps):
        if self.schedule == "constant":
            return self.learning_rate
        falling = 0.5 * (1 + tf.cos(np.pi * taken / steps))
        return self.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * falling)

    def find(self, images, starts, steps, progress=None):
        """The noise of the lowest A for each image.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c)
            In [-1, 1].
        starts : ndarray of float32, shape (n, restarts, latent_dim)
            Where the searches begin.
        steps : int
            At most so many from each start; 0 only looks at the starts.
        progress : callable, optional
            Called with 1 whenever a start is finished.

        Returns
        -------
        Found
        """
        count, restarts = starts.shape[:2]
        noise = starts.reshape(count * restarts, -1).astype(np.float32)
        if steps == 0:
            residual, feature = self.evaluate(np.repeat(images, restarts, axis=0), noise)
            taken = np.zeros(count * restarts, int)
        else:
            noise, residual, feature, taken = self._run(images, noise, restarts, steps, progress)
        shaped = [
            values.reshape(count, restarts, *values.shape[1:])
            for values in (noise, residual, feature, taken)
        ]
        lowest = (np.arange(count), np.argmin(self.total(shaped[1], shaped[2]), axis=1))
        return Found(*(values[lowest] for values in shaped))

    def _run(self, images, noise, restarts, steps, progress):
        """All starts through one block of rows: a row that has finished makes room for the next start that waits."""
        waiting, total = iter(range(len(noise))), len(noise)
        found = [np.empty_like(noise), *np.empty((2, total), np.float32), np.zeros(total, int)]
        places = np.full(BLOCK, -1)
        shown = np.zeros((BLOCK, *images.shape[1:]), np.float32)
        state = [
            *np.zeros((4, BLOCK, noise.shape[1]), np.float32),
            *np.zeros((4, BLOCK), np.float32),
            np.zeros(BLOCK, np.int32),
        ]

        def fill(row):
            places[row] = next(waiting, -1)
            if places[row] >= 0:
                shown[row] = images[places[row] // restarts]
                for part in state:
                    part[row] = 0
                state[0][row] = noise[places[row]]
                # Where a loss is never finite the score must not look like a low one.
                state[4][row] = state[5][row] = state[6][row] = state[7][row] = np.inf
                state[8][row] = 0

        for row in range(BLOCK):
            fill(row)
        while (places >= 0).any():
            # An empty row is told to take no step: it must not hold up the others.
            until = np.where(places >= 0, np.minimum(state[8] + STRETCH, steps), state[8]).astype(
                np.int32
            )
            state = [
                np.array(part)
                for part in self._compiled_advance(
                    tf.constant(shown),
                    *map(tf.constant, state),
                    tf.constant(until),
                    tf.constant(steps, tf.float32),
                )
            ]
            for row in np.flatnonzero(places >= 0):
                lowest, before = state[4][row], state[7][row]
                watched = self.schedule == "constant" or 2 * (state[8][row] - STRETCH) >= steps
                settled = (
                    watched
                    and self.tolerance > 0
                    and np.isfinite(before)
                    and before - lowest <= self.tolerance * before
                )
                state[7][row] = lowest
                if settled or state[8][row] >= steps or not np.isfinite(lowest):
                    for kept, part in zip(
                        found, (state[3], state[5], state[6], state[8]), strict=True
                    ):
                        kept[places[row]] = part[row]
                    if progress is not None:
                        progress(1)
                    fill(row)
        return found

    def walk(self, image, start, moments):
        """How a search goes on: the best noise so far after some numbers of steps.

        Parameters
        ----------
        image : ndarray of float32, shape (h, w, c)
            In [-1, 1].
        start : ndarray of float32, shape (latent_dim,)
        moments : sequence of int
            Numbers of steps, rising; the last is that of the whole search.

        Returns
        -------
        noise : ndarray of float32, shape (moments, latent_dim)
        losses : ndarray of float32, shape (moments,)
        """
        state = [
            *np.zeros((4, BLOCK, len(start)), np.float32),
            *np.zeros((4, BLOCK), np.float32),
            np.zeros(BLOCK, np.int32),
        ]
        state[0][0], state[4][:] = start, np.inf
        shown, found = tf.constant(np.repeat(image[None], BLOCK, axis=0)), []
        for moment in moments:
            until = np.zeros(BLOCK, np.int32)
            until[0] = moment
            state = [
                np.array(part)
                for part in self._compiled_advance(
                    shown,
                    *map(tf.constant, state),
                    tf.constant(until),
                    tf.constant(max(moments[-1], 1), tf.float32),
                )
            ]
            found.append((state[3][0], state[4][0]))
        return tuple(np.array(values) for values in zip(*found, strict=True))
