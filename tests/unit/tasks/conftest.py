"""Tiny bases of six architectures, a run that records, and rows of every kind."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from adapterhub_lite.protocols import Attached, LoadedBase, Objective, Outcome, TrainingData
from adapterhub_lite.specs import Head
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_tasks.inputs import inner_model

END = 3
EXTRA = {
    "t5": {"decoder_start_token_id": 0, "num_decoder_layers": 2, "d_kv": 8},
    "qwen2": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2},
}
MakeBase = Callable[..., LoadedBase]
TEXTS = (
    "the fast saw hums",
    "a bolt, a drill: naïve façade",
    "sonata in é minor, very quiet 12345",
)


class Recorder:
    """A run that keeps its events."""

    seed = 0
    resume = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def step(self, stage: str, done: int, total: int, **figures: float) -> None: ...

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of all events of one name."""
        return [fields for name, fields in self.events if name == event]


@pytest.fixture
def run(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "run")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(model_type: str) -> Path:
        if model_type not in made:
            place = tmp_path_factory.mktemp(model_type)
            # At the usual 0.02 a post-norm model of this size hardly tells its inputs apart.
            scale = {} if model_type == "t5" else {"initializer_range": 0.2}
            options = {"num_hidden_layers": 2, **scale, **EXTRA.get(model_type, {})}
            made[model_type] = write_tiny_model(place, model_type, eos_token_id=END, **options)
        return made[model_type]

    return folder


@pytest.fixture
def make_base(folders: Callable[[str], Path]) -> MakeBase:
    """Load a tiny base with a head; its tokenizer ends texts with [SEP]."""

    def load(model_type: str, head: Head | None = None) -> LoadedBase:
        torch.manual_seed(0)
        base = load_transformer(folders(model_type), head or Head(), torch.float32, "cpu")
        base.tokenizer.eos_token = "[SEP]"
        return base

    return load


@pytest.fixture
def train(make_base: MakeBase, run: Recorder) -> Callable[..., tuple[Outcome, Attached]]:
    """Train a whole tiny model with an objective."""

    def fit(
        objective: Objective, model_type: str, rows: Any, params: Any, validation: Any = None
    ) -> tuple[Outcome, Attached]:
        assert list(objective.check(rows, params)) == []
        base = make_base(model_type, objective.head(rows, params))
        names = frozenset(name for name, _ in base.model.named_parameters())
        attached = Attached(base.model, base.tokenizer, base.path, names, base.head)
        outcome = objective.fit(attached, TrainingData(rows, validation), params, run)
        return outcome, attached

    return fit


def reload(objective: Objective, outcome: Outcome, attached: Attached, folder: Path) -> Any:
    """Save an outcome's settings and load them onto a copy of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    objective.save(outcome, folder)
    base = LoadedBase(
        deepcopy(inner_model(attached.model)), attached.tokenizer, attached.path, attached.head
    )
    return objective.load(base, folder)


@pytest.fixture(name="reload")
def reload_fixture() -> Any:
    return reload


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with chat marks, as GPT-2's family has it."""
    marks = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(TEXTS * 20, trainer)
    words.post_processor = processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=marks[3:],
    )
