"""Metrics of every task, and the confusion matrix in the report."""

from collections.abc import Iterator
from typing import Final

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MetricSpec, ReportSectionSpec, Requirement, Task

CLASSIFICATION: Final[frozenset[Task]] = frozenset({"text-classification"})
TAGGING: Final[frozenset[Task]] = frozenset({"token-classification"})
REGRESSION: Final[frozenset[Task]] = frozenset({"text-regression"})
SIMILARITY: Final[frozenset[Task]] = frozenset({"sentence-similarity"})
ANSWERS: Final[frozenset[Task]] = frozenset({"question-answering"})
GENERATION: Final[frozenset[Task]] = frozenset({"text-generation", "text2text-generation"})

EXTRA: Final = "pip install 'adapterhub-lite[text-metrics]'"
SACREBLEU: Final = Requirement(module="sacrebleu", install=EXTRA)
ROUGE: Final = Requirement(module="rouge_score", install=EXTRA)

LOWER_IS_BETTER: Final = frozenset(
    {"log_loss", "calibration_error", "mse", "rmse", "mae", "perplexity"}
)
ONE_LABEL_A_ROW: Final = frozenset({"matthews", "calibration_error"})

Table = tuple[tuple[str, str], ...]

OF_CLASSES: Final[Table] = (
    ("accuracy", "Rows whose labels are all right."),
    ("macro_f1", "F1 averaged over the labels, each counting the same."),
    ("macro_precision", "Precision averaged over the labels."),
    ("macro_recall", "Recall averaged over the labels."),
    ("micro_f1", "F1 over all decisions together."),
    ("micro_precision", "Precision over all decisions together."),
    ("micro_recall", "Recall over all decisions together."),
    ("matthews", "Matthews' correlation coefficient."),
)
OF_PROBABILITIES: Final[Table] = (
    ("auc", "Area under the ROC curve, each label against the rest, averaged over the labels."),
    ("calibration_error", "How far confidence is from accuracy, over 15 bins (ECE)."),
    ("log_loss", "Mean negative log-probability of the truth."),
)
OF_TAGS: Final[Table] = (
    ("token_accuracy", "Words whose tag is right."),
    ("span_f1", "F1 of exact spans, all types together, as conlleval counts."),
    ("span_precision", "Exact spans among those found."),
    ("span_recall", "Exact spans among the true ones."),
    ("macro_span_f1", "F1 of exact spans, averaged over their types."),
)
OF_ERRORS: Final[Table] = (
    ("rmse", "Root of the mean squared error."),
    ("mse", "Mean squared error."),
    ("mae", "Mean absolute error."),
    ("r2", "Share of the truth's variance that is explained."),
)
OF_CORRELATION: Final[Table] = (
    ("pearson", "Pearson's correlation of truth and answer."),
    ("spearman", "Spearman's rank correlation of truth and answer."),
)
OF_ANSWERS: Final[Table] = (
    ("squad_f1", "F1 of the answer's words, SQuAD's way."),
    ("squad_exact_match", "Answers that are right to the word, SQuAD's way."),
)
OF_TEXTS: Final[Table] = (
    ("perplexity", "Perplexity of the reference texts, token by token."),
    ("exact_match", "Texts that equal their reference, but for space around them."),
)
OF_SACREBLEU: Final[Table] = (
    ("bleu", "BLEU of the corpus, 0 to 100, by sacrebleu."),
    ("chrf", "chrF2 of the corpus, 0 to 100, by sacrebleu."),
)
OF_ROUGE: Final[Table] = (
    ("rouge1", "ROUGE-1 F1, mean over the texts."),
    ("rouge2", "ROUGE-2 F1, mean over the texts."),
    ("rougeL", "ROUGE-L F1, mean over the texts."),
)


@hookimpl
def adapterhub_metrics() -> Iterator[MetricSpec]:
    """Offer the metrics of classification, tagging, regression, answers, texts and similarity."""
    yield from _specs(OF_CLASSES, "classification", CLASSIFICATION)
    yield from _specs(OF_PROBABILITIES, "probabilities", CLASSIFICATION)
    yield from _specs(OF_TAGS, "spans", TAGGING)
    yield from _specs(OF_ERRORS, "regression", REGRESSION)
    yield from _specs(OF_CORRELATION, "regression", REGRESSION | SIMILARITY)
    cosine = ("cosine_of_same", "Mean cosine of the pairs that mean the same.")
    yield from _specs((cosine,), "regression", SIMILARITY)
    yield from _specs(OF_ANSWERS, "answers", ANSWERS)
    yield from _specs(OF_TEXTS, "texts", GENERATION)
    yield from _specs(OF_SACREBLEU, "bleu", GENERATION, SACREBLEU)
    yield from _specs(OF_ROUGE, "rouge", GENERATION, ROUGE)


@hookimpl
def adapterhub_report_sections() -> Iterator[ReportSectionSpec]:
    """Offer the confusion matrix."""
    yield ReportSectionSpec(
        name="confusion-matrix",
        summary="Which labels a classifier takes for which.",
        implementation="adapterhub_lite_metrics.sections:confusion_section",
        tasks=CLASSIFICATION,
    )


def _specs(
    table: Table, module: str, tasks: frozenset[Task], requirement: Requirement | None = None
) -> Iterator[MetricSpec]:
    """Make a spec of each row; metrics of somebody's library say how they were computed."""
    where = f"{__name__}.{module}"
    for name, summary in table:
        yield MetricSpec(
            name=name,
            summary=summary,
            implementation=f"{where}:{name}",
            requires=(requirement,) if requirement else (),
            tasks=tasks,
            signature=f"{where}:{name}_signature" if requirement else "",
            greater_is_better=name not in LOWER_IS_BETTER,
            multi_label=name not in ONE_LABEL_A_ROW,
        )
