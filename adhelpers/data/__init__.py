"""Images: loading, checking, correcting, downloading and rendering them."""

from .checking import check_category
from .class_images import ClassImages, load_class_images, make_class_images, split_remarks
from .duplicates import LEAK
from .fetch import fetch_category
from .image_set import Category, ImageSet
from .images import load_category, suggested_size
from .labelled import LabelledSamples, load_labelled
from .layouts import file_of
from .normalize import Corrections, object_mask
from .reading import CategoryError, read_image
from .remarks import Remark
from .rendered.catalogue import RENDERED_CATEGORIES, render_category, rendered_root
from .rendered.folders import root_name, root_path
from .rendered.insulators import insulators_root
from .roots import categories_in, check_listing, is_category, subfolders
from .semi_supervised import SemiSupervisedCategory, check_split, semi_supervised

__all__ = [
    "Category",
    "CategoryError",
    "ClassImages",
    "Corrections",
    "ImageSet",
    "LEAK",
    "LabelledSamples",
    "RENDERED_CATEGORIES",
    "Remark",
    "SemiSupervisedCategory",
    "categories_in",
    "check_category",
    "check_listing",
    "check_split",
    "fetch_category",
    "file_of",
    "insulators_root",
    "is_category",
    "load_category",
    "load_class_images",
    "load_labelled",
    "make_class_images",
    "object_mask",
    "read_image",
    "render_category",
    "rendered_root",
    "root_name",
    "root_path",
    "semi_supervised",
    "split_remarks",
    "subfolders",
    "suggested_size",
]
