"""A repository of the hub that others write to as well, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    AdapterHubError,
    IntegrityError,
    RemoteError,
)
from adapterhub_lite.remotes import pull_version, push_version
from adapterhub_lite_registry import Registry
from tests.unit.remotes.hub_server import Hub, Repo

# the library's own: it gives an upload to its HTTP client in a way that this one deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ADDRESS = "hub:ann/tickets"


def test_a_card_that_the_hub_refuses(
    publish: Any, here: Registry, catalogue: Catalogue, hub: Hub
) -> None:
    publish()
    hub.invalid_card = "library_name: peft"
    with pytest.raises(RemoteError, match=r"refuses: .*library_name: peft is not valid"):
        push_version("support", ADDRESS, here, catalogue)
    repo = hub.repos["ann/tickets"]
    assert (repo.tags, set(repo.branches)) == ({}, {"main"})


def test_what_people_put_into_the_repository_stays(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, repo: Repo
) -> None:
    files = repo.commits[repo.branches["main"]].files
    edited = {**files, "demo.png": b"picture", "README.md": b"---\n---\nedited on the page\n"}
    edited["adapter_config.json"] = b"edited too"
    del edited["tokenizer/copy.txt"]
    repo.add("main", edited, "edited on the page")
    push_version("support@2", ADDRESS, here, catalogue)
    assert repo.commits[repo.branches["main"]].files == edited
    assert pull_version(ADDRESS, there, catalogue).version.number == 3
    publish(seed=8)
    push_version("support@4", ADDRESS, here, catalogue)
    after = repo.commits[repo.branches["main"]].files
    assert after["demo.png"] == b"picture"
    assert after["README.md"] != edited["README.md"]


def test_a_file_that_was_edited_on_main_is_taken_from_its_version(
    publish: Any, here: Registry, catalogue: Catalogue, repo: Repo
) -> None:
    weights = "adapter_model.safetensors"
    first, second = (repo.commits[repo.tags[tag]].files for tag in ("v1", "v2"))
    repo.add("main", {**first, weights: second[weights]}, "edited on the page")
    publish(seed=0, description="as the first")
    assert push_version("support@4", ADDRESS, here, catalogue).sent == 0
    assert repo.commits[repo.tags["v4"]].files[weights] == first[weights]


def test_two_who_push_the_same_number(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, repo: Repo, hub: Hub
) -> None:
    ours, theirs = publish(seed=5), publish(seed=6, registry=there)
    for number in range(2, 5):
        theirs = publish(seed=10 + number, registry=there)

    def meanwhile(method: str, path: str) -> None:
        if "/tag/" in path:
            hub.before = lambda method, path: None
            push_version("support@4", ADDRESS, there, catalogue)

    hub.before = meanwhile
    with pytest.raises(RemoteError, match="has another support@4"):
        push_version("support@4", ADDRESS, here, catalogue)
    assert set(repo.branches) == {"main", "prod"}
    found = pull_version(ADDRESS, Registry.open(here.home.with_name("third")), catalogue).version
    assert found.digest == theirs.digest != ours.digest


def test_two_who_move_an_alias(here: Registry, catalogue: Catalogue, repo: Repo, hub: Hub) -> None:
    def meanwhile(method: str, path: str) -> None:
        if path.endswith("/commit/prod"):
            hub.before = lambda method, path: None
            push_version("support@2", ADDRESS, here, catalogue, alias="prod")

    hub.before = meanwhile
    with pytest.raises(RemoteError, match="was moved by somebody else"):
        push_version("support@1", ADDRESS, here, catalogue, alias="prod")
    shown = repo.commits[repo.branches["prod"]].files[".adapterhub-lite/version"]
    assert b"support@2\n" in shown  # type: ignore[operator]


def test_a_repository_with_another_model_is_left_as_it_is(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, hub: Hub
) -> None:
    publish()
    repo = hub.repos["ann/tickets"] = Repo()
    repo.add("main", {"README.md": b"hello", "model.safetensors": b"weights"}, "a model")
    repo.tags["v1"] = repo.branches["main"]
    with pytest.raises(RemoteError, match="holds what was not pushed by 'ahl push': model"):
        push_version("support", ADDRESS, here, catalogue)
    with pytest.raises(AdapterHubError, match="no versions"):
        pull_version(ADDRESS, there, catalogue)
    del repo.tags["v1"], repo.commits[repo.branches["main"]].files["model.safetensors"]
    assert push_version("support", ADDRESS, here, catalogue).new


@pytest.mark.parametrize("path", [".gitattributes", "x/.gitignore", ".adapterhub-lite/version"])
def test_a_version_that_would_steer_the_repository(
    here: Registry, catalogue: Catalogue, hub: Hub, path: str
) -> None:
    from adapterhub_lite_registry import ManifestDraft

    here.publish("support", {path: b"*"}, ManifestDraft(kind="adapter"))
    with pytest.raises(RemoteError, match="would steer the repository"):
        push_version("support", ADDRESS, here, catalogue)
    assert hub.repos["ann/tickets"].tags == {}


def test_a_file_that_the_repository_leaves_away_is_told(
    here: Registry, catalogue: Catalogue, hub: Hub
) -> None:
    from adapterhub_lite_registry import ManifestDraft

    here.publish("support", {"a.txt": b"a", "b.secret": b"b"}, ManifestDraft(kind="adapter"))
    with pytest.raises(RemoteError, match=r"b\.secret is not there; no version was made"):
        push_version("support", ADDRESS, here, catalogue)
    repo = hub.repos["ann/tickets"]
    assert (repo.tags, set(repo.branches)) == ({}, {"main"})


def test_tags_of_other_people_are_no_versions(
    there: Registry, here: Registry, catalogue: Catalogue, repo: Repo
) -> None:
    repo.tags["v9"] = next(iter(repo.commits))
    repo.tags["release"] = repo.branches["main"]
    assert pull_version(ADDRESS, there, catalogue).version.number == 3
    repo.tags["v8"] = repo.tags["v1"]
    with pytest.raises(IntegrityError, match="the tag v8 is that of support@1"):
        pull_version(ADDRESS, there, catalogue, ref="support@8")
    repo.commits[repo.tags["v3"]].files[".adapterhub-lite/version"] = b"x" * 1000
    with pytest.raises(IntegrityError, match="damaged"):
        pull_version(ADDRESS, there, catalogue, ref="support@3")


def test_a_file_that_was_changed_is_not_believed(
    there: Registry, catalogue: Catalogue, repo: Repo
) -> None:
    files = repo.commits[repo.tags["v3"]].files
    files["adapter_config.json"] = b'{"r": 9}'
    with pytest.raises(IntegrityError, match=r"adapter_config\.json is not what its hash says"):
        pull_version(ADDRESS, there, catalogue)
    assert there.names() == []


def refusing(status: int, **headers: str) -> Any:
    told = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda method, path, reply: (status, told, b"{}")


@pytest.mark.parametrize(
    ("fault", "message", "hint"),
    [
        (refusing(404, X_Error_Code="RepoNotFound"), "is not there, or is private", "HF_TOKEN"),
        (refusing(401), "refuses: HTTP 401", "hf auth login"),
        (refusing(403, X_Error_Code="GatedRepo"), "is gated", "ask for access at http"),
        (refusing(403, X_Error_Message="no body"), "refuses: HTTP 403: no body", "HF_TOKEN"),
        (refusing(451, X_Error_Message="Access to this resource is disabled."), "disabled", ""),
        (refusing(429), "refuses: HTTP 429", "try again later"),
        (refusing(503), "refuses: HTTP 503", "try again later"),
        (lambda method, path, reply: None, "cannot be reached, or breaks off", "try again"),
        (lambda method, path, reply: (200, {}, b"no json"), "refuses|cannot be reached", ""),
    ],
)
def test_refusals_say_what_to_do(
    there: Registry, catalogue: Catalogue, hub: Hub, fault: Any, message: str, hint: str
) -> None:
    hub.fault = fault
    with pytest.raises(RemoteError, match=message) as caught:
        pull_version(ADDRESS, there, catalogue)
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message
    assert caught.value.remote == ADDRESS


def test_nobody_in_particular(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, repo: Repo,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(RemoteError, match="is not there, or is private"):
        pull_version(ADDRESS, there, catalogue)
    repo.private = False
    assert pull_version(ADDRESS, there, catalogue).new
    publish(seed=9)
    with pytest.raises(RemoteError, match="HTTP 403"):
        push_version("support@4", ADDRESS, here, catalogue)


def test_offline_is_refused_before_anything(
    there: Registry, catalogue: Catalogue, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RemoteError, match="HF_HUB_OFFLINE is set") as caught:
        pull_version(ADDRESS, there, catalogue)
    assert caught.value.hint == "unset HF_HUB_OFFLINE"
    assert hub.asked == []


@pytest.mark.parametrize("address", ["hub:tickets", "hub:", "hub:a/b/c", "hub:a/b@1", "hub:../x"])
def test_an_address_that_names_no_repository(
    there: Registry, catalogue: Catalogue, hub: Hub, address: str
) -> None:
    with pytest.raises(RemoteError, match="names no repository of the hub"):
        pull_version(address, there, catalogue)
