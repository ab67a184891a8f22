"""A signature's own words on who made it are read, whatever they are, and believed nothing."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from adapterhub_lite_registry.claims import LOGIN, UNNAMED, claimed_signer
from adapterhub_lite_registry.signers import TrustedIdentity

ISSUER = "https://accounts.example"
FORMER = (x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), ISSUER.encode())
NOW = (
    x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"),
    b"\x0c" + bytes([len(ISSUER)]) + ISSUER.encode(),
)


def certificate(who: str | None, *more: tuple[x509.ObjectIdentifier, bytes]) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    nobody = x509.Name([])
    made = x509.CertificateBuilder(
        nobody, nobody, key.public_key(), 1, datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    if who is not None:
        names = x509.SubjectAlternativeName([x509.RFC822Name(who)])
        made = made.add_extension(names, critical=True)
    for oid, value in more:
        made = made.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return b64encode(made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)).decode()


def held(raw: str) -> dict[str, Any]:
    return {"certificate": {"rawBytes": raw}}


@pytest.mark.parametrize("more", [[FORMER], [NOW], [FORMER, NOW]])
def test_a_login_is_named_as_checking_names_it(more: list[Any]) -> None:
    raw = certificate("ada@example.org", *more)
    chain = {"x509CertificateChain": {"certificates": [{"rawBytes": raw}]}}
    for material in (held(raw), chain):
        named = claimed_signer({"verificationMaterial": material})
        assert named == str(TrustedIdentity("ada@example.org", ISSUER))


def test_a_login_without_a_provider() -> None:
    material = held(certificate("ada@example.org"))
    assert claimed_signer({"verificationMaterial": material}) == "ada@example.org"


NONSENSE: list[tuple[Any, str]] = [
    (None, UNNAMED),
    ([], UNNAMED),
    ({}, UNNAMED),
    ({"publicKey": {"hint": "\x1b[2J" + "0" * 60}}, UNNAMED),
    ({"publicKey": {}}, UNNAMED),
    ({"certificate": {}}, UNNAMED),
    ({"x509CertificateChain": {"certificates": []}}, UNNAMED),
    (held("no base64"), LOGIN),
    (held(b64encode(b"no certificate").decode()), LOGIN),
    (held(certificate(None)), LOGIN),
]


@pytest.mark.parametrize(("material", "named"), NONSENSE)
def test_nonsense_is_nobody(material: Any, named: str) -> None:
    assert claimed_signer({"verificationMaterial": material}) == named


def test_what_stands_in_a_certificate_is_printable() -> None:
    wrong = (FORMER[0], b"https://\x1b[2J\xff\n")
    named = claimed_signer({"verificationMaterial": held(certificate("ada@example.org", wrong))})
    assert named.isprintable()
    assert named.startswith("ada@example.org of https://?[2J")
