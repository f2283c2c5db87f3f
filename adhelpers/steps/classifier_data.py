"""Images to classify, in three parts that know nothing of each other: for the classifier, for the audit of its explanations, and to test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from adhelpers.audit import repaired
from adhelpers.data import (
    Corrections,
    ClassImages,
    insulators_root,
    load_category,
    load_class_images,
    load_labelled,
    make_class_images,
    rendered_root,
)
from adhelpers.detectors import Subspace
from adhelpers.reports import explanation_grid

DATASETS = ("insulators", "category", "digits", "mnist", "fashion_mnist", "folder")
SPLITS = ("train", "review", "test")


@dataclass(frozen=True)
class Task:
    """Images to classify, in three parts that know nothing of each other.

    Attributes
    ----------
    name : str
    train : ClassImages
        The classifier learns from these.
    review : ClassImages
        Their explanations are what the detector of explanations learns from.
    test : ClassImages
    """

    name: str
    train: ClassImages
    review: ClassImages
    test: ClassImages

    def table(self):
        """Counts by class: a row for each, with those that have a tag.

        Returns
        -------
        pandas.DataFrame
        """
        rows = {}
        for split in SPLITS:
            part = getattr(self, split)
            for label, name in enumerate(part.class_names):
                chosen = part.labels == label
                row = rows.setdefault(name, {})
                row[f"{split}: images"] = int(chosen.sum())
                if part.tags is not None:
                    row[f"{split}: with a tag"] = int(part.tags[chosen].any(axis=(1, 2)).sum())
        return pd.DataFrame.from_dict(rows, orient="index")


def load_task(
    dataset="insulators",
    data_root="",
    *,
    category="screw",
    image_height=64,
    image_width=0,
    train_count=200,
    review_count=300,
    test_count=60,
    tied=0.7,
    loose=0.25,
    seed=0,
    show_progress=True,
):
    """Load images to classify, divided into those to train with, to review and to test.

    Parameters
    ----------
    dataset : {"insulators", "category", "digits", "mnist", "fashion_mnist", "folder"}
        ``"insulators"``: rendered, with a planted shortcut. ``"category"``: good against defective
        objects in the MVTec layout, half of each type to train with, a quarter to review and to
        test; light and pose are corrected where possible. ``"digits"``, ``"mnist"``,
        ``"fashion_mnist"``: see `adhelpers.data.load_labelled`; a quarter of what can be trained
        with is reviewed. ``"folder"``: ``data_root/{train,review,test}/<class>/``, see
        `adhelpers.data.load_class_images`.
    data_root : str or Path
        Empty renders insulators and categories and downloads MNIST.
    category : str
        For ``"category"``.
    image_height : int
        In pixels; digits keep theirs.
    image_width : int
        For ``"category"`` and ``"folder"``; 0 makes square images.
    train_count, review_count, test_count, tied, loose
        For ``"insulators"``, see `adhelpers.data.render_insulators`.
    seed : int
        For the division of data sets that have none of their own.
    show_progress : bool

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        For an unknown data set, or a folder without a name.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, not {dataset!r}.")
    size = (image_height, image_width or image_height)
    if dataset == "insulators":
        root = insulators_root(
            image_size=image_height,
            train_count=train_count,
            review_count=review_count,
            test_count=test_count,
            tied=tied,
            loose=loose,
            seed=seed,
            show_progress=show_progress,
        )
        return Task(dataset, *(load_class_images(root, split) for split in SPLITS))
    if dataset == "folder":
        if not data_root:
            raise ValueError(
                "dataset 'folder' needs data_root, the folder that holds train, review and test."
            )
        return Task(
            dataset,
            *(
                load_class_images(data_root, split, image_size=size, show_progress=show_progress)
                for split in SPLITS
            ),
        )
    if dataset == "category":
        return _category_task(data_root, category, size, seed, show_progress)
    samples = load_labelled(dataset, data_root)
    names = sorted(set(samples.classes))
    everything = make_class_images(
        samples.samples, np.searchsorted(names, samples.classes), names, samples.names
    )
    trainable = np.flatnonzero(~samples.is_test)
    train, review = train_test_split(
        trainable, test_size=0.25, random_state=seed, stratify=samples.classes[trainable]
    )
    return Task(
        samples.name,
        *(
            everything.subset(np.sort(indices))
            for indices in (train, review, np.flatnonzero(samples.is_test))
        ),
    )


def _category_task(root, category, image_size, seed, show_progress):
    root = root or rendered_root(
        category,
        image_size=192,
        train_count=96,
        test_good_count=48,
        defect_count=24,
        show_progress=show_progress,
    )
    loaded = load_category(
        root,
        category,
        image_size=image_size,
        corrections=Corrections(illumination="auto", pose="auto", crop="object"),
        seed=seed,
        show_progress=show_progress,
    )
    # Repairs paste what a linear subspace of good images makes of the place.
    subspace = Subspace(seed=seed).fit(loaded.train.images, loaded.validation.images)
    parts = (loaded.train, loaded.validation, loaded.test)
    images, labels, types, names = (
        np.concatenate([getattr(part, field) for part in parts])
        for field in ("images", "labels", "types", "names")
    )
    extra = {}
    if loaded.has_masks:
        masks = np.concatenate(
            [
                np.zeros((len(images) - len(loaded.test), *images.shape[1:3]), bool),
                loaded.test.masks,
            ]
        )
        normal = np.clip(subspace.counterpart(images), 0, 1)
        extra = {
            "defects": masks,
            "without_defects": np.clip(
                np.stack(
                    [
                        repaired(image, counterpart, mask) if mask.any() else image
                        for image, counterpart, mask in zip(images, normal, masks, strict=True)
                    ]
                ),
                0,
                1,
            ),
        }
    everything = make_class_images(images, labels, ("good", "defective"), names, **extra)
    train, rest = train_test_split(
        np.arange(len(images)), test_size=0.5, random_state=seed, stratify=types
    )
    review, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=types[rest])
    return Task(
        category, *(everything.subset(np.sort(indices)) for indices in (train, review, test))
    )


def overview(task, per_class=4):
    """Images of each class, a few to train with and a few to test, faults and tags outlined where they are known.

    Parameters
    ----------
    task : Task
    per_class : int
        Of each part.

    Returns
    -------
    matplotlib.figure.Figure
    """
    parts, titles = [], []
    for label, name in enumerate(task.train.class_names):
        for split in ("train", "test"):
            part = getattr(task, split)
            members = np.flatnonzero(part.labels == label)[:per_class]
            parts.append((part, members))
            titles += [f"{name} ({split})"] * len(members)
    images = np.concatenate([part.images[members] for part, members in parts])
    regions = {
        name: None
        if any(getattr(part, name) is None for part, _ in parts)
        else np.concatenate([getattr(part, name)[members] for part, members in parts])
        for name in ("defects", "tags")
    }
    return explanation_grid(
        images,
        None,
        titles,
        columns=2 * per_class,
        title="Images, their faults (blue) and tags (pink)"
        if any(one is not None for one in regions.values())
        else "Images",
        **regions,
    )
