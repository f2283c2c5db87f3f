"""A remark says what it is in words."""

from adhelpers.data.remarks import Remark


def test_a_remark_reads_as_its_sentence():
    remark = Remark("mask_empty", ("a.png",), "1 mask marks nothing")
    assert f"{remark}" == remark.sentence and hash(remark) == hash(
        Remark("mask_empty", ("a.png",), "1 mask marks nothing")
    )
