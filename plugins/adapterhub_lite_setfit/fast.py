"""The engine ``fast``: cached lower layers, contrastive steps on the top, a logistic head."""

from dataclasses import dataclass

from adapterhub_lite.data.table import TextSet
from adapterhub_lite.protocols import Run
from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.encoder import Encoder, report_cut_texts
from adapterhub_lite_setfit.head import LogisticHead, fit_head
from adapterhub_lite_setfit.prefix_cache import PrefixCache, build_cache
from adapterhub_lite_setfit.selection import (
    CLEARLY,
    DEFAULT_C,
    Candidate,
    Problem,
    choose_frozen,
    choose_tuned,
)
from adapterhub_lite_setfit.tuning import TrainingSet, can_train, tune

FROZEN = "frozen"
FINE_TUNED = "fine-tuned"
ENOUGH_ROWS = 64
"""From so many training rows on, fine-tuning is kept unless it is clearly worse."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What an engine leaves: the encoder's weights are those that were kept, changed in place.

    ``head`` belongs to the kept encoder, ``frozen_head`` to the base's own embeddings.
    """

    head: LogisticHead
    frozen_head: LogisticHead
    kept: str
    reason: str
    frozen: Candidate
    tuned: Candidate | None
    steps: int
    c: float


def fit_fast(
    encoder: Encoder,
    trainable: frozenset[str],
    data: TextSet,
    params: ContrastiveParams,
    run: Run,
) -> Fitted:
    """Train on ``data`` and keep whichever of frozen and fine-tuned did better when validated."""
    problem = Problem(data.labels, data.multi_label, params)
    run.step("encode", 0, len(data))
    tokens = encoder.tokenise(data.texts)
    report_cut_texts(tokens, encoder.max_length, run)
    cache = build_cache(encoder, tokens, trainable)
    embeddings = cache.embeddings
    run.step("encode", len(data), len(data))
    frozen = choose_frozen(embeddings, problem, run.seed)
    frozen_head = fit_head(embeddings, data.labels, data.multi_label, frozen.c)
    obstacle = _obstacle(data, trainable, params)
    if obstacle:
        return Fitted(frozen_head, frozen_head, FROZEN, obstacle, frozen, None, 0, frozen.c)
    with cache.active():
        tuned = choose_tuned(cache, problem, run) if params.folds else None
        kept, reason = decide(frozen, tuned, len(data))
        if kept == FROZEN:
            return Fitted(frozen_head, frozen_head, FROZEN, reason, frozen, tuned, 0, frozen.c)
        steps = tuned.steps if tuned else params.steps
        c = tuned.c if tuned else DEFAULT_C
        head = _train_on_all(cache, problem, steps, c, run)
    return Fitted(head, frozen_head, FINE_TUNED, reason, frozen, tuned, steps, c)


def _obstacle(data: TextSet, trainable: frozenset[str], params: ContrastiveParams) -> str:
    if params.steps == 0 or not trainable:
        return "no fine-tuning was asked for"
    if not can_train(data.labels):
        return "no two rows share a label, so there is no pair to learn from"
    return ""


def decide(frozen: Candidate, tuned: Candidate | None, training_rows: int) -> tuple[str, str]:
    """Return which of the two to keep, and why, in words for the report.

    Up to ENOUGH_ROWS the frozen encoder is kept unless cross-validation speaks clearly for the
    fine-tuned one, and from there on it is the other way round: a few held-out rows can decide
    little by themselves, and fine-tuning gains with the number of rows (docs/fewshot.md).
    """
    if tuned is None or tuned.score is None or frozen.score is None:
        return FINE_TUNED, "there was no cross-validation to choose by"
    lead = tuned.score.lead(frozen.score)
    if lead >= CLEARLY:
        verdict, kept = "fine-tuning did clearly better", FINE_TUNED
    elif lead <= -CLEARLY:
        verdict, kept = "fine-tuning did clearly worse", FROZEN
    else:
        beaten = "did better, not clearly" if lead > 0 else "did not beat the frozen encoder"
        many = training_rows >= ENOUGH_ROWS
        kept = FINE_TUNED if many else FROZEN
        verdict = f"fine-tuning {beaten}; with {ENOUGH_ROWS} rows or more it is kept all the same"
        if not many:
            verdict = f"fine-tuning {beaten}; with under {ENOUGH_ROWS} rows the frozen one is kept"
    same_rows = frozen.score.rows[: len(tuned.score.rows)]
    return kept, (
        f"{verdict} (cross-validated on {len(tuned.score.rows)} held-out rows: accuracy "
        f"{tuned.score.accuracy:.3f} fine-tuned, {same_rows.mean():.3f} frozen)"
    )


def _train_on_all(
    cache: PrefixCache, problem: Problem, steps: int, c: float, run: Run
) -> LogisticHead:
    """Train on every row for the chosen number of steps, and fit the head that goes with it."""
    rows = TrainingSet(range(len(problem.labels)), problem.labels)

    def on_step(step: int, loss: float) -> None:
        run.step("train", step, steps, loss=loss)

    tune(cache, rows, problem.params, run.seed, steps, on_step)
    return fit_head(cache.embed(), problem.labels, problem.multi_label, c)
