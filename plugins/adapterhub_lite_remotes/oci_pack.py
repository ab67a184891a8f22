"""A version as a model of ModelPack: an OCI manifest whose layers are the version's files.

Each file is a layer as it is, so that its digest is the file's own. Our manifest is a layer too,
by which a pull finds the version again. https://github.com/modelpack/model-spec
"""

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Final

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite_registry import Manifest
from adapterhub_lite_registry.names import is_digest
from adapterhub_lite_registry.refs import Ref
from adapterhub_lite_remotes.oci_http import parse_object

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.cncf.model.config.v1+json"
LAYER_TYPE: Final = "application/vnd.cncf.model.{}.v1.raw"
FILE_PATH: Final = "org.cncf.model.filepath"
NAME: Final = "org.opencontainers.image.title"
NUMBER: Final = "org.opencontainers.image.version"
OWN_MANIFEST: Final = ".adapterhub-lite/manifest.json"
NUMBER_RULE: Final = re.compile(r"[1-9][0-9]{0,7}")
SIGNATURE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY: Final = b"{}"
KINDS: Final = {
    ".safetensors": "weight",
    ".gguf": "weight",
    ".md": "doc",
    ".py": "code",
}
"""What a file is to ModelPack, by its suffix; any other is configuration."""


def pack(manifest: Manifest, digest: str, size: int, number: int) -> tuple[bytes, bytes]:
    """Return the configuration and the OCI manifest of a version; always the same."""
    layers = [_layer(_kind(e.path), f"sha256:{e.sha256}", e.size, e.path) for e in manifest.files]
    layers.append(_layer("weight.config", digest, size, OWN_MANIFEST))
    config = _encode(_config(manifest, number, [layer["digest"] for layer in layers]))
    return config, _encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": _descriptor(CONFIG_TYPE, digest_of(config), len(config)),
            "layers": layers,
            "annotations": {NAME: manifest.name, NUMBER: str(number)},
        }
    )


def unpack(data: bytes, where: str) -> Ref:
    """Return the version that an OCI manifest stands for; raises IntegrityError."""
    found = parse_object(data, where)
    try:
        name, number = found["annotations"][NAME], found["annotations"][NUMBER]
        (digest,) = (
            layer["digest"]
            for layer in found["layers"]
            if layer.get("annotations", {}).get(FILE_PATH) == OWN_MANIFEST
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise IntegrityError(f"{where} is no version that was pushed by 'ahl push'") from error
    if not (isinstance(name, str) and isinstance(number, str) and isinstance(digest, str)):
        raise IntegrityError(f"{where} is damaged")
    if NUMBER_RULE.fullmatch(number) is None or not is_digest(digest):
        raise IntegrityError(f"{where} is damaged")
    return Ref(name, int(number), digest)


def signatures_tag(digest: str) -> str:
    """Return the tag under which a manifest's signatures are; no alias has so many letters."""
    return f"{digest.replace(':', '-')}.sig"


def pack_signatures(signatures: Iterable[tuple[str, int]]) -> bytes:
    """Return the OCI manifest of some signatures, digests and sizes."""
    layers = [_descriptor(SIGNATURE_TYPE, digest, size) for digest, size in signatures]
    return _encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": SIGNATURE_TYPE,
            "config": _descriptor(EMPTY_TYPE, digest_of(EMPTY), len(EMPTY)),
            "layers": layers,
        }
    )


def unpack_signatures(data: bytes, where: str) -> list[tuple[str, int]]:
    """Return the digests and sizes of the signatures; raises IntegrityError."""
    found = parse_object(data, where)
    try:
        layers = [(layer["digest"], layer["size"]) for layer in found["layers"]]
    except (LookupError, TypeError) as error:
        raise IntegrityError(f"{where} lists no signatures") from error
    if not all(isinstance(d, str) and is_digest(d) and type(size) is int for d, size in layers):
        raise IntegrityError(f"{where} is damaged")
    return layers


def digest_of(data: bytes) -> str:
    """Return the digest of bytes."""
    return f"sha256:{sha256(data).hexdigest()}"


def _config(manifest: Manifest, number: int, digests: list[str]) -> Mapping[str, Any]:
    descriptor: dict[str, Any] = {
        "createdAt": manifest.created_at,
        "name": manifest.name,
        "version": str(number),
    }
    if manifest.description:
        descriptor["description"] = manifest.description
    if manifest.license:
        descriptor["licenses"] = [manifest.license]
    return {
        "descriptor": descriptor,
        "config": {},
        "modelfs": {"type": "layers", "diffIds": digests},
    }


def _kind(path: str) -> str:
    return KINDS.get(PurePosixPath(path).suffix.lower(), "weight.config")


def _layer(kind: str, digest: str, size: int, path: str) -> dict[str, Any]:
    layer = _descriptor(LAYER_TYPE.format(kind), digest, size)
    return {**layer, "annotations": {FILE_PATH: path}}


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
