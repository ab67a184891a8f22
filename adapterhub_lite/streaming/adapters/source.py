"""An adapter of PEFT's on its base, as the model that it makes: computed slice by slice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.adapters import ia3, lora
from adapterhub_lite.streaming.adapters.changes import Change, LowRank
from adapterhub_lite.streaming.adapters.files import AdapterFiles, read_adapter_files
from adapterhub_lite.streaming.adapters.kinds import refuse_other_kinds
from adapterhub_lite.streaming.adapters.names import Names, find_names
from adapterhub_lite.streaming.factors import Factors
from adapterhub_lite.streaming.headers import StoredTensor, TensorShape
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.sources import TORCH_TYPES, Source
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.streaming.tying import input_embeddings, is_output_layer, is_vocabulary
from adapterhub_lite.streaming.views import same_place

Modules = dict[str, dict[str, StoredTensor]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of the model: the base's, or the adapter's ``own``, with or without a change."""

    shape: TensorShape
    place: str | None
    own: StoredTensor | None = None
    change: Change | None = None


class AdapterSource:
    """The model that an adapter makes of its base.

    ``untied``: its output layer and its embeddings are two tensors, and one in the base's files.
    ``notices`` say what was found out about its names.
    """

    def __init__(
        self, files: AdapterFiles, base: Source, entries: Mapping[str, Entry], names: Names
    ) -> None:
        self.label = files.label
        self.base = base
        self.untied = names.untied
        self.notices = names.notices
        self._files = files
        self._entries = entries
        self.tensors: Mapping[str, TensorShape] = {n: e.shape for n, e in entries.items()}

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        entry = self._entries[name]
        values = self._under(entry, start, stop)
        return values if entry.change is None else values.add_(self._added(entry, start, stop))

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape and dtype."""
        entry = self._entries[name]
        if entry.own is None and entry.change is None:
            assert entry.place is not None, "a tensor is the base's, or the adapter's own"
            return self.base.raw(entry.place)
        dtype = TORCH_TYPES[entry.shape.dtype]
        return self.read(name, 0, entry.shape.size).to(dtype).view(entry.shape.shape)

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        """Say whether a tensor is ``base_name`` of ``base`` with an update."""
        entry = self._entries[name]
        if entry.place is None or self.base.tensors[entry.place].shape != entry.shape.shape:
            return False
        return same_place(Origin(self.base, entry.place), Origin(base, base_name))

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Return what is added to ``start:stop``, or None where the tensor is the base's own."""
        entry = self._entries[name]
        if entry.own is None:
            return None if entry.change is None else self._added(entry, start, stop)
        assert entry.place is not None, "only a tensor of the base is updated"
        values = self.read(name, start, stop)
        return values.sub_(self.base.read(entry.place, start, stop))

    def is_changed(self, name: str) -> bool:
        """Say whether the adapter changes a tensor at all."""
        entry = self._entries[name]
        return entry.own is not None or entry.change is not None

    def factors(self, name: str) -> Factors | None:
        """Return a tensor's update as a product, in the tensor's orientation, where it is one."""
        entry = self._entries[name]
        if entry.own is None and isinstance(entry.change, LowRank):
            return entry.change.factors()
        return None

    def _under(self, entry: Entry, start: int, stop: int) -> torch.Tensor:
        if entry.own is not None:
            return self._files.part(entry.own, start, stop).to(torch.float32, copy=True)
        assert entry.place is not None, "a tensor is the base's, or the adapter's own"
        return self.base.read(entry.place, start, stop)

    def _added(self, entry: Entry, start: int, stop: int) -> torch.Tensor:
        assert entry.change is not None, "asked for changed tensors only"

        def under(first: int, last: int) -> torch.Tensor:
            return self._under(entry, first, last)

        return entry.change.update(under, start, stop)


def open_adapter(
    folder: Path, base: Source, config: Mapping[str, Any], label: str
) -> AdapterSource:
    """Open an adapter's folder on its base, whose config is ``config``.

    Raises BaseModelError for files that are malformed or were written for another base, and
    CapabilityError for an adapter that is no change of weights, or one of another kind.
    """
    files = read_adapter_files(folder, label)
    kind = refuse_other_kinds(files)
    files.require_form()
    modules, own = _sorted_parts(files, PARTS[kind])
    tied = _drop_tied_copy(files, own, base)
    weights = [f"{module}.weight" for module in modules]
    names = find_names(
        weights, own, base.tensors, config, stays_tied=tied or files.flag("ensure_weight_tying")
    )
    reader = _Reader(files, base, names, config.get("model_type"))
    return AdapterSource(files, base, reader.entries(kind, modules, own), names)


PARTS: Final[Mapping[str, re.Pattern[str]]] = {"LORA": lora.PART, "IA3": ia3.PART}


def _sorted_parts(
    files: AdapterFiles, part: re.Pattern[str]
) -> tuple[Modules, dict[str, StoredTensor]]:
    """Return the parts of each module, and the whole tensors beside them."""
    modules: Modules = {}
    own: dict[str, StoredTensor] = {}
    for name, tensor in files.tensors.items():
        if found := part.fullmatch(name):
            modules.setdefault(found["module"], {})[found["part"]] = tensor
        elif ".original_module." not in name:  # with `bias: all` PEFT saves what was before, too
            plain = name.replace(".base_layer.", ".").replace(".modules_to_save.", ".")
            if plain == name or plain not in files.tensors:
                own[plain] = tensor
    if not modules and not own:
        raise files.malformed("it has no tensors")
    return modules, own


def _drop_tied_copy(files: AdapterFiles, own: dict[str, StoredTensor], base: Source) -> bool:
    """Leave out an output layer that is the embeddings once more, and not in the base.

    PEFT writes both when the vocabulary grew. Returns whether there was one.
    """
    embeddings = input_embeddings(own)
    outputs = [name for name in own if is_output_layer(name) and name not in base.tensors]
    if embeddings is None or not outputs or own[outputs[0]].shape != own[embeddings].shape:
        return False
    both = [files.part(own[name], 0, own[name].size) for name in (outputs[0], embeddings)]
    if not torch.equal(*both):
        return False
    del own[outputs[0]]
    return True


class _Reader:
    """Finds out of which kind each tensor of the model is."""

    def __init__(self, files: AdapterFiles, base: Source, names: Names, model_type: Any) -> None:
        self._files, self._base, self._names = files, base, names
        self._model_type = model_type
        self._saved = files.names("modules_to_save")
        self._own: Mapping[str, StoredTensor] = {}

    def entries(
        self, kind: str, modules: Modules, own: Mapping[str, StoredTensor]
    ) -> dict[str, Entry]:
        """Return every tensor of the model."""
        self._own = own
        names, tensors = self._names, self._base.tensors
        found = {name: Entry(tensors[place], place) for name, place in names.places.items()}
        for name, tensor in own.items():
            model_name = names.of(name)
            self._check_own(name, model_name, tensor)
            place = names.places.get(model_name)
            found[model_name] = Entry(TensorShape(tensor.dtype, tensor.shape), place, tensor)
        for name, change in self._changes(kind, modules).items():
            under = found[names.of(name)]
            found[names.of(name)] = Entry(under.shape, under.place, under.own, change)
        return found

    def _changes(self, kind: str, modules: Modules) -> dict[str, Change]:
        if kind == "LORA":
            return lora.lora_changes(self._files, modules, self._model_type, self._shape_of)
        return ia3.ia3_changes(self._files, modules, self._model_type, self._shape_of, self._has)

    def _has(self, name: str) -> bool:
        return self._names.of(name) in self._names.places

    def _shape_of(self, name: str) -> tuple[int, ...]:
        if name in self._own:
            return self._own[name].shape
        place = self._names.places.get(self._names.of(name))
        if place is None:
            raise self._files.malformed(
                f"it changes {name!r}, which {self._base.label} does not have",
                hint="it was trained on another base: name the right one; or on parts that "
                "transformers renames: merge it with PEFT first, and give the merged model",
            )
        return self._base.tensors[place].shape

    def _check_own(self, name: str, model_name: str, tensor: StoredTensor) -> None:
        """Refuse a whole tensor that the config does not speak of, or that does not fit."""
        listed = any(f".{module}." in f".{name}" for module in self._saved)
        place = self._names.places.get(model_name)
        bias = name.endswith(".bias") and self._files.text("bias", "none") != "none"
        vocabulary = role_of(model_name) == "embeddings" or is_output_layer(model_name)
        if not listed and not (place is not None and (bias or vocabulary)):
            raise self._files.malformed(
                f"it has a tensor {name[:100]!r}, which its config does not speak of"
            )
        if place is None:
            return
        shape = self._base.tensors[place].shape
        resized = is_vocabulary(model_name) and tensor.shape[1:] == shape[1:]
        if tensor.shape != shape and not resized:
            if not listed:
                raise self._files.malformed(f"{name!r} has the shape {tensor.shape}, not {shape}")
            if role_of(model_name) != "head":
                raise CapabilityError(
                    f"{name!r} of {self._files.label} has the shape {tensor.shape}, and {shape} in "
                    "its base",
                    hint="it was trained on another base: name the right one",
                )
