"""Many versions in one process: each base held once, each row answered by its own adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

from adapterhub_lite.bases import Fingerprint
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.inference.artifact import ArtifactInfo, read_info
from adapterhub_lite.inference.composed import OpenComposition
from adapterhub_lite.inference.generation import GenerationOptions
from adapterhub_lite.inference.held import Held
from adapterhub_lite.inference.interface import interface_of, predictor_of
from adapterhub_lite.inference.loaded import Bases, Loaded, SharedBase, loading_of
from adapterhub_lite.inference.loading import find_base, load_model, loaded_by, resolve_artifact
from adapterhub_lite.inference.mixing import Row, answer_rows
from adapterhub_lite.inference.origins import require_parts, warn_of_versions
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.predictions import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from adapterhub_lite_registry import Registry

BaseKey = tuple[Fingerprint, tuple[str, str]]
"""What makes two bases one: their hashes, the loader with its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One row: which version is asked, and what; ``member`` is one of a composition's."""

    ref: str
    input: Any
    options: GenerationOptions | None = None
    member: str | None = None


class Fleet:
    """Versions that answer together; what they hold beyond their bases is kept in ``most_bytes``.

    With ``loader`` all are loaded in another precision than they were trained in. The one asked
    longest ago is dropped first, and a base with the last version on it; the one asked last stays,
    whatever its size. ``resolve`` and ``loaded`` may be called from any thread and never wait;
    ``predict`` and ``predictor`` wait for each other. A predictor that somebody still has answers
    after it was dropped.
    """

    def __init__(
        self,
        registry: "Registry",
        catalogue: Catalogue,
        *,
        device: str = "cpu",
        most_bytes: int | None = None,
        loader: str | None = None,
    ) -> None:
        self._registry, self._catalogue, self._device = registry, catalogue, device
        self._loader = loader
        self._most_bytes = most_bytes
        self._lock = RLock()
        self._versions: dict[str, Loaded] = {}  # the one asked last at the end
        self._bases: dict[BaseKey, SharedBase] = {}
        self._sizes: Mapping[str, int] = {}

    def resolve(self, ref: str) -> str:
        """Return the version that ``ref`` means now (``name@7``); moved aliases are picked up.

        Raises NotFoundError or InvalidNameError.
        """
        return self._registry.locate(ref)

    def predictor(self, ref: str) -> Predictor:
        """Return a version's predictor, loaded when it is first asked for.

        Raises as :func:`~adapterhub_lite.inference.loading.load_predictor`.
        """
        with self._lock:
            loaded = self._loaded(ref)
            self._tidy()
            return loaded.predictor

    def predict(self, asked: Sequence[Asked]) -> list[Prediction | AdapterHubError]:
        """Answer rows in their order, each by its own adapter; one that fails has its own error.

        A text is written as if it were asked alone. What speaks against loading a version is the
        error of its rows.
        """
        with self._lock:
            versions = {ref: self._found(ref) for ref in dict.fromkeys(one.ref for one in asked)}
            found = [_row(one, versions[one.ref]) for one in asked]
            answered = iter(answer_rows([row for row in found if isinstance(row, Row)]))
            answers = [next(answered) if isinstance(row, Row) else row for row in found]
            self._tidy()
            return answers

    def loaded(self) -> Mapping[str, int]:
        """Return the versions that are loaded, and how many bytes each holds beyond its base."""
        return dict(self._sizes)

    def _found(self, ref: str) -> Loaded | AdapterHubError:
        try:
            return self._loaded(ref)
        except AdapterHubError as error:
            return error

    def _loaded(self, ref: str) -> Loaded:
        version = self.resolve(ref)
        loaded = self._versions.pop(version, None) or self._load(version)
        self._versions[version] = loaded
        return loaded

    def _load(self, version: str) -> Loaded:
        import torch

        # what is shared outlives the caller's mode, and is told apart by its versions
        with torch.inference_mode(False):
            return self._read(version)

    def _read(self, version: str) -> Loaded:
        folder, name = resolve_artifact(version, self._registry)
        info = read_info(folder)
        require_parts(info, name, self._catalogue)
        warn_of_versions(info, name, self._catalogue)
        if self._loader is not None:
            info = loaded_by(self._loader, info, name, self._catalogue)
        if info.base is None:
            return self._whole(name, folder, info)
        key = info.base.fingerprint, loading_of(info)
        base = self._bases.get(key)
        if base is None:
            found = find_base(folder, info, self._registry, self._catalogue)
            base = SharedBase(found, self._catalogue, self._device)
        load = base.load if info.composition is None else partial(self._composition, base)
        loaded = load(name, folder, info)
        self._bases[key] = base
        return loaded

    def _composition(
        self, base: SharedBase, version: str, folder: "Path", info: ArtifactInfo
    ) -> Loaded:
        bases = Bases(base.found, self._catalogue, self._device)
        bases.add(info, base)
        opened = OpenComposition(folder, version, info, bases, self._catalogue)
        return Loaded(opened.predictor, base, opened.members.own_bytes)

    def _whole(self, version: str, folder: "Path", info: ArtifactInfo) -> Loaded:
        base = find_base(folder, info, self._registry, self._catalogue)
        model = load_model(folder, info, base, self._catalogue, self._device)
        spec = self._catalogue.objective(info.objective)
        scorer = self._catalogue.implementation(spec).load(model, folder)
        predictor = predictor_of(scorer, version, interface_of(info, self._catalogue))
        size = Held().own_bytes([model.model])
        return Loaded(predictor, None, lambda: size)

    def _tidy(self) -> None:
        """Drop the versions that do not fit, and the bases that none is on any more."""
        sizes = {version: loaded.nbytes() for version, loaded in self._versions.items()}
        total = sum(sizes.values())
        for version in list(self._versions)[:-1]:
            if self._most_bytes is None or total <= self._most_bytes:
                break
            total -= sizes.pop(version)
            del self._versions[version]
        used = {id(loaded.base) for loaded in self._versions.values()}
        self._bases = {key: base for key, base in self._bases.items() if id(base) in used}
        self._sizes = sizes


def _row(one: Asked, found: Loaded | AdapterHubError) -> Row | AdapterHubError:
    if isinstance(found, AdapterHubError):
        return found
    try:
        predictor = found.predictor if one.member is None else found.predictor.member(one.member)
    except AdapterHubError as error:
        return error
    return Row(predictor, found.pooled, one.input, one.options)
