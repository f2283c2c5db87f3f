"""What the files of a category have that is doubtful, ignored or lost: notes, and their sentences.

Whoever reads files collects a `Note` for each of them; `file_remarks` makes one remark of all notes
of a kind.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .remarks import Remark

# More files than this are not listed in a sentence; `Remark.files` has all.
_LISTED = 5
# The usual depths of cameras; what uses more of 16 bits is not named.
_DEPTHS = (8, 10, 12, 14)
# Networks halve an image up to four times, so their sides are multiples of this.
SIZE_STEP = 16
# Changes of the ratio of sides that are not named: by any size, and by one rounded to such steps.
_THE_SAME, _NEARLY_THE_SAME = 0.02, 0.05


@dataclass(frozen=True)
class Note:
    """One thing that is to be said of one file.

    Attributes
    ----------
    kind : str
        As in `Remark`.
    file : str
        Name within the category.
    value : float
        What the kind counts: a share, a number of bands, the largest value of a sample.
    text : str
        What the kind compares between files: a size, a mode, a depth.
    """

    kind: str
    file: str
    value: float = 0.0
    text: str = ""


def _number(count: int, noun: str, one: str = "", many: str = "") -> str:
    """A count with its noun, and what follows for one and for many.

    Examples
    --------
    >>> _number(1, "mask"), _number(2, "mask", " is", " are")
    ('1 mask', '2 masks are')
    """
    return f"{count} {noun}{one if count == 1 else 's' + many}"


def _listed(notes: Sequence[Note], values: bool = False) -> str:
    """The first files, with their shares where these are asked for."""
    shown = [note.file + (f" ({note.value:.0%})" if values else "") for note in notes[:_LISTED]]
    rest = len(notes) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _cut_away(notes: Sequence[Note]) -> str:
    return (
        f"the defect of {_number(len(notes), 'image')} lies wholly outside the frame that is "
        f"loaded ({_listed(notes)}); these images are left out of all measures that need a mask: "
        "load them without crop or pose, or with a larger margin"
    )


def _cut_in_part(notes: Sequence[Note]) -> str:
    return (
        f"the defect of {_number(len(notes), 'image')} lies partly outside the frame that is "
        f"loaded; what share of their pixels is cut off: {_listed(notes, values=True)}; load them "
        "without crop or pose, or with a larger margin"
    )


def _empty(notes: Sequence[Note]) -> str:
    return (
        f"{_number(len(notes), 'mask', ' marks', ' mark')} nothing though the image is defective "
        f"({_listed(notes)}); these images are left out of all measures that need a "
        "mask: draw the defect, or remove image and mask"
    )


def _covering(notes: Sequence[Note]) -> str:
    return (
        f"{_number(len(notes), 'mask', ' covers', ' cover')} more than half of the image "
        f"({_listed(notes, values=True)}); make sure that black is good and white is defect"
    )


def _in_alpha(notes: Sequence[Note]) -> str:
    return (
        f"{_number(len(notes), 'mask', ' has its', ' have their')} content in the alpha channel "
        f"only, which was taken as the mask ({_listed(notes)}); save masks as "
        "black and white without alpha"
    )


def _lossy(notes: Sequence[Note]) -> str:
    return (
        f"{_number(len(notes), 'mask', ' holds', ' hold')} values around black and white, as "
        f"JPEG or smooth edges leave them ({_listed(notes)}); the limit is the middle between "
        "both: save masks as black and white PNG"
    )


def _unclear(notes: Sequence[Note]) -> str:
    return (
        f"{_number(len(notes), 'mask', ' is', ' are')} neither labels nor black and white "
        f"({_listed(notes)}); every pixel that is not black was taken as defect (in a JPEG "
        "every one above a quarter of the largest value): save masks as black and white PNG"
    )


def _extra_bands(notes: Sequence[Note]) -> str:
    bands = sorted({int(note.value) for note in notes})
    return (
        f"{_number(len(notes), 'file', ' has', ' have')} bands beyond colour and alpha "
        f"({' or '.join(map(str, bands))} each), which were ignored ({_listed(notes)}); save the "
        "bands that matter as grey or RGB"
    )


def _light(notes: Sequence[Note]) -> str:
    return (
        f"the light of {_number(len(notes), 'test image')} could not be corrected, because the "
        f"background is too dark ({_listed(notes)}); {_uncorrected(notes)}"
    )


def _pose(notes: Sequence[Note]) -> str:
    return (
        f"{_number(len(notes), 'test image', ' was', ' were')} neither turned nor cropped, because "
        f"no object or none with an axis stands out ({_listed(notes)}); {_uncorrected(notes)}"
    )


def _uncorrected(notes: Sequence[Note]) -> str:
    one = len(notes) == 1
    return (
        f'{"it is" if one else "they are"} measured without this and marked "uncorrected": '
        f"{'its score' if one else 'their scores'} may follow from that alone"
    )


_SENTENCES: dict[str, Callable[[Sequence[Note]], str]] = {
    "mask_cut_away": _cut_away,
    "mask_cut_in_part": _cut_in_part,
    "mask_empty": _empty,
    "mask_covers_most": _covering,
    "mask_in_alpha": _in_alpha,
    "mask_lossy": _lossy,
    "mask_unclear": _unclear,
    "extra_bands": _extra_bands,
    "light_not_corrected": _light,
    "pose_not_corrected": _pose,
}


# Of notes that every file has: what a file that differs from most has, and why that matters.
_ODD_ONES = {
    "size": (
        "another size (height x width)",
        "brought to one size, they are more or less sharp than the others, which a detector may "
        "take for a defect: use images of one size",
    ),
    "mode": (
        "another kind of colours",
        "a detector may take the difference for a defect: save all in one way",
    ),
    "bits": (
        "another number of bits",
        "a detector may take the difference for a defect: save all in one way",
    ),
}


def file_remarks(notes: Iterable[Note]) -> tuple[Remark, ...]:
    """One remark for each kind of notes, in a fixed order.

    Notes of the kind ``"peak"`` (the largest value of a file with more than 8 bits) become a remark
    only where all of them stay below a smaller usual depth, those of the kinds ``"size"``,
    ``"mode"`` and ``"bits"`` one on the files that differ from most.

    Parameters
    ----------
    notes : iterable of Note

    Returns
    -------
    tuple of Remark

    Examples
    --------
    >>> print(*file_remarks([Note("mask_empty", "ground_truth/cut/000_mask.png")]))
    1 mask marks nothing though the image is defective ...
    """
    by_kind: dict[str, list[Note]] = {}
    for note in notes:
        by_kind.setdefault(note.kind, []).append(note)
    found = [
        Remark(kind, tuple(note.file for note in by_kind[kind]), sentence(by_kind[kind]))
        for kind, sentence in _SENTENCES.items()
        if kind in by_kind
    ]
    odd = (_odd_ones(kind, by_kind.get(kind, [])) for kind in _ODD_ONES)
    return (*found, *_small_range(by_kind.get("peak", [])), *(one for one in odd if one))


def _odd_ones(kind: str, notes: Sequence[Note]) -> Remark | None:
    """Files that differ from most in what a kind compares."""
    counts = Counter(note.text for note in notes)
    if len(counts) < 2:
        return None
    usual = counts.most_common(1)[0][0]
    odd = [note for note in notes if note.text != usual]
    shown = ", ".join(f"{note.file} ({note.text})" for note in odd[:_LISTED])
    rest = f" and {len(odd) - _LISTED} more" if len(odd) > _LISTED else ""
    what, advice = _ODD_ONES[kind]
    sentence = (
        f"{len(odd)} of {len(notes)} images {'has' if len(odd) == 1 else 'have'} {what} than the "
        f"most common one, {usual}: {shown}{rest}; {advice}"
    )
    return Remark(f"odd_{kind}", tuple(note.file for note in odd), sentence)


def _small_range(peaks: Sequence[Note]) -> tuple[Remark, ...]:
    """Files of 16 bits whose values use fewer: the option that is right."""
    if not peaks:
        return ()
    highest = int(max(note.value for note in peaks))
    depth = next((bits for bits in _DEPTHS if highest < 2**bits), None)
    if depth is None:
        return ()
    sentence = (
        f"no value of {_number(len(peaks), 'file')} with more than 8 bits is above {highest} of "
        f"65535, so almost black once loaded (up to {highest / 65535:.3f}); load them with "
        f"bit_depth={depth}"
    )
    return (Remark("small_range", tuple(note.file for note in peaks), sentence),)


def size_that_keeps(shape: tuple[float, ...], longest: float, multiple: int = 1) -> tuple[int, int]:
    """The size whose longer side is ``longest`` and whose ratio of sides is that of ``shape``.

    Examples
    --------
    >>> size_that_keeps((480, 640), 128), size_that_keeps((480, 640), 100, multiple=16)
    ((96, 128), (80, 96))
    """
    height, width = (
        max(multiple, 8, round(longest * side / max(shape) / multiple) * multiple) for side in shape
    )
    return height, width


def _stretch(box: tuple[float, ...], image_size: tuple[int, int]) -> float:
    """By which factor an image is made wider in proportion to its height."""
    return (image_size[1] / image_size[0]) / (box[1] / box[0])


def _usable_size(box: tuple[float, ...], longest: int) -> tuple[int, int]:
    """A size that keeps a ratio of sides, in steps that networks need where that is near enough."""
    rounded = size_that_keeps(box, longest, SIZE_STEP)
    near = abs(_stretch(box, rounded) - 1) <= _NEARLY_THE_SAME
    return rounded if near else size_that_keeps(box, longest)


def stretch_remark(
    names: Sequence[str], boxes: Sequence[tuple[float, ...]], image_size: tuple[int, int]
) -> tuple[Remark, ...]:
    """A remark where frames of files get another ratio of sides when they are loaded.

    Parameters
    ----------
    names : sequence of str
    boxes : sequence of tuple of float
        Height and width in the file of what is loaded.
    image_size : tuple of int
        Height and width of the loaded images.

    Returns
    -------
    tuple of Remark
    """
    longest = max(image_size)
    files = [
        (name, box)
        for name, box in zip(names, boxes, strict=True)
        if abs(_stretch(box, image_size) - 1) > _THE_SAME
        and _usable_size(box, longest) != image_size
    ]
    if not files:
        return ()
    name, box = files[0]
    factor = _stretch(box, image_size)
    how = f"{factor:.2f} times wider" if factor > 1 else f"{1 / factor:.2f} times higher"
    height, width = _usable_size(box, longest)
    sentence = (
        f"{len(files)} of {_number(len(names), 'image')} {'is' if len(files) == 1 else 'are'} "
        f"stretched: the size {image_size[0]}x{image_size[1]} (height x width) "
        f"makes {name} {how} in proportion; "
        f"image_size=({height}, {width}) keeps its proportions (-p image_height {height} "
        f'-p image_width {width}), fit="pad" adds background instead (-p fit pad)'
    )
    return (Remark("stretched", tuple(name for name, _ in files), sentence),)
