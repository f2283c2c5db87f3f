"""Anyone's detector, audited in one call, with a report that can be written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Images, Names
from adhelpers._shared.stages import forget_stages
from adhelpers.data import Category
from adhelpers.reports import results_to_html
from adhelpers.runner import Run

from .answer import answer_run
from .assess import ImageAssessment
from .counterparts import CounterpartChoice, choose_counterpart
from .explain import ExplainerSettings
from .findings import HasFindings, sentences
from .given import GivenDetector, assess_given, given_functions
from .given_audit import GivenAudit, audit_given, explain_given
from .given_budget import ExplainerBudget, plan_budget
from .run_answer import RunAnswer
from .trust import Shortcuts, find_shortcuts

_NOTEBOOK = "your_detector"
_STRIPS = 6


@dataclass(frozen=True)
class DetectorReport:
    """Whether a detector from elsewhere can be trusted, because of what, and where to look first.

    Attributes
    ----------
    given : GivenDetector
    choice : CounterpartChoice
        What a defect was repaired with, and how well that keeps good images normal.
    budget : ExplainerBudget
    audit : GivenAudit
    shortcuts : Shortcuts
    answered : RunAnswer
    seed : int
    """

    given: GivenDetector
    choice: CounterpartChoice
    budget: ExplainerBudget
    audit: GivenAudit
    shortcuts: Shortcuts
    answered: RunAnswer
    seed: int = 0

    @property
    def answer(self) -> str:
        """The answer in one sentence: use it, or do not trust it yet; because."""
        return self.answered.answer.findings()[0]

    @property
    def verdicts(self) -> Names:
        """The verdict on each test image: ndarray of str, shape (n,)."""
        return self.audit.verdicts

    @property
    def assessment(self) -> ImageAssessment:
        """The detector's scores, threshold and decisions."""
        return self.audit.assessment

    def table(self) -> pd.DataFrame:
        """Counts of the verdicts by defect type."""
        return self.audit.verdict_table()

    def findings(self) -> list[str]:
        """The answer, and all that it rests on."""
        return sentences(self.answered, self._details())

    def figure(self) -> Figure:
        """The verdicts on all test images by type."""
        return self.answered.figure()

    def _details(self) -> list[str]:
        return sentences(
            self.given, self.shortcuts, self.assessment, self.choice, self.budget, self.audit
        )

    def save(self, folder: str | Path) -> Path:
        """Write ``report.html``, ``gallery.html``, ``samples.csv``, ``summary.json``, figures.

        Parameters
        ----------
        folder : str or Path
            Files of these names in it are replaced. In ``<results>/<anything>/<name>/`` the
            report gets a row of ``index.html`` (``adhelpers index --results <results>``).

        Returns
        -------
        Path
            Of the report.
        """
        folder = Path(folder).resolve()
        category = self.given.category
        run = Run(
            _NOTEBOOK, category.name, {"title": self.given.title}, self.seed, folder.parent,
            folder.parent, folder,
        )  # fmt: skip
        write_given(run, self.audit, self.shortcuts, self.answered, self.choice, self._details())
        shown: dict[str, list[pd.DataFrame | Figure]] = {
            "Decisions": [self.assessment.table(), self.assessment.figure()],
            "Shortcuts": [self.shortcuts.table(), self.shortcuts.figure()],
            "What a defect is repaired with": [self.choice.table()],
            "Do the explanations meet the defects?": [self.audit.table().round(3)],
            "Verdicts": [self.table()],
            "The most instructive images": [*self.audit.instructive(_STRIPS).values()],
            "The rule of the answer": [self.answered.table()],
        }
        title = f"{self.given.title} on {category.name}"
        return results_to_html(folder, title, self.findings(), shown)


def audit_detector(
    category: Category,
    detector: Any = None,
    *,
    score: Callable[[Images], Any] | None = None,
    anomaly_map: Callable[[Images], Any] | None = None,
    title: str | None = None,
    counterpart: str = "auto",
    settings: ExplainerSettings | None = None,
    minutes: float = 15.0,
    seed: int = 0,
    show_progress: bool = True,
) -> DetectorReport:
    """Audit a detector that somebody else has made.

    Parameters
    ----------
    category : Category
        Its good training images give the threshold and the counterparts.
    detector : object, optional
        A detector of this package or of `adhelpers.detectors.wrap_detector`, or what that takes:
        an object with ``score`` or ``anomaly_map``, an estimator, a Keras model, a PyTorch module;
        or `StoredMaps`, where there are only maps.
    score, anomaly_map : callable, optional
        In place of ``detector``: functions of images (n, h, w, c) in [0, 1] that return (n,) and
        (n, h, w). One is enough.
    title : str, optional
        What to call it.
    counterpart : str
        What a defect is repaired with, see `choose_counterpart`.
    settings : ExplainerSettings, optional
        Budgets of the explainers, where the detector is fast enough for them.
    minutes : float
        For explanations and audit, see `plan_budget`.
    seed : int
    show_progress : bool

    Returns
    -------
    DetectorReport

    Raises
    ------
    ValueError
        If the detector cannot be used, or gives every image the same score.

    Examples
    --------
    >>> import numpy as np
    >>> from adhelpers.data import load_category, rendered_root
    >>> root = rendered_root(
    ...     "metal", image_size=64, train_count=12, test_good_count=3, defect_count=1
    ... )
    >>> metal = load_category(root, "metal", 64)
    >>> normal = metal.train.images.mean(axis=0)
    >>> report = audit_detector(
    ...     metal,
    ...     score=lambda images: np.abs(images - normal).max(axis=(1, 2, 3)),
    ...     settings=ExplainerSettings(8, 17, 16, good_explained=1),
    ...     show_progress=False,
    ... )
    >>> report.answer
    'Not enough images to say: an answer needs 10 test images of each kind.'
    >>> len(report.verdicts) == len(metal.test)
    True
    """
    forget_stages()
    given = given_functions(category, detector, score, anomaly_map, title)
    shortcuts = find_shortcuts(category, seed=seed)
    choice = choose_counterpart(
        assess_given(given, seed=seed), counterpart, seed=seed, show_progress=show_progress
    )
    budget = plan_budget(choice.assessment, settings, minutes, repairs=choice.verifiable)
    options: dict[str, Any] = {"seed": seed, "show_progress": show_progress}
    if show_progress:
        print(*budget.findings(), sep="\n", flush=True)
    explained = explain_given(choice, budget, **options)
    audit = audit_given(choice, explained, budget, **options)
    results: Sequence[HasFindings] = [choice, choice.assessment, shortcuts, audit.localization]
    answered = answer_run(audit, shortcuts, None, results, **options)
    return DetectorReport(given, choice, budget, audit, shortcuts, answered, seed)


def write_given(
    run: Run,
    audit: GivenAudit,
    shortcuts: Shortcuts,
    answered: RunAnswer,
    choice: CounterpartChoice,
    notes: Sequence[str] = (),
) -> pd.DataFrame:
    """Write what a run on a detector from elsewhere leaves; see `Audit.write`.

    Parameters
    ----------
    run : Run
    audit : GivenAudit
    shortcuts : Shortcuts
    answered : RunAnswer
    choice : CounterpartChoice
    notes : sequence of str
        Sentences at the gallery's top, after the answer.

    Returns
    -------
    pandas.DataFrame
        The samples.
    """
    tables = {"Detector": audit.assessment.table()}
    if choice.checks:
        tables["Counterparts"] = choice.table()
    return audit.write(run, shortcuts, answered, tables=tables, notes=sentences(answered, notes))
