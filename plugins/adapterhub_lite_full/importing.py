"""A whole model that transformers wrote elsewhere becomes a version, and is believed nothing.

Sentence-transformers' folders and mergekit's outputs are such folders. Weights stay as they are,
their header and numbers judged while they are copied, their names and shapes before they are
loaded; config and tokenizer are written anew.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from adapterhub_lite.architecture import TensorInfo, weight_files
from adapterhub_lite.deployment.model_folders import (
    SMALL,
    read_model_config,
    read_sentence_settings,
    stage_model,
    told,
)
from adapterhub_lite.errors import AdapterHubError, BaseModelError
from adapterhub_lite.inference.artifact import ArtifactInfo, write_artifact_info
from adapterhub_lite.plugins import one_line
from adapterhub_lite.pooling import write_pooling
from adapterhub_lite.protocols import ImportOptions
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model, load_tokenizer, quiet_transformers
from adapterhub_lite_full.foreign_head import objective_of, read_head

MERGEKIT: Final = "mergekit_config.yml"
SETFIT: Final = ("config_setfit.json", "model_head.pkl")
MORE: Final = {
    MERGEKIT: SMALL,
    "chat_template.jinja": SMALL,
    **dict.fromkeys(SETFIT, 64 * SMALL),
}
MAX_BUFFERS: Final = 2**26
"""Numbers in tables that a model computes when it is made; no file holds them."""


class TransformersImporter:
    """Reads what ``save_pretrained`` of transformers or sentence-transformers wrote."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write a version's files into ``destination``; return the manifest fields.

        Raises BaseModelError for a folder that is no such model or not understood, and
        CapabilityError for pickled weights without ``options.convert``, or another head.
        """
        ref = str(source)
        # beside the destination: weights are moved there, and not copied
        with TemporaryDirectory(dir=destination.parent) as work, _refusing_nonsense(ref):
            staged = Path(work)
            tensors = stage_model(source, staged, MORE, convert=options.convert)
            _refuse_setfit(staged, ref)
            config = read_model_config(staged, ref, len(tensors))
            spec = objective_of(staged, config, options)
            head = read_head(config, spec, options, ref)
            _check(staged, head, tensors, ref)
            left_out = _write(staged, head, config, ref, destination)
            info = ArtifactInfo(task=spec.task, method="full", objective=spec.name, head=head)
            write_artifact_info(destination, info)
            return _fields(source, staged, left_out)


@contextmanager
def _refusing_nonsense(ref: str) -> Iterator[None]:
    """Say of files that make a library fail, in whichever of its own ways, that they are no model.

    transformers, tokenizers and the classes of each architecture raise what they like.
    """
    try:
        yield
    except AdapterHubError:
        raise
    except Exception as error:
        raise BaseModelError(
            f"the model in {ref} does not load: {one_line(error)}", ref=ref
        ) from error


def _refuse_setfit(staged: Path, ref: str) -> None:
    if any((staged / name).is_file() for name in SETFIT):
        raise BaseModelError(
            f"{ref} is a SetFit folder: its classifier lies beside the transformer",
            ref=ref,
            hint="take --format setfit",
        )


def _check(staged: Path, head: Head, tensors: Mapping[str, TensorInfo], ref: str) -> None:
    """Compare the headers with the model that the config describes, before any is allocated.

    Raises BaseModelError where the files hold less than it, or a tensor of another shape.
    """
    empty = empty_model(staged, head)
    expected = {name: tuple(value.shape) for name, value in empty.model.named_parameters()}
    for name, shape in expected.items():
        if name in tensors and tensors[name].shape != shape:
            raise BaseModelError(
                f"{name!r} of {ref} has the shape {tensors[name].shape}, and by its config it "
                f"would be {shape}",
                ref=ref,
            )
    starts = tuple(f"{name}." for name in empty.new)
    absent = [name for name in expected if name.startswith(starts) and name not in tensors]
    if absent:
        raise BaseModelError(
            f"{ref} lacks {len(absent)} tensors of its head, the first {absent[0]!r}",
            ref=ref,
            hint="a model without the head is no version; ahl train gives it one: --base DIR",
        )
    wanted = sum(value.numel() for value in empty.model.parameters())
    held = sum(info.size for info in tensors.values())
    if wanted > held or sum(value.numel() for value in empty.model.buffers()) > MAX_BUFFERS:
        raise BaseModelError(
            f"the config of {ref} describes {wanted:,} numbers, and the files hold {held:,}",
            ref=ref,
            hint="download or save the model again",
        )


def _write(
    staged: Path, head: Head, config: Mapping[str, Any], ref: str, destination: Path
) -> bool:
    """Write the model's files; say whether it had a chat template, which is left out.

    A template is a program that is run at each question: a person chooses one by its name.
    """
    model_config: Any = empty_model(staged, head).model.config
    model_config.architectures = config.get("architectures")
    if hasattr(model_config, "auto_map"):
        del model_config.auto_map
    tokenizer = load_tokenizer(staged)
    has_template = tokenizer.chat_template is not None
    tokenizer.chat_template = None
    tokenizer.init_kwargs.pop("auto_map", None)
    if (staged / "modules.json").is_file():
        pooling, longest = read_sentence_settings(staged, ref)
        write_pooling(pooling, model_config.hidden_size, destination)
        if longest is not None:
            tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    with quiet_transformers():
        model_config.save_pretrained(destination)
        tokenizer.save_pretrained(destination)
    for name in (
        *(file.name for file in weight_files(staged, ref)),
        "model.safetensors.index.json",
    ):
        if (staged / name).is_file():
            (staged / name).rename(destination / name)
    return has_template


def _fields(source: Path, staged: Path, left_out: bool) -> dict[str, Any]:
    """Return what the manifest says of where it came from; mergekit's recipe as it was told."""
    fields: dict[str, Any] = {
        "imported_from": "transformers",
        "source": {"folder": source.resolve().name},
    }
    if (staged / MERGEKIT).is_file():
        text = (staged / MERGEKIT).read_text(encoding="utf-8", errors="replace")
        fields["mergekit"] = {"config": text}
    if left_out:
        fields["template"] = "left out: a chat template is a program (see --set template=NAME)"
    licence = told(staged, "license")
    return {"hyperparameters": fields, **({"license": licence} if licence else {})}
