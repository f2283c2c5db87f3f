"""The last word on all detectors: runs that were already made, found again, and their explanations audited with masks and without."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs

from adhelpers.audit import audit_agreement, review_labels
from adhelpers.data import Corrections, load_category, rendered_root
from adhelpers.detectors import (
    DeepSAD,
    ResidualScore,
    Subspace,
    detector_class,
    fit_or_load,
    read_manifest,
)
from adhelpers.detectors.manifest import MANIFEST
from adhelpers.detectors.stored import stored_folder
from adhelpers.metrics import Threshold, normal_quantile

from .assess import assess_detector, estimate_text
from .classifier_audit import fit_explanation_detector, map_inputs
from .explain import ExplainerSettings, explain_detector
from .localization import audit_localization
from .trust import audit_trust

# A search for each score would take minutes an image; the encoder's one pass is what notebook 03
# explains.
_ONE_PASS = {"start": "encoder", "steps": 0}
EXPLAINERS = ("SHAP", "LIME", "occlusion", "GradCAM", "residual map")
_FEW = 100
_LOADING = ("color", "validation_fraction", "seed")
_CORRECTIONS = ("illumination", "pose", "crop")
# A detector's verdicts as the reasons of a classifier: "wrong class" is a false alarm.
_REASONS = {
    "right reason": "right class, right reason",
    "right reason, badly explained": "right class, other reason",
    "wrong reason": "right class, other reason",
    "false alarm": "wrong class",
}


@dataclass(frozen=True)
class FoundRun:
    """A run of another notebook whose images and detectors are still there.

    Attributes
    ----------
    notebook : str
    category : Category
        Loaded again; its fingerprint is that of the run.
    detectors : dict of str to Detector
        By what to call it, loaded from its weights.
    parameters : dict
        Of the run.
    """

    notebook: str
    category: object
    detectors: dict
    parameters: dict


def find_runs(results, models, *, skip=(), most=0, cache=None):
    """Runs in ``results`` whose images and trained detectors can be loaded again.

    Parameters
    ----------
    results : str or Path
        Holds ``<notebook>/<category>/summary.json``.
    models : str or Path
        Holds ``<category>/<detector>/<hash>/``; a detector belongs to a run where that hash is the
        one of its parameters and the run's images.
    skip : sequence of str
        Notebooks that are left out.
    most : int
        At most so many runs, the latest ones; 0 is all.
    cache : str or Path, optional
        Where rendered images are kept, see `adhelpers.data.rendered_root`.

    Returns
    -------
    runs : list of FoundRun
    sentences : list of str
        What was found, and why others could not be used.
    """
    runs, sentences = [], []
    for path in sorted(
        Path(results).glob("*/*/summary.json"),
        key=lambda path: (-path.stat().st_mtime if most else 0, path),
    ):
        if most and len(runs) == most:
            break
        name = f"{path.parent.parent.name} on {path.parent.name}"
        if path.parent.parent.name in skip:
            continue
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            parameters, fingerprint, counts = (
                summary["parameters"],
                summary["data"]["fingerprint"],
                summary["data"]["counts"],
            )
            category = _load_again(summary["category"], parameters, fingerprint, counts, cache)
        except (ValueError, KeyError, TypeError, OSError) as error:
            why = (
                f"its summary does not say {error}"
                if isinstance(error, KeyError)
                else _first_line(error)
            )
            sentences.append(f"{name}: not used, since its images cannot be loaded again ({why}).")
            continue
        if category is None:
            sentences.append(f"{name}: not used, since its images are not what they were.")
            continue
        found = stored_detectors(category, models)
        if not found:
            sentences.append(
                f"{name}: not used, since no detector of these images is stored in {Path(models).name}."
            )
            continue
        runs.append(FoundRun(summary["notebook"], category, found, parameters))
        sentences.append(f"{name}: found with {', '.join(found)}.")
    return runs, sentences or ["No run of another notebook was found."]


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def _load_again(name, parameters, fingerprint, counts, cache):
    """The category that a run was made on, or None where no images have its fingerprint."""
    size = (parameters["image_height"], parameters["image_width"])
    options = {key: parameters[key] for key in _LOADING if key in parameters}
    corrections = Corrections(**{key: parameters[key] for key in _CORRECTIONS if key in parameters})
    roots = (
        [parameters["data_root"]]
        if parameters.get("data_root")
        else _renderings(name, counts, cache)
    )
    for root in roots:
        category = load_category(root, name, image_size=size, corrections=corrections, **options)
        if category.fingerprint == fingerprint:
            return category
    return None


def _renderings(name, counts, cache):
    """Folders of rendered images with as many of each kind as the run had, the newest first."""
    cache = Path(platformdirs.user_cache_dir("adhelpers")) if cache is None else Path(cache)
    wanted = (
        sum(counts["train"].values()) + sum(counts["validation"].values()),
        dict(counts["test"]),
    )
    found = []
    for root in (cache / "rendered").glob("*"):
        folder = root / name
        if not (folder / "readme.txt").is_file():
            continue
        test = {kind.name: len(list(kind.glob("*.png"))) for kind in (folder / "test").iterdir()}
        if (len(list((folder / "train" / "good").glob("*.png"))), test) == wanted:
            found.append(root)
    return sorted(found, key=lambda root: -(root / name / "readme.txt").stat().st_mtime)


def stored_detectors(category, models):
    """Detectors that were trained on exactly these images, one of each kind.

    Parameters
    ----------
    category : Category
    models : str or Path

    Returns
    -------
    dict of str to Detector
        By its name. Of several of a kind, as a comparison leaves them, the one whose explanations
        were stored, else the latest.
    """
    candidates = {}
    for manifest in sorted((Path(models) / category.name).glob(f"*/*/{MANIFEST}")):
        try:
            stored = read_manifest(manifest.parent)
            kind = detector_class(stored["detector"])
            # The folder's name is a hash of parameters and images: equal only where both are.
            detector = kind.from_parameters(stored["parameters"])
            if stored_folder(detector, category, models) != manifest.parent:
                continue
        except (ValueError, KeyError, TypeError, OSError):
            continue
        explained = sum(1 for _ in (manifest.parent / "explanations").glob("*.npz"))
        candidates.setdefault(kind.name, []).append(
            (explained, manifest.stat().st_mtime, manifest.parent, kind)
        )
    found = {}
    for name, stored in candidates.items():
        for _, _, folder, kind in sorted(stored, key=lambda one: one[:2], reverse=True):
            try:
                found[name.replace("_", " ")] = kind.load(
                    folder, **(_ONE_PASS if set(_ONE_PASS) <= set(kind.scoring_parameters) else {})
                )
            except (ValueError, KeyError, OSError):
                continue
            break
    return found


def stand_in(data_root, models, category="screw", *, image_size=(128, 64), smoothing=1.0, seed=0):
    """What stands in where no run was made: the linear subspace, trained right here.

    Parameters
    ----------
    data_root : str or Path
        Folder of categories in the MVTec layout; empty renders a few images.
    models : str or Path
    category : str
    image_size : tuple of int
        Height and width.
    smoothing : float
        Of the anomaly map, in pixels.
    seed : int

    Returns
    -------
    FoundRun
    """
    root = data_root or rendered_root(
        category, image_size=192, train_count=64, test_good_count=12, defect_count=4
    )
    loaded = load_category(
        root,
        category,
        image_size=image_size,
        corrections=Corrections(illumination="auto", pose="auto", crop="object"),
        seed=seed,
    )
    detector = fit_or_load(
        Subspace(scoring=ResidualScore(smoothing=smoothing), seed=seed), loaded, models
    )
    return FoundRun(
        "this notebook", loaded, {detector.name: detector}, {"seed": seed, "smoothing": smoothing}
    )


@dataclass(frozen=True)
class HouseAudit:
    """Both audits of every detector and explainer.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each detector and explainer.
    sentences : list of str
        What it means, and what could not be said.
    """

    table: pd.DataFrame
    sentences: list


def audit_house(
    runs,
    models,
    *,
    explainers=("SHAP", "LIME", "residual map"),
    most_images=0,
    labelled_share=0.05,
    flagged_share=0.15,
    detector=None,
    seed=0,
    show_progress=True,
):
    """Audit the explanations of all runs with masks and without, in one table.

    With masks: each flag's verdict by repairs and chance (`adhelpers.steps.trust.audit_trust`).
    Without: the explanations of all flagged images are pooled for each category, Deep SAD learns
    from them with a few labels, and the farthest ones are flagged.

    Parameters
    ----------
    runs : list of FoundRun
    models : str or Path
        Explanations that a detector's folder holds already are found there.
    explainers : sequence of str
        Among ``"SHAP"``, ``"LIME"``, ``"occlusion"``, ``"GradCAM"`` (of detectors that look at
        pretrained features) and ``"residual map"``.
    most_images : int
        At most so many test images of a run are explained, spread over their types; 0 is all of
        them.
    labelled_share : float
        Share of the pooled explanations whose verdict Deep SAD is told.
    flagged_share : float
        Share of them that is flagged.
    detector : DeepSAD, optional
        Not fitted yet; one with the defaults for small maps otherwise.
    seed : int
    show_progress : bool

    Returns
    -------
    HouseAudit

    Raises
    ------
    ValueError
        For an unknown explainer or a share out of range.
    """
    unknown = [name for name in explainers if name not in EXPLAINERS]
    if unknown or not explainers:
        raise ValueError(
            f"explainers must be among {', '.join(EXPLAINERS)}, not {unknown[0] if unknown else 'empty'!r}."
        )
    for name, value in (("labelled_share", labelled_share), ("flagged_share", flagged_share)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, not {value!r}.")
    rows, pools, sentences = [], {}, []
    for run in runs:
        category = _spread(run.category, most_images)
        for title, one in run.detectors.items():
            row = {"notebook": run.notebook, "category": category.name, "detector": title}
            for name, entry in _audited(
                run, category, one, explainers, seed, show_progress
            ).items():
                rows.append(row | {"explainer": name} | entry.pop("columns"))
                pools.setdefault(category.name, []).append((len(rows) - 1, entry))
    for name, pool in pools.items():
        sentences += _audit_pool(
            name, rows, pool, models, labelled_share, flagged_share, detector, seed, show_progress
        )
    return HouseAudit(pd.DataFrame(rows), sentences)


def _spread(category, most):
    """The category with at most so many test images, each type keeping its share."""
    test = category.test
    if not most or len(test) <= most:
        return category
    order = np.argsort(test.types, kind="stable")
    chosen = np.sort(order[np.linspace(0, len(order) - 1, most).round().astype(int)])
    return type(category)(
        name=category.name,
        root=category.root,
        train=category.train,
        validation=category.validation,
        test=test.subset(chosen),
        settings=category.settings,
        fingerprint=category.fingerprint,
    )


# Fewer than the notebooks take where a run does not say how many: the stand-in has no explanations.
_BUDGETS = {"lime_samples": 97, "shap_evaluations": 150}


def _audited(run, category, detector, explainers, seed, show_progress):
    """For each explainer its columns of the table, the heatmaps of flagged images and their verdicts."""
    assessment = assess_detector(
        detector.name, detector, category, quantile=run.parameters.get("quantile", 0.95), seed=seed
    )
    settings = ExplainerSettings.from_parameters(_BUDGETS | run.parameters | {"good_explained": 0})
    # Both audits compare with noise and the residual map.
    explanations = explain_detector(
        assessment,
        settings,
        explainers=list(dict.fromkeys((*explainers, "noise", "residual map"))),
        seed=run.parameters.get("seed", seed),
        show_progress=show_progress,
    ).test
    names = tuple(name for name in explainers if name in explanations)
    trusted = audit_trust(
        assessment, explanations, explainers=names, seed=seed, show_progress=show_progress
    )
    located = audit_localization(assessment, explanations)
    found = {}
    for name in names:
        verdicts, summary = trusted.verdicts[name], trusted.summaries[name]
        relevance = trusted.localization.loc[name] if len(trusted.localization) else {}
        columns = {
            "image AUROC": estimate_text(assessment.detection.auroc),
            "recall": summary.recall,
            "trust-adjusted recall": summary.trust_adjusted_recall,
            "J*": located.comparison.summary["mean"].get(name, np.nan),
            "J* of noise": located.comparison.summary["mean"].get("noise", np.nan),
            "relevance inside the defect": relevance.get("relevance inside the defect", np.nan),
            "by chance": relevance.get("by chance on the object", np.nan),
        }
        flagged = assessment.flags & ~np.isnan(explanations[name].heatmaps).any(axis=(1, 2))
        found[name] = {
            "columns": columns,
            "maps": explanations[name].heatmaps[flagged],
            "verdicts": verdicts[flagged],
        }
    return found


def _audit_pool(
    name, rows, pool, models, labelled_share, flagged_share, detector, seed, show_progress
):
    """Fill in what the audit without masks says of one category's explanations; returns sentences."""
    maps = np.concatenate(
        [map_inputs(entry["maps"])[..., 0] for _, entry in pool if len(entry["maps"])]
        or [np.zeros((0, 16, 16))]
    )
    verdicts = np.concatenate([entry["verdicts"] for _, entry in pool])
    reasons = np.array([_REASONS.get(verdict, "") for verdict in verdicts], dtype=str)
    for index, _ in pool:
        rows[index] |= {
            "explanations": 0,
            "flagged explanations": "–",
            "of these not right": "–",
            "agreement, kappa": np.nan,
        }
    if not len(maps) or "" in reasons:
        return [
            f"{name}: without masks the verdicts are unknown, and nothing can be said of its explanations."
            if len(maps)
            else f"{name}: no image is flagged, so there is no explanation to audit."
        ]
    try:
        labels = review_labels(reasons != "right class, right reason", labelled_share, seed)
    except ValueError as error:
        return [f"{name}: the audit without masks could not learn ({_first_line(error)})."]
    # Few labels among many: their weight makes up for it.
    detector = (
        DeepSAD(
            eta=10.0,
            plan=replace(DeepSAD.default_plan(), epochs=40, batch_size=32, milestones=(30,)),
            pretraining=replace(
                DeepSAD.default_pretraining(), epochs=20, batch_size=32, milestones=(15,)
            ),
            seed=seed,
        )
        if detector is None
        else type(detector).from_parameters(detector.parameters)
    )
    scores = fit_explanation_detector(
        maps, labels, detector, models, name, keep_strength=False, show_progress=show_progress
    ).score(maps)
    threshold = Threshold(
        normal_quantile(scores, 1 - flagged_share).value,
        f"{1 - flagged_share:g} quantile of all explanations",
        False,
    )
    flags, start = threshold.flag(scores), 0
    for index, entry in pool:
        part = slice(start, start + len(entry["maps"]))
        start = part.stop
        if part.start == part.stop:
            continue
        bad = reasons[part] != "right class, right reason"
        agreement = audit_agreement(flags[part], reasons[part])
        rows[index] |= {
            "explanations": int(len(bad)),
            "flagged explanations": f"{int(flags[part].sum())} of {len(bad)}",
            "of these not right": f"{int((flags[part] & bad).sum())} of {int(flags[part].sum())}",
            "agreement, kappa": agreement.kappa,
        }
    everything = audit_agreement(flags, reasons)
    unknown = labels == 0
    bad = reasons != "right class, right reason"
    base = bad[unknown].mean()
    told = unknown & flags
    caught = (
        f"among the {int(told.sum())} of these that it was not told of {100 * bad[told].mean():.0f} % are such, against {100 * base:.0f} % of all"
        if told.any()
        else "all of which it was told of"
    )
    few = f" From {len(maps)} explanations little can be learned." if len(maps) < _FEW else ""
    return [
        f"{name}: of {len(maps)} explanations of flagged images {int(bad.sum())} do not stand for a defect that was found and shown, by the audit "
        f"with masks. The audit without masks flags {int(flags.sum())}, {caught}. Agreement {100 * everything.share:.0f} %, Cohen's kappa "
        f"{everything.kappa:.2f}.{few}"
    ]
