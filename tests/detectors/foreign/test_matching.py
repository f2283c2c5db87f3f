import pytest

from adhelpers.detectors.foreign.matching import match, parts_of, split_apart

IMAGES = ["test/good/000.png", "test/crack/000.png", "test/crack/001.png"]


@pytest.mark.parametrize(
    "form",
    ["anomaly_maps/nut/test/{}/{}.tiff", "test/{}/{}.png", "{}/{}.npy", "C:\\data\\{}\\{}.png"],
)
def test_images_are_found_by_type_and_name(form):
    names = [form.format(*parts_of(image)[1:]) for image in IMAGES]
    matched = match(IMAGES, names)
    assert matched.found == dict(zip(IMAGES, names, strict=True))
    assert not (matched.missing or matched.surplus or matched.ambiguous)


def test_a_name_alone_is_enough_where_no_two_images_share_it():
    images = ["test/good/a.png", "test/crack/b.png"]
    assert match(images, ["b.tiff", "deep/a.tiff"]).found == {
        "test/good/a.png": "deep/a.tiff",
        "test/crack/b.png": "b.tiff",
    }
    matched = match(IMAGES, ["000.tiff", "001.tiff"])
    assert matched.ambiguous == [
        "000.tiff could belong to test/good/000.png or test/crack/000.png: names need the folder"
    ]
    assert matched.found == {"test/crack/001.png": "001.tiff"}


def test_what_is_missing_left_over_or_twice_is_all_named():
    matched = match(IMAGES, ["crack/000.tiff", "crack/000.npy", "dent/3.npy", "x.npy"])
    assert matched.missing == ["test/good/000.png", "test/crack/001.png"]
    assert matched.surplus == ["dent/3.npy", "x.npy"]
    assert matched.ambiguous == ["crack/000.tiff and crack/000.npy are both for test/crack/000.png"]


def test_a_name_of_another_type_is_not_taken_for_an_image():
    """With the stem alone good/001 would be taken for crack/001."""
    matched = match(IMAGES, ["good/000.npy", "crack/000.npy", "good/001.npy"])
    assert matched.missing == ["test/crack/001.png"] and matched.surplus == ["good/001.npy"]


def test_dots_in_names_are_not_the_end_of_them():
    images = ["test/good/a.1.png", "test/good/a.2.png"]
    assert match(images, ["good/a.2", "good/a.1"]).found["test/good/a.1.png"] == "good/a.1"


def test_training_and_validation_are_kept_apart():
    names = ["train/good/000.npy", "good/000.npy", "x/validation/good/1.npy"]
    assert split_apart(names, IMAGES) == (
        ["good/000.npy"],
        ["train/good/000.npy", "x/validation/good/1.npy"],
    )
    # Unless the images themselves are those of training.
    assert split_apart(names, ["train/good/000.png"])[0] == names[:2]


def test_names_are_compared_in_one_form_of_unicode():
    assert match(["test/good/ä.png"], ["good/a\u0308.npy"]).found
