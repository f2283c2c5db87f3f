"""Notes on files become one sentence for each kind."""

import pytest

from adhelpers.data.file_remarks import Note, file_remarks, size_that_keeps, stretch_remark


def test_notes_of_a_kind_become_one_remark_with_all_files():
    notes = [Note("mask_cut_in_part", f"test/cut/{index:03}.png", 0.25) for index in range(7)]
    notes.insert(3, Note("mask_empty", "ground_truth/cut/001_mask.png"))
    cut, empty = file_remarks(notes)
    assert (cut.kind, len(cut.files), empty.kind) == ("mask_cut_in_part", 7, "mask_empty")
    assert "7 images" in cut.sentence and "test/cut/004.png (25%) and 2 more" in cut.sentence
    assert "1 mask" in empty.sentence and "left out of all measures" in empty.sentence


@pytest.mark.parametrize(
    "peaks, depth", [([255, 3], 8), ([1000, 20], 10), ([4095, 0], 12), ([16383], 14)]
)
def test_the_depth_that_files_use_is_named(peaks, depth):
    (remark,) = file_remarks([Note("peak", str(peak), peak) for peak in peaks])
    assert remark.kind == "small_range" and f"bit_depth={depth}" in remark.sentence


def test_one_file_that_uses_the_range_is_enough():
    assert file_remarks([Note("peak", "a", 4000), Note("peak", "b", 60000)]) == ()
    assert file_remarks([]) == ()


def test_files_that_differ_from_most_are_named_by_kind():
    notes = [Note("size", f"{index}.png", text="40x30") for index in range(9)]
    notes += [Note("bits", f"{index}.png", text="8") for index in range(9)]
    assert file_remarks(notes) == ()
    notes += [Note("size", f"odd{index}.png", text=f"{index}x30") for index in range(7)]
    (remark,) = file_remarks(notes)
    assert remark.kind == "odd_size" and remark.files == tuple(f"odd{i}.png" for i in range(7))
    assert remark.sentence.startswith(
        "7 of 16 images have another size (height x width) than the most common one, 40x30: "
        "odd0.png (0x30), odd1.png (1x30), "
    )
    assert "odd4.png (4x30) and 2 more;" in remark.sentence
    assert [one.kind for one in file_remarks([*notes, Note("bits", "deep.png", text="16")])] == [
        "odd_size",
        "odd_bits",
    ]


def test_a_stretch_is_named_only_where_rounding_does_not_explain_it():
    names, boxes = ["a", "b"], [(480, 640), (480, 640)]
    (remark,) = stretch_remark(names, boxes, (128, 128))
    assert "1.33 times higher" in remark.sentence and "image_size=(96, 128)" in remark.sentence
    assert "-p image_height 96 -p image_width 128" in remark.sentence
    assert remark.files == ("a", "b")
    assert stretch_remark(names, boxes, (96, 128)) == ()
    # 437 of 1000 is 55.9 of 128: 64 would be too far off, so whole pixels are suggested.
    (remark,) = stretch_remark(["a"], [(1000, 437)], (128, 64))
    assert "image_size=(128, 56)" in remark.sentence
    assert stretch_remark(["a"], [(1000, 437)], (128, 56)) == ()
    # 489 of 1000 is 62.6: 64 stretches by 2 %, which is near enough.
    assert size_that_keeps((1000, 489), 128, multiple=16) == (128, 64)
    assert stretch_remark(["a"], [(1000, 489)], (128, 64)) == ()
