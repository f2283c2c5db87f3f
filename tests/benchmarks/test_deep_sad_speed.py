"""An epoch of Deep SAD beside plain loops: of Keras' own layers on tf.data, and of PyTorch.

Run with ``python -m pytest tests/benchmarks/test_deep_sad_speed.py -s``. Processor time is
compared, because it depends least on what else the machine does.
"""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import deep_sad, deep_sad_networks
from adhelpers.training import Augmentation, TrainingPlan, adam, train

COUNT, BATCH, EPOCHS, DECAY = 6000, 128, 4, 5e-7


@pytest.fixture(scope="module")
def samples():
    random = np.random.default_rng(0)
    labels = np.zeros(COUNT, np.float32)
    labels[:300] = -1
    return random.random((COUNT, 28, 28, 1), dtype=np.float32), labels


def trainable():
    keras.utils.set_random_seed(0)
    encoder, _ = deep_sad_networks.build_deep_sad_networks((28, 28, 1))
    centre = np.full(encoder.output_shape[1], 0.1, np.float32)
    optimizer = adam(1e-3, encoder)
    return deep_sad._Training(encoder, centre, 1.0, DECAY, Augmentation(), optimizer)


def fastest(epoch):
    """Processor seconds of the fastest epoch, the first one, which compiles, left out."""
    seconds = []
    for _ in range(EPOCHS):
        started = time.process_time()
        epoch()
        seconds.append(time.process_time() - started)
    return min(seconds[1:])


@pytest.fixture(scope="module")
def ours(samples):
    """Processor seconds of an epoch of `train`, and the last loss."""
    images, labels = samples
    started, seconds = [time.process_time()], []
    training = trainable()
    training.after_epoch = lambda _: (
        seconds.append(time.process_time() - started[0]),
        started.__setitem__(0, time.process_time()),
    )
    plan = TrainingPlan(epochs=EPOCHS, batch_size=BATCH)
    history = train(training, images, None, plan, labels=labels, show_progress=False)
    return min(seconds[1:]), history.loss.iloc[-1]


def test_an_epoch_beside_keras_layers_on_tf_data(samples, ours, goal, monkeypatch):
    images, labels = samples

    def plain_layer(**options):
        return keras.layers.BatchNormalization(center=False, scale=False, **options)

    monkeypatch.setattr(deep_sad_networks, "BatchNormalization", plain_layer)
    training, losses = trainable(), []
    step = tf.function(lambda *pair: training.train_step(pair[0], tf.zeros(2, tf.int32), pair[1]))
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(COUNT, seed=0)
    data = data.repeat(2).batch(BATCH).take(-(-COUNT // BATCH)).prefetch(2)
    theirs = fastest(lambda: losses.append(np.mean([step(*batch)["loss"] for batch in data])))
    print(f"\nan epoch: plainly {theirs:.2f} s of processor time, ours {ours[0]:.2f} s")
    goal("Deep SAD's epoch", "Keras' layers, tf.data", theirs / ours[0], at_least=1.2)
    assert ours[1] == pytest.approx(losses[-1], rel=0.05)
    assert theirs > ours[0]


def test_an_epoch_beside_pytorch(samples, ours, goal, peer):
    torch = peer("torch")
    images, labels = (torch.from_numpy(one) for one in samples)
    images, nn = images.permute(0, 3, 1, 2).contiguous(), torch.nn
    # More threads wait for each other, which would count as processor time.
    torch.set_num_threads(1)

    def block(before, after):
        return (
            nn.Conv2d(before, after, 5, padding=2, bias=False),
            nn.BatchNorm2d(after, eps=1e-4, affine=False),
            nn.LeakyReLU(0.01),
            nn.MaxPool2d(2),
        )

    encoder = nn.Sequential(
        *block(1, 8), *block(8, 4), nn.Flatten(), nn.Linear(4 * 7 * 7, 32, bias=False)
    )
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-3, weight_decay=DECAY)

    def epoch():
        order = torch.randperm(COUNT)
        for start in range(0, COUNT, BATCH):
            batch = order[start : start + BATCH]
            optimizer.zero_grad()
            distances = ((encoder(images[batch]) - 0.1) ** 2).sum(dim=1)
            known = labels[batch]
            losses = torch.where(known == 0, distances, (distances + 1e-6) ** known)
            losses.mean().backward()
            optimizer.step()

    theirs = fastest(epoch)
    print(f"\nan epoch: PyTorch {theirs:.2f} s of processor time, ours {ours[0]:.2f} s")
    goal("Deep SAD's epoch", "PyTorch, plain tensors", theirs / ours[0], at_least=1.2)
