"""What a run found, in sentences that are computed from its figures and so are true for the data it ran on."""

from adhelpers.metrics import bootstrap, image_auroc

from .assess import estimate_text


def auroc_difference(first, second, category, *, seed=0):
    """Image AUROC of one detector minus that of another on the same test images, with a paired bootstrap interval.

    Parameters
    ----------
    first, second : Assessment
    category : Category
    seed : int

    Returns
    -------
    Estimate
    """
    test = category.test
    return bootstrap(
        lambda a, b, labels: image_auroc(a, labels) - image_auroc(b, labels),
        first.scores,
        second.scores,
        test.labels,
        stratify=test.types,
        seed=seed,
    )


def detection(category, simple, deep, *, seed=0):
    """What the decisions of two detectors mean, in sentences that are true for the data they ran on.

    Parameters
    ----------
    category : Category
    simple, deep : Assessment
        The baseline, and the detector that has to earn its place beside it.
    seed : int

    Returns
    -------
    list of str
    """
    difference = auroc_difference(deep, simple, category, seed=seed)
    if difference.low > 0:
        verdict = f"it is better than the {simple.title} on these images and earns its place"
    elif difference.high < 0:
        verdict = f"it is worse than the {simple.title}, which is simpler and faster: use that"
    else:
        verdict = f"these images do not show it to be better or worse than the {simple.title}, which is simpler and faster"
    findings = [
        f"The {deep.title} ranks defective above good images with an AUROC of {estimate_text(deep.detection.auroc)}, the "
        f"{simple.title} with {estimate_text(simple.detection.auroc)}. The difference is {difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}]: {verdict}."
    ]
    good = int((category.test.labels == 0).sum())
    for one in (simple, deep):
        confusion = one.detection.confusion
        labels = (
            "was chosen with the test labels, so these counts flatter it"
            if one.threshold.uses_test_labels
            else (f"comes from {len(one.validation_scores)} good validation images alone")
        )
        findings.append(
            f"The {one.title} flags {confusion['tp']} of {confusion['tp'] + confusion['fn']} defective images and raises "
            f"{confusion['fp']} false {'alarm' if confusion['fp'] == 1 else 'alarms'} on {good} good ones; its threshold "
            f"{labels}."
        )
        weakest = min(one.detection.recall.items(), key=lambda item: item[1].value)
        if weakest[1].value < 1:
            findings[-1] += f" It is weakest on {weakest[0]} (recall {weakest[1].value:.2f})."
    return findings


def localization(
    assessment,
    audit,
    explainers=("LIME", "SHAP"),
    baselines=("residual map", "uniform", "centre prior", "noise"),
):
    """What the comparison of explanations with the true defects means, in sentences that are true for the data it ran on.

    Parameters
    ----------
    assessment : Assessment
    audit : LocalizationAudit
    explainers, baselines : tuple of str
        Which rows of the comparison are explainers, and which need no explaining at all.

    Returns
    -------
    list of str
    """
    means, findings = audit.summary["mean"], []
    if means.isna().all():
        return [
            "This category has no masks, so no one can say whether a flag is about the defect. The heatmaps can be looked at."
        ]
    best = max((name for name in baselines if name in means.index), key=lambda name: means[name])
    for name in explainers:
        relation = "above" if means[name] > means[best] else "not above"
        findings.append(
            f"{name} reaches a mean optimal Jaccard of {means[name]:.2f}, {relation} the best baseline, the {best} "
            f"({means[best]:.2f})."
        )
    if len(explainers) == 2:
        first, second = explainers
        count = int(audit.summary.loc[[first, second], "images"].min())
        findings.append(
            f"{second} is above {first} on {int(audit.wins.loc[second, first])} of {count} defective images."
        )
    flagged = assessment.detection.confusion["tp"]
    names = [set(audit.wrong_place[name]["name"]) for name in explainers]
    counts = ", ".join(f"{len(one)} by {name}" for name, one in zip(explainers, names, strict=True))
    findings.append(
        f"Of {flagged} flagged defective images the explanation misses the defect (optimal Jaccard below {audit.cutoff:g}) "
        f"in: {counts}; in {len(set.intersection(*names))} by all of them."
    )
    if set.union(*names):
        findings[-1] += (
            " Those are the images to look at: either the detector flags them for another reason, or the explainer does "
            "not show its reason."
        )
    return findings


def as_markdown(findings):
    """Sentences as a Markdown list, shown as such by a notebook."""
    from IPython.display import Markdown

    return Markdown("\n".join(f"- {one}" for one in findings))
