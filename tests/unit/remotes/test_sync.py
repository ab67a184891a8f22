"""Mirroring, and lineages that go along: all that is missing moves, and nothing else does."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import adapterhub_lite
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.cli.root import cli
from adapterhub_lite.errors import IntegrityError, NotFoundError, RemoteError
from adapterhub_lite.remotes import pull_version, push_version, sync_remote
from adapterhub_lite.remotes.sync import compare
from adapterhub_lite_registry import ManifestDraft, Registry


def listing(registry: Registry) -> dict[str, str]:
    return {
        f"{name}@{number}": registry.resolve(f"{name}@{number}").digest
        for name in registry.names()
        for number in registry.versions(name)
    }


def told(found: Any) -> list[str]:
    return [str(one) for one in found]


def test_both_sides_hold_the_same_afterwards(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    for name, seed in (("a", 0), ("a", 1), ("b", 2)):
        publish(name, seed=seed)
    publish("c", seed=3, registry=there)
    sync_remote(address, there, catalogue, direction="push")
    done = sync_remote(address, here, catalogue)
    assert told(done.pulled) == ["c@1"]
    assert told(done.pushed) == ["a@1", "a@2", "b@1"]
    assert told(sync_remote(address, there, catalogue).pulled) == ["a@1", "a@2", "b@1"]
    assert listing(here) == listing(there)
    again = sync_remote(address, here, catalogue)
    assert (again.pulled, again.pushed, again.files, again.bytes) == ((), (), 0, 0)
    assert there.fsck(read_data=True).problems == ()


def test_a_direction_a_name_and_a_dry_run(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    publish("a", registry=there)
    publish("b", seed=1, registry=there)
    with pytest.raises(RemoteError):
        sync_remote(address, there, catalogue, dry_run=True)
    sync_remote(address, there, catalogue)
    publish("mine", seed=2)
    planned = sync_remote(address, here, catalogue, dry_run=True)
    assert (told(planned.pulled), told(planned.pushed)) == (["a@1", "b@1"], ["mine@1"])
    assert here.names() == ["mine"]
    one = sync_remote(address, here, catalogue, names=["b"])
    assert (told(one.pulled), told(one.pushed)) == (["b@1"], [])
    assert told(sync_remote(address, here, catalogue, direction="pull").pulled) == ["a@1"]
    assert told(sync_remote(address, there, catalogue).pulled) == []
    with pytest.raises(NotFoundError) as caught:
        sync_remote(address, here, catalogue, names=["mime"])
    assert "'mine'" in caught.value.hint


def test_what_differs_is_told_and_stays(
    publish: Any, here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    ours = [publish(seed=seed) for seed in (0, 1, 2)]
    theirs = publish(seed=9, registry=there)
    push_version("support", address, there, catalogue)
    here.remove("support@2")
    done = sync_remote(address, here, catalogue)
    assert told(done.conflicts) == ["support@1"]
    assert told(done.pushed) == ["support@3"]
    assert here.resolve("support@1").digest == ours[0].digest
    assert pull_version(address, there, catalogue, ref="support@1").version.digest == theirs.digest


def test_what_was_removed_does_not_come_back(
    publish: Any, here: Registry, address: str, catalogue: Catalogue
) -> None:
    for seed in (0, 1):
        publish(seed=seed)
    sync_remote(address, here, catalogue)
    here.remove("support@1")
    done = sync_remote(address, here, catalogue)
    assert (done.pulled, told(done.removed)) == ((), ["support@1"])
    here.remove("support@2")
    done = sync_remote(address, here, catalogue)
    assert (done.pulled, told(done.removed)) == ((), ["support@1", "support@2"])


digests = st.none() | st.sampled_from([f"sha256:{digit * 64}" for digit in "0123"])
sides = st.dictionaries(
    st.sampled_from(["a", "b"]), st.dictionaries(st.integers(1, 4), digests, max_size=4)
)


@given(sides, sides)
def test_every_version_is_missing_or_there_or_kept_out(source: Any, target: Any) -> None:
    found = compare(source, target)
    for name, numbers in source.items():
        there = target.get(name, {})
        for number, digest in numbers.items():
            kinds = [
                f"{name}@{number}" in told(some)
                for some in (found.missing, found.removed, found.other)
            ]
            assert sum(kinds) == (digest is not None and digest not in there.values())
            assert kinds[0] <= (number not in there)
            assert kinds[1] <= (there.get(number, "") is None)
    moved = {name: dict(numbers) for name, numbers in target.items()}
    for one in found.missing:
        moved.setdefault(one.name, {})[one.number] = one.digest
    assert compare(source, moved).missing == ()


@pytest.fixture
def family(publish: Any, here: Registry) -> list[str]:
    """Publish four generations, of which one is reached twice, and one is nowhere."""
    first = publish("first", seed=0).digest
    second = publish("second", seed=1, parents=[{"digest": first}]).digest
    lost = "sha256:" + "0" * 64
    third = publish("third", seed=2, parents=[{"digest": second}, {"digest": lost}]).digest
    publish("fourth", seed=3, parents=[{"digest": first}, {"digest": third}])
    return ["first@1", "second@1", "third@1"]


def test_a_lineage_goes_along(
    family: list[str], here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    pushed = push_version("fourth", address, here, catalogue, with_parents=True)
    assert told(parent.version for parent in pushed.parents) == family
    pulled = pull_version(address, there, catalogue, ref="fourth", with_parents=True)
    assert told(parent.version for parent in pulled.parents) == family
    assert pushed.absent == pulled.absent == ("sha256:" + "0" * 64,)
    assert listing(there) == listing(here)


def test_a_lineage_stays_unless_it_is_asked_for(
    family: list[str], here: Registry, there: Registry, address: str, catalogue: Catalogue
) -> None:
    assert push_version("fourth", address, here, catalogue).parents == ()
    pulled = pull_version(address, there, catalogue, ref="fourth", with_parents=True)
    assert (pulled.parents, len(pulled.absent)) == ((), 2)
    assert there.names() == ["fourth"]


def test_a_damaged_parent_stops_all(
    family: list[str], here: Registry, there: Registry, catalogue: Catalogue, tmp_path: Path
) -> None:
    push_version("fourth", f"file:{tmp_path}/place", here, catalogue, with_parents=True)
    digest = here.resolve("second").digest.removeprefix("sha256:")
    manifest = tmp_path / f"place/manifests/sha256/{digest[:2]}/{digest}"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed":1', b'"seed":7'))
    with pytest.raises(IntegrityError):
        pull_version(f"file:{tmp_path}/place", there, catalogue, ref="fourth", with_parents=True)
    assert there.names() == []


def test_from_python(publish: Any, here: Registry, there: Registry, address: str) -> None:
    version = publish()
    assert adapterhub_lite.push("support", address, registry=here).new
    assert adapterhub_lite.pull(address, registry=there).version.digest == version.digest
    assert adapterhub_lite.sync(address, registry=there).files == 0


def test_the_command_ends_with_an_error_where_versions_differ(
    publish: Any, here: Registry, there: Registry, tmp_path: Path
) -> None:
    publish()
    publish("other", seed=5)
    there.publish("support", {"a.txt": b"x"}, ManifestDraft(kind="adapter"))
    arguments = [f"file:{there.home}", "--home", str(here.home)]
    done = CliRunner().invoke(cli, ["sync", *arguments, "--json", "--dry-run"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["conflicts"], answer["pushed"]) == (["support@1"], ["other@1"])
    done = CliRunner().invoke(cli, ["sync", *arguments])
    assert "conflicts         support@1" in done.stdout
    assert "none was moved" in done.stderr
    assert there.names() == ["other", "support"]
