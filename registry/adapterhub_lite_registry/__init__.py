"""A local registry of adapters and models: files are the truth, SQLite is a disposable index.

Names are exported lazily, so importing an error costs neither pydantic nor SQLite.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapterhub_lite_registry.aliases import ANY, AliasMove
    from adapterhub_lite_registry.config import Config
    from adapterhub_lite_registry.errors import (
        AdapterHubError,
        AliasConflictError,
        IntegrityError,
        InUseError,
        InvalidManifestError,
        InvalidNameError,
        InvalidQueryError,
        NotFoundError,
        RegistryError,
        SignatureError,
        StorageError,
    )
    from adapterhub_lite_registry.exchange import MAX_MANIFEST, Exchange, parse_manifest
    from adapterhub_lite_registry.fsck import FsckReport, Reading
    from adapterhub_lite_registry.gc import GcReport
    from adapterhub_lite_registry.graph import GraphEdge, GraphNode, LineageGraph, lineage_graph
    from adapterhub_lite_registry.io import FileIO, at_most
    from adapterhub_lite_registry.lineage import Lineage, LineageNode
    from adapterhub_lite_registry.manifest import (
        Base,
        Component,
        Dataset,
        FileEntry,
        Manifest,
        ManifestDraft,
        Metric,
        Parent,
        Signature,
        Tensors,
    )
    from adapterhub_lite_registry.names import check_alias, check_name
    from adapterhub_lite_registry.problems import Problem
    from adapterhub_lite_registry.publish import Source
    from adapterhub_lite_registry.query import Entry
    from adapterhub_lite_registry.registry import Registry, default_home
    from adapterhub_lite_registry.removal import RemovalPlan
    from adapterhub_lite_registry.repair import ByteSource, Outcome
    from adapterhub_lite_registry.signatures import MAX_SIGNATURE, MOST_SIGNATURES, Signatures
    from adapterhub_lite_registry.signers import (
        KeySigner,
        SigstoreSigner,
        TrustedIdentity,
        TrustedKey,
    )
    from adapterhub_lite_registry.versions import Version
    from adapterhub_lite_registry.walk import Tally

_HOME_OF = {
    "ANY": "aliases",
    "AliasMove": "aliases",
    "AdapterHubError": "errors",
    "AliasConflictError": "errors",
    "IntegrityError": "errors",
    "InUseError": "errors",
    "InvalidManifestError": "errors",
    "InvalidNameError": "errors",
    "InvalidQueryError": "errors",
    "NotFoundError": "errors",
    "RegistryError": "errors",
    "SignatureError": "errors",
    "StorageError": "errors",
    "MAX_MANIFEST": "exchange",
    "Exchange": "exchange",
    "parse_manifest": "exchange",
    "GraphEdge": "graph",
    "GraphNode": "graph",
    "LineageGraph": "graph",
    "lineage_graph": "graph",
    "FileIO": "io",
    "at_most": "io",
    "Lineage": "lineage",
    "LineageNode": "lineage",
    "Base": "manifest",
    "Component": "manifest",
    "Dataset": "manifest",
    "FileEntry": "manifest",
    "Manifest": "manifest",
    "ManifestDraft": "manifest",
    "Metric": "manifest",
    "Parent": "manifest",
    "Signature": "manifest",
    "Tensors": "manifest",
    "check_alias": "names",
    "check_name": "names",
    "Source": "publish",
    "Entry": "query",
    "Registry": "registry",
    "default_home": "registry",
    "RemovalPlan": "removal",
    "Problem": "problems",
    "ByteSource": "repair",
    "Outcome": "repair",
    "Config": "config",
    "FsckReport": "fsck",
    "Reading": "fsck",
    "GcReport": "gc",
    "MAX_SIGNATURE": "signatures",
    "MOST_SIGNATURES": "signatures",
    "Signatures": "signatures",
    "KeySigner": "signers",
    "SigstoreSigner": "signers",
    "TrustedIdentity": "signers",
    "TrustedKey": "signers",
    "Tally": "walk",
    "Version": "versions",
}

__all__ = [
    "ANY",
    "MAX_MANIFEST",
    "MAX_SIGNATURE",
    "MOST_SIGNATURES",
    "AdapterHubError",
    "AliasConflictError",
    "AliasMove",
    "Base",
    "ByteSource",
    "Component",
    "Config",
    "Dataset",
    "Entry",
    "Exchange",
    "FileEntry",
    "FileIO",
    "FsckReport",
    "GcReport",
    "GraphEdge",
    "GraphNode",
    "InUseError",
    "IntegrityError",
    "InvalidManifestError",
    "InvalidNameError",
    "InvalidQueryError",
    "KeySigner",
    "Lineage",
    "LineageGraph",
    "LineageNode",
    "Manifest",
    "ManifestDraft",
    "Metric",
    "NotFoundError",
    "Outcome",
    "Parent",
    "Problem",
    "Reading",
    "Registry",
    "RegistryError",
    "RemovalPlan",
    "Signature",
    "SignatureError",
    "Signatures",
    "SigstoreSigner",
    "Source",
    "StorageError",
    "Tally",
    "Tensors",
    "TrustedIdentity",
    "TrustedKey",
    "Version",
    "at_most",
    "check_alias",
    "check_name",
    "default_home",
    "lineage_graph",
    "parse_manifest",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
