"""Of a remote nothing is believed: what is damaged or made to harm publishes nothing."""

import hashlib
import itertools
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    AdapterHubError,
    BaseModelError,
    IntegrityError,
    NotFoundError,
    PluginConflictError,
    RemoteError,
    StorageError,
)
from adapterhub_lite.remotes import pull_version, push_version
from adapterhub_lite.specs import RemoteSpec
from adapterhub_lite_registry import Registry
from tests.unit.remotes.liar import SPEC, Liar, offering, two_files


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Liar:
    fresh = Liar()
    monkeypatch.setattr("tests.unit.remotes.liar.LIAR", fresh)
    return fresh


@pytest.fixture
def lies() -> Catalogue:
    return Catalogue([offering(SPEC)])


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return one registry for all that is refused: nothing of it is ever to be seen there."""
    return Registry.open(tmp_path_factory.mktemp("untouched"))


@pytest.fixture
def refused(untouched: Registry, liar: Liar, lies: Catalogue) -> Iterator[Callable[..., Any]]:
    """Pull, expect a refusal, and see that nothing of it is here."""

    def pull(error: type[AdapterHubError], match: str, **options: Any) -> AdapterHubError:
        with pytest.raises(error, match=match) as caught:
            pull_version("liar:x", untouched, lies, **options)
        assert "\n" not in caught.value.message
        return caught.value

    yield pull
    assert untouched.names() == []
    assert untouched.fsck(read_data=True).problems == ()
    assert liar.closed > 0


def header(tensors: str, data: int = 0) -> bytes:
    return struct.pack("<Q", len(tensors)) + tensors.encode() + bytes(data)


def endless(piece: bytes = bytes(1 << 16)) -> Iterator[bytes]:
    return itertools.repeat(piece)


def test_the_liar_can_be_honest(there: Registry, liar: Liar, lies: Catalogue) -> None:
    digest = liar.offer()
    assert pull_version("liar:x", there, lies).version.digest == digest
    assert there.fsck(read_data=True).problems == ()


@pytest.mark.parametrize(
    "path",
    ["../escape", "/etc/x", "a/../../x", "a\\b", "./x", "a//b", "x\0y", "a/" + "x" * 300, "A/x"],
)
def test_paths_that_lead_out_of_the_folder(liar: Liar, refused: Any, path: str) -> None:
    liar.offer({path: b"x", "a/X": b"y"})
    refused(IntegrityError, "support@1 of liar:x: ")


@pytest.mark.parametrize("path", ["head.pkl", "pytorch_model.bin", "x/MODEL.PT", "a.joblib"])
def test_files_that_may_hold_a_pickle(liar: Liar, refused: Any, path: str) -> None:
    liar.offer({path: b"x"})
    refused(IntegrityError, "may hold a pickle")
    assert liar.read_bytes < 1000, "the file was not asked for"


def test_a_manifest_that_does_not_match_its_digest(liar: Liar, refused: Any) -> None:
    digest = liar.offer()
    liar.manifests[digest] = [*liar.manifests[digest], b" "]
    error = refused(IntegrityError, "does not match its digest")
    assert error.hint.startswith("what the remote holds is damaged")


def test_a_manifest_without_end(liar: Liar, refused: Any) -> None:
    liar.manifests[liar.offer()] = endless()
    refused(IntegrityError, "more than 8,388,608 bytes")
    assert liar.read_bytes < 9_000_000


def test_a_manifest_in_another_form(liar: Liar, refused: Any) -> None:
    digest = liar.offer()
    (data,) = liar.manifests[digest]
    liar.say(json.dumps(json.loads(data), indent=1).encode())
    refused(IntegrityError, "not in canonical form")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"surprise": 1}, "surprise"),
        ({"files": {}}, "at least one file"),
        ({"kind": "../x"}, "kind"),
        ({"schema": 2}, "schema"),
        ({"parents": [{"digest": "sha256:x"}]}, "parents"),
    ],
)
def test_a_manifest_that_is_none(
    liar: Liar, refused: Any, changes: dict[str, Any], match: str
) -> None:
    liar.offer(**changes)
    refused(IntegrityError, match)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1}'])
def test_bytes_that_are_no_manifest(liar: Liar, refused: Any, data: bytes) -> None:
    liar.say(data)
    refused(IntegrityError, "support@1 of liar:x")


def test_the_manifest_of_another_name(liar: Liar, refused: Any) -> None:
    digest = liar.offer(name="other")
    liar.refs = {("support", 1): digest}
    refused(IntegrityError, "one of 'other'")


@pytest.mark.parametrize("digest", ["", "sha256:abc", "../../etc/passwd", "md5:" + "0" * 64])
def test_a_reference_to_no_digest(liar: Liar, refused: Any, digest: str) -> None:
    liar.refs["support", 1] = digest
    refused(IntegrityError, "no digest")


def test_names_that_are_no_names_are_not_listed(liar: Liar, refused: Any) -> None:
    for name in ("../../x", "", "a\x1b[31m", "Support"):
        liar.refs[name, 1] = "sha256:" + "0" * 64
    error = refused(AdapterHubError, "has no versions")
    assert error.hint.startswith("it has: nothing")


@pytest.mark.parametrize("number", [0, -1, 100_000_000, 10**15])
def test_numbers_that_would_spoil_ours(liar: Liar, refused: Any, number: int) -> None:
    liar.offer(number=number)
    refused(NotFoundError, "has no 'support'")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: [data[:-1]],
        lambda data: [data + b"x"],
        lambda data: [data[:-1] + bytes([data[-1] ^ 1])],
        lambda data: [],
        lambda data: itertools.chain([data], endless()),
    ],
    ids=["short", "long", "flipped", "empty", "endless"],
)
@pytest.mark.parametrize("path", ["adapter_model.safetensors", "adapter_config.json"])
def test_files_that_are_not_what_their_hash_says(
    liar: Liar, refused: Any, path: str, damage: Callable[[bytes], Iterable[bytes]]
) -> None:
    files = two_files()
    liar.offer(files)
    data = files[path]
    liar.blobs[hashlib.sha256(data).hexdigest()] = damage(data)
    error = refused((IntegrityError, BaseModelError), "support@1 of liar:x")
    assert path in error.message
    assert liar.read_bytes < 1_000_000


BOMBS = {
    "a header of 87 MB": struct.pack("<Q", 87_000_000) + b" " * 5_000_000,
    "a header of 2^63": struct.pack("<Q", 2**63) + bytes(5_000_000),
    "a tensor twice": header(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1
    ),
    "an absurd shape": header('{"a":{"dtype":"F32","shape":[0,4611686018427387904],'
                              '"data_offsets":[0,0]}}'),
    "offsets beyond the file": header('{"a":{"dtype":"F32","shape":[99],"data_offsets":[0,396]}}'),
    "a pickle": b"\x80\x04\x95cos\nsystem\n." + bytes(100),
    "nothing": b"",
    "seven bytes": bytes(7),
    "a list": header("[1]"),
    "a deep list": header("[" * 200_000),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_heads_that_safetensors_should_not_see(
    liar: Liar, refused: Any, bomb: str, piece: int
) -> None:
    data = BOMBS[bomb]
    liar.offer({"model.safetensors": data})
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    liar.blobs[hashlib.sha256(data).hexdigest()] = pieces
    error = refused(BaseModelError, "has no valid header")
    assert "model.safetensors of support@1 of liar:x" in error.message
    if "header of" in bomb:
        assert liar.read_bytes < 2 * (1 << 20), "it was refused when its length was known"


def test_a_bad_head_is_not_smuggled_in_as_another_file(
    there: Registry, liar: Liar, lies: Catalogue
) -> None:
    bomb = BOMBS["an absurd shape"]
    liar.offer({"notes.txt": bomb})
    pull_version("liar:x", there, lies)
    liar.offer({"model.safetensors": bomb}, number=2)
    with pytest.raises(BaseModelError, match="has no valid header"):
        pull_version("liar:x", there, lies)
    assert there.versions("support") == [1]


def test_more_than_the_disk_holds(
    liar: Liar, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapterhub_lite_registry.io.FileIO.free", lambda *_: 100)
    liar.offer()
    error = refused(StorageError, "100 are free")
    assert "--home" in error.hint
    assert liar.read_bytes < 2000, "no file was asked for"


def test_an_interrupted_pull_shows_nothing_and_goes_on(
    there: Registry, liar: Liar, lies: Catalogue
) -> None:
    files = two_files()
    liar.offer(files)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_version("liar:x", there, lies, progress=stop)
    assert there.names() == []
    config = files["adapter_config.json"]
    there.exchange.write(hashlib.sha256(config).hexdigest(), len(config), [config])
    assert pull_version("liar:x", there, lies).fetched == 1
    assert there.fsck(read_data=True).problems == ()


def test_an_interrupted_push_shows_nothing_and_goes_on(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    publish()
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push_version("support", address, here, catalogue, progress=stop)
    with pytest.raises(AdapterHubError):
        pull_version(address, there, catalogue)
    pushed = push_version("support", address, here, catalogue)
    assert pushed.sent == (3 if address.startswith("bundle") else 2), "one file was there"
    assert pull_version(address, there, catalogue).new


def test_a_file_that_is_damaged_here_is_not_sent(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    version = publish()
    entry = version.manifest.file("adapter_model.safetensors")
    blob = here.home / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match=r"support@1: adapter_model\.safetensors is not"):
        push_version("support", address, here, catalogue)
    with pytest.raises(AdapterHubError):
        pull_version(address, there, catalogue)


def test_a_number_that_somebody_takes_meanwhile(
    publish: Any, here: Registry, liar: Liar, lies: Catalogue
) -> None:
    publish()
    theirs = "sha256:" + "1" * 64

    def overtaken(name: str, number: int, digest: str) -> bool:
        liar.refs[name, number] = theirs
        return True  # it could not tell

    liar.publish = overtaken  # type: ignore[method-assign]
    with pytest.raises(RemoteError, match="another support@1"):
        push_version("support", "liar:x", here, lies)


def test_an_alias_that_somebody_moves_meanwhile(
    publish: Any, here: Registry, liar: Liar, lies: Catalogue
) -> None:
    publish()
    with pytest.raises(RemoteError, match="is at liar:x, but its alias 'prod' was moved"):
        push_version("support", "liar:x", here, lies, alias="prod")
    assert liar.resolve("support", 1) == here.resolve("support").digest


@pytest.mark.parametrize("address", ["support", "./folder", "/srv/adapters", "@", ""])
def test_an_address_without_a_scheme(there: Registry, lies: Catalogue, address: str) -> None:
    with pytest.raises(RemoteError, match="no address of a remote") as caught:
        pull_version(address, there, lies)
    assert caught.value.hint == f"for a folder write file:{address}"


def test_a_scheme_that_nobody_knows(there: Registry, lies: Catalogue) -> None:
    with pytest.raises(RemoteError, match="no plugin knows the kind of place 'lair'") as caught:
        pull_version("lair:x", there, lies)
    assert caught.value.hint == "did you mean 'liar'? known: liar"


def test_a_scheme_that_two_offer(there: Registry) -> None:
    other = RemoteSpec(name="other", summary="", implementation="x:y", schemes=("liar",))
    catalogue = Catalogue([offering(SPEC), offering(other, name="rival")])
    with pytest.raises(PluginConflictError, match=r"'liar' is offered by acme 1\.0 and rival 1\.0"):
        pull_version("LIAR:x", there, catalogue)
