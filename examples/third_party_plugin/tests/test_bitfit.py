"""BitFit keeps what a method promises, and refuses what it cannot do."""

from pathlib import Path

from adapterhub_lite_bitfit import BitFit, BitFitParams

from adapterhub_lite.architecture import read_architecture
from adapterhub_lite.specs import Head
from adapterhub_lite.testing import MethodConformance, write_tiny_model


class TestBitFit(MethodConformance):
    """Each check of the conformance kit becomes a test."""

    name = "bitfit"


def problems(folder: Path, *modules: str) -> str:
    """Return what speaks against BitFit on a base."""
    architecture = read_architecture(folder, "tiny")
    return " ".join(BitFit().check(architecture, Head(), BitFitParams(modules=list(modules))))


def test_a_base_without_biases_is_refused(tmp_path: Path) -> None:
    assert "no biases" in problems(write_tiny_model(tmp_path, "llama"))


def test_an_ending_that_no_module_has_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path)
    assert problems(folder, "query", "intermediate.dense") == ""
    assert "'ntermediate.dense'" in problems(folder, "ntermediate.dense")
