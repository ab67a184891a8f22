"""``ahl sign``, ``ahl verify`` and the settings that ask for signatures, as a person meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from adapterhub_lite_registry import ManifestDraft, Registry
from tests.unit.cli.conftest import Ahl, Done


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a registry with two versions, beside a key pair."""
    registry = Registry.open(tmp_path / "home")
    for seed in (1, 2):
        files: dict[str, Path | bytes] = {"a.json": b"{}", "b.json": b"%d" % seed}
        registry.publish("tickets", files, ManifestDraft(kind="adapter"))
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "me.key").write_bytes(private)
    (tmp_path / "me.pub").write_bytes(public)
    return registry.home


@pytest.fixture
def run(ahl: Ahl, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run a command for that registry, beside the keys."""
    monkeypatch.chdir(home.parent)
    return lambda *words: ahl(*words, "--home", str(home))


def test_a_version_is_signed_and_checked(run: Callable[..., Done], home: Path) -> None:
    signed = run("sign", "tickets@1", "--key", "me.key")
    assert (signed.code, signed.out.splitlines()[0]) == (0, "signed     tickets@1")
    assert run("sign", "tickets@1", "--key", "me.key").out.startswith("was signed tickets@1")
    checked = run("verify", "tickets@1", "--key", "me.pub")
    assert checked.out.startswith("verified   tickets@1, 2 files\nsigned by  the key ")
    told = json.loads(run("verify", "tickets@1", "--key", "me.pub", "--json").out)
    assert told.keys() == {"version", "digest", "signer", "files"}
    (blob,) = (path for path in home.glob("blobs/*/*/*") if path.read_bytes() == b"1")
    blob.chmod(0o644)
    blob.write_bytes(b"3")
    damaged = run("verify", "tickets@1", "--key", "me.pub")
    assert damaged.code == 1
    assert "tickets@1 is signed by the key" in damaged.err
    assert "and damaged: blobs/" in damaged.err


def test_show_tells_who_signed_and_that_nobody_looked(run: Callable[..., Done], home: Path) -> None:
    assert "signed by" not in run("show", "tickets@1").out
    assert json.loads(run("show", "tickets@1", "--json").out)["signed_by"] == []
    run("sign", "tickets@1", "--key", "me.key")
    signer = json.loads(run("verify", "tickets@1", "--key", "me.pub", "--json").out)["signer"]
    told = f"signed by       {signer} (not verified; ahl verify tickets@1)"
    assert told in run("show", "tickets@1").out.splitlines()
    assert json.loads(run("show", "tickets@1", "--json").out)["signed_by"] == [
        {"signer": signer, "verified": False}
    ]
    (file,) = home.glob("signatures/*/*.json")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b" ")
    shown = run("show", "tickets@1")
    assert (shown.code, "signed by" in shown.out) == (0, False)
    assert "the signature is not what was written" in shown.err


def test_a_registry_asks_for_signatures(run: Callable[..., Done], home: Path) -> None:
    early = run("config", "require_signature", "true")
    assert (early.code, "set them first" in early.err) == (2, True)
    assert run("config", "trusted_keys", "me.pub").code == 0
    assert run("config", "require_signature", "true").out == "require_signature  true\n"
    assert run("config", "trusted_keys", "--unset").code == 2
    refused = run("path", "tickets@1")
    assert refused.code == 1
    assert refused.err.startswith("error: tickets@1: it is not signed; this registry asks for")
    assert "hint: " in refused.err
    assert run("sign", "tickets@1", "--key", "me.key").code == 0
    assert run("path", "tickets@1").code == 0
    assert run("verify", "tickets@1").code == 0
    assert run("import", str(home.parent), "--name", "other").err.startswith(
        f"error: {home.parent} brings no signature"
    )
    shown = json.loads(run("config", "--json").out)
    assert shown["require_signature"]
    assert shown["trusted_keys"] == [(home.parent / "me.pub").read_text()]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("sign", "tickets@1"), 2, "sign with --key FILE or with --sigstore"),
        (("sign", "tickets@1", "--key", "me.key", "--sigstore"), 2, "one of the two"),
        (("sign", "tickets@1", "--key", "me.key", "--token", "x"), 2, "--token goes with"),
        (("sign", "tickets@1", "--key", "me.pub"), 1, "me.pub is no private key"),
        (("sign", "nothing", "--key", "me.key"), 2, "nothing is called 'nothing'"),
        (("verify", "tickets@1", "--key", "me.pub"), 1, "tickets@1: it is not signed"),
        (("verify", "tickets@1", "--key", "me.key"), 1, "me.key is no public key"),
        (("verify", "tickets@1", "--identity", "me@x"), 2, "go together"),
        (("config", "require_signature", "yes"), 2, "neither true nor false"),
        (("config", "quota.hard", "1GB", "2GB"), 2, "quota.hard takes one value"),
        (("config", "trusted_key", "me.pub"), 2, "did you mean 'trusted_keys'?"),
    ],
)
def test_mistakes_are_told(
    run: Callable[..., Done], words: tuple[str, ...], code: int, complaint: str
) -> None:
    done = run(*words)
    assert done.code == code
    assert complaint in done.err
    assert "Traceback" not in done.err
