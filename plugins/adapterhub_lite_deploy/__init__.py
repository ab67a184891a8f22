"""Targets that versions are deployed to, beside the folders of the libraries they came from."""

from collections.abc import Iterator
from typing import Final, Literal, get_args

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ExporterSpec, Params, Requirement, Task

ONNX: Final = tuple(
    Requirement(module=module, install="pip install 'adapterhub-lite[onnx]'")
    for module in ("onnx", "onnxruntime", "onnxscript")
)


GGUF: Final = (Requirement(module="gguf", install="pip install 'adapterhub-lite[gguf]'"),)


class GgufParams(Params):
    """How a file's numbers are kept."""

    dtype: Literal["f32", "f16", "q8_0"] = Field(
        default="f16",
        description="f32 and f16 are floating point; q8_0 has 8 bits and a scale for each 32.",
    )


class DockerParams(Params):
    """How the image calls what it serves."""

    name: str = Field(
        default="model",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="The name that requests give, as in OpenAI's `model`.",
    )


class OnnxParams(Params):
    """How a graph's numbers are kept."""

    quantise: Literal["none", "int8"] = Field(
        default="none",
        description="int8: weights of 8 bits, a quarter of the size; activations are rounded as "
        "they come. Held to equal decisions instead of equal numbers.",
    )


@hookimpl
def adapterhub_exporters() -> Iterator[ExporterSpec]:
    """Offer ONNX, vLLM, llama.cpp, ollama and a context for docker."""
    yield ExporterSpec(
        name="onnx",
        summary="An encoder as one graph for onnxruntime, which needs no torch.",
        implementation="adapterhub_lite_deploy.onnx_folder:OnnxExporter",
        requires=ONNX,
        tasks=frozenset({"text-classification", "text-regression", "sentence-similarity"}),
        params=OnnxParams,
        takes=frozenset({"model"}),
        deploys=True,
    )
    yield ExporterSpec(
        name="vllm",
        summary="A LoRA directory for vLLM, held against what vLLM refuses.",
        implementation="adapterhub_lite_deploy.vllm:VllmExporter",
        tasks=frozenset({"text-generation"}),
        takes=frozenset({"adapter"}),
        deploys=True,
    )
    yield ExporterSpec(
        name="gguf",
        summary="A Llama-type model as one file for llama.cpp; an adapter goes merged.",
        implementation="adapterhub_lite_deploy.gguf_file:GgufExporter",
        requires=GGUF,
        tasks=frozenset({"text-generation"}),
        params=GgufParams,
        takes=frozenset({"model"}),
        deploys=True,
    )
    yield ExporterSpec(
        name="gguf-lora",
        summary="A LoRA adapter of a Llama-type model as one file for llama.cpp.",
        implementation="adapterhub_lite_deploy.gguf_file:GgufLoraExporter",
        requires=GGUF,
        tasks=frozenset({"text-generation"}),
        takes=frozenset({"adapter"}),
        deploys=True,
    )
    yield ExporterSpec(
        name="ollama",
        summary="A gguf with the Modelfile that ollama makes a model of.",
        implementation="adapterhub_lite_deploy.ollama:OllamaExporter",
        requires=GGUF,
        tasks=frozenset({"text-generation"}),
        params=GgufParams,
        takes=frozenset({"model"}),
        deploys=True,
    )
    yield ExporterSpec(
        name="docker",
        summary="A context for an image that serves the version, whole and in a bundle.",
        implementation="adapterhub_lite_deploy.docker:DockerExporter",
        tasks=frozenset(get_args(Task)),
        params=DockerParams,
        takes=frozenset({"model"}),
        deploys=True,
    )


@hookimpl
def adapterhub_conformance() -> Iterator[ConformanceCase]:
    """Say which checks cannot pass, and why."""
    trained = "it takes language models, and the kit trains classifiers"
    yield ConformanceCase(
        kind="exporter",
        name="docker",
        expected_failures={"check_repeats": "a version says when it was published"},
    )
    for name in ("vllm", "gguf", "gguf-lora", "ollama"):
        yield ConformanceCase(
            kind="exporter",
            name=name,
            expected_failures={"check_exports_a_version": trained},
        )
