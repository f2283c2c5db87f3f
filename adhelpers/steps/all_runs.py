"""All detectors compared: stored runs are loaded again and audited with masks and without."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adhelpers._shared.arrays import Labels, Maps, Names
from adhelpers.audit import REASONS, audit_agreement, review_labels
from adhelpers.data import Category, Corrections, load_category, rendered_root, root_path
from adhelpers.detectors import AnoGAN, DeepSAD, Detector, Subspace, fit_or_load, load_detector
from adhelpers.metrics import normal_quantile
from adhelpers.runner import wait_for_other_runs

from .anogan import without_search
from .assess import assess_detector
from .classifier_audit import fit_explanation_detector, map_detector, map_inputs
from .explain import REPAIR, ExplainerSettings, explain_detector
from .localization import audit_localization
from .objects import loading_options
from .trust import Effort, audit_trust

# GradCAM is for detectors on pretrained features.
EXPLAINERS = ("SHAP", "LIME", "occlusion", "GradCAM", "residual map", REPAIR)
_FEW = 100
_WRONG_CLASS, _OTHER_REASON, _RIGHT = REASONS
# A detector's verdicts as the reasons of a classifier: "wrong class" is a false alarm.
_REASONS = {
    "right reason": _RIGHT,
    "right reason, explained too coarsely": _OTHER_REASON,
    "right reason, badly explained": _OTHER_REASON,
    "wrong reason": _OTHER_REASON,
    "false alarm": _WRONG_CLASS,
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
    left_out : dict of str to str
        Why other detectors of the run are not audited, by their folder.
    name : str or None
        Of the run.
    """

    notebook: str
    category: Category
    detectors: dict[str, Detector]
    parameters: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)
    name: str | None = None

    @property
    def title(self) -> str:
        """The notebook, with the run's name where it has one."""
        return f"{self.notebook} ({self.name})" if self.name else self.notebook

    def told(self) -> str:
        """With which detectors it is audited, and without which."""
        found = f"found with {', '.join(self.detectors)}"
        lost = [f"{folder} ({why})" for folder, why in self.left_out.items()]
        return f"{found}; left out: {', '.join(lost)}" if lost else found


@dataclass(frozen=True)
class FoundRuns:
    """Runs that can be audited, and why others cannot.

    Attributes
    ----------
    runs : list of FoundRun
    told : dict of str to str
        For each summary that was read what came of it, by notebook and category.
    """

    runs: list[FoundRun] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[FoundRun]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def table(self) -> pd.DataFrame:
        """A row for each run that can be audited: its images and its detectors."""
        rows = [
            {
                "notebook": run.title,
                "category": run.category.name,
                "test images": len(run.category.test),
                "detectors": ", ".join(run.detectors),
            }
            for run in self.runs
        ]
        return pd.DataFrame(rows, columns=["notebook", "category", "test images", "detectors"])

    def findings(self) -> list[str]:
        """What was found, and why other runs could not be used."""
        found = [f"{name}: {text}." for name, text in self.told.items()]
        return found or ["No run of another notebook was found."]


def find_runs(
    results: str | Path,
    models: str | Path,
    *,
    skip: Sequence[str] = (),
    most: int = 0,
    cache: str | Path | None = None,
) -> FoundRuns:
    """Runs in ``results`` whose images and trained detectors can be loaded again.

    Notebooks that the same command runs are waited for. A run's ``summary.json`` says where its
    images are (``data.root``) and in which folders its detectors are stored (``models``).

    Parameters
    ----------
    results : str or Path
        Holds ``<notebook>/<category>/summary.json``.
    models : str or Path
        The folders that a summary names lie there.
    skip : sequence of str
        Notebooks that are left out.
    most : int
        Maximum number of runs, the latest ones; 0 is all.
    cache : str or Path, optional
        Where rendered images are kept, see `adhelpers.data.rendered_root`.

    Returns
    -------
    FoundRuns
    """
    wait_for_other_runs()
    found = FoundRuns()
    paths = sorted(
        path for path in Path(results).glob("*/*/summary.json") if path.parts[-3] not in skip
    )
    if most:
        paths.sort(key=lambda path: -path.stat().st_mtime)
    for tried, path in enumerate(paths):
        notebook, category = path.parts[-3:-1]
        if most and len(found) == most:
            older = len(paths) - tried
            found.told["Older runs"] = f"{older} not looked at, since the latest {most} are audited"
            break
        try:
            run = _load_run(path, Path(models), cache)
        except (ValueError, KeyError, TypeError, OSError) as error:
            found.told[f"{notebook} on {category}"] = f"not used, since {_reason(error)}"
        else:
            found.runs.append(run)
            found.told[f"{notebook} on {category}"] = run.told()
    return found


def _reason(error: Exception) -> str:
    """Why a run cannot be used, as the end of a sentence."""
    if isinstance(error, KeyError):
        return f"its summary does not say {error}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _load_run(path: Path, models: Path, cache: str | Path | None) -> FoundRun:
    """The run that a summary describes; an error says why it cannot be used."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not valid JSON ({error})") from error
    missing = [
        name
        for name, value in (
            ("data.root", (summary["data"] or {}).get("root")),
            ("models", summary.get("models")),
        )
        if not value
    ]
    if missing:
        raise ValueError(
            f"its summary does not say {' and '.join(missing)}: an earlier version wrote it (run "
            "the notebook again), or its images are not in a folder"
        )
    parameters, root = summary["parameters"], root_path(summary["data"]["root"], cache)
    try:
        category = load_category(root, summary["category"], **loading_options(parameters))
    except (ValueError, OSError) as error:
        raise ValueError(f"its images cannot be loaded again ({_reason(error)})") from error
    if category.fingerprint != summary["data"]["fingerprint"]:
        raise ValueError("its images are not what they were")
    detectors, left_out = _load_detectors([models / one for one in summary["models"]])
    name = summary.get("name")
    return FoundRun(summary["notebook"], category, detectors, parameters, left_out, name)


def _load_detectors(folders: Sequence[Path]) -> tuple[dict[str, Detector], dict[str, str]]:
    """Stored detectors by name, in alphabetical order, and why others are left out, by folder.

    A damaged one is left out. Of several of a kind it is the one with the most stored explanations,
    of as many the last.
    """
    chosen: dict[str, tuple[int, str, Detector]] = {}
    left_out: dict[str, str] = {}
    problem = "its summary names none"
    for folder in folders:
        place = f"{folder.parent.name}/{folder.name}"
        try:
            detector = load_detector(folder)
        except (ValueError, KeyError, OSError) as error:
            left_out[place] = problem = _reason(error)
            continue
        if isinstance(detector, AnoGAN):
            detector = without_search(detector)
        name = detector.title or detector.name.replace("_", " ")
        explained = sum(1 for _ in (folder / "explanations").glob("*.arrays"))
        loser = place
        if name not in chosen or explained >= chosen[name][0]:
            loser = chosen[name][1] if name in chosen else ""
            chosen[name] = (explained, place, detector)
        if loser:
            left_out[loser] = f"another {name} has more stored explanations or comes later"
    if not chosen:
        raise ValueError(f"none of its detectors can be loaded ({problem})")
    return {name: chosen[name][2] for name in sorted(chosen)}, left_out


def stand_in(
    models: str | Path,
    category: str = "screw",
    *,
    root: str | Path = "",
    image_size: tuple[int, int] = (128, 64),
    seed: int = 0,
) -> FoundRuns:
    """What is audited where no run was found: the linear subspace, trained right here.

    Parameters
    ----------
    models : str or Path
    category : str
    root : str or Path
        Folder of categories in the MVTec layout; empty renders a few images.
    image_size : tuple of int
        Height and width.
    seed : int

    Returns
    -------
    FoundRuns
    """
    loaded = load_category(
        root
        or rendered_root(
            category, image_size=192, train_count=64, test_good_count=12, defect_count=4
        ),
        category,
        image_size=image_size,
        corrections=Corrections(illumination="auto", pose="auto", crop="object"),
        seed=seed,
    )
    detector = fit_or_load(Subspace(seed=seed), loaded, models)
    parameters = {"seed": seed, "lime_samples": 97, "shap_evaluations": 150}
    run = FoundRun("this notebook", loaded, {detector.name: detector}, parameters)
    told = "there is none that can be used; a linear subspace was trained here"
    return FoundRuns([run], {"Runs of other notebooks": told})


@dataclass(frozen=True)
class RunsAudit:
    """Both audits of every detector and explainer.

    Attributes
    ----------
    rows : list of dict
        Figures of each detector and explainer.
    sentences : list of str
        What the audit without masks found, for each category.
    """

    rows: list[dict[str, Any]]
    sentences: list[str]

    def table(self) -> pd.DataFrame:
        """Figures of both audits: a row for each detector and explainer."""
        return pd.DataFrame(self.rows)

    def findings(self) -> list[str]:
        """What the audit without masks found, and where it could not be made."""
        return self.sentences


@dataclass(frozen=True)
class _Entry:
    """One detector, explained by one explainer.

    Attributes
    ----------
    category : str
    row : dict
        What the audit with masks says of it.
    maps : ndarray, shape (n, h, w)
        Explanations of the flagged images.
    verdicts : ndarray of str, shape (n,)
        On these images.
    """

    category: str
    row: dict[str, Any]
    maps: Maps
    verdicts: Names


def audit_runs(
    runs: FoundRuns,
    models: str | Path,
    *,
    explainers: Sequence[str] = ("SHAP", "LIME", "residual map"),
    most_images: int = 0,
    labelled_share: float = 0.05,
    flagged_share: float = 0.15,
    detector: DeepSAD | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> RunsAudit:
    """Audit the explanations of all runs with masks and without, in one table.

    With masks: each flag's verdict by repairs and chance (`adhelpers.steps.trust.audit_trust`).
    Without: the explanations of all flagged images are pooled for each category, Deep SAD learns
    from them with a few labels, and the farthest ones are flagged.

    Parameters
    ----------
    runs : FoundRuns
    models : str or Path
        Explanations that a detector's folder holds already are found there.
    explainers : sequence of str
        Among ``"SHAP"``, ``"LIME"``, ``"occlusion"``, ``"GradCAM"`` (of detectors on pretrained
        features), ``"residual map"`` and ``"smallest repair"``.
    most_images : int
        Maximum number of test images of a run that are explained, spread over their types; 0 is
        all of them. Image AUROC and the number of flagged defects are those of all of them anyway.
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
    RunsAudit

    Raises
    ------
    ValueError
        For an unknown explainer or a share out of range.
    """
    unknown = [name for name in explainers if name not in EXPLAINERS]
    if unknown or not explainers:
        raise ValueError(
            f"explainers must be among {', '.join(EXPLAINERS)}, not "
            f"{unknown[0] if unknown else 'empty'!r}"
        )
    for name, value in (("labelled_share", labelled_share), ("flagged_share", flagged_share)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")
    entries = [
        entry
        for run in runs
        for title in run.detectors
        for entry in _entries(run, title, explainers, most_images, seed, show_progress)
    ]
    pool_audit = _PoolAudit(labelled_share, flagged_share, detector, models, seed, show_progress)
    sentences = [
        pool_audit.run(name, [one for one in entries if one.category == name])
        for name in dict.fromkeys(one.category for one in entries)
    ]
    return RunsAudit([entry.row for entry in entries], sentences + _absent(entries, explainers))


def _absent(entries: Sequence[_Entry], explainers: Sequence[str]) -> list[str]:
    """Which explainers have no row, because they do not apply to a detector."""
    explained: dict[str, set[str]] = {}
    for entry in entries:
        explained.setdefault(entry.row["detector"], set()).add(entry.row["explainer"])
    return [
        f"{name} does not apply to {', '.join(lacking)}, so it has no row there."
        for name in explainers
        if (lacking := [title for title, names in explained.items() if name not in names])
    ]


def _spread(category: Category, most: int) -> Category:
    """The category with at most so many test images, each type keeping its share."""
    test = category.test
    if not most or len(test) <= most:
        return category
    order = np.argsort(test.types, kind="stable")
    chosen = np.sort(order[np.linspace(0, len(order) - 1, most).round().astype(int)])
    return replace(category, test=test.subset(chosen))


def _entries(
    run: FoundRun,
    title: str,
    explainers: Sequence[str],
    most_images: int,
    seed: int,
    show_progress: bool,
) -> list[_Entry]:
    """What the audit with masks says of one detector of a run, for each explainer."""
    category, parameters = _spread(run.category, most_images), run.parameters
    # As the run itself decided, on all its images, so that its report has the same figures.
    deciding = {
        "rule": parameters.get("threshold_rule", "normal_quantile"),
        "quantile": parameters.get("quantile", 0.95),
        "seed": parameters.get("seed", seed),
    }
    detector = run.detectors[title]
    whole = assessment = assess_detector(title, detector, run.category, **deciding)
    if category is not run.category:
        assessment = assess_detector(title, detector, category, **deciding)
        assessment = replace(assessment, threshold=whole.threshold)
    confusion = whole.detection.confusion
    explained = explain_detector(
        assessment,
        replace(ExplainerSettings.from_parameters(parameters), good_explained=0),
        explainers=tuple(dict.fromkeys((*explainers, "residual map", "noise"))),
        seed=parameters.get("seed", seed),
        show_progress=show_progress,
    ).test
    names = tuple(name for name in explainers if name in explained)
    # Deletion and insertion curves are most of an audit's time, and the table has none.
    trusted = audit_trust(
        assessment,
        explained,
        explainers=names,
        effort=Effort(curves=()),
        seed=seed,
        show_progress=show_progress,
    )
    jaccards = audit_localization(assessment, explained).comparison.summary["mean"]
    first = {
        "notebook": run.title,
        "category": category.name,
        "detector": title,
        "test images": f"{len(category.test)} of {len(run.category.test)}",
    }
    found = []
    for name in names:
        summary, heatmaps = trusted.summaries[name], explained[name].heatmaps
        relevance = trusted.localization.loc[name].to_dict() if len(trusted.localization) else {}
        flagged = assessment.flags & ~np.isnan(heatmaps).any(axis=(1, 2))
        if category.has_masks:
            # What raised the flag is unknown where the mask does not show the defect.
            flagged &= category.test.mask_known
        row = first | {
            "explainer": name,
            "image AUROC": str(whole.detection.auroc),
            "defects flagged": f"{confusion['tp']} of {confusion['tp'] + confusion['fn']}",
            "recall": f"{summary.estimate(summary.recall):.2f}",
            "trust-adjusted recall": f"{summary.estimate(summary.trust_adjusted_recall):.2f}",
            "J*": jaccards.get(name, np.nan),
            "J* of noise": jaccards.get("noise", np.nan),
            "relevance inside the defect": relevance.get("relevance inside the defect", np.nan),
            "by chance": relevance.get("by chance on the object", np.nan),
        }
        verdicts = trusted.verdicts[name][flagged]
        found.append(_Entry(category.name, row, heatmaps[flagged], verdicts))
    return found


@dataclass(frozen=True)
class _PoolAudit:
    """The audit without masks of all explanations of one category."""

    labelled_share: float
    flagged_share: float
    detector: DeepSAD | None
    models: str | Path
    seed: int
    show_progress: bool

    def run(self, category: str, entries: Sequence[_Entry]) -> str:
        """Add what this audit says to the entries' rows; returns what it found as a sentence."""
        for entry in entries:
            entry.row.update(
                {
                    "explanations": 0,
                    "flagged explanations": "–",
                    "of these not right": "–",
                    "agreement, kappa": np.nan,
                }
            )
        maps = [map_inputs(entry.maps)[..., 0] for entry in entries if len(entry.maps)]
        if not maps:
            return f"{category}: no image is flagged, so there is no explanation to audit."
        verdicts = np.concatenate([entry.verdicts for entry in entries])
        reasons = np.array([_REASONS.get(verdict, "") for verdict in verdicts], dtype=str)
        if "" in reasons:
            return (
                f"{category}: there are no masks, so the verdicts are unknown and nothing can be "
                "said of its explanations."
            )
        try:
            labels = review_labels(reasons != _RIGHT, self.labelled_share, self.seed)
        except ValueError as error:
            return f"{category}: the audit without masks could not learn ({_reason(error)})."
        flags = self._flags(category, np.concatenate(maps), labels)
        _add_flags(entries, flags, reasons)
        return _pool_finding(category, flags, reasons, labels == 0)

    def _flags(self, category: str, maps: Maps, labels: Labels) -> np.ndarray:
        """Which explanations Deep SAD flags after learning from all of them."""
        # Few labels among many have a high weight.
        own = self.detector or map_detector(40, 20, eta=10.0, seed=self.seed)
        scores = fit_explanation_detector(
            maps,
            labels,
            deepcopy(own),
            self.models,
            category,
            keep_strength=False,
            show_progress=self.show_progress,
        ).score(maps)
        return normal_quantile(scores, 1 - self.flagged_share).flag(scores)


def _add_flags(entries: Sequence[_Entry], flags: np.ndarray, reasons: Names) -> None:
    """Each entry's share of the flags in its row."""
    start = 0
    for entry in entries:
        part = slice(start, start + len(entry.maps))
        start = part.stop
        if part.start == part.stop:
            continue
        bad = reasons[part] != _RIGHT
        entry.row.update(
            {
                "explanations": len(bad),
                "flagged explanations": f"{int(flags[part].sum())} of {len(bad)}",
                "of these not right": f"{(flags[part] & bad).sum()} of {flags[part].sum()}",
                "agreement, kappa": audit_agreement(flags[part], reasons[part]).kappa,
            }
        )


def _pool_finding(category: str, flags: np.ndarray, reasons: Names, unknown: np.ndarray) -> str:
    """How the flags of one category compare with the verdicts of the audit with masks."""
    bad, agreement = reasons != _RIGHT, audit_agreement(flags, reasons)
    found = (
        f"{category}: according to the audit with masks, {bad.sum()} of {len(flags)} explanations "
        "of flagged images do not show a defect that raised the flag. The audit without masks "
        f"flags {flags.sum()} explanations."
    )
    new = unknown & flags
    if new.any():
        found += (
            f" Among those whose verdict it was not told, {bad[new].sum()} of {new.sum()} do not "
            f"show such a defect ({100 * bad[new].mean():.0f} %, compared with "
            f"{100 * bad[unknown].mean():.0f} % of all explanations whose verdict it was not told)."
        )
    elif flags.any():
        found += " It was told the verdicts of all of these."
    found += f" {agreement.findings()[1]}"
    if len(flags) < _FEW:
        found += f" From {len(flags)} explanations little can be learned."
    return found
