"""What each value adds to a score on the way from a normal version of it."""

from collections.abc import Callable

import tensorflow as tf


def integrated_gradients(
    score_of: Callable[[list[tf.Tensor]], tf.Tensor],
    ends: list[tf.Tensor],
    starts: list[tf.Tensor],
    steps: int = 16,
) -> list[tf.Tensor]:
    """What each value of several arrays adds to the score on the way from ``starts`` to ``ends``.

    Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017. Over a sample
    the values add up to the difference of its two scores, up to the integration's error: gradients
    are taken in the middle of each step, which is exact where they change linearly.

    Parameters
    ----------
    score_of : callable
        ``score_of(arrays) -> (n,)`` of tensors of float32, differentiable.
    ends, starts : list of tensor of float32, shape (n, ...)
    steps : int

    Returns
    -------
    list of tensor of float32
        Of the arrays' shapes.

    Examples
    --------
    >>> square = lambda arrays: tf.reduce_sum(arrays[0] ** 2, axis=1)
    >>> end, start = tf.constant([[1.0, 2.0]]), tf.constant([[0.0, 1.0]])
    >>> integrated_gradients(square, [end], [start])[0].numpy().round(4).tolist()
    [[1.0, 3.0]]
    """

    def add(step: tf.Tensor, totals: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        share = (tf.cast(step, tf.float32) + 0.5) / steps
        here = [start + share * (end - start) for start, end in zip(starts, ends, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(here)
            scores = score_of(here)
        slopes = tape.gradient(scores, here)
        return step + 1, [total + slope for total, slope in zip(totals, slopes, strict=True)]

    # A loop in the graph, which would else hold the network once for each step.
    _, totals = tf.while_loop(
        lambda step, _: step < steps, add, (tf.constant(0), [tf.zeros_like(one) for one in ends])
    )
    return [
        total / steps * (end - start)
        for total, start, end in zip(totals, starts, ends, strict=True)
    ]
