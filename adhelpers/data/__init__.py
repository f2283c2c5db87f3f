"""Images: loading and checking a category, correcting light and pose, rendered examples, MVTec AD, images and samples of several classes."""
from ._check import CategoryCheck, check_category
from ._reading import CategoryError, read_image
from .class_images import ClassImages, load_class_images, make_class_images
from .images import Category, ImageSet, load_category
from .insulators import insulators_root, render_insulators
from .labelled import DATASETS, LabelledSamples, load_labelled, read_idx
from .mvtec import fetch_category
from .normalize import ObjectPose, divide_background, find_object, object_mask
from .semi_supervised import SemiSupervisedCategory, SplitCounts, semi_supervised, split_counts
from .synthetic import render_category, rendered_root

__all__ = [
    "DATASETS", "Category", "CategoryCheck", "CategoryError", "ClassImages", "ImageSet", "LabelledSamples", "ObjectPose",
    "SemiSupervisedCategory", "SplitCounts", "check_category", "divide_background", "fetch_category", "find_object", "insulators_root",
    "load_category", "load_class_images", "load_labelled", "make_class_images", "object_mask", "read_idx", "read_image",
    "render_category", "render_insulators", "rendered_root", "semi_supervised", "split_counts",
]
