import numpy as np

from adhelpers.data import plant_patch


def test_a_patch_of_a_smaller_donor_fits_and_changes_nothing_else():
    random = np.random.default_rng(3)
    for _ in range(50):
        image, donor = np.zeros((90, 300, 3)), np.ones((6, 9, 3))
        rows, columns = plant_patch(image, [donor], random)
        place = image[rows, columns]
        assert place.shape[0] <= 6 and place.shape[1] <= 9 and (place >= 0.25).all()
        image[rows, columns] = 0
        assert not image.any()
