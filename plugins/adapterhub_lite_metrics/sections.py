"""The confusion matrix of a classifier, as a section of the report."""

from adapterhub_lite.reports.sections import ReportedRun, Section


def confusion_section(run: ReportedRun) -> Section | None:
    """Draw which labels are taken for which; without test rows there is nothing to draw."""
    test = run.best.test
    if test is None:
        return None
    if test.confusion is None:
        words = "Rows may carry several labels, so there is no confusion matrix."
        return Section(title="Confusion matrix", paragraphs=(words,))
    from adapterhub_lite.reports.plots import confusion_png

    return Section(
        title="Confusion matrix",
        figure=confusion_png(test.confusion, [row.label for row in test.classes]),
        caption="Rows are true labels, columns predicted ones; shading is the share of the row.",
    )
