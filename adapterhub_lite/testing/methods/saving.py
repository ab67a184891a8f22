"""What a method writes, and that it comes back from it."""

import shutil
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.testing.files import require_plain_files
from adapterhub_lite.testing.methods.workbench import (
    first_place,
    open_places,
    sound_save,
    spec_of,
)
from adapterhub_lite.testing.models import base_folder, fresh_base
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

OWNER: Final = "check_saves_and_loads"


def check_saves_and_loads(subject: Subject) -> None:
    """What was saved answers as what was trained, when it is loaded onto a fresh base.

    Save every tensor that learnt, buffers that changed and settings that the shapes do not tell;
    load() puts them in and returns the model in evaluation mode.
    """
    for place in open_places(subject):
        sound_save(subject, place)


def check_files_are_plain(subject: Subject) -> None:
    """The files are safetensors and JSON, beside the tokenizer's, and name no place.

    A pickle runs code when it is read; the registry takes none.
    """
    place = first_place(subject)
    saved = needed(sound_save, OWNER, subject, place)
    require_plain_files(saved.folder, base_folder(subject, place.family), saved.folder)


def check_files_hold_nothing_of_the_base(subject: Subject) -> None:
    """An adapter's files hold no tensor of the base.

    Save what was learnt alone: not the model's whole state. A method that has to save a whole
    model says ``needs_base=False``.
    """
    if not spec_of(subject).needs_base:
        raise NotApplicableError("it saves a whole model")
    place = first_place(subject)
    saved = needed(sound_save, OWNER, subject, place)
    base = {
        _value(tensor): name
        for name, tensor in load_file(
            base_folder(subject, place.family) / "model.safetensors"
        ).items()
        if not _is_constant(tensor)
    }
    found = [(name, base[_value(t)]) for name, t in _tensors(saved.folder) if _value(t) in base]
    if found:
        own, theirs = found[0]
        raise CheckFailedError(
            f"{len(found)} saved tensors are the base's: {own!r} is its {theirs!r}"
        )


def check_incomplete_files_are_refused(subject: Subject) -> None:
    """load() refuses files that lack one of the tensors.

    Otherwise that part would be random, or the base's, without a word. Compare the names found
    with the names expected, and raise IntegrityError.
    """
    if not spec_of(subject).needs_base:
        raise NotApplicableError("the whole model that it saves is read by a loader")
    place = first_place(subject)
    saved = needed(sound_save, OWNER, subject, place)
    folder = subject.folder / "incomplete"
    shutil.copytree(saved.folder, folder)
    removed = _remove_a_tensor(folder)
    base = fresh_base(subject, place)
    try:
        subject.implementation.load(base, folder)
    except AdapterHubError:
        return
    except Exception as error:
        raise CheckFailedError(
            f"without the tensor {removed!r} load() raises {type(error).__name__}",
            hint="raise adapterhub_lite.errors.IntegrityError: it is told without a traceback",
        ) from error
    raise CheckFailedError(f"files without the tensor {removed!r} are loaded without a word")


def _remove_a_tensor(folder: Path) -> str:
    file = next(iter(sorted(folder.glob("*.safetensors"))), None)
    tensors = load_file(file) if file else {}
    if file is None or not tensors:
        raise NotApplicableError("it saved no tensor")
    name: str = sorted(tensors)[-1]
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    return name


def _tensors(folder: Path) -> list[tuple[str, torch.Tensor]]:
    return [
        pair for file in sorted(folder.glob("*.safetensors")) for pair in load_file(file).items()
    ]


def _is_constant(tensor: torch.Tensor) -> bool:
    """Say whether a tensor is all zeros or all ones: that is nobody's own."""
    return tensor.numel() == 0 or bool((tensor == tensor.flatten()[0]).all())


def _value(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


CHECKS: Final = (
    check_saves_and_loads,
    check_files_are_plain,
    check_files_hold_nothing_of_the_base,
    check_incomplete_files_are_refused,
)
