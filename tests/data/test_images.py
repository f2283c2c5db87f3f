"""Loading and checking categories that the tests draw themselves."""

import json
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from adhelpers.data import CategoryError, check_category, load_category
from adhelpers.data.reading import read_image, to_color


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)


def picture(seed=0, shape=(40, 30), bright=200):
    """A bright background with noise and a dark bar that leans."""
    generator = np.random.default_rng(seed)
    image = np.clip(generator.normal(bright, 2, shape), 0, 255).astype(np.uint8)
    for row in range(6, shape[0] - 6):
        left = shape[1] // 3 + row // 6
        image[row, left : left + (8 if row < 13 else 4)] = 40
    return image


@pytest.fixture
def root(tmp_path):
    """Ten good training images; test: two good, two cuts, one hole; with masks."""
    for index in range(10):
        write(tmp_path / "bar" / "train" / "good" / f"{index:03}.png", picture(index))
    for kind, count in (("good", 2), ("cut", 2), ("hole", 1)):
        for index in range(count):
            write(
                tmp_path / "bar" / "test" / kind / f"{index:03}.png",
                picture(100 + index + len(kind) * 7),
            )
            if kind != "good":
                mask = np.zeros((40, 30), np.uint8)
                mask[10 + index : 14, 8:20] = 1  # Non-zero is defect, not only 255.
                write(tmp_path / "bar" / "ground_truth" / kind / f"{index:03}_mask.png", mask)
    return tmp_path


def test_contract_of_a_loaded_category(root):
    category = load_category(root, "bar", image_size=(20, 15))
    for images in (category.train, category.validation, category.test):
        n = len(images)
        assert images.images.shape == (n, 20, 15, 1) and images.images.dtype == np.float32
        assert 0 <= images.images.min() and images.images.max() <= 1
        assert (
            images.labels.shape == images.types.shape == images.names.shape == (n,)
            and images.labels.dtype == np.int64
        )
        assert images.masks.shape == (n, 20, 15) and images.masks.dtype == bool
        assert images.transforms.shape == (n, 3, 3) and (images.original_shapes == (40, 30)).all()
    assert (len(category.train), len(category.validation), len(category.test)) == (8, 2, 5)
    assert category.test.names.tolist()[:3] == [
        "test/cut/000.png",
        "test/cut/001.png",
        "test/good/000.png",
    ]
    assert category.test.labels.tolist() == [1, 1, 0, 0, 1]
    assert category.test.masks.any(axis=(1, 2)).tolist() == [True, True, False, False, True]
    # Nearest neighbour: rows 10 to 13 of 40 become rows 5 and 6 of 20.
    assert category.test.masks[0].any(axis=1).nonzero()[0].tolist() == [5, 6]
    assert category.has_masks and category.settings["image_size"] == [20, 15]
    json.dumps(category.settings)


def test_validation_is_held_out_of_train_by_seed(root):
    first, again, other = (
        load_category(root, "bar", image_size=16, seed=seed) for seed in (3, 3, 4)
    )
    assert (
        first.validation.names.tolist()
        == again.validation.names.tolist()
        != other.validation.names.tolist()
    )
    assert sorted([*first.train.names, *first.validation.names]) == [
        f"train/good/{index:03}.png" for index in range(10)
    ]
    assert len(load_category(root, "bar", image_size=16, validation_fraction=0.001).validation) == 1
    assert len(load_category(root, "bar", image_size=16, validation_fraction=0.999).train) == 1


def test_inventory_counts_by_split_and_type(root):
    table = load_category(root, "bar", image_size=16).inventory()
    assert list(table.columns) == ["split", "type", "images", "masks", "size", "channels"]
    assert table[["split", "type", "images", "masks"]].values.tolist() == [
        ["train", "good", 8, 0],
        ["validation", "good", 2, 0],
        ["test", "good", 2, 0],
        ["test", "cut", 2, 2],
        ["test", "hole", 1, 1],
    ]


def test_fingerprint_follows_content_names_and_settings_but_not_the_place(root, tmp_path_factory):
    import shutil

    before = load_category(root, "bar", image_size=16).fingerprint
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(root / "bar", elsewhere / "bar")
    assert load_category(elsewhere, "bar", image_size=16, show_progress=False).fingerprint == before
    assert load_category(root, "bar", image_size=16, seed=1).fingerprint != before
    (elsewhere / "bar/test/cut/001.png").rename(elsewhere / "bar/test/cut/002.png")
    (elsewhere / "bar/ground_truth/cut/001_mask.png").rename(
        elsewhere / "bar/ground_truth/cut/002_mask.png"
    )
    assert load_category(elsewhere, "bar", image_size=16).fingerprint != before
    mask = np.zeros((40, 30), np.uint8)
    mask[0, 0] = 255
    write(root / "bar/ground_truth/cut/000_mask.png", mask)
    assert load_category(root, "bar", image_size=16).fingerprint != before


def test_category_without_masks_loads(root):
    import shutil

    shutil.rmtree(root / "bar" / "ground_truth")
    category = load_category(root, "bar", image_size=16)
    assert (
        not category.has_masks
        and category.test.masks is None
        and category.test.subset([0]).masks is None
    )
    assert check_category(root, "bar").problems == []


def test_mask_may_be_named_like_its_image(root):
    (root / "bar/ground_truth/hole/000_mask.png").rename(root / "bar/ground_truth/hole/000.png")
    assert load_category(root, "bar", image_size=16).test.masks[4].any()


def test_pose_and_crop_turn_images_and_masks_together(root):
    # The mask marks the whole bar, so it must still do so after the warp.
    pixels = np.array(Image.open(root / "bar/test/cut/000.png"))
    write(root / "bar/ground_truth/cut/000_mask.png", ((pixels < 100) * 255).astype(np.uint8))
    category = load_category(
        root,
        "bar",
        image_size=(64, 32),
        pose="axis",
        crop="object",
        illumination="background",
        margin=0.1,
    )
    image, mask = category.test.images[0, ..., 0], category.test.masks[0]
    dark = image < 0.45
    assert (dark & mask).sum() / (dark | mask).sum() > 0.8
    assert dark[:32].sum() > dark[32:].sum()  # the wider end is up
    scale = [np.linalg.norm(category.test.transforms[0][:2, axis]) for axis in (0, 1)]
    assert scale[0] == pytest.approx(scale[1])  # nothing is distorted
    # The way back puts the explanation on the bar of the file.
    back = category.test.to_original(mask.astype(np.float32), 0) > 0.5
    assert (
        back.shape == (40, 30)
        and (back & (pixels < 100)).sum() / (back | (pixels < 100)).sum() > 0.75
    )
    # The boxes are common to the category: one scale for all.
    scales = np.linalg.det(
        np.concatenate([category.train.transforms, category.test.transforms])[:, :2, :2]
    )
    assert np.ptp(scales) < 1e-9


def test_whole_frame_comes_back_exactly(root):
    images = load_category(root, "bar", image_size=(40, 30)).test
    assert np.array_equal(images.to_original(images.images[1, ..., 0], 1), images.images[1, ..., 0])
    expected = np.array(Image.open(root / "bar/test/cut/001.png")) / np.float32(255)
    assert np.array_equal(images.images[1, ..., 0], expected)
    small = load_category(root, "bar", image_size=(20, 15)).test
    assert (small.to_original(np.ones((20, 15), np.float32), 0) == 1).all()
    with pytest.raises(ValueError, match="heatmap has shape"):
        small.to_original(np.ones((15, 20)), 0)


def test_subset_takes_indices_and_bools(root):
    images = load_category(root, "bar", image_size=16).test
    assert images.subset(images.labels == 1).names.tolist() == [images.names[i] for i in (0, 1, 4)]
    assert images.subset([3, 0]).masks.shape == (2, 16, 16) and len(images.subset(slice(2))) == 2


# Formats
# --------------------------------------------------------------------------------------------------------------------


def png16(pixels):
    """A 16-bit PNG, written by hand because Pillow writes only grey ones."""
    pixels = np.atleast_3d(pixels)
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


GREY = (np.arange(20).reshape(4, 5) * 12).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_reads_8_bit_formats(tmp_path, suffix, pixels):
    options = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    write(tmp_path / f"image{suffix}", pixels, **options)
    image, grey_levels = read_image((tmp_path / f"image{suffix}").read_bytes())
    assert (
        image.shape == np.atleast_3d(pixels).shape
        and image.dtype == np.float32
        and grey_levels == 255
    )
    assert np.abs(image - np.atleast_3d(pixels) / 255).max() <= (0.02 if suffix == ".jpg" else 1e-6)


@pytest.mark.parametrize(
    "pixels", [GREY, RGB, np.dstack([RGB, np.full_like(GREY, 255)])], ids=["grey", "rgb", "rgba"]
)
def test_reads_16_bit_tiff(tmp_path, pixels):
    wide = (
        pixels.astype(np.uint16) * 257 - (pixels > 0).astype(np.uint16) * 5
    )  # 5: below what 8 bits can tell
    tifffile.imwrite(
        tmp_path / "image.tif", wide, photometric="minisblack" if pixels.ndim == 2 else "rgb"
    )
    image, grey_levels = read_image((tmp_path / "image.tif").read_bytes())
    assert grey_levels == 65535
    expected = (
        wide
        if pixels.ndim == 2
        else wide[..., :3] * (wide[..., 3:] / 65535 if pixels.shape[-1] == 4 else 1)
    )
    assert np.allclose(image, np.atleast_3d(expected) / 65535, atol=1e-6)


def test_reads_16_bit_png():
    grey = GREY.astype(np.uint16) * 257 + 3
    image, grey_levels = read_image(png16(grey))
    assert grey_levels == 65535 and np.allclose(image[..., 0], grey / 65535, atol=1e-7)
    colour, _ = read_image(png16(RGB.astype(np.uint16) * 257))
    assert np.allclose(colour, RGB / 255, atol=1e-6)


def test_reads_alpha_on_black_palette_bilevel_and_orientation(tmp_path):
    alpha = np.dstack([RGB, np.where(GREY > 100, 255, 0).astype(np.uint8)])
    write(tmp_path / "alpha.png", alpha)
    assert np.allclose(
        read_image((tmp_path / "alpha.png").read_bytes())[0], RGB / 255 * (GREY > 100)[..., None]
    )
    Image.fromarray(RGB).quantize(64).save(tmp_path / "palette.png")
    assert read_image((tmp_path / "palette.png").read_bytes())[0] == pytest.approx(
        RGB / 255, abs=0.02
    )
    Image.fromarray(GREY > 100).save(tmp_path / "bilevel.png")
    assert (read_image((tmp_path / "bilevel.png").read_bytes())[0][..., 0] == (GREY > 100)).all()
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    assert np.allclose(
        read_image((tmp_path / "turned.png").read_bytes())[0][..., 0], np.rot90(GREY, -1) / 255
    )


def test_grey_and_rgb_are_turned_into_each_other(root):
    image = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]], np.float32)
    assert to_color(image, "grayscale")[0, :, 0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert to_color(image[..., :1], "rgb").shape == (1, 3, 3)
    assert load_category(root, "bar", image_size=16, color="rgb").train.images.shape[-1] == 3


@pytest.mark.parametrize(
    "data, text",
    [
        (b"", "cannot be read"),
        (b"not an image", "cannot be read"),
        (png16(GREY.astype(np.uint16))[:-40], "cannot be read"),
    ],
)
def test_read_image_refuses_what_it_cannot_decode(data, text):
    with pytest.raises(ValueError, match=text):
        read_image(data)


def test_read_image_refuses_real_values_outside_0_to_1(tmp_path):
    tifffile.imwrite(tmp_path / "real.tif", np.full((4, 4), 7.5, np.float32))
    with pytest.raises(ValueError, match="real-valued"):
        read_image((tmp_path / "real.tif").read_bytes())
    tifffile.imwrite(tmp_path / "fine.tif", np.full((4, 4), 0.5, np.float32))
    assert (read_image((tmp_path / "fine.tif").read_bytes())[0] == 0.5).all()


# Bad input
# ------------------------------------------------------------------------------------------------------------------


def test_all_bad_files_are_named_in_one_error(root):
    folder = root / "bar"
    content = (folder / "train/good/003.png").read_bytes()
    (folder / "train/good/003.png").write_bytes(content[: len(content) // 2])
    (folder / "test/good/001.png").write_text("no image")
    write(folder / "ground_truth/cut/000_mask.png", np.zeros((20, 30), np.uint8))
    (folder / "ground_truth/hole/000_mask.png").unlink()
    write(folder / "ground_truth/cut/777_mask.png", np.ones((40, 30), np.uint8))
    write(folder / "ground_truth/dent/000_mask.png", np.ones((40, 30), np.uint8))
    (folder / "test/cut/notes.txt").write_text("not an image")
    with pytest.raises(CategoryError) as caught:
        load_category(root, "bar", image_size=16)
    text = str(caught.value)
    assert (
        isinstance(caught.value, ValueError)
        and len(caught.value.problems) == 7
        and "has 7 problems" in text
    )
    for part in (
        "train/good/003.png: cannot be read",
        "test/good/001.png: cannot be read",
        "ground_truth/cut/000_mask.png: the mask has 20x30 pixels (height x width), its image test/cut/000.png has 40x30",
        "test/hole/000.png: has no mask",
        "ground_truth/cut/777_mask.png: is a mask without an image",
        "ground_truth/dent: holds masks, but there is no folder test/dent",
        "test/cut/notes.txt: is not one of",
    ):
        assert part in text
    assert sorted(check_category(root, "bar").problems) == sorted(caught.value.problems)


def test_mask_of_a_good_image_must_be_empty_and_a_second_mask_is_named(root):
    write(root / "bar/ground_truth/good/000_mask.png", np.zeros((40, 30), np.uint8))
    load_category(root, "bar", image_size=16)
    write(root / "bar/ground_truth/good/001_mask.png", np.ones((40, 30), np.uint8))
    write(root / "bar/ground_truth/cut/001.png", np.ones((40, 30), np.uint8))
    with pytest.raises(
        CategoryError, match="marks a defect in an image of the type 'good'"
    ) as caught:
        load_category(root, "bar", image_size=16)
    assert "ground_truth/cut/001_mask.png: is a second mask beside 001.png" in str(caught.value)


def test_files_of_the_desktop_are_ignored(root):
    for name in (".DS_Store", "Thumbs.db"):
        (root / "bar/test/cut" / name).write_bytes(b"x")
    assert len(load_category(root, "bar", image_size=16).test) == 5


@pytest.mark.parametrize(
    "name, text",
    [
        ("baar", "did you mean 'bar'"),
        ("Bar", "did you mean 'bar'"),
        ("zzz", "there are: bar"),
    ],
)
def test_misspelt_category_gets_the_nearest_names(root, name, text):
    for call in (load_category, check_category):
        with pytest.raises(FileNotFoundError, match=text):
            call(root, name)


def test_missing_and_empty_folders(root, tmp_path):
    import shutil

    with pytest.raises(FileNotFoundError, match="root is the folder that holds the categories"):
        load_category(tmp_path / "nowhere", "bar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="the root is empty"):
        load_category(tmp_path / "empty", "bar")
    for image in (root / "bar/train/good").iterdir():
        if image.name != "000.png":
            image.unlink()
    with pytest.raises(CategoryError, match="train/good holds 1 images; at least two"):
        load_category(root, "bar")
    write(root / "bar/train/good/001.png", picture(1))
    shutil.rmtree(root / "bar/ground_truth")
    shutil.rmtree(root / "bar/test")
    with pytest.raises(FileNotFoundError, match="no folder .*test"):
        load_category(root, "bar")
    (root / "bar/test").mkdir()
    with pytest.raises(CategoryError, match="test holds no images"):
        load_category(root, "bar")


def test_only_one_class_in_test_loads_and_the_check_names_it(root):
    import shutil

    shutil.rmtree(root / "bar/test/good")
    assert load_category(root, "bar", image_size=16).test.labels.tolist() == [1, 1, 1]
    assert [text for text in check_category(root, "bar").problems if "no good images" in text]


@pytest.mark.parametrize(
    "options, text",
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": (16, 16, 3)}, "image_size"),
        ({"image_size": 12.5}, "image_size"),
        ({"image_size": "big"}, "image_size"),
        ({"color": "gray"}, "color must be one of 'grayscale', 'rgb', not 'gray'"),
        ({"illumination": "gamma"}, "illumination"),
        ({"pose": "upright"}, "pose"),
        ({"crop": "tight"}, "crop"),
        ({"margin": -0.1}, "margin"),
        ({"seed": -1}, "seed"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
    ],
)
def test_wrong_parameters_are_named(root, options, text):
    with pytest.raises(ValueError, match=text):
        load_category(root, "bar", **options)


def test_dark_background_says_what_to_do(root):
    for path in (root / "bar").rglob("test/*/*.png"):
        write(path, picture(bright=20))
    with pytest.raises(CategoryError, match='too dark to divide by.*illumination="none"') as caught:
        load_category(root, "bar", image_size=16, illumination="background")
    assert len(caught.value.problems) == 1


def test_images_without_an_object_are_all_named(root):
    for name in ("train/good/002.png", "test/good/000.png"):
        write(root / "bar" / name, np.full((40, 30), 200, np.uint8))
    for options in ({"pose": "axis"}, {"pose": "axis", "crop": "object"}, {"crop": "object"}):
        with pytest.raises(CategoryError) as caught:
            load_category(root, "bar", image_size=16, **options)
        assert [problem.split(":")[0] for problem in caught.value.problems] == [
            "train/good/002.png",
            "test/good/000.png",
        ]


# The check
# ------------------------------------------------------------------------------------------------------------------


def test_check_prints_an_inventory(root):
    write(root / "bar/train/good/010.png", np.zeros((50, 30, 3), np.uint8))
    check = check_category(root, "bar")
    assert check.problems == []
    assert check.inventory.columns.tolist() == [
        "split",
        "type",
        "images",
        "masks",
        "size",
        "channels",
        "bits",
    ]
    assert check.inventory.values.tolist()[0] == ["train", "good", 11, 0, "40x30 50x30", "1 3", "8"]
    assert check.inventory["images"].tolist() == [11, 2, 2, 1]
    text = str(check)
    assert text.startswith("category bar") and "cut" in text and text.endswith("no problems")


def test_check_finds_a_test_image_that_was_trained_on(root):
    write(root / "bar/test/good/001.png", picture(3))
    (problem,) = check_category(root, "bar").problems
    assert (
        problem == "test/good/001.png: is the same image as train/good/003.png, which is trained on"
    )
    assert "1 problem:" in str(check_category(root, "bar"))


def test_real_categories_are_sound(real_data):
    for name, images in (("screw", 402), ("hazelnut", 70)):
        check = check_category(real_data / "mvtec_ad", name)
        assert check.problems == [] and check.inventory["images"].sum() == images


def test_real_screw_loads_within_20_seconds(real_data):
    started = time.process_time()  # of the processor, so that a busy machine does not fail the test
    category = load_category(
        real_data / "mvtec_ad", "screw", image_size=256, illumination="background", pose="axis"
    )
    assert time.process_time() - started < 20
    assert category.train.images.shape == (256, 256, 256, 1)


def test_real_hazelnut_is_refused_by_background_and_by_axis(real_data):
    with pytest.raises(CategoryError, match='illumination="none"'):
        load_category(real_data / "mvtec_ad", "hazelnut", illumination="background")
    cropped = load_category(
        real_data / "mvtec_ad", "hazelnut", image_size=64, color="rgb", crop="object"
    )
    assert cropped.test.images.shape == (43, 64, 64, 3)


@pytest.mark.parametrize(
    "kind, expected", [("screw", ("background", "axis")), ("hazelnut", ("none", "none"))]
)
def test_auto_takes_the_corrections_that_the_images_allow(tmp_path, kind, expected):
    from adhelpers.data import render_category

    render_category(tmp_path, kind, image_size=96, train_count=9, test_good_count=2, defect_count=1)
    decided = load_category(
        tmp_path, kind, image_size=(64, 32), illumination="auto", pose="auto", crop="object"
    )
    assert (decided.settings["illumination"], decided.settings["pose"]) == expected
    named = load_category(
        tmp_path,
        kind,
        image_size=(64, 32),
        illumination=expected[0],
        pose=expected[1],
        crop="object",
    )
    assert decided.fingerprint == named.fingerprint
    np.testing.assert_array_equal(decided.test.images, named.test.images)


def test_auto_leaves_an_unreadable_file_to_the_error_that_names_all(tmp_path):
    from adhelpers.data import render_category

    render_category(
        tmp_path, "screw", image_size=64, train_count=4, test_good_count=2, defect_count=1
    )
    (tmp_path / "screw" / "train" / "good" / "000.png").write_bytes(b"broken")
    with pytest.raises(CategoryError, match="000.png"):
        load_category(tmp_path, "screw", image_size=64, illumination="auto", pose="auto")


def test_auto_on_the_real_images(real_data):
    for kind, expected in (("screw", ("background", "axis")), ("hazelnut", ("none", "none"))):
        decided = load_category(
            real_data / "mvtec_ad", kind, image_size=32, illumination="auto", pose="auto"
        ).settings
        assert (decided["illumination"], decided["pose"]) == expected
