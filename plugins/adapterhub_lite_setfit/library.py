"""The engine ``setfit``: the setfit library trains the encoder; inputs and outputs are the same."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import CapabilityError, TrainingError
from adapterhub_lite.protocols import Run
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.encoder import Encoder, report_cut_texts
from adapterhub_lite_setfit.fast import FINE_TUNED, Fitted
from adapterhub_lite_setfit.head import fit_head
from adapterhub_lite_setfit.selection import Problem, choose_frozen
from adapterhub_lite_setfit.tuning import can_train

PAIRS_A_STEP = 16
LEARNING_RATE = 2e-5
"""setfit's own default for the encoder."""


def fit_library(
    encoder: Encoder,
    trainable: frozenset[str],
    data: TextSet,
    params: ContrastiveParams,
    run: Run,
) -> Fitted:
    """Train on pairs for ``params.steps`` steps with setfit's loss, then fit the logistic head.

    The head is ours, with a cross-validated C, so that both engines leave the same artifact. There
    is no choice between frozen and fine-tuned: validating would take as long as training again for
    each fold. Raises CapabilityError where setfit cannot make a pair.
    """
    if not isinstance(encoder.model, PreTrainedModel):
        raise CapabilityError(
            "the engine 'setfit' trains a plain transformer, and the method has wrapped it",
            hint="use engine: fast, which trains with any method",
        )
    if not (trainable and params.steps and can_train(data.labels)):
        raise CapabilityError(
            "the engine 'setfit' needs trainable layers, steps, and two rows of one label",
            hint="use engine: fast, which also fits a head alone",
        )
    problem = Problem(data.labels, data.multi_label, params)
    tokens = encoder.tokenise(data.texts)
    report_cut_texts(tokens, encoder.max_length, run)
    run.step("encode", 0, len(data))
    before = encoder.embed(tokens)
    run.step("encode", len(data), len(data))
    frozen = choose_frozen(before, problem, run.seed)
    frozen_head = fit_head(before, data.labels, data.multi_label, frozen.c)
    _train_body(encoder, data, params, run)
    after = encoder.embed(tokens)
    chosen = choose_frozen(after, problem, run.seed)
    head = fit_head(after, data.labels, data.multi_label, chosen.c)
    reason = "the engine setfit is not cross-validated against the frozen encoder"
    return Fitted(head, frozen_head, FINE_TUNED, reason, frozen, None, params.steps, chosen.c)


def _train_body(encoder: Encoder, data: TextSet, params: ContrastiveParams, run: Run) -> None:
    """Let setfit's trainer work on a copy of our transformer, and take over what it learnt."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression
    from transformers.trainer_callback import PrinterCallback

    with tempfile.TemporaryDirectory() as folder, _quiet():
        body = _sentence_transformer(encoder)
        model = SetFitModel(model_body=body, model_head=LogisticRegression())
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=PAIRS_A_STEP,
            max_steps=params.steps,
            body_learning_rate=LEARNING_RATE,
            seed=run.seed,
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        rows = Dataset.from_dict({"text": list(data.texts), "label": _targets(data)})
        trainer = Trainer(model=model, args=arguments, train_dataset=rows)
        trainer.st_trainer.remove_callback(PrinterCallback)
        trainer.st_trainer.add_callback(_progress_callback(run, params.steps))
        trainer.train_embeddings(list(data.texts), _targets(data), args=arguments)
    _copy_weights(body[0].auto_model, encoder.model)


def _sentence_transformer(encoder: Encoder) -> Any:
    """Build a sentence transformer around a copy of our transformer, frozen where ours is.

    sentence-transformers loads its transformer itself; a module assigned to ``auto_model`` is
    ignored without a word, so weights are copied in, and out again.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(encoder.model.name_or_path, max_seq_length=encoder.max_length)
    _copy_weights(encoder.model, transformer.auto_model)
    learning = {name for name, weight in encoder.model.named_parameters() if weight.requires_grad}
    plain = dict(transformer.auto_model.named_parameters())
    if added := sorted(learning - plain.keys()):
        raise CapabilityError(
            "the engine 'setfit' trains a plain transformer, and the method has added "
            f"{added[0]!r}",
            hint="use engine: fast, which trains with any method",
        )
    for name, weight in plain.items():
        weight.requires_grad_(name in learning)
    modules = [transformer, Pooling(encoder.width, encoder.pooling.mode)]
    if encoder.pooling.normalise:
        modules.append(Normalize())
    return SentenceTransformer(modules=modules, device=str(encoder.device))


def _copy_weights(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Copy every parameter by name; raises TrainingError when one of ``target`` is not found."""
    weights = dict(source.named_parameters())
    with torch.no_grad():
        for name, weight in target.named_parameters():
            if name not in weights:
                raise TrainingError(f"setfit's transformer and ours differ: no {name}")
            weight.copy_(weights[name])


def _targets(data: TextSet) -> list[Any]:
    """Return class numbers, or multi-hot rows for several labels a text, as setfit wants them."""
    number = {name: i for i, name in enumerate(data.classes)}
    if not data.multi_label:
        return [number[row[0]] for row in data.labels]
    return [[int(name in row) for name in data.classes] for row in data.labels]


def _progress_callback(run: Run, steps: int) -> Any:
    from transformers import TrainerCallback

    class StepReporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            run.step("train", state.global_step, steps)

    return StepReporter()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own bars and banners off the terminal: the run shows one of its own."""
    import datasets

    banner = logging.getLogger("setfit")
    level = banner.level
    datasets.disable_progress_bars()
    banner.setLevel(logging.WARNING)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            yield
    finally:
        banner.setLevel(level)
        datasets.enable_progress_bars()
