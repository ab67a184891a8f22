"""To SetFit and back: the same labels and probabilities, and nothing that a folder hides is run."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.testing import TINY_ROWS

Ahl = Callable[..., Any]
Edit = Callable[[Path], Any]

TEXTS = ["the apple is sweet", "please tune the drum", "a ripe plum and music " * 10, "?"]
ROWS, LABELS = zip(*TINY_ROWS, strict=True)
NAMES = sorted(set(LABELS))
INDICATOR = [[int(name == label), i % 2, int(i % 3 > 0)] for i, (_, label) in enumerate(TINY_ROWS)
             for name in NAMES[:1]]  # fmt: skip

# setfit builds its head by a method that sentence-transformers has renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `get_sentence_embedding_dimension` method has been renamed:FutureWarning"
)


def save_setfit(base: Path, folder: Path, targets: Any, **options: Any) -> Path:
    """Write a SetFit folder as setfit does: the body of ``base``, a head fitted to targets."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from setfit import SetFitModel

    pooling = options.pop("pooling", "mean")
    body = folder.with_name(f"{folder.name}-body")
    transformer = Transformer(str(base), max_seq_length=40)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling)]
    SentenceTransformer(modules=modules, device="cpu").save(str(body), create_model_card=False)
    model = SetFitModel.from_pretrained(str(body), **options)
    model.fit(list(ROWS), list(targets), num_epochs=1, show_progress_bar=False)
    model.save_pretrained(str(folder))
    return folder


def by_setfit(folder: Path) -> NDArray[np.float64]:
    """Return what plain setfit answers, the columns in the order of its labels."""
    from setfit import SetFitModel

    found = np.asarray(SetFitModel.from_pretrained(str(folder)).predict_proba(TEXTS, as_numpy=True))
    return found[:, :, 1] if found.ndim == 3 else found


def by_us(ref: str) -> NDArray[np.float64]:
    return adapterhub_lite.load(ref).predict_proba(TEXTS)


@pytest.fixture(scope="session")
def setfit_folder(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """Return a SetFit folder of three classes with names; not to be changed."""
    numbers = [NAMES.index(label) for label in LABELS]
    folder = tmp_path_factory.mktemp("setfit") / "three-classes"
    return save_setfit(tiny_base, folder, numbers, labels=NAMES)


@pytest.fixture
def source(setfit_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the SetFit folder, to be changed."""
    return shutil.copytree(setfit_folder, tmp_path / "source")


@pytest.fixture
def trained(ahl: Ahl, folder: Path, tiny_base: Path) -> str:
    """Train ``words@1`` in two shards: a frozen and a learned one."""
    rows = ("fewshot", "train.csv", "--base", tiny_base, "--name", "words", "--steps", 5)
    done = ahl(*rows, "--set", "objective.folds=0")
    assert done.code == 0, done.err
    return "words@1"


def edit_json(name: str, **values: Any) -> Edit:
    """Return a change of a JSON file."""

    def edit(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return edit


def import_(ahl: Ahl, source: Path, *more: object) -> Any:
    return ahl("import", source, "--format", "setfit", "--name", "words", *more)


def test_a_pickled_head_is_refused_unless_asked_for(ahl: Ahl, source: Path) -> None:
    done = import_(ahl, source)
    assert done.code == 2
    line, hint = done.err.splitlines()
    assert line.startswith("error: model_head.pkl is a pickle")
    assert "--convert-pickle" in hint
    assert api.open_registry().names() == []


def test_an_imported_version_answers_as_setfit_does(ahl: Ahl, source: Path) -> None:
    done = import_(ahl, source, "--convert-pickle", "--alias", "prod", "--json")
    assert done.code == 0, done.err
    assert done.json["version"] == "words@1"
    assert done.json["labels"] == NAMES
    assert done.json["head"].startswith("pickle of scikit-learn 1.")
    assert done.json["isolation"] in {"network namespace", "sockets refused"}
    assert_allclose(by_us("words@prod"), by_setfit(source), atol=1e-6, rtol=0)
    (predicted,) = ahl("predict", "words", TEXTS[0], "--json").json
    assert predicted["label"] in NAMES


def test_the_manifest_tells_where_it_came_from(ahl: Ahl, source: Path) -> None:
    card = "---\nbase_model: some-body/tiny\nlicense: mit\n---\n\nbase_model: other\n"
    (source / "README.md").write_text(card)
    assert import_(ahl, source, "--convert-pickle").code == 0
    version = api.open_registry().resolve("words")
    manifest = version.manifest
    assert manifest.kind == "model"
    assert manifest.task == "text-classification"
    assert manifest.base is not None
    assert (manifest.base.ref, manifest.base.hidden, manifest.base.layers) == (
        "some-body/tiny", 32, 3,
    )  # fmt: skip
    assert manifest.method is not None
    assert manifest.objective is not None
    assert (manifest.method.name, manifest.objective.name) == ("full", "contrastive")
    assert manifest.license == "mit"
    assert manifest.signature is not None
    assert list(manifest.signature.labels) == NAMES
    assert manifest.hyperparameters["imported_from"] == "setfit"
    source_told = manifest.hyperparameters["source"]
    assert isinstance(source_told, dict)
    assert source_told["folder"] == source.name
    assert len(str(source_told["weights_sha256"])) == 64
    names = {entry.path for entry in manifest.files}
    assert not any(name.endswith((".pkl", ".bin")) for name in names)
    assert {"head.safetensors", "head.json", "README.md", "adapterhub.json"} <= names


@pytest.mark.parametrize("strategy", ["one-vs-rest", "multi-output"])
def test_multi_label_folders(ahl: Ahl, tmp_path: Path, tiny_base: Path, strategy: str) -> None:
    names = ["x", "y", "z"]
    options = {"multi_target_strategy": strategy, "labels": names}
    folder = save_setfit(tiny_base, tmp_path / "many", INDICATOR, **options)
    done = import_(ahl, folder, "--convert-pickle", "--json")
    assert done.code == 0, done.err
    assert done.json["labels"] == names
    assert adapterhub_lite.load("words").multi_label
    assert_allclose(by_us("words"), by_setfit(folder), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{"normalize_embeddings": True}, {"pooling": "cls"}])
def test_what_changes_embeddings_is_kept(
    ahl: Ahl, tmp_path: Path, tiny_base: Path, options: dict[str, Any]
) -> None:
    folder = save_setfit(tiny_base, tmp_path / "changed", LABELS, **options)
    done = import_(ahl, folder, "--convert-pickle", "--json")
    assert done.json["labels"] == NAMES, "strings that the head was trained on"
    assert_allclose(by_us("words"), by_setfit(folder), atol=1e-6, rtol=0)


def test_labels_without_names_are_their_numbers(ahl: Ahl, source: Path) -> None:
    edit_json("config_setfit.json", labels=None)(source)
    assert import_(ahl, source, "--convert-pickle", "--json").json["labels"] == ["0", "1", "2"]


def test_a_head_in_our_own_files_needs_no_conversion(
    ahl: Ahl, trained: str, tmp_path: Path
) -> None:
    assert ahl("export", trained, tmp_path / "out", "--format", "setfit").code == 0
    (tmp_path / "out" / "model_head.pkl").write_bytes(b"never read")
    done = import_(ahl, tmp_path / "out", "--json")
    assert (done.code, done.json["version"], done.json["head"]) == (0, "words@2", "safetensors")
    assert_allclose(by_us("words@2"), by_us("words@1"), atol=1e-9, rtol=0)


def test_a_torch_head_is_refused(ahl: Ahl, source: Path) -> None:
    from setfit import SetFitHead

    joblib.dump(SetFitHead(in_features=32, out_features=3), source / "model_head.pkl")
    done = import_(ahl, source, "--convert-pickle")
    assert done.code == 2
    assert "differentiable torch head" in done.err


class Touch:
    """Pickled as a call that creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_a_malicious_head_is_not_run(ahl: Ahl, source: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    joblib.dump(Touch(marker), source / "model_head.pkl")
    done = import_(ahl, source, "--convert-pickle")
    assert done.code == 2
    assert "its head names posix.system" in done.err
    assert not marker.exists()
    assert api.open_registry().names() == []


def outside(name: str) -> Edit:
    """Return a change that moves a file or folder out and leaves a link."""

    def edit(folder: Path) -> None:
        target = folder.with_name("elsewhere")
        shutil.move(folder / name, target)
        (folder / name).symlink_to(target)

    return edit


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def fifo(folder: Path) -> None:
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")


def dense(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))


def other_width(folder: Path) -> None:
    head = joblib.load(folder / "model_head.pkl")
    head.coef_ = head.coef_[:, :-1]
    joblib.dump(head, folder / "model_head.pkl")


def long_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((2**23).to_bytes(8, "little") + b"{}")


def write(name: str, content: str) -> Edit:
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (outside("model_head.pkl"), "model_head.pkl of .* leads out of the folder"),
        (outside("model.safetensors"), "model.safetensors of .* leads out of the folder"),
        (outside("1_Pooling"), "1_Pooling/config.json of .* leads out of the folder"),
        (fifo, "README.md of .* is no regular file"),
        (write("README.md", "x" * 2**21), "takes more than 1 MiB"),
        (pickled_weights, r"pytorch_model.bin of .* is refused"),
        (long_header, "no valid header"),
        (dense, "'Dense' is not supported"),
        (other_width, "takes 31 numbers, and its encoder gives 32"),
        (lambda folder: (folder / "model_head.pkl").unlink(), "has no head"),
        (lambda folder: (folder / "modules.json").unlink(), "no SetFit folder"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (write("modules.json", "[1]"), "does not parse"),
        (write("config.json", "[]"), "no JSON object"),
        (write("config_setfit.json", "{"), "does not parse"),
        (edit_json("config.json", max_position_embeddings=10**12), "larger than any size"),
        (edit_json("config.json", num_hidden_layers=2000), "num_hidden_layers = 2000"),
        (edit_json("config.json", vocab_size=7), "does not load|cannot be loaded"),
        (edit_json("config.json", model_type="gpt2"), "no encoder"),
        (edit_json("config.json", model_type=["bert"]), "names no model type"),
        (edit_json("config_setfit.json", labels=["a", "b"]), "classes that have no label"),
        (edit_json("config_setfit.json", labels=["a", "a", "b"]), "not distinct names"),
        (edit_json("config_setfit.json", labels=["a", " ", "b"]), "not distinct names"),
        (edit_json("config_setfit.json", labels={"a": 1}), "labels that are no names"),
        (edit_json("config_sentence_transformers.json", default_prompt_name="q"), "a prompt"),
        (edit_json("sentence_bert_config.json", do_lower_case=True), "do_lower_case = True"),
        (edit_json("sentence_bert_config.json", max_seq_length=-1), "no valid length"),
        (edit_json("sentence_bert_config.json", model_args={}), "model_args"),
    ],
)
def test_folders_that_are_refused(ahl: Ahl, source: Path, edit: Edit, reason: str) -> None:
    edit(source)
    done = import_(ahl, source, "--convert-pickle")
    assert done.code == 2, done.err
    assert len(done.err.splitlines()) <= 2
    assert re.search(reason, done.err), done.err
    assert api.open_registry().names() == []


def test_other_files_are_not_looked_at(ahl: Ahl, source: Path, setfit_folder: Path) -> None:
    (source / "adapter_config.json").write_text("not JSON")
    (source / "modeling_bert.py").write_text("raise SystemExit")
    (source / "pytorch_model.bin").write_bytes(b"never read")
    edit_json("config.json", auto_map={"AutoModel": "modeling_bert.BertModel"})(source)
    assert import_(ahl, source, "--convert-pickle").code == 0
    assert_allclose(by_us("words"), by_setfit(setfit_folder), atol=1e-6, rtol=0)


def test_an_exported_folder_answers_as_the_version(ahl: Ahl, trained: str, tmp_path: Path) -> None:
    from setfit import SetFitModel

    out = tmp_path / "new" / "out"
    done = ahl("export", trained, out, "--format", "setfit", "--json")
    assert done.code == 0, done.err
    assert done.json["folder"] == str(out)
    assert "the head is a pickle" in done.json["about"]
    assert (out / "model.safetensors.index.json").is_file(), "the shards are kept"
    assert_allclose(by_setfit(out), by_us(trained), atol=1e-6, rtol=0)
    ours = [prediction.label for prediction in adapterhub_lite.load(trained).predict(TEXTS)]
    assert SetFitModel.from_pretrained(str(out)).predict(TEXTS) == ours


def test_a_multi_label_version_is_exported(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    # Every row carries "all": its probability is 1, without weights.
    data = [{"text": text, "label": [label, "all"]} for text, label in TINY_ROWS]
    (folder / "many.jsonl").write_text("\n".join(map(json.dumps, data)))
    rows = ("fewshot", "many.jsonl", "--base", tiny_base, "--multi-label", "--name", "many")
    assert ahl(*rows, "--steps", 5, "--set", "objective.folds=0").code == 0
    assert ahl("export", "many", folder / "out", "--format", "setfit").code == 0
    manifest = api.open_registry().resolve("many").manifest
    assert manifest.tensors is not None
    assert manifest.tensors.nonfinite == 1, "the intercept of the certain label"
    found = by_setfit(folder / "out")
    assert_allclose(found, by_us("many"), atol=1e-6, rtol=0)
    assert (found[:, 0] == 1).all()
    done = import_(ahl, folder / "out", "--convert-pickle", "--json")
    assert done.json["labels"] == ["all", *NAMES]


def test_a_real_model_goes_there_and_back(ahl: Ahl, folder: Path) -> None:
    rows = ("fewshot", "train.csv", "--base", "minilm", "--name", "real", "--steps", 3)
    assert ahl(*rows, "--set", "objective.folds=0").code == 0
    assert ahl("export", "real", folder / "out", "--format", "setfit").code == 0
    expected = by_us("real")
    assert_allclose(by_setfit(folder / "out"), expected, atol=1e-6, rtol=0)
    for name in ("head.safetensors", "head.json"):
        (folder / "out" / name).unlink()
    assert import_(ahl, folder / "out", "--convert-pickle").code == 0
    assert_allclose(by_us("words"), expected, atol=1e-6, rtol=0)


def test_an_occupied_folder_is_left_alone(ahl: Ahl, trained: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    done = ahl("export", trained, out, "--format", "setfit")
    assert done.code == 2
    assert f"the folder {out} is not empty" in done.err
    assert os.listdir(out) == ["mine"]
    (out / "mine").unlink()
    assert ahl("export", trained, out, "--format", "setfit").code == 0, "an empty one is welcome"


def test_nothing_is_left_of_an_export_that_fails(
    ahl: Ahl, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(joblib, "dump", full)
    before = sorted(os.listdir(tmp_path))
    done = ahl("export", trained, tmp_path / "out", "--format", "setfit")
    assert done.code == 2
    assert "no space left" in done.err
    assert sorted(os.listdir(tmp_path)) == before


def test_an_export_that_answers_differently_is_refused(
    ahl: Ahl, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_setfit import exporting

    monkeypatch.setattr(exporting, "rebuild", lambda coef, *rest: _rebuild(-coef, *rest))
    done = ahl("export", trained, tmp_path / "out", "--format", "setfit")
    assert done.code == 1
    assert "not what the version answers" in done.err
    assert not (tmp_path / "out").exists()


def _rebuild(*weights: Any) -> Any:
    from adapterhub_lite_setfit.head import rebuild

    return rebuild(*weights)


@pytest.mark.parametrize("command", ["export", "import"])
def test_an_unknown_format_names_the_known_ones(
    ahl: Ahl, source: Path, tmp_path: Path, command: str
) -> None:
    words = (tmp_path / "out",) if command == "export" else ("--name", "x")
    done = ahl(command, source, *words, "--format", "setfitt")
    assert done.code == 2
    assert "did you mean 'setfit'?" in done.err


def test_an_invalid_name_is_refused_before_anything_is_read(ahl: Ahl, tmp_path: Path) -> None:
    done = ahl("import", tmp_path / "none", "--format", "setfit", "--name", "Not A Name")
    assert done.code == 2
    assert "Not A Name" in done.err
