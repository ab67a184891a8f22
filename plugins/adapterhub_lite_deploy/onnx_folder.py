"""An encoder as one ONNX graph with its tokenizer: answered by onnxruntime, without torch."""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from adapterhub_lite.architecture import read_architecture
from adapterhub_lite.deployment.asking import MOST_TOKENS, longest_text
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_deploy import OnnxParams, runner
from adapterhub_lite_deploy.graph import Answering, answering

GRAPH: Final = "model.onnx"
OUTPUTS: Final = {"sentence-similarity": "embedding", "text-regression": "value"}
"""What the graph gives where it gives no logits."""

INT8: Final = Tolerance(difference=0.25, agreement=0.85)
"""Weights of 8 bits and activations that are rounded anew at each input: of eight, one may turn."""

LARGE: Final = 2**30
"""Bytes of weights from which they lie beside the graph, as a protobuf holds two GiB."""


class OnnxExporter:
    """Writes ``model.onnx``, ``tokenizer.json`` and ``settings.json``, and what asks them."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: OnnxParams
    ) -> None:
        """Write ``destination`` from an encoder's folder.

        Raises CapabilityError for another architecture, and a tokenizer without tokenizer.json.
        """
        info = read_artifact_info(folder)
        architecture = read_architecture(folder, folder.name)
        if architecture.family != "encoder":
            raise CapabilityError(
                f"onnx holds encoders, and a {architecture.model_type!r} model is none",
                hint="take hf, or gguf for a decoder",
            )
        _write_tokenizer(folder, destination)
        loaded = load_transformer(folder, info.head, torch.float32, "cpu")
        _write_graph(answering(loaded.model, info, folder), destination / GRAPH)
        if params.quantise == "int8":
            _quantise(destination / GRAPH)
        _write_settings(info, folder, destination)
        shutil.copyfile(runner.__file__, destination / "answer.py")
        (destination / "requirements.txt").write_text(
            "numpy\nonnxruntime\ntokenizers\n", encoding="utf-8"
        )

    def answers(
        self, destination: Path, asked: Questions, params: OnnxParams
    ) -> Sequence[NDArray[Any]]:
        """Ask onnxruntime: all inputs in one batch, so that padding is seen to do nothing."""
        return list(runner.Model(destination).outputs(asked.inputs))

    def tolerance(self, params: OnnxParams) -> Tolerance:
        """Return the default for 32 bits, and a share of equal decisions for 8."""
        return INT8 if params.quantise == "int8" else Tolerance()

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        return f'python {destination / "answer.py"} "a text"'


def _write_graph(module: Answering, file: Path) -> None:
    """Trace a module with any number of rows and tokens, and leave out where its code lies."""
    import onnx

    # equal tensors would be taken for one input
    example = [torch.ones(2, 8, dtype=torch.long) for _ in module.names]
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(example),
            input_names=list(module.names),
            output_names=["output"],
            dynamic_shapes=(tuple({0: rows, 1: tokens} for _ in example),),
            dynamo=True,
            verbose=False,
        )
        assert program is not None, "torch.export's exporter returns what it made"
        size = sum(one.numel() * one.element_size() for one in module.parameters())
        program.save(file, external_data=size > LARGE)
    graph = onnx.load(file, load_external_data=False)
    del graph.graph.value_info[:]  # shapes inside, which quantising infers anew
    for place in (graph, graph.graph, *graph.graph.node, *graph.graph.input,
                  *graph.graph.output, *graph.graph.initializer):  # fmt: skip
        place.ClearField("metadata_props")
    onnx.save(graph, file)


def _quantise(file: Path) -> None:
    """Let a graph's weights be of 8 bits; activations are rounded as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory(prefix="adapterhub-") as work, _quiet():
        rounded = Path(work) / GRAPH
        quantize_dynamic(file, rounded, weight_type=QuantType.QInt8, per_channel=True)
        shutil.copyfile(rounded, file)
        file.with_name(f"{GRAPH}.data").unlink(missing_ok=True)


def _write_tokenizer(folder: Path, destination: Path) -> None:
    """Write ``tokenizer.json``, which cuts and pads as the version does."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise CapabilityError(
            "the version's tokenizer has no tokenizer.json, which is read without transformers",
            hint="take hf",
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(file))
    pad = int(config.get("pad_token_id") or 0)
    tokenizer.enable_truncation(longest_text(folder) or MOST_TOKENS)
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad))
    tokenizer.save(str(destination / "tokenizer.json"))


def _write_settings(info: ArtifactInfo, folder: Path, destination: Path) -> None:
    """Write what an output means."""
    settings: dict[str, Any] = {"output": OUTPUTS.get(info.task, "logits"), "task": info.task}
    if info.task == "text-classification":
        settings |= {
            "labels": list(info.head.labels),
            "multi_label": _is_multi_label(info, folder),
            "threshold": _threshold(folder),
        }
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (destination / "settings.json").write_text(text, encoding="utf-8")


def _is_multi_label(info: ArtifactInfo, folder: Path) -> bool:
    if (folder / "head.json").is_file():
        head = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        return bool(head["link"] == "independent")
    return info.head.problem == "multi-label"


def _threshold(folder: Path) -> float:
    for name in ("task.json", "scorer.json"):
        if (folder / name).is_file():
            return float(json.loads((folder / name).read_text(encoding="utf-8"))["threshold"])
    return 0.5


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporters say of their own insides; the graph is compared afterwards."""
    loggers = [logging.getLogger(name) for name in ("", "torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
