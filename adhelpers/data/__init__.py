"""Images: loading, checking, correcting, downloading and rendering them."""

from .checking import CategoryCheck, check_category
from .class_images import ClassImages, load_class_images, make_class_images
from .fetch import fetch_category
from .images import Category, ImageSet, load_category
from .labelled import DATASETS, LabelledSamples, load_labelled, read_idx
from .normalize import Corrections, ObjectPose, divide_background, find_object, object_mask
from .reading import CategoryError, read_image
from .rendered.catalogue import render_category, rendered_root
from .rendered.folders import root_name, root_path
from .rendered.insulators import insulators_root, render_insulators
from .semi_supervised import SemiSupervisedCategory, SplitCounts, semi_supervised, split_counts

__all__ = [
    "DATASETS",
    "Category",
    "CategoryCheck",
    "CategoryError",
    "ClassImages",
    "Corrections",
    "ImageSet",
    "LabelledSamples",
    "ObjectPose",
    "SemiSupervisedCategory",
    "SplitCounts",
    "check_category",
    "divide_background",
    "fetch_category",
    "find_object",
    "insulators_root",
    "load_category",
    "load_class_images",
    "load_labelled",
    "make_class_images",
    "object_mask",
    "read_idx",
    "read_image",
    "render_category",
    "render_insulators",
    "rendered_root",
    "root_name",
    "root_path",
    "semi_supervised",
    "split_counts",
]
