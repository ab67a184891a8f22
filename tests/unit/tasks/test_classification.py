"""Text classification, from labels to a reloaded scorer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PromptTuningConfig, get_peft_model

from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import CapabilityError, DataError, IntegrityError
from adapterhub_lite.protocols import Attached, TrainingData
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.classification import (
    Classification,
    ClassificationLearner,
    Classifier,
    criterion,
    make_classifier,
    row_weights,
)
from adapterhub_lite_tasks.losses import SingleLabelLoss
from adapterhub_lite_tasks.params import ClassificationParams

TEXTS = tuple(text for text, _ in TINY_ROWS)
ROWS = TextSet(TEXTS, tuple((label,) for _, label in TINY_ROWS))
SEVERAL = TextSet(TEXTS, tuple((x, "long") if len(t) > 24 else (x,) for t, x in TINY_ROWS), True)
PAIRS = TextSet(TEXTS, ROWS.labels, seconds=TEXTS[::-1])
MODELS = ("bert", "roberta", "distilbert", "gpt2", "llama", "t5")
FAST = {"epochs": 16, "learning_rate": 3e-3}


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("rows", [ROWS, SEVERAL, PAIRS], ids=["single", "several", "pairs"])
def test_it_learns_saves_and_reloads(
    train: Any, reload: Any, tmp_path: Path, model_type: str, rows: TextSet
) -> None:
    outcome, attached = train(Classification(), model_type, rows, ClassificationParams(**FAST))
    scorer = outcome.scorer
    labels = torch.tensor(scorer.score(rows).truth)
    found = torch.tensor(scorer.predict_proba(rows.inputs))
    guess = labels.double().mean(0).expand_as(found)
    loss = torch.nn.functional.binary_cross_entropy
    assert loss(found, labels.double()) < 0.9 * loss(guess, labels.double())
    again = reload(Classification(), outcome, attached, tmp_path / "version")
    assert again.classes == rows.classes
    np.testing.assert_array_equal(again.predict_proba(rows.inputs), found)


@pytest.mark.parametrize("model_type", MODELS)
def test_a_rows_answer_does_not_depend_on_its_company(
    make_base: Any, train: Any, model_type: str
) -> None:
    texts = [" ".join(TEXTS[: n % 5 + 1]) for n in range(15)]
    outcome, _ = train(Classification(), model_type, ROWS, ClassificationParams(max_steps=1))
    together = outcome.scorer.predict_proba(texts)
    alone = np.concatenate([outcome.scorer.predict_proba([text]) for text in texts])
    backwards = outcome.scorer.predict_proba(texts[::-1])[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, backwards, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks for it
def test_soft_prompts_on_a_decoder_are_refused(make_base: Any, run: Any) -> None:
    params = ClassificationParams()
    base = make_base("llama", Classification().head(ROWS, params))
    model = get_peft_model(
        base.model, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    )
    names = frozenset(n for n, p in model.named_parameters() if p.requires_grad)
    attached = Attached(model, base.tokenizer, base.path, names, base.head)
    with pytest.raises(CapabilityError, match="padding") as caught:
        Classification().fit(attached, TrainingData(ROWS), params, run)
    assert "lora" in caught.value.hint


def test_t5_reads_texts_that_spell_its_end_token(train: Any) -> None:
    outcome, _ = train(Classification(), "t5", ROWS, ClassificationParams(max_steps=1))
    plain, spelled = outcome.scorer.predict_proba(["the apple", "the [SEP] apple [SEP]"])
    np.testing.assert_allclose(plain, spelled, atol=1e-6)


def test_class_weights_come_from_the_training_rows_alone(make_base: Any, run: Any) -> None:
    rows = ROWS.select([0, 1, 2, 3, 6, 12])
    params = ClassificationParams(class_weights="balanced")
    head = Classification().head(rows, params)
    settings = _settings(head.labels)
    loss = criterion(rows, settings, params)
    assert isinstance(loss, SingleLabelLoss)
    assert loss.weights is not None
    assert loss.weights.tolist() == pytest.approx([6 / (3 * 4), 6 / 3, 6 / 3])


def _settings(labels: tuple[str, ...]) -> Any:
    from adapterhub_lite_tasks.settings import ClassifierSettings

    return ClassifierSettings(labels=labels, multi_label=False, threshold=0.5, max_length=32)


def test_resampling_gives_every_label_the_same_share() -> None:
    rows = ROWS.select([0, 1, 2, 3, 6, 12, 13])
    weights = row_weights(rows)
    shares = {
        label: sum(w for w, row in zip(weights, rows.labels, strict=True) if row == (label,))
        for label in rows.classes
    }
    assert list(shares.values()) == pytest.approx([1.0, 1.0, 1.0])


def test_the_threshold_decides_over_several_labels(train: Any) -> None:
    low = ClassificationParams(threshold=0.01, max_steps=1)
    high = ClassificationParams(threshold=0.99, max_steps=1)
    every = train(Classification(), "bert", SEVERAL, low)[0].scorer.predict(["the apple"])[0]
    none = train(Classification(), "bert", SEVERAL, high)[0].scorer.predict(["the apple"])[0]
    assert set(every.labels) == {"fruit", "long", "music", "tool"}
    assert none.labels == ()
    assert none.label is None


def test_cut_texts_are_counted(train: Any, run: Any) -> None:
    train(Classification(), "bert", ROWS, ClassificationParams(max_length=8, max_steps=1))
    cut = sum(len(text.split()) + 2 > 8 for text in TEXTS)
    longer = TextSet((*TEXTS, "the " * 20), (*ROWS.labels, ("fruit",)))
    assert [event["rows"] for event in run.of("truncated")] == ([cut] if cut else [])
    train(Classification(), "bert", longer, ClassificationParams(max_length=8, max_steps=1))
    assert run.of("truncated")[-1] == {"rows": cut + 1, "of": 19, "max_length": 8}


def test_gradient_of_a_big_batch_is_that_of_its_parts(make_base: Any) -> None:
    base = make_base("bert", Classification().head(ROWS, ClassificationParams()))
    from adapterhub_lite_tasks.inputs import text_encoder

    scorer = Classifier(base.model, text_encoder(base, 32), _settings(ROWS.classes))
    learner = ClassificationLearner(scorer, SingleLabelLoss(torch.tensor([0.2, 1.0, 3.0])))
    features = learner.features(ROWS)
    parts = [learner.collate(features[at : at + 6]) for at in range(0, 18, 6)]
    whole = learner.collate(features)
    torch.testing.assert_close(
        sum(learner.loss(base.model, part) for part in parts), learner.loss(base.model, whole)
    )
    torch.testing.assert_close(sum(map(learner.units, parts)), learner.units(whole))


@pytest.mark.parametrize(
    ("rows", "params", "problem"),
    [
        (TextSet(("a", "b"), (("x",), ("x",))), {}, "at least 2 labels"),
        (TextSet(("a", "b", "c"), (("x",), ("y",), ())), {}, "1 rows have no label"),
        (SEVERAL, {"resample": "balanced"}, "class_weights"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    rows: TextSet, params: dict[str, Any], problem: str
) -> None:
    found = Classification().check(rows, ClassificationParams(**params))
    assert any(problem in text for text in found)


def test_validation_labels_have_to_be_the_heads(train: Any) -> None:
    other = TextSet(("the apple",), (("vegetable",),))
    with pytest.raises(DataError, match="vegetable"):
        train(Classification(), "bert", ROWS, ClassificationParams(max_steps=1), other)


def test_a_model_with_other_labels_is_no_reload(train: Any, make_base: Any, tmp_path: Path) -> None:
    outcome, _ = train(Classification(), "bert", ROWS, ClassificationParams(max_steps=1))
    Classification().save(outcome, tmp_path)
    other = make_base("bert", Classification().head(SEVERAL, ClassificationParams()))
    with pytest.raises(IntegrityError, match="labels"):
        Classification().load(other, tmp_path)


def test_a_model_is_asked_in_the_form_that_it_learnt(make_base: Any) -> None:
    head = Classification().head(ROWS, ClassificationParams())
    for pairs, asked, message in (
        (True, ["the apple"], "learnt from pairs of texts, and input 1 is one text"),
        (False, [("the apple", "a saw")], "learnt from single texts, and input 1 is a pair"),
    ):
        scorer = make_classifier(make_base("bert", head), ClassificationParams(), pairs)
        with pytest.raises(DataError, match=message):
            scorer.predict(asked)
