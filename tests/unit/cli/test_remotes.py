"""``ahl push`` and ``ahl pull`` as a person meets them."""

import json
from pathlib import Path

import pytest

from adapterhub_lite_registry import ManifestDraft, Registry
from tests.unit.cli.conftest import Ahl
from tests.unit.remotes.conftest import tensors


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Name two registries, of which one has a version, and two places between them."""
    files: dict[str, Path | bytes] = {
        "adapter_model.safetensors": tensors(0),
        "adapter_config.json": b"{}",
        "a.txt": b"the same",
        "b.txt": b"the same",
    }
    here = Registry.open(tmp_path / "here")
    here.publish("support", files, ManifestDraft(kind="adapter"))
    return {
        "here": str(here.home),
        "there": str(tmp_path / "there"),
        "file": f"file:{tmp_path}/shared",
        "bundle": f"bundle:{tmp_path}/b.tar",
    }


def test_a_version_goes_out_and_comes_in(ahl: Ahl, places: dict[str, str]) -> None:
    pushed = ahl("push", "support", places["bundle"], "--alias", "prod", "--home", places["here"])
    assert (pushed.code, pushed.out.splitlines()[0]) == (0, "pushed    support@1")
    assert "sent      3 files of 4, " in pushed.out
    assert pushed.err.splitlines()[-1].startswith("sending: ")
    pulled = ahl("pull", "support@prod", places["bundle"], "--home", places["there"])
    assert pulled.code == 0
    assert "version   support@1" in pulled.out
    again = ahl("pull", places["bundle"], "--home", places["there"], "--alias", "live", "--json")
    told = json.loads(again.out)
    assert (told["version"], told["new"], told["fetched"], told["alias"]) == (
        "support@1",
        False,
        0,
        "live",
    )
    listed = json.loads(ahl("list", "--home", places["there"], "--json").out)
    assert str(listed).count(told["digest"]) == 1


def test_push_tells_a_script_what_it_did(ahl: Ahl, places: dict[str, str]) -> None:
    done = ahl("push", "support@1", places["file"], "--home", places["here"], "--json")
    told = json.loads(done.out)
    assert told.pop("digest").startswith("sha256:")
    assert told.pop("bytes") > 16_000
    assert told == {
        "version": "support@1",
        "remote": places["file"],
        "there": "support@1",
        "alias": None,
        "new": True,
        "files": 4,
        "sent": 3,
        "signatures": 0,
        "parents": [],
        "absent": [],
    }


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("push", "nothing", "file:x"), 2, "error: nothing is called 'nothing'"),
        (("push", "support", "folder"), 1, "error: 'folder' is no address of a remote"),
        (("push", "support", "s3://bucket/x"), 2, "error: s3fs, which 's3' needs,"),
        (("pull", "file:/no/such/place"), 1, "error: there is no registry in /no/such/place"),
        (("pull", "a", "b", "c"), 2, "error: give one version and one remote"),
        (("pull",), 2, "error: Missing argument '[REF] REMOTE'"),
    ],
)
def test_mistakes_have_a_line_and_a_way_out(
    ahl: Ahl,
    places: dict[str, str],
    words: tuple[str, ...],
    code: int,
    complaint: str,
) -> None:
    done = ahl(*words, "--home", places["here"])
    assert done.code == code
    assert done.err.startswith(complaint)
    assert "hint: " in done.err
