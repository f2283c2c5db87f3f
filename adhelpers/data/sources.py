"""Data sets that are published: under which licence, and how they are got."""

from collections.abc import Iterable
from dataclasses import dataclass

# What the publisher asks for before the files may be had.
FORM, LOGIN, OPEN = "a form", "a login", "nothing"
_NON_COMMERCIAL = "CC BY-NC-SA 4.0 (not for commercial use)"


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes
    ----------
    title : str
    layout : str
        Name of its layout, or how a notebook reads it.
    content : str
        Number of images, of categories, and of what.
    license : str
        As its publisher states it, or that none is stated.
    page : str
        Where it is published.
    asks : {"a form", "a login", "nothing"}
        What the publisher asks for.
    paper : str
    how : str
        What to do with what is downloaded.
    """

    title: str
    layout: str
    content: str
    license: str
    page: str
    asks: str
    paper: str
    how: str


SOURCES = (
    Source(
        "MVTec AD",
        "mvtec",
        "5,354 images, 15 categories",
        _NON_COMMERCIAL,
        "https://www.mvtec.com/company/research/datasets/mvtec-ad",
        FORM,
        "Bergmann, Fauser, Sattlegger, Steger, CVPR 2019",
        "data fetch CATEGORY --accept-license, or unpack it and give the folder of a category",
    ),
    Source(
        "MVTec LOCO AD",
        "loco",
        "about 3,650 images, 5 categories, logical and structural anomalies",
        _NON_COMMERCIAL,
        "https://www.mvtec.com/company/research/datasets/mvtec-loco",
        FORM,
        "Bergmann, Batzner, Fauser, Sattlegger, Steger, IJCV 130 (2022)",
        "unpack it and give the folder of a category",
    ),
    Source(
        "MVTec AD 2",
        "mvtec2",
        "8,004 images, 8 categories; a half of the test has no public labels",
        _NON_COMMERCIAL,
        "https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
        FORM,
        "Heckler-Kram, Neudeck, Scheler, König, Steger, arXiv 2503.21622",
        "unpack it and give the folder of a category",
    ),
    Source(
        "VisA",
        "visa",
        "10,821 images, 12 categories",
        "CC BY 4.0",
        "https://github.com/amazon-science/spot-diff",
        OPEN,
        "Zou, Jeong, Pemula, Zhang, Dabeer, ECCV 2022",
        "unpack it as it is, with split_csv beside the categories, and give the folder of one",
    ),
    Source(
        "BTAD",
        "btad",
        "2,540 images, 3 categories",
        "none stated on its page; ask the authors before you use it",
        "https://avires.dimi.uniud.it/papers/btad/btad.zip",
        OPEN,
        "Mishra, Verk, Fornasier, Piciarelli, Foresti, ISIE 2021 (VT-ADL)",
        "unpack it and give BTech_Dataset_transformed/01, 02 or 03",
    ),
    Source(
        "Kolektor SDD2",
        "ksdd2",
        "3,335 images of one surface",
        _NON_COMMERCIAL,
        "https://www.vicos.si/resources/kolektorsdd2/",
        OPEN,
        "Božič, Tabernik, Skočaj, Computers in Industry 129 (2021)",
        "unpack it and give the folder that holds train and test",
    ),
    Source(
        "IDID",
        "notebook 06",
        "1,600 training images (400 photographs in four orientations), shells in three states",
        "the terms on its page, which are accepted there",
        "https://ieee-dataport.org/competitions/insulator-defect-detection",
        LOGIN,
        "Lewis, Kulkarni, Insulator Defect Detection, IEEE DataPort, doi 10.21227/vkdw-x769",
        "unpack Train_IDID_V1.2.zip; run 06 -p dataset idid -p data_root FOLDER",
    ),
)


def source_lines(sources: Iterable[Source] = SOURCES) -> list[str]:
    r"""What is to be known of each data set, in lines to print.

    Examples
    --------
    >>> print(*source_lines(SOURCES[3:4]), sep="\n")
    VisA: 10,821 images, 12 categories
      layout   visa
      licence  CC BY 4.0
      page     https://github.com/amazon-science/spot-diff (asks for nothing)
      paper    Zou, Jeong, Pemula, Zhang, Dabeer, ECCV 2022
      use      unpack it as it is, with split_csv beside the categories, and give the folder of one
    """
    lines = []
    for one in sources:
        lines += [
            f"{one.title}: {one.content}",
            f"  layout   {one.layout}",
            f"  licence  {one.license}",
            f"  page     {one.page} (asks for {one.asks})",
            f"  paper    {one.paper}",
            f"  use      {one.how}",
        ]
    return lines
