"""What all drawings share: grids, noise, strokes, camera."""

import numpy as np
import pytest

from adhelpers.data.rendered import surface


def test_a_grid_is_centred_and_points_up():
    x, y = surface.pixel_grid(2, 2)
    assert x[0].tolist() == [-0.75, -0.25, 0.25, 0.75] and y[:, 0].tolist() == x[0][::-1].tolist()


def test_averages_are_of_blocks():
    picture = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert surface.average_down(picture, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert surface.average_down(np.ones((4, 4, 3), np.float32), 2).shape == (2, 2, 3)


def test_a_step_is_smooth():
    values = surface.smooth_step(np.array([-1.0, 0.0, 0.5, 1.0, 2.0]), 0, 1)
    assert values.tolist() == [0, 0, 0.5, 1, 1]
    assert surface.smooth_step(0.001, 0, 1) < 1e-5


def test_noise_closes_around_an_axis_and_has_unit_variance():
    turn = np.linspace(0, 8, 4001, dtype=np.float32)
    noise = surface.lattice_noise(np.random.default_rng(0), (64, 8), np.zeros_like(turn), turn)
    assert noise[0] == pytest.approx(noise[-1], abs=1e-4)
    rows, columns = np.mgrid[:64:0.25, :64:0.25].astype(np.float32)
    wide = surface.lattice_noise(np.random.default_rng(1), (64, 64), rows, columns)
    assert wide.dtype == np.float32 and 0.8 < wide.std() < 1.2 and abs(wide.mean()) < 0.1


def test_distances_to_strokes_by_hand():
    a, b = np.array([0.0, 2.0, 5.0], np.float32), np.array([1.0, -3.0, 0.0], np.float32)
    distance, nearest, along, side = surface.distance_to_segments(
        a, b, [[0, 0, 4, 0], [10, 0, 10, 1]]
    )
    assert distance.tolist() == [1, 3, 1] and nearest.tolist() == [0, 0, 0]
    assert along.tolist() == [0, 0.5, 1] and side.tolist() == [1, -3, 0]


def test_a_wandering_line_hangs_together():
    line = surface.wandering_line(np.random.default_rng(0), np.array([1.0, 2.0]), 0, 3, 6, 0.2)
    assert line.shape == (6, 4) and line[0, :2].tolist() == [1, 2]
    np.testing.assert_array_equal(line[1:, :2], line[:-1, 2:])
    assert line[-1, 2] > 2


def test_specks_change_a_few_places():
    picture = np.full((60, 60, 1), 0.5, np.float32)
    surface.add_specks(picture, np.random.default_rng(0), 3, (0.01, 0.02), (0.1, 0.2))
    changed = picture != 0.5
    assert 3 <= changed.sum() < 0.1 * changed.size and picture.max() > 0.58


def test_the_lens_keeps_the_light_and_the_sensor_adds_noise():
    picture = np.zeros((33, 33, 1), np.float32)
    picture[16, 16] = 1
    blurred = surface.through_lens(picture, 1.0)
    assert blurred.sum() == pytest.approx(1, abs=1e-3) and blurred.max() < 0.2
    grey = np.full((80, 80, 3), 0.5, np.float32)
    pixels = surface.on_sensor(grey, np.random.default_rng(0), 0.02)
    assert pixels.dtype == np.uint8 and pixels.mean() == pytest.approx(127.5, abs=0.5)
    assert pixels.std() / 255 == pytest.approx(0.02, rel=0.1)
