"""A repository of the hub as a remote, through huggingface_hub and a small hub on the loopback."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, snapshot_download

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    IntegrityError,
    NotFoundError,
    RemoteError,
    SignatureError,
)
from adapterhub_lite.remotes import pull_version, push_version, sync_remote
from adapterhub_lite.testing.remote_checks import CHECKS
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite_registry import Config, Registry
from adapterhub_lite_remotes import hub_repository
from adapterhub_lite_remotes.hub import open_hub
from tests.unit.remotes.hub_server import Hub, Repo
from tests.unit.remotes.oci_registry import Reply
from tests.unit.remotes.test_signed import signer

# the library's own: it gives an upload to its HTTP client in a way that this one deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ADDRESS = "hub:ann/tickets"
OWN = {".adapterhub-lite/manifest.json", ".adapterhub-lite/version"}


def paths(repo: Repo, revision: str) -> set[str]:
    commit = repo.find(revision)
    assert commit is not None
    return set(repo.commits[commit].files) - {".gitattributes"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_passes_the_conformance_kit(
    hub: Hub, catalogue: Catalogue, tmp_path: Path, check: Any
) -> None:
    offer = catalogue.offer("remote", "hub")
    check(
        Subject(
            offer=offer,
            catalogue=catalogue,
            folder=tmp_path,
            shared=tmp_path,
            params={"address": ADDRESS},
        )
    )


def test_versions_are_tags_and_aliases_are_branches(
    repo: Repo, here: Registry, there: Registry, catalogue: Catalogue
) -> None:
    assert set(repo.tags) == {"v1", "v2", "v3"}
    assert set(repo.branches) == {"main", "prod"}
    assert repo.private, "nothing is shown to all without being asked for"
    for ref, number in (("support", 3), ("support@1", 1), ("support@prod", 3)):
        pulled = pull_version(ADDRESS, there, catalogue, ref=ref)
        assert pulled.version.digest == here.resolve(f"support@{number}").digest
    assert there.fsck(read_data=True).problems == ()
    assert push_version("support@2", ADDRESS, here, catalogue).sent == 0


@pytest.mark.parametrize(("revision", "number"), [("main", 3), ("prod", 3), ("v1", 1)])
def test_the_files_of_a_version_lie_as_they_are(
    repo: Repo, here: Registry, tmp_path: Path, revision: str, number: int
) -> None:
    folder = Path(snapshot_download("ann/tickets", revision=revision, cache_dir=tmp_path))
    version = here.resolve(f"support@{number}")
    for entry in version.manifest.files:
        assert (folder / entry.path).read_bytes() == here.read_file(version, entry.path)
    assert paths(repo, revision) == {e.path for e in version.manifest.files} | OWN | {"README.md"}
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.tags == ["adapterhub-lite"]


def test_a_card_of_the_version_itself_is_the_repositorys(
    here: Registry, there: Registry, catalogue: Catalogue, hub: Hub, publish: Any
) -> None:
    from adapterhub_lite_registry import ManifestDraft

    text = b"---\nlicense: mit\n---\n\n# ours\n"
    publish()
    here.publish("support", {"README.md": text, "old.txt": b"old"}, ManifestDraft(kind="adapter"))
    push_version("support@2", ADDRESS, here, catalogue)
    repo = hub.repos["ann/tickets"]
    assert repo.commits[repo.branches["main"]].files["README.md"] == text
    push_version("support@1", ADDRESS, here, catalogue)
    assert repo.commits[repo.branches["main"]].files["README.md"] == text, "the newest is shown"
    assert repo.commits[repo.tags["v1"]].files["README.md"] != text
    assert "old.txt" not in paths(repo, "v1")
    assert pull_version(ADDRESS, there, catalogue).fetched == 2
    assert there.fsck(read_data=True).problems == ()


def test_what_is_there_is_not_sent_again(
    repo: Repo, here: Registry, there: Registry, catalogue: Catalogue, publish: Any, hub: Hub
) -> None:
    publish(seed=1, description="the weights of the second")
    pushed = push_version("support@4", ADDRESS, here, catalogue)
    assert (pushed.sent, hub.uploads) == (0, [])
    assert pull_version(ADDRESS, there, catalogue).version.digest == pushed.version.digest


@pytest.mark.parametrize("large", [1 << 10, 1 << 30], ids=["before", "with the commit"])
def test_an_interrupted_push_goes_on(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, hub: Hub,
    monkeypatch: pytest.MonkeyPatch, large: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(hub_repository, "LARGE", large)
    hub.lfs_size = large
    version = publish()

    def fault(method: str, path: str, reply: Reply) -> Reply | None:
        return (400, {}, b"{}") if "/commit/" in path else reply

    hub.fault = fault
    with pytest.raises(RemoteError, match="HTTP 400"):
        push_version("support", ADDRESS, here, catalogue)
    repo = hub.repos["ann/tickets"]
    assert (repo.tags, set(repo.branches), len(hub.uploads)) == ({}, {"main"}, 1)
    hub.fault = lambda method, path, reply: reply
    push_version("support", ADDRESS, here, catalogue)
    assert len(hub.uploads) == 1, "the weights are in the hub's storage already"
    assert pull_version(ADDRESS, there, catalogue).version.digest == version.digest


def test_large_files_do_not_stay_on_this_machine(
    publish: Any, here: Registry, catalogue: Catalogue, hub: Hub,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(hub_repository, "LARGE", 1 << 10)
    hub.lfs_size = 1 << 10
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held: list[set[int]] = []

    def look(method: str, path: str) -> None:
        if "/preupload/" in path:
            spool = tmp_path.glob("adapterhub-*/*")
            held.append({file.stat().st_size for file in spool})

    hub.before = look
    publish()
    push_version("support", ADDRESS, here, catalogue)
    sizes = [max(sizes, default=0) for sizes in held]
    assert max(sizes) > 16_000 > 1_000 > sizes[-1]
    assert list(tmp_path.glob("adapterhub-*")) == []


def test_main_is_brought_up_to_date_by_the_next_push(
    publish: Any, here: Registry, catalogue: Catalogue, hub: Hub, repo: Repo
) -> None:
    publish(seed=7)
    hub.fault = lambda method, path, reply: (400, {}, b"{}") if "commit/main" in path else reply
    with pytest.raises(RemoteError):
        push_version("support@4", ADDRESS, here, catalogue)
    assert "v4" in repo.tags, "the version is there"
    hub.fault = lambda method, path, reply: reply
    assert not push_version("support@4", ADDRESS, here, catalogue).new
    shown = repo.commits[repo.branches["main"]].files[".adapterhub-lite/version"]
    assert str(shown).endswith("support@4\\n'")


@pytest.mark.parametrize("alias", ["main", "v2", "adapterhub-lite-x"])
def test_names_that_the_repository_needs_are_no_aliases(
    here: Registry, catalogue: Catalogue, repo: Repo, alias: str
) -> None:
    before = dict(repo.branches)
    with pytest.raises(RemoteError, match="can be no alias"):
        push_version("support@1", ADDRESS, here, catalogue, alias=alias)
    assert repo.branches == before


def test_one_repository_holds_one_name(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, repo: Repo
) -> None:
    publish("other")
    with pytest.raises(RemoteError, match="holds versions of 'support', and one name alone"):
        push_version("other", ADDRESS, here, catalogue)
    with pytest.raises(NotFoundError, match="has no 'other'"):
        pull_version(ADDRESS, there, catalogue, ref="other")


def test_an_interrupted_pull_goes_on(
    there: Registry, catalogue: Catalogue, repo: Repo, hub: Hub
) -> None:
    def cut(method: str, path: str, reply: Reply) -> Reply | None:
        return (200, {}, reply[2][:-9]) if "/storage/" in path else reply

    hub.fault = cut
    with pytest.raises(IntegrityError):
        pull_version(ADDRESS, there, catalogue)
    assert there.names() == []
    hub.fault = lambda method, path, reply: reply
    assert pull_version(ADDRESS, there, catalogue).fetched == 2


def test_sync_moves_what_is_missing_on_either_side(
    publish: Any, there: Registry, here: Registry, catalogue: Catalogue, repo: Repo
) -> None:
    publish(seed=9)
    assert [str(found) for found in sync_remote(ADDRESS, here, catalogue).pushed] == ["support@4"]
    done = sync_remote(ADDRESS, there, catalogue)
    assert [found.number for found in done.pulled] == [1, 2, 3, 4]
    assert sync_remote(ADDRESS, there, catalogue).files == 0


def test_a_signature_goes_along(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, hub: Hub, tmp_path: Path
) -> None:
    key = signer(tmp_path, "ada")
    version = publish()
    here.signatures.sign(version, key)
    push_version("support", ADDRESS, here, catalogue)
    there.configure(Config(require_signature=True, trusted_keys=(key.public_key().pem,)))
    assert pull_version(ADDRESS, there, catalogue).signatures == 1
    publish(seed=9)
    push_version("support@2", ADDRESS, here, catalogue)
    with pytest.raises(SignatureError):
        pull_version(ADDRESS, there, catalogue)


def test_signatures_stay_beside_the_versions(
    publish: Any, here: Registry, catalogue: Catalogue, repo: Repo, hub: Hub
) -> None:
    digest = here.resolve("support@2").digest
    opened = open_hub(ADDRESS, create=True)
    assert list(opened.read_signatures(digest)) == []
    opened.write_signature(digest, b"{}")
    commits = len(repo.commits)
    opened.write_signature(digest, b"{}")
    assert len(repo.commits) == commits, "it is there already"
    opened.write_signature(digest, b"{1}")
    publish(seed=9)
    push_version("support@4", ADDRESS, here, catalogue)
    found = sorted(b"".join(chunks) for chunks in opened.read_signatures(digest))
    assert found == [b"{1}", b"{}"]
    opened.close()


def test_the_manifest_lies_in_the_repository(repo: Repo, here: Registry) -> None:
    stored = repo.commits[repo.tags["v2"]].files[".adapterhub-lite/manifest.json"]
    assert isinstance(stored, bytes)
    version = here.resolve("support@2")
    assert stored == here.exchange.read_manifest(version.digest)
    assert json.loads(stored)["name"] == "support"
