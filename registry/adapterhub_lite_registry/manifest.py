"""What a version says about itself: the manifest's schema.

A manifest is immutable and its digest names the version, so what may change later (aliases) is
not in it. Everything but the kind is optional: a merge has no method, a composition no base.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

T = TypeVar("T")


def now() -> str:
    """Return the time as it is kept everywhere: UTC, to the microsecond, sorting as text."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _check_time(stamp: str) -> str:
    datetime.fromisoformat(stamp)
    return stamp


Timestamp = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"),
    AfterValidator(_check_time),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
# A list is welcome where a tuple is kept; what is in it stays strict.
Many = Annotated[tuple[T, ...], Field(strict=False)]


class Record(BaseModel):
    """Strict, frozen, and closed to unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileEntry(Record):
    """One file of a version: where it lies in the folder, and which bytes it has."""

    path: Text
    sha256: Sha256
    size: Count
    media_type: Text
    role: Text


class Base(Record):
    """The base model that a version needs, with the fingerprints that identify it."""

    ref: Text
    revision: Text | None = None
    config_sha256: Sha256 | None = None
    weights_sha256: Sha256 | None = None
    tokenizer_sha256: Sha256 | None = None
    arch: Text | None = None
    hidden: Count | None = None
    layers: Count | None = None


class Component(Record):
    """A plugin's part in making a version; ``plugin`` is the name of its distribution."""

    name: Text
    plugin: Text | None = None
    plugin_version: Text | None = None


class Dataset(Record):
    """The rows that a version learned from."""

    id: Text
    split: Text | None = None
    rows: Count | None = None
    sha256: Sha256 | None = None


class Metric(Record):
    """One measured figure, with its confidence interval where there is one."""

    name: Text
    value: float
    split: Text | None = None
    n: Count | None = None
    seed: int | str | None = None
    ci: Annotated[tuple[float, float], Field(strict=False)] | None = None


class Parent(Record):
    """A version that this one was made from."""

    digest: Digest
    role: Text | None = None
    weight: float | None = None


class Signature(Record):
    """The names of what goes in, and of the labels that come out."""

    inputs: Many[str] = ()
    labels: Many[str] = ()


class Tensors(Record):
    """A count of the weights: how many, of which dtypes, how many values not finite."""

    count: Count
    dtypes: dict[str, Count] = Field(default_factory=dict)
    nonfinite: Count = 0


class ManifestDraft(Record):
    """All of a manifest that its author knows; publishing adds the rest."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    description: Text | None = None
    task: Text | None = None
    base: Base | None = None
    method: Component | None = None
    objective: Component | None = None
    loader: Component | None = None
    strategies: Many[Component] = ()
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)
    seed: int | str | None = None
    dataset: Dataset | None = None
    metrics: Many[Metric] = ()
    parents: Many[Parent] = ()
    recipe: dict[str, JsonValue] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    license: Text | None = None
    base_license: Text | None = None
    signature: Signature | None = None
    tensors: Tensors | None = None


class Manifest(ManifestDraft):
    """The complete description of one version."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: Text
    files: Many[FileEntry]
    created_at: Timestamp

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.files)

    def file(self, path: str) -> FileEntry | None:
        """Return the entry at ``path``, if there is one."""
        return next((entry for entry in self.files if entry.path == path), None)
