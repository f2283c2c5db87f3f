import numpy as np
import pytest
import tensorflow as tf

from adhelpers._shared.batches import Batched


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8])
def test_equal_to_the_plain_function_whatever_the_number_of_samples(count):
    samples = np.random.default_rng(0).random((count, 5, 4, 1)).astype(np.float32)

    def function(images):
        return tf.reduce_max(images, axis=(1, 2, 3)) - 1

    np.testing.assert_array_equal(Batched(function, 4)(samples), function(samples).numpy())


def test_is_traced_once_for_any_number_of_samples_and_again_for_another_shape():
    traces = []

    def function(images):
        traces.append(images.shape)
        return images + 1

    batched = Batched(function, 4)
    for count in (1, 7, 12):
        assert batched(np.zeros((count, 2, 2), np.float32)).shape == (count, 2, 2)
    assert len(traces) == 1
    assert batched(np.zeros((3, 5), np.float32)).shape == (3, 5)
    assert len(traces) == 2


def test_no_pass_holds_more_samples_than_the_size():
    seen = []

    def function(images):
        tf.py_function(lambda count: seen.append(int(count)), [tf.shape(images)[0]], [])
        return images

    batched = Batched(function, 4)
    batched(np.zeros((10, 2), np.float32))
    assert seen == [4, 4, 2]
    batched(np.zeros((10, 2), np.float32), size=8)
    assert seen == [4, 4, 2, 8, 2]


def test_several_arrays_of_different_types_and_several_results():
    values, chosen = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([0, 2, 1, 0], np.int32)

    def function(values, chosen):
        return tf.gather(values, chosen, axis=1, batch_dims=1), 2 * chosen

    taken, doubled = Batched(function, 3)(values, chosen)
    assert taken.tolist() == [0, 5, 7, 9]
    assert doubled.tolist() == [0, 4, 2, 0] and doubled.dtype == np.int32


def test_loops_are_while_loops_and_others_are_refused():
    def power(values):
        return tf.while_loop(
            lambda step, _: step < 2, lambda step, one: (step + 1, one * values), (0, values)
        )[1]

    def translated(values):
        for _ in tf.range(2):
            values = values * values
        return values

    assert Batched(power, 2)(np.float32([1, 2, 3])).tolist() == [1, 8, 27]
    with pytest.raises(Exception, match="[Ii]terating over a symbolic"):
        Batched(translated, 2)(np.float32([1, 2, 3]))
