"""Signing versions and checking signatures, by sigstore's ``model-signing``.

A signature is a file in that library's own format: a sigstore bundle around a DSSE envelope with an
in-toto statement. Its resources are a version's files with their hashes, so that any tool for that
format can check a checkout. Its subject is ``name@sha256:…``, with the digest of the manifest, so
that all that the manifest says is signed too.
"""

import json
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from adapterhub_lite_registry.errors import SignatureError
from adapterhub_lite_registry.manifest import Manifest
from adapterhub_lite_registry.signers import Signer, Trust
from adapterhub_lite_registry.signlib import library, one_line, told

PREDICATE: Final = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class Subject:
    """What a signature is of: a version's name and digest, and its files, path → SHA-256."""

    name: str
    digest: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, manifest: Manifest, digest: str) -> "Subject":
        """Return the subject that the version with that manifest is."""
        return cls(manifest.name, digest, {entry.path: entry.sha256 for entry in manifest.files})

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"


def make_signature(subject: Subject, signer: Signer) -> bytes:
    """Return a signature; SignatureError."""
    modules = library()
    # stdout belongs to the command's own output; a login may ask for something there
    with TemporaryDirectory() as folder, redirect_stdout(sys.stderr), told("it cannot be signed"):
        config = modules.signing.Config().set_hashing_config(_listed(modules, subject))
        signer.configure(config)
        config.sign(folder, Path(folder, "signature"))
        return Path(folder, "signature").read_bytes()


def find_signer(subject: Subject, signatures: Sequence[bytes], trusted: Sequence[Trust]) -> Trust:
    """Return by whom of the trusted a version is signed; SignatureError tells why by none."""
    if not signatures:
        raise SignatureError("it is not signed")
    if not trusted:
        raise SignatureError(
            "nobody is trusted to have signed it", hint="see: ahl config trusted_keys FILE"
        )
    library()
    reasons = []
    for data in signatures:
        try:
            return _signer(subject, parse_signature(subject, data), trusted)
        except SignatureError as error:
            reasons.append(error.message)
    raise SignatureError(f"no signature counts: {'; '.join(reasons)}")


def parse_signature(subject: Subject, data: bytes) -> Mapping[str, Any]:
    """Return a signature's JSON, by whomever it is; SignatureError unless it is of that version."""
    try:
        bundle = json.loads(data, object_pairs_hook=_each_once)
        envelope = b64decode(bundle["dsseEnvelope"]["payload"], validate=True)
        statement = json.loads(envelope, object_pairs_hook=_each_once)
        kind, (named,) = statement["predicateType"], statement["subject"]
        name = named["name"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise SignatureError(f"one is damaged ({one_line(error)})") from error
    if kind != PREDICATE:
        raise SignatureError(f"one states {one_line(kind)}, not {PREDICATE}")
    if name != str(subject):
        raise SignatureError(f"one is of another version, {one_line(name)}")
    return dict(bundle)


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _signer(subject: Subject, parsed: Mapping[str, Any], trusted: Sequence[Trust]) -> Trust:
    reasons = []
    for trust in trusted:
        try:
            _verify(subject, parsed, trust)
        except SignatureError as error:
            reasons.append(error.message)
        else:
            return trust
    raise SignatureError("; ".join(reasons))


def _verify(subject: Subject, parsed: Mapping[str, Any], trust: Trust) -> None:
    """Let the library check the signature and compare the files with those that were signed.

    What it reads is written from what was understood here, so that both read the same.
    """
    modules = library()
    with (
        TemporaryDirectory() as folder,
        redirect_stdout(sys.stderr),
        told(f"one is not shown to be by {trust}"),
    ):
        file = Path(folder, "signature")
        file.write_text(json.dumps(parsed), encoding="utf-8")
        config = modules.verifying.Config().set_hashing_config(_listed(modules, subject))
        trust.configure(config, Path(folder))
        config.verify(Path(folder), file)


def _listed(modules: Any, subject: Subject) -> Any:
    """Return how the library is to hash a folder: our manifest knows the hashes already."""

    class Listed(modules.hashing.Config):  # type: ignore[misc]
        def hash(self, model_path: object, *, files_to_hash: object = None) -> Any:
            form = modules.manifest.SerializationType.from_args(
                {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
            )
            items = [
                form.new_item(path, modules.Digest("sha256", bytes.fromhex(digest)))
                for path, digest in subject.files.items()
            ]
            return modules.manifest.Manifest(str(subject), items, form)

    return Listed()
