"""Images: loading, checking, correcting, downloading and rendering them."""

from .checking import check_category
from .class_images import ClassImages, load_class_images, make_class_images, split_remarks
from .deciding import CategoryFacts, describe_category
from .decoding import decode_values
from .duplicates import LEAK
from .fetch import fetch_category
from .good_only import PLANTED, good_only_root, is_planted
from .image_files import find_images, watch_images
from .image_set import Category, ImageSet
from .images import load_category, suggested_size
from .insulators import load_idid
from .labelled import LabelledSamples, load_labelled
from .layouts import described_category, is_category, is_data, one_form
from .new_images import ImageReader, NewImage
from .normalize import Corrections, resize_image
from .objects import object_or_all
from .planting import DEFECT_KINDS, plant_defect
from .reading import CategoryError, read_file, read_image, to_color
from .remarks import Remark
from .rendered.catalogue import RENDERED_CATEGORIES, render_category, rendered_root
from .rendered.folders import root_name, root_path
from .rendered.insulators import insulators_root
from .roots import categories_in, check_listing, subfolders, training_files
from .semi_supervised import SemiSupervisedCategory, check_split, semi_supervised
from .sources import source_lines

__all__ = [
    "Category",
    "CategoryError",
    "CategoryFacts",
    "ClassImages",
    "Corrections",
    "DEFECT_KINDS",
    "ImageReader",
    "ImageSet",
    "LEAK",
    "LabelledSamples",
    "NewImage",
    "PLANTED",
    "RENDERED_CATEGORIES",
    "Remark",
    "SemiSupervisedCategory",
    "categories_in",
    "check_category",
    "check_listing",
    "check_split",
    "decode_values",
    "describe_category",
    "described_category",
    "fetch_category",
    "find_images",
    "good_only_root",
    "insulators_root",
    "is_category",
    "is_data",
    "is_planted",
    "load_category",
    "load_class_images",
    "load_idid",
    "load_labelled",
    "make_class_images",
    "object_or_all",
    "one_form",
    "plant_defect",
    "read_file",
    "read_image",
    "render_category",
    "rendered_root",
    "resize_image",
    "root_name",
    "root_path",
    "semi_supervised",
    "source_lines",
    "split_remarks",
    "subfolders",
    "suggested_size",
    "to_color",
    "training_files",
    "watch_images",
]
