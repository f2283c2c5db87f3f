"""The search for the noise from which a generator makes an image, for many images at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from adhelpers._shared.arrays import Floats, Images, Integers
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice

STARTS = ("random", "encoder")
SCHEDULES = ("cosine", "constant")
# A block always has this many rows; free rows stay idle. With one shape only, the arithmetic of a
# row is bit for bit the same whatever the other rows hold. Another shape may round differently, and
# over hundreds of steps that makes a visible difference.
BLOCK = 16
# Number of steps between two looks at a loss: one that has not fallen by then has settled.
STRETCH = 50
# A falling rate begins with long steps, which a long memory of squared gradients would shorten.
_MOMENTUM, _SECOND_MOMENTUM, _EPSILON = 0.9, {"cosine": 0.9, "constant": 0.999}, 1e-8
_LAST_RATE = 0.1
_ROWS = 64


@dataclass(frozen=True)
class Search:
    """How the noise that makes an image is searched for.

    Parameters
    ----------
    start : {"random", "encoder"}
        Where the search begins. The encoder is part of f-AnoGAN (Schlegl et al., Medical Image
        Analysis 2019).
    steps : int
        Largest number of steps from each start; 0 takes the start as it is, which needs
        ``start="encoder"``.
    restarts : int
        Searches for each image, of which the best counts. With ``start="encoder"`` the first begins
        there and the others at random.
    learning_rate : float
        Initial learning rate of Adam, in units of the noise's standard deviation. With a falling
        rate, 0.5 and 0.8 end alike after 500 steps (real hazelnuts and screws, losses within 1 %).
        After 90 steps from the encoder's start 0.8 was better on screws and rendered nuts (by 1 %)
        and worse on hazelnuts at 128 x 128 (by 2 %).
    schedule : {"cosine", "constant"}
        ``"cosine"``: the rate falls to a tenth over the steps, and Adam forgets squared gradients
        sooner; it needs a fifth of the steps that the constant rate of the published method needs
        for the same loss.
    tolerance : float
        A search ends early when its lowest loss has fallen by less than this share in 50 steps; 0
        always takes all steps. With a falling rate this is checked in the second half of the steps
        only, because the long first steps need not go downhill.
    feature_weight : float
        The w of ``A(x) = (1 - w) sum |x - G(z)| + w sum |f(x) - f(G(z))|``, in [0, 1].

    Raises
    ------
    ValueError
        If a value is out of range, or a random start would be scored without a search.

    Examples
    --------
    >>> Search(start="encoder", steps=0)
    Search(start='encoder', steps=0, restarts=1, learning_rate=0.5, schedule='cosine', ...)
    """

    start: str = "random"
    steps: int = 500
    restarts: int = 1
    learning_rate: float = 0.5
    schedule: str = "cosine"
    tolerance: float = 0.002
    feature_weight: float = 0.1

    def __post_init__(self) -> None:
        check_choice("start", self.start, STARTS)
        check_choice("schedule", self.schedule, SCHEDULES)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name, least in (("steps", 0), ("tolerance", 0), ("restarts", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if not 0 <= self.feature_weight <= 1:
            raise ValueError(f"feature_weight must be in [0, 1], not {self.feature_weight}")
        if self.start == "random" and not self.steps:
            raise ValueError(
                'steps=0 scores the start of the search, and with start="random" that is an image '
                'of nothing: set start="encoder", or steps to 1 or more'
            )


@dataclass(frozen=True)
class Found:
    """The best noise that a search came across for each image.

    Attributes
    ----------
    noise : ndarray of float32, shape (n, latent_dim)
    residual, feature : ndarray of float32, shape (n,)
        The two sums of `LatentSearch.losses` at that noise.
    steps : ndarray of int, shape (n,)
        Number of steps from the best start; fewer than allowed where its loss had settled.
    """

    noise: Floats
    residual: Floats
    feature: Floats
    steps: Integers


class _State(NamedTuple):
    """A block of searches, one in each row: noise, Adam's two moments, the best noise so far."""

    noise: Any
    first: Any
    second: Any
    best: Any
    loss: Any  # of the best noise, as the two sums after it
    residual: Any
    feature: Any
    settled: Any  # the lowest loss at the last look
    taken: Any  # number of steps


def _empty_state(latent_dim: int) -> _State:
    # The losses are infinite so that a search whose loss is never finite does not look like one
    # with a low loss.
    vectors = np.zeros((4, BLOCK, latent_dim), np.float32)
    losses = np.full((4, BLOCK), np.inf, np.float32)
    return _State._make((*vectors, *losses, np.zeros(BLOCK, np.int32)))


class LatentSearch:
    """Gradient descent in the generator's input, for each image on its own.

    Schlegl et al., "Unsupervised anomaly detection with generative adversarial networks to guide
    marker discovery", IPMI 2017: A(x) = (1 - w) sum |x - G(z)| + w sum |f(x) - f(G(z))|, with grey
    values in [-1, 1] and f the discriminator's features in inference mode. Each search has its own
    state of Adam, so that no result depends on the other images.

    Parameters
    ----------
    generator : keras.Model
        (n, latent_dim) -> images in [-1, 1].
    discriminator : keras.Model
        Images -> logits and features.
    settings : Search, optional
        Rate, schedule, tolerance, weight of the features and the number of steps.

    Examples
    --------
    >>> keras.utils.set_random_seed(0)
    >>> generator = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))]
    ... )
    >>> image = keras.Input((4, 4, 1))
    >>> logit = keras.layers.Dense(1)(keras.layers.Flatten()(image))
    >>> search = LatentSearch(
    ...     generator, keras.Model(image, (logit, image)), Search(learning_rate=0.2, steps=100)
    ... )
    >>> wanted = generator(np.array([[0.5, -1.0]], "float32")).numpy()
    >>> found = search.find(wanted, np.zeros((1, 1, 2), "float32"))
    >>> bool(np.abs(found.noise - [[0.5, -1.0]]).max() < 0.05)
    True
    """

    def __init__(
        self, generator: keras.Model, discriminator: keras.Model, settings: Search | None = None
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.settings = settings or Search()
        self._latent_dim = generator.input_shape[-1]
        self._losses = Batched(self._losses_of, _ROWS)
        self._generate = Batched(lambda noise: generator(noise, training=False), _ROWS)
        vectors, numbers, counts = (
            tf.TensorSpec(shape, dtype)
            for shape, dtype in (
                ((BLOCK, self._latent_dim), tf.float32),
                ((BLOCK,), tf.float32),
                ((BLOCK,), tf.int32),
            )
        )
        self._compiled_advance = tf.function(
            self._advance,
            input_signature=(
                tf.TensorSpec((BLOCK, *generator.output_shape[1:]), tf.float32),
                _State(*(vectors,) * 4, *(numbers,) * 4, counts),
                counts,
                tf.TensorSpec((), tf.float32),
            ),
            autograph=False,
        )

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """The discriminator's features of images in [-1, 1], in inference mode."""
        return self.discriminator(images, training=False)[1]

    def losses(
        self, noise: tf.Tensor, images: tf.Tensor, wanted: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Both sums between images and what the generator makes of the noise.

        Parameters
        ----------
        noise : tensor of float32, shape (n, latent_dim)
        images : tensor of float32, shape (n, h, w, c)
            In [-1, 1].
        wanted : tensor of float32, shape (n, rows, columns, filters)
            `features` of the images.

        Returns
        -------
        residual, feature : tensor of float32, shape (n,)
        """
        made = self.generator(noise, training=False)
        residual = tf.reduce_sum(tf.abs(images - made), axis=(1, 2, 3))
        return residual, tf.reduce_sum(tf.abs(wanted - self.features(made)), axis=(1, 2, 3))

    def total(self, residual: Any, feature: Any) -> Any:
        """The anomaly score A of both sums, as tensors or arrays."""
        weight = self.settings.feature_weight
        return (1 - weight) * residual + weight * feature

    def _losses_of(self, images: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.losses(noise, images, self.features(images))

    def generate(self, noise: Floats) -> Images:
        """The generator's images of noise (n, latent_dim), in [-1, 1]."""
        return self._generate(noise)

    def evaluate(self, images: Images, noise: Floats) -> tuple[Floats, Floats]:
        """`losses` of images in [-1, 1] and noise, as arrays of float32, shape (n,)."""
        return self._losses(images, noise)

    def _advance(
        self, images: tf.Tensor, state: _State, until: tf.Tensor, steps: tf.Tensor
    ) -> _State:
        """Take each row to its number of steps and look at the loss of the last noise as well."""
        wanted = self.features(images)

        def unfinished(state: _State) -> tf.Tensor:
            return tf.reduce_any(state.taken <= until)

        def step(state: _State) -> tuple[_State]:
            with tf.GradientTape() as tape:
                tape.watch(state.noise)
                residual, feature = self.losses(state.noise, images, wanted)
                loss = self.total(residual, feature)
            gradient = tape.gradient(loss, state.noise)
            # A row that has taken its steps waits for the others of its block.
            moving = state.taken <= until
            state = _kept_best(state, moving, loss, residual, feature)
            # The look at the last noise takes no step: it comes first when the row goes on.
            state = self._stepped(state, gradient, state.taken < until, steps)
            return (state._replace(taken=state.taken + tf.cast(moving, tf.int32)),)

        (state,) = tf.while_loop(unfinished, step, (state,))
        # A look is not a step.
        return state._replace(taken=state.taken - 1)

    def _stepped(
        self, state: _State, gradient: tf.Tensor, stepping: tf.Tensor, steps: tf.Tensor
    ) -> _State:
        """One step of Adam in the rows that are ``stepping``."""
        memory = _SECOND_MOMENTUM[self.settings.schedule]
        count = tf.cast(state.taken + 1, tf.float32)[:, None]
        first = _MOMENTUM * state.first + (1 - _MOMENTUM) * gradient
        second = memory * state.second + (1 - memory) * gradient**2
        change = (first / (1 - _MOMENTUM**count)) / (
            tf.sqrt(second / (1 - memory**count)) + _EPSILON
        )
        rate, rows = self._rate(count - 1, steps), stepping[:, None]
        return state._replace(
            noise=tf.where(rows, state.noise - rate * change, state.noise),
            first=tf.where(rows, first, state.first),
            second=tf.where(rows, second, state.second),
        )

    def _rate(self, taken: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        rate = self.settings.learning_rate
        if self.settings.schedule == "constant":
            return rate
        falling = 0.5 * (1 + tf.cos(np.pi * taken / steps))
        return rate * (_LAST_RATE + (1 - _LAST_RATE) * falling)

    def _advanced(self, images: Images, state: _State, until: Integers, steps: int) -> _State:
        """`_advance` with arrays."""
        parts = self._compiled_advance(
            tf.constant(images),
            _State(*map(tf.constant, state)),
            tf.constant(until.astype(np.int32)),
            tf.constant(steps, tf.float32),
        )
        # Copies, because tensors cannot be written to.
        return _State(*map(np.array, parts))

    def find(
        self,
        images: Images,
        starts: Floats,
        steps: int | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> Found:
        """The noise of the lowest A for each image.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c)
            In [-1, 1].
        starts : ndarray of float32, shape (n, restarts, latent_dim)
            Where the searches begin.
        steps : int, optional
            Largest number from each start instead of that of the settings; 0 only evaluates the
            starts.
        progress : callable, optional
            Called with 1 whenever a search has ended.

        Returns
        -------
        Found
        """
        steps = self.settings.steps if steps is None else steps
        count, restarts = starts.shape[:2]
        noise = starts.reshape(count * restarts, -1).astype(np.float32)
        if steps == 0:
            sums = self.evaluate(np.repeat(images, restarts, axis=0), noise)
            found = Found(noise, *sums, np.zeros(count * restarts, int))
        else:
            found = self._run(images, noise, restarts, steps, progress)
        totals = self.total(found.residual, found.feature).reshape(count, restarts)
        lowest = np.arange(count) * restarts + np.argmin(totals, axis=1)
        return Found(*(getattr(found, name)[lowest] for name in Found.__dataclass_fields__))

    def _run(
        self,
        images: Images,
        noise: Floats,
        restarts: int,
        steps: int,
        progress: Callable[[int], Any] | None,
    ) -> Found:
        """All starts through one block: a search that has ended makes room for the next start."""
        total = len(noise)
        waiting = iter(range(total))
        residual, feature = np.empty((2, total), np.float32)
        found = Found(np.empty_like(noise), residual, feature, np.zeros(total, int))
        # The start in each row of the block, -1 where a row is free.
        places = np.full(BLOCK, -1)
        shown = np.zeros((BLOCK, *images.shape[1:]), np.float32)
        state, empty = _empty_state(noise.shape[1]), _empty_state(noise.shape[1])

        def fill(row: int) -> None:
            place = places[row] = next(waiting, -1)
            if place >= 0:
                shown[row] = images[place // restarts]
                for part, fresh in zip(state, empty, strict=True):
                    part[row] = fresh[row]
                state.noise[row] = noise[place]

        for row in range(BLOCK):
            fill(row)
        while (places >= 0).any():
            # A free row takes no step, so that it does not hold up the others.
            going = np.minimum(state.taken + STRETCH, steps)
            state = self._advanced(shown, state, np.where(places >= 0, going, state.taken), steps)
            ended = self._ended(state, steps)
            state.settled[:] = state.loss
            for row in map(int, np.flatnonzero(ended & (places >= 0))):
                place = int(places[row])
                found.noise[place], found.steps[place] = state.best[row], state.taken[row]
                found.residual[place] = state.residual[row]
                found.feature[place] = state.feature[row]
                if progress is not None:
                    progress(1)
                fill(row)
        return found

    def _ended(self, state: _State, steps: int) -> Any:
        """Which rows have taken all steps, have settled, or have no finite loss: bool (BLOCK,)."""
        watched = np.isfinite(state.settled) & (self.settings.tolerance > 0)
        if self.settings.schedule != "constant":
            watched &= 2 * (state.taken - STRETCH) >= steps
        before, lowest = (np.where(watched, one, 0) for one in (state.settled, state.loss))
        settled = watched & (before - lowest <= self.settings.tolerance * before)
        return settled | (state.taken >= steps) | ~np.isfinite(state.loss)

    def walk(self, image: Floats, start: Floats, moments: Any) -> tuple[Floats, Floats]:
        """The best noise so far after some numbers of steps of a search.

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
        state = _empty_state(len(start))
        state.noise[0] = start
        shown, found = np.repeat(image[None], BLOCK, axis=0), []
        for moment in moments:
            until = np.zeros(BLOCK, np.int32)
            until[0] = moment
            state = self._advanced(shown, state, until, max(moments[-1], 1))
            found.append((state.best[0], state.loss[0]))
        noise, losses = zip(*found, strict=True)
        return np.array(noise), np.array(losses)


def _kept_best(
    state: _State, moving: tf.Tensor, loss: tf.Tensor, residual: tf.Tensor, feature: tf.Tensor
) -> _State:
    """The state with its noise as the best one in the rows where the loss is lower than before."""
    better = moving & (loss < state.loss)
    return state._replace(
        best=tf.where(better[:, None], state.noise, state.best),
        loss=tf.where(better, loss, state.loss),
        residual=tf.where(better, residual, state.residual),
        feature=tf.where(better, feature, state.feature),
    )
