"""Whole models of other tools come in, from a folder or an archive, and answer as they did."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file

import adapterhub_lite
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers

Ahl = Callable[..., Any]
TEXTS = ["the apple is sweet", "please tune the drum"]
LABELS = ("no", "maybe", "yes")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that plain transformers wrote, with a classifier of three labels."""
    place = tmp_path_factory.mktemp("models")
    write_tiny_model(place / "base")
    torch.manual_seed(1)
    with quiet_transformers():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            place / "base", num_labels=3, id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
        )  # fmt: skip
        model.save_pretrained(place / "classifier")
        tokenizer = transformers.AutoTokenizer.from_pretrained(place / "base")
        tokenizer.save_pretrained(place / "classifier")
    return place / "classifier"


@pytest.fixture
def source(classifier: Path, tmp_path: Path) -> Path:
    shutil.copytree(classifier, tmp_path / "source")
    return tmp_path / "source"


def by_transformers(folder: Path, dtype: torch.dtype | None = None) -> Any:
    with quiet_transformers():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=dtype
        ).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        return model(**batch).logits.softmax(-1).numpy()


def pack_tar(folder: Path) -> Path:
    with tarfile.open(folder.with_name("packed.tgz"), "w:gz") as archive:
        archive.add(folder, "./")
    return folder.with_name("packed.tgz")


def pack_zip(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder.with_name("z")), "zip", folder.parent, folder.name))


def pickle_weights(folder: Path) -> Path:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("pack", [lambda folder: folder, pack_tar, pack_zip, pickle_weights])
def test_the_probabilities_are_transformers_own(
    ahl: Ahl, source: Path, pack: Callable[[Path], Path]
) -> None:
    expected = by_transformers(source)
    done = ahl("import", pack(source), "--name", "a", "--convert-pickle", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["format"], told["labels"]) == ("hf", list(LABELS))
    assert_allclose(adapterhub_lite.load("a").predict_proba(TEXTS), expected, atol=1e-6)


def test_weights_of_16_bits_stay_as_they_are(ahl: Ahl, source: Path) -> None:
    weights = source / "model.safetensors"
    halved = {name: tensor.bfloat16() for name, tensor in load_file(weights).items()}
    save_file(halved, weights, metadata={"format": "pt"})
    assert ahl("import", source, "--name", "a").code == 0
    folder = Path(ahl("path", "a").out.strip())
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()
    answers = adapterhub_lite.load("a").predict_proba(TEXTS)
    assert_allclose(answers, by_transformers(source, torch.float32), atol=1e-6)


def test_a_model_that_16_bits_cannot_compute_is_asked_in_32(ahl: Ahl, source: Path) -> None:
    """A Fourier transform of bfloat16 does not exist on a processor."""
    config = transformers.FNetConfig(
        vocab_size=2000, hidden_size=32, num_hidden_layers=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=0, num_labels=3,
    )  # fmt: skip
    model = transformers.FNetForSequenceClassification(config).bfloat16()
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 4, dtype=torch.long))
    with quiet_transformers():
        model.save_pretrained(source)
    done = ahl("import", source, "--name", "a")
    assert done.code == 0, done.err


def test_a_pickle_is_refused_unless_asked_for(ahl: Ahl, source: Path) -> None:
    done = ahl("import", pickle_weights(source), "--name", "a")
    assert done.code == 2
    assert "--convert-pickle" in done.err


def test_what_mergekit_tells_stays_and_a_chat_template_does_not(ahl: Ahl, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "merged", "llama")
    (folder / "mergekit_config.yml").write_text("merge_method: linear\n")
    (folder / "chat_template.jinja").write_text("{{ 9**(9**9) }}")
    done = ahl("import", folder, "--name", "merged", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["mergekit"] == {"config": "merge_method: linear\n"}
    assert "left out" in told["template"]
    assert ahl("checkout", "merged", tmp_path / "out").code == 0
    kept = "".join(file.read_text() for file in (tmp_path / "out").glob("*.js*"))
    assert "9**" not in kept
    assert not (tmp_path / "out" / "chat_template.jinja").exists()


def test_a_sentence_transformers_folder_gives_its_embeddings(
    ahl: Ahl, classifier: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    base = classifier.with_name("base")
    body = Transformer(str(base), max_seq_length=9)
    modules = [body, Pooling(body.get_embedding_dimension(), "cls"), Normalize()]
    theirs = SentenceTransformer(modules=modules, device="cpu")
    theirs.save(str(tmp_path / "sentences"), create_model_card=False)
    assert ahl("import", tmp_path / "sentences", "--name", "e").code == 0
    texts = [*TEXTS, "a ripe plum and music " * 10]
    ours = [answer.vector for answer in adapterhub_lite.load("e").predict(texts)]
    assert_allclose(ours, theirs.encode(texts), atol=1e-6)


def test_formats_that_both_fit_have_to_be_named(ahl: Ahl, source: Path) -> None:
    (source / "adapter_config.json").write_text("{}")
    (source / "adapter_model.safetensors").write_bytes(b"")
    done = ahl("import", source, "--name", "a")
    assert done.code == 2
    assert "several formats: hf, peft" in done.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--labels", "a,b"), "3 outputs, and 2 labels"),
        (("--objective", "tagging"), "needs token-classification"),
        (("--objective", "regression"), "several outputs"),
        (("--base", "minilm"), "--base is not for it"),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    ahl: Ahl, source: Path, options: tuple[str, ...], reason: str
) -> None:
    done = ahl("import", source, "--name", "a", *options)
    assert done.code == 2
    assert reason in done.err


def test_a_bare_encoder_has_to_be_told_what_it_is_for(ahl: Ahl, classifier: Path) -> None:
    bare = classifier.with_name("base")
    assert "--objective" in ahl("import", bare, "--name", "a").err
    refused = ahl("import", bare, "--name", "a", "--objective", "classification")
    assert "of its head" in refused.err
    assert ahl("import", bare, "--name", "a", "--objective", "embedding").code == 0


def test_pickles_are_converted_for_other_tools_when_asked(
    ahl: Ahl, source: Path, tmp_path: Path
) -> None:
    expected = load_file(source / "model.safetensors")
    pickle_weights(source)
    out = tmp_path / "converted"
    assert "--unsafe" in ahl("convert", source, "--out", out).err
    assert not out.exists()
    assert ahl("convert", "--unsafe", source, "--out", out).code == 0
    found = load_file(out / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert by_transformers(out).shape == (2, 3)


def test_a_pickle_of_more_than_tensors_and_a_link_are_not_converted(
    ahl: Ahl, source: Path, tmp_path: Path
) -> None:
    torch.save({"a": print}, tmp_path / "evil.pt")
    out = tmp_path / "converted"
    assert "print" in ahl("convert", "--unsafe", tmp_path / "evil.pt", "--out", out).err
    pickle_weights(source)
    (source / "notes.txt").symlink_to(tmp_path / "evil.pt")
    assert "out of the folder" in ahl("convert", "--unsafe", source, "--out", out).err
    assert not out.exists()
