"""``ahl sign`` and ``ahl verify``: who vouches for a version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.registry_common import open_registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapterhub_lite_registry import KeySigner, SigstoreSigner, TrustedIdentity, TrustedKey

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(short_help="Sign a version: its manifest, and through it all its files.")
@click.argument("ref")
@click.option("--key", type=FILE, help="A private key of an elliptic curve, in PEM.")
@click.option("--sigstore", is_flag=True, help="No key: sign as whom a login at sigstore names.")
@click.option("--token", help="With --sigstore: the login's token, instead of a browser.")
@json_option
@shared_options
def sign(ref: str, key: Path | None, sigstore: bool, token: str | None, as_json: bool) -> None:
    """Sign the version REF, with a key of your own or a login at sigstore.

    The signature lies beside the version and goes along with push and pull; the digest stays what
    it is. It is in the format of sigstore's model-signing, whose tools can check a checkout.

    \b
    openssl ecparam -name prime256v1 -genkey -noout -out me.key
    openssl ec -in me.key -pubout -out me.pub
    ahl sign tickets@7 --key me.key
    """
    signer = _signer(key, sigstore, token)
    registry = open_registry()
    version = registry.resolve(ref)
    is_new = registry.signatures.sign(version, signer)
    if as_json:
        return emit_json({"version": str(version), "digest": version.digest, "new": is_new})
    click.echo(f"{'signed' if is_new else 'was signed':<11}{version}")
    return click.echo(f"{'digest':<11}{version.digest}")


def _signer(key: Path | None, sigstore: bool, token: str | None) -> "KeySigner | SigstoreSigner":
    from adapterhub_lite_registry import KeySigner, SigstoreSigner

    if (key is None) is not sigstore:
        raise click.UsageError("sign with --key FILE or with --sigstore: one of the two")
    if key is None:
        return SigstoreSigner(token)
    if token is not None:
        raise click.UsageError("--token goes with --sigstore")
    signer = KeySigner(key)
    if not signer.is_locked:
        return signer
    return KeySigner(key, click.prompt(f"Password of {key}", hide_input=True, err=True))


@click.command(short_help="Check by whom a version is signed, and all its files.")
@click.argument("ref")
@click.option("--key", "keys", type=FILE, multiple=True,
              help="A public key in PEM; may be repeated. Else the trusted ones.")  # fmt: skip
@click.option("--identity", help="Who signed at sigstore: an e-mail address or a workload's URL.")
@click.option("--issuer", help="With --identity: the URL of the provider that vouches for it.")
@json_option
@shared_options
def verify(
    ref: str, keys: tuple[Path, ...], identity: str | None, issuer: str | None, as_json: bool
) -> None:
    """Check that the version REF is signed by somebody who is trusted, and hash all its files.

    \b
    ahl verify tickets@7 --key me.pub
    ahl config trusted_keys me.pub
    ahl verify tickets@7
    """
    from adapterhub_lite_registry import IntegrityError

    trusted = _trusted(keys, identity, issuer)
    registry = open_registry()
    version = registry.resolve(ref)
    signer = registry.signatures.verify(version, trusted)
    report = registry.fsck(str(version), read_data=True)
    if report.problems:
        raise IntegrityError(
            f"{version} is signed by {signer}, and damaged: {report.problems[0]}",
            hint=f"run: ahl repair {version}",
        )
    if as_json:
        found = {"version": str(version), "digest": version.digest, "signer": str(signer)}
        return emit_json({**found, "files": report.read.files})
    click.echo(f"{'verified':<11}{version}, {report.read.files} files")
    return click.echo(f"{'signed by':<11}{signer}")


def _trusted(
    keys: "Sequence[Path]", identity: str | None, issuer: str | None
) -> "list[TrustedKey | TrustedIdentity]":
    from adapterhub_lite_registry import TrustedIdentity, TrustedKey

    if (identity is None) is not (issuer is None):
        raise click.UsageError("--identity and --issuer go together")
    trusted: list[TrustedKey | TrustedIdentity] = [TrustedKey.read(file) for file in keys]
    if identity is not None and issuer is not None:
        trusted.append(TrustedIdentity(identity, issuer))
    return trusted
