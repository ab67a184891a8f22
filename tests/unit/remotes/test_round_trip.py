"""A version that was pushed and pulled is the same version; nothing is sent or replaced twice."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    IntegrityError,
    InvalidNameError,
    NotFoundError,
    RemoteError,
    UserError,
)
from adapterhub_lite.remotes import pull_version, push_version
from adapterhub_lite_registry import Registry


def files_of(registry: Registry, ref: str) -> dict[str, bytes]:
    version = registry.resolve(ref)
    return {e.path: registry.read_file(version, e.path) for e in version.manifest.files}


def test_the_same_version_comes_out(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    base = publish("base")
    publish(seed=1)
    version = publish(seed=2, parents=[{"digest": base.digest, "role": "base"}])
    pushed = push_version("support", address, here, catalogue)
    assert (pushed.number, pushed.new, pushed.files, pushed.sent) == (2, True, 4, 3)
    pulled = pull_version(address, there, catalogue)
    assert pulled.version.digest == version.digest
    assert (str(pulled.version), pulled.source) == ("support@2", "support@2")
    assert (pulled.new, pulled.fetched, pulled.bytes) == (True, 3, pushed.bytes)
    assert files_of(there, "support@2") == files_of(here, "support@2")
    assert there.resolve("support").manifest == version.manifest
    assert there.fsck(read_data=True).problems == ()
    assert there.search(name="support")[0].digest == version.digest
    assert [node.digest for node in there.lineage("support").parents] == [base.digest]


def test_only_what_is_missing_moves(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    for seed in range(2):
        publish(seed=seed)
    push_version("support@1", address, here, catalogue)
    assert push_version("support@2", address, here, catalogue).sent == 1
    again = push_version("support@2", address, here, catalogue)
    assert (again.new, again.sent, again.bytes) == (False, 0, 0)
    assert pull_version(address, there, catalogue, ref="support@1").fetched == 3
    assert pull_version(address, there, catalogue).fetched == 1
    repeated = pull_version(address, there, catalogue)
    assert (repeated.new, repeated.fetched, str(repeated.version)) == (False, 0, "support@2")
    assert there.versions("support") == [1, 2]


def test_progress_ends_at_the_total(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    version = publish()
    size = sum({e.sha256: e.size for e in version.manifest.files}.values())
    for move in (
        lambda told: push_version("support", address, here, catalogue, progress=told),
        lambda told: pull_version(address, there, catalogue, progress=told),
    ):
        seen: list[tuple[int, int]] = []
        move(lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == sorted(seen)
        assert seen[-1] == (size, size)


@pytest.mark.parametrize("ref", ["support@1", "support@prod", "support@{digest}"])
def test_a_version_is_named_as_it_is_here(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue, ref: str
) -> None:
    first = publish(seed=0)
    publish(seed=1)
    push_version("support@1", address, here, catalogue, alias="prod")
    push_version("support@2", address, here, catalogue)
    wanted = ref.format(digest=first.digest)
    assert pull_version(address, there, catalogue, ref=wanted).version.digest == first.digest


def test_aliases_move_when_they_are_asked_to(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    for seed in range(2):
        publish(seed=seed)
    push_version("support@1", address, here, catalogue, alias="prod")
    push_version("support@2", address, here, catalogue, alias="prod")
    push_version("support@2", address, here, catalogue, alias="prod")
    pulled = pull_version(address, there, catalogue, ref="support@prod", alias="live")
    assert pulled.version.number == 2
    assert there.aliases("support") == {"live": 2}


def test_nothing_there_is_replaced(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    ours, theirs = publish(seed=0), publish(seed=1, registry=there)
    push_version("support", address, here, catalogue)
    with pytest.raises(RemoteError, match=r"has another support@1.*: it is not replaced") as caught:
        push_version("support", address, there, catalogue)
    assert "--next" in caught.value.hint
    pushed = push_version("support", address, there, catalogue, next_number=True)
    assert (pushed.number, pushed.new) == (2, True)
    again = push_version("support", address, there, catalogue, next_number=True)
    assert (again.number, again.new) == (2, False)
    assert pull_version(address, here, catalogue, ref="support@2").version.digest == theirs.digest
    assert here.resolve("support@1").digest == ours.digest


def test_a_number_that_is_taken_here_gives_way(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    theirs = publish(seed=1, registry=there)
    push_version("support", address, there, catalogue)
    publish(seed=0)
    pulled = pull_version(address, here, catalogue)
    assert (str(pulled.version), pulled.source) == ("support@2", "support@1")
    assert pulled.version.digest == theirs.digest


def test_a_number_is_kept_over_a_gap_and_the_next_one_follows(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    for seed in range(3):
        publish(seed=seed)
    push_version("support@3", address, here, catalogue)
    assert pull_version(address, there, catalogue).version.number == 3
    assert publish(seed=9, registry=there).number == 4


def test_a_removed_version_stays_removed_under_its_number(
    publish: Any, here: Registry, address: str, catalogue: Catalogue
) -> None:
    publish(seed=0)
    publish(seed=1)
    push_version("support@2", address, here, catalogue)
    here.remove("support@2")
    assert pull_version(address, here, catalogue).version.number == 3


def test_another_name_makes_a_child(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    version = publish()
    push_version("support", address, here, catalogue)
    pulled = pull_version(address, there, catalogue, name="theirs")
    (parent,) = pulled.version.manifest.parents
    assert (parent.digest, parent.role) == (version.digest, "renamed")
    assert str(pulled.version) == "theirs@1"
    assert there.names() == ["theirs"]
    assert files_of(there, "theirs") == files_of(here, "support")
    assert not pull_version(address, there, catalogue, name="theirs").new
    assert pull_version(address, there, catalogue, name="support").version.digest == version.digest


def test_what_a_remote_has_is_told(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    for name in ("support", "tickets"):
        publish(name)
        push_version(name, address, here, catalogue)
    with pytest.raises(UserError, match="has 2 names") as which:
        pull_version(address, there, catalogue)
    assert "support, tickets" in which.value.hint
    with pytest.raises(NotFoundError, match="has no 'suport'") as caught:
        pull_version(address, there, catalogue, ref="suport")
    assert caught.value.hint.startswith("did you mean 'support'?")
    for missing in ("support@7", "support@prod", f"support@sha256:{'0' * 64}"):
        with pytest.raises(NotFoundError, match=f"has no {missing}"):
            pull_version(address, there, catalogue, ref=missing)
    assert there.names() == []


@pytest.mark.parametrize("ref", ["Support", "support@", "../x"])
def test_a_malformed_reference(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue, ref: str
) -> None:
    publish()
    push_version("support", address, here, catalogue)
    with pytest.raises(InvalidNameError):
        pull_version(address, there, catalogue, ref=ref)
    with pytest.raises(InvalidNameError):
        pull_version(address, there, catalogue, name="Not A Name")
    with pytest.raises(InvalidNameError):
        pull_version(address, there, catalogue, alias="7")
    with pytest.raises(InvalidNameError):
        push_version("support", address, here, catalogue, alias="7")
    assert there.names() == []


def test_a_place_where_nothing_is(there: Registry, address: str, catalogue: Catalogue) -> None:
    with pytest.raises(RemoteError):
        pull_version(address, there, catalogue)


def test_a_folder_is_a_registry_of_its_own(
    publish: Any, here: Registry, catalogue: Catalogue, tmp_path: Path
) -> None:
    version = publish()
    push_version("support", f"file:{tmp_path}/shared", here, catalogue, alias="prod")
    shared = Registry.open(tmp_path / "shared", create=False)
    assert shared.resolve("support@prod").digest == version.digest
    assert shared.fsck(read_data=True).problems == ()


def test_a_manifest_is_not_adopted_over_a_damaged_file(
    publish: Any, here: Registry, there: Registry
) -> None:
    version = publish()
    for entry in version.manifest.files:
        there.exchange.write(entry.sha256, entry.size, here.exchange.read(entry.sha256))
    entry = version.manifest.files[0]
    blob = there.home / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256
    blob.chmod(0o644)
    blob.write_bytes(bytes(entry.size))
    data = here.exchange.read_manifest(version.digest)
    with pytest.raises(IntegrityError, match=f"{entry.path} is damaged or missing"):
        there.exchange.adopt(data, 1)
    assert there.names() == []
