"""An OCI repository as a remote: what is sent, what is believed, and who is told a password."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import AdapterHubError, IntegrityError, NotFoundError, RemoteError
from adapterhub_lite.remotes import pull_version, push_version
from adapterhub_lite.testing.remote_checks import CHECKS
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite_registry import Registry
from adapterhub_lite_remotes import oci
from adapterhub_lite_remotes.oci_address import parse_address
from adapterhub_lite_remotes.oci_login import PASSWORD, USER
from tests.unit.remotes.oci_registry import OciRegistry, Reply, digest_of, serving


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in."""
    monkeypatch.delenv(USER, raising=False)
    monkeypatch.delenv(PASSWORD, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def server() -> OciRegistry:
    return OciRegistry()


@pytest.fixture
def address(server: OciRegistry) -> Iterator[str]:
    with serving(server) as host:
        yield f"oci://{host}/acme/tickets"


@pytest.fixture
def pushed(
    publish: Any, here: Registry, address: str, catalogue: Catalogue, server: OciRegistry
) -> str:
    for seed in range(3):
        publish(seed=seed)
        push_version(f"support@{seed + 1}", address, here, catalogue, alias="prod")
    server.asked.clear()
    return address


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_passes_the_conformance_kit(
    address: str, catalogue: Catalogue, tmp_path: Path, check: Any
) -> None:
    offer = catalogue.offer("remote", "oci")
    check(
        Subject(
            offer=offer,
            catalogue=catalogue,
            folder=tmp_path,
            shared=tmp_path,
            params={"address": address},
        )
    )


def test_versions_and_aliases_are_tags(
    pushed: str, here: Registry, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    assert set(server.tags) == {"1", "2", "3", "prod"}
    assert server.uploads == {}
    assert server.tags["prod"] == server.tags["3"]
    for ref, number in (("support", 3), ("support@1", 1), ("support@prod", 3)):
        pulled = pull_version(pushed, there, catalogue, ref=ref)
        assert pulled.version.digest == here.resolve(f"support@{number}").digest
    assert there.fsck(read_data=True).problems == ()
    assert push_version("support@2", pushed, here, catalogue).sent == 0


@pytest.mark.parametrize(("tag", "number"), [("1", 1), ("prod", 3)])
def test_an_address_with_a_tag(
    pushed: str, there: Registry, catalogue: Catalogue, here: Registry, tag: str, number: int
) -> None:
    assert pull_version(f"{pushed}:{tag}", there, catalogue).version.number == number
    with pytest.raises(NotFoundError):
        pull_version(f"{pushed}:{tag}", there, catalogue, ref="support@2")
    with pytest.raises(RemoteError, match="names a tag"):
        push_version("support", f"{pushed}:{tag}", here, catalogue)


def test_what_lies_there_is_a_model_of_modelpack(
    pushed: str, here: Registry, server: OciRegistry
) -> None:
    manifest = json.loads(server.tags["2"])
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    config = json.loads(server.blobs[manifest["config"]["digest"]])
    assert set(config) == {"descriptor", "config", "modelfs"}
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    files = {
        layer["annotations"]["org.cncf.model.filepath"]: (layer["mediaType"], layer["digest"])
        for layer in manifest["layers"]
    }
    version = here.resolve("support@2")
    own = files.pop(".adapterhub-lite/manifest.json")
    assert own[1] == version.digest
    assert {path: digest for path, (_, digest) in files.items()} == {
        entry.path: f"sha256:{entry.sha256}" for entry in version.manifest.files
    }
    weights = files["adapter_model.safetensors"][0]
    assert weights == "application/vnd.cncf.model.weight.v1.raw"


@pytest.mark.parametrize(
    ("part", "least", "sizes"),
    [
        (20_000, 0, [16_464]),
        (16_464, 0, [16_464]),
        (16_463, 0, [16_463, 1]),
        (8_232, 0, [8_232, 8_232]),
        (5_000, 9_000, [9_000, 7_464]),
    ],
)
def test_large_files_go_in_parts(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue,
    server: OciRegistry, monkeypatch: pytest.MonkeyPatch, part: int, least: int, sizes: list[int],
) -> None:  # fmt: skip
    monkeypatch.setattr(oci, "PART", part)
    server.least = least
    version = publish()
    entry = version.manifest.file("adapter_model.safetensors")
    assert entry is not None
    assert entry.size == 16_464
    push_version("support", address, here, catalogue)
    assert sum(method == "PATCH" for method, *_ in server.asked) == len(sizes) - 1
    assert [size for size in server.parts if size > 4_000 or size == sizes[-1]] == sizes
    assert pull_version(address, there, catalogue).version.digest == version.digest


def test_one_repository_holds_one_name(
    publish: Any, pushed: str, here: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    publish("other")
    before = dict(server.blobs)
    with pytest.raises(RemoteError, match="holds versions of 'support', and one name alone"):
        push_version("other", pushed, here, catalogue)
    assert server.blobs == before


def test_nothing_is_replaced(
    publish: Any, pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    publish(seed=9, registry=there)
    before = dict(server.tags)
    with pytest.raises(RemoteError, match="is not replaced"):
        push_version("support@1", pushed, there, catalogue)
    assert server.tags == before
    assert push_version("support@1", pushed, there, catalogue, next_number=True).number == 4


def test_a_tag_that_somebody_else_wrote_is_neither_pulled_nor_moved(
    pushed: str, here: Registry, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    for foreign in (b'{"layers": []}', b"[]", b"no", b"[" * 200_000, b'{"layers": [1]}'):
        server.tags["stage"] = server.tags["9"] = foreign
        with pytest.raises(IntegrityError):
            push_version("support@1", pushed, here, catalogue, alias="stage")
        with pytest.raises(IntegrityError):
            pull_version(pushed, there, catalogue)
        assert server.tags["stage"] == foreign
    server.tags["9"] = server.tags["1"]
    with pytest.raises(IntegrityError, match="the tag 9 is that of support@1"):
        pull_version(pushed, there, catalogue, ref="support@9")
    assert there.names() == []


def blob(change: Any) -> Any:
    def fault(method: str, path: str, reply: Reply) -> Reply | None:
        return change(reply) if method == "GET" and "/blobs/" in path else reply

    return fault


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda reply: (200, {}, b"x" + reply[2][1:]), IntegrityError),
        (lambda reply: (200, {}, reply[2][:-1]), IntegrityError),
        (lambda reply: (200, {}, reply[2] * 3), IntegrityError),
        (lambda reply: (200, {"Content-Length": "99999"}, reply[2]), RemoteError),
        (lambda reply: (503, {}, b"later"), RemoteError),
        (lambda reply: (403, {}, b""), RemoteError),
        (lambda reply: (404, {}, b""), NotFoundError),
        (lambda reply: (302, {"Location": "http://example.invalid/x"}, b""), RemoteError),
        (lambda reply: (302, {"Location": "http://["}, b""), RemoteError),
        (lambda reply: None, RemoteError),
    ],
    ids=["other", "short", "long", "cut", "503", "403", "404", "plain", "url", "hangs up"],
)
def test_damage_on_the_way_here(
    pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry, fault: Any, error: Any
) -> None:
    server.fault = blob(fault)
    with pytest.raises(error):
        pull_version(pushed, there, catalogue)
    assert there.names() == []
    server.fault = blob(lambda reply: reply)
    assert pull_version(pushed, there, catalogue).new


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
@pytest.mark.parametrize("when", range(4))
def test_damage_on_the_way_there(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue,
    server: OciRegistry, method: str, when: int,
) -> None:  # fmt: skip
    version = publish()
    seen: list[str] = []

    def fault(asked: str, path: str, reply: Reply) -> Reply | None:
        seen.extend([asked] * (asked == method))
        return (500, {}, b"") if asked == method and len(seen) == when + 1 else reply

    server.fault = fault
    with pytest.raises(RemoteError, match="HTTP 500") as caught:
        push_version("support", address, here, catalogue)
    assert "try again" in caught.value.hint
    assert server.tags == {}
    push_version("support", address, here, catalogue)
    assert pull_version(address, there, catalogue).version.digest == version.digest


@pytest.mark.parametrize("path", ["tags/list", "manifests/3", "/token"])
@pytest.mark.parametrize(
    "body", [b"x" * (5 << 20), b"[]", b"{}", b'{"tags": [7], "token": "a\\r\\nb: c"}']
)
def test_answers_that_are_none(
    pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry, path: str, body: bytes
) -> None:
    server.auth = "bearer"
    server.fault = lambda method, asked, reply: (200, {}, body) if path in asked else reply
    with pytest.raises(AdapterHubError):
        pull_version(pushed, there, catalogue)


def test_the_header_of_weights_is_judged_before_the_rest(
    pushed: str, here: Registry, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    entry = here.resolve("support").manifest.file("adapter_model.safetensors")
    assert entry is not None
    server.blobs[f"sha256:{entry.sha256}"] = b"\xff" * entry.size
    with pytest.raises(AdapterHubError, match="header"):
        pull_version(pushed, there, catalogue)


def log_in(monkeypatch: pytest.MonkeyPatch, host: str, how: str, tmp_path: Path) -> None:
    if how == "environment":
        monkeypatch.setenv(USER, "ann")
        monkeypatch.setenv(PASSWORD, "pass:word")
        return
    folder = tmp_path / "docker"
    folder.mkdir()
    config: dict[str, Any] = {
        "auths": {host: {"auth": base64.b64encode(b"ann:pass:word").decode()}}
    }
    if how == "helper":
        config = {"auths": {host: {}}, "credHelpers": {host: "test"}}
        helper = folder / "docker-credential-test"
        helper.write_text(
            '#!/bin/sh\nread host\necho \'{"Username":"ann","Secret":"pass:word"}\'\n'
        )
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("how", ["environment", "config", "helper"])
@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_logged_in(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue,
    server: OciRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, auth: str, how: str,
) -> None:  # fmt: skip
    publish()
    server.auth = auth
    with pytest.raises(RemoteError, match="HTTP 40") as caught:
        push_version("support", address, here, catalogue)
    assert USER in caught.value.hint
    assert server.blobs == {}
    log_in(monkeypatch, parse_address(address).host, how, tmp_path)
    push_version("support", address, here, catalogue)
    assert pull_version(address, there, catalogue).new


def test_anybody_may_read_with_a_token(
    pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    server.auth = "bearer"
    assert pull_version(pushed, there, catalogue).new
    assert [given for _, url, given in server.asked if "/token" in url] == [None]


@pytest.mark.parametrize("broken", ["", "no json", "[]", '{"auths": 1, "credsStore": "../x"}'])
def test_a_broken_configuration_of_docker_is_passed_over(
    pushed: str, there: Registry, catalogue: Catalogue, tmp_path: Path, broken: str
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text(broken)
    assert pull_version(pushed, there, catalogue).new


def test_no_other_host_is_told_who_asks(
    pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    log_in(monkeypatch, "", "environment", tmp_path)
    server.auth = "basic"
    other = OciRegistry()
    other.blobs = server.blobs
    with serving(other) as host:
        server.fault = lambda method, path, reply: (
            (307, {"Location": f"http://{host}{path}"}, b"") if "/blobs/" in path else reply
        )
        assert pull_version(pushed, there, catalogue).new
        assert other.asked
        assert {given for *_, given in other.asked} == {None}
        other.auth = "basic"
        (there.home / "blobs").rename(there.home / "lost")
        (there.home / "blobs").mkdir()
        with pytest.raises(RemoteError, match="HTTP 401"):
            pull_version(pushed, there, catalogue, ref="support@1")
        assert {given for *_, given in other.asked} == {None}


def test_nobody_is_told_who_asks_where_a_registry_sends_uploads(
    publish: Any, here: Registry, address: str, catalogue: Catalogue, server: OciRegistry,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    publish()
    log_in(monkeypatch, "", "environment", tmp_path)
    server.auth = "basic"
    other = OciRegistry()
    other.uploads, other.blobs = server.uploads, server.blobs
    with serving(other) as host:
        server.upload_to = other.upload_to = f"http://{host}"
        assert push_version("support", address, here, catalogue).new
    assert {given for *_, given in other.asked} == {None}


def test_it_stays_with_tls(
    pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    server.fault = blob(lambda reply: (302, {"Location": "http://192.0.2.1/x"}, b""))
    with pytest.raises(RemoteError, match=r"leads to 192\.0\.2\.1 without TLS"):
        pull_version(pushed, there, catalogue)


def test_no_answer_is_read_to_its_end_that_is_too_long(
    pushed: str, there: Registry, catalogue: Catalogue, server: OciRegistry
) -> None:
    server.fault = lambda method, path, reply: (reply[0], reply[1], reply[2] + b" " * (5 << 20))
    with pytest.raises(IntegrityError, match="answers with more than 4,194,304 bytes"):
        pull_version(pushed, there, catalogue)


def test_an_upload_that_breaks_off_is_cancelled(address: str, server: OciRegistry) -> None:
    remote = oci.open_oci(address, create=True)
    with pytest.raises(RemoteError, match="DIGEST_INVALID"):
        remote.write("0" * 64, 3, [b"abc"])
    assert (server.uploads, server.blobs) == ({}, {})
    known = digest_of(b"abc").removeprefix("sha256:")
    remote.write(known, 3, [b"abc"])
    assert (remote.has(known, 3), remote.has(known, 4)) == (True, False)
    remote.close()


@pytest.mark.parametrize(
    "address",
    ["oci://host", "oci://host/", "oci://host/Upper", "oci://host/a//b", "oci:host/a", "oci:///a",
     "oci://host/a@sha256:0", "oci://host/../a", "oci://user:pw@host/a", "oci://host:x/a",
     "oci://host/a:b:c", "oci://host/a?x=1"],
)  # fmt: skip
def test_addresses_that_are_none(there: Registry, catalogue: Catalogue, address: str) -> None:
    with pytest.raises(RemoteError, match="names no repository") as caught:
        pull_version(address, there, catalogue)
    assert "oci://HOST/REPOSITORY" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("oci://ghcr.io/acme/tickets", "https://ghcr.io/v2/"),
        ("oci://docker.io/acme/tickets", "https://registry-1.docker.io/v2/"),
        ("oci://localhost:5000/a", "http://localhost:5000/v2/"),
        ("oci://127.0.0.1/a", "http://127.0.0.1/v2/"),
        ("oci://[::1]:5000/a", "http://[::1]:5000/v2/"),
        ("oci://localhost.example.com/a", "https://localhost.example.com/v2/"),
        ("oci+http://registry:5000/a", "http://registry:5000/v2/"),
    ],
)
def test_tls_is_left_away_for_this_machine_alone(address: str, url: str) -> None:
    assert parse_address(address).url == url


def test_a_registry_that_is_not_there(there: Registry, catalogue: Catalogue) -> None:
    with pytest.raises(RemoteError, match="cannot be reached"):
        pull_version("oci://localhost:1/acme/tickets", there, catalogue)
