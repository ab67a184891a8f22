"""Every flipped byte is found by verify, and refused where it is loaded."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from adapterhub_lite_registry import IntegrityError, NotFoundError, Registry, RegistryError
from adapterhub_lite_registry.stamps import SETTLED_NS


def stored(registry, *folders):
    found = [path for folder in folders for path in (registry.home / folder).rglob("*")]
    return sorted(path for path in found if path.is_file())


def test_any_flipped_blob_is_reported_and_refused(registry, publish, flip):
    version = publish()
    publish("other", files={"x.json": b"x"})
    by_hash = {entry.sha256: entry.path for entry in version.manifest.files}
    for blob in stored(registry, "blobs"):
        registry.path(version)
        flip(blob)
        (problem,) = registry.fsck(read_data=True).problems
        assert problem.path == str(blob.relative_to(registry.home))
        if blob.name in by_hash:
            path = by_hash[blob.name]
            assert problem.versions == ("support@1",)
            for load in (
                lambda path=path: registry.read_file(version, path),
                lambda: registry.path(version),
                lambda: registry.checkout(version, registry.home / "out"),
            ):
                with pytest.raises(IntegrityError, match=f"support@1: {path}"):
                    load()
            assert not (registry.home / "out").exists()
            assert registry.fsck("support", read_data=True).problems
        flip(blob)
    assert registry.fsck(read_data=True).problems == ()


def test_every_byte_of_manifests_and_references_counts(registry, publish, flip):
    publish(files={"x.json": b"x"})
    for path in stored(registry, "manifests", "refs"):
        for position in range(path.stat().st_size):
            flip(path, position)
            problems = registry.fsck(read_data=True).problems
            assert [problem.versions for problem in problems] == [("support@1",)], position
            with pytest.raises(IntegrityError):
                registry.resolve("support")
            flip(path, position)
    (left,) = registry.fsck(read_data=True).problems
    assert left.kind == "index"
    registry.reindex()
    assert registry.fsck(read_data=True).problems == ()


def test_what_nothing_refers_to_is_checked_as_well(registry, publish, flip):
    publish()
    registry.remove("support@1")
    flip(stored(registry, "blobs")[0])
    flip(stored(registry, "manifests")[0])
    assert len(registry.fsck(read_data=True).problems) == 2


def test_what_is_missing_is_reported_and_refused(registry, publish):
    version = publish()
    blob = stored(registry, "blobs")[0]
    data = blob.read_bytes()
    blob.unlink()
    (problem,) = registry.fsck(read_data=True).problems
    assert "missing" in problem.message
    with pytest.raises(IntegrityError):
        registry.path(version)
    with pytest.raises(IntegrityError):
        registry.checkout(version, registry.home / "out")
    blob.write_bytes(data)
    stored(registry, "manifests")[0].unlink()
    with pytest.raises(IntegrityError, match="missing"):
        registry.resolve("support")


def test_swapped_references_are_noticed(registry, publish):
    publish(), publish()
    folder = registry.home / "refs" / "support" / "v"
    (folder / "00000001").rename(folder / "x")
    (folder / "00000002").rename(folder / "00000001")
    (folder / "x").rename(folder / "00000002")
    assert len(registry.fsck(read_data=True).problems) == 2


def test_strangers_in_the_store_are_reported(registry, publish):
    publish()
    (registry.home / "blobs" / "sha256" / "ab" / "note.txt").write_text("x")
    for stray in ("latest", "9" * 40, "1", "00000000"):
        (registry.home / "refs" / "support" / "v" / stray).write_text("x")
    assert len(registry.fsck(read_data=True).problems) == 5
    assert [str(entry) for entry in registry.search()] == ["support@1"]
    assert publish().number == 2


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b'{"schema":2}', b"[" * 100_000, b"\xff", b'{"kind":"a","kind":"b"}'],
)
def test_a_manifest_that_is_none_is_refused(registry, publish, document):
    publish()
    digest = sha256(document).hexdigest()
    folder = registry.home / "manifests" / "sha256" / digest[:2]
    (folder / digest).write_bytes(document)
    ref = registry.home / "refs" / "support" / "v" / "00000002"
    ref.write_text(f"sha256:{digest} support@2\n")
    with pytest.raises(IntegrityError):
        registry.resolve("support")
    assert [str(entry) for entry in registry.search()] == ["support@1"]
    assert len(registry.unreadable()) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ((b'"x.json"', b'"../../x"'), "relative path"),
        ((b'"support"', b'"Support"'), "not allowed"),
        ((b'"support"', b'"other"'), "one of 'other'"),
        ((b'"created_at":"2', b'"created_at":"20'), "created_at"),
        ((b'"size":1', b'"size":-1'), "files.0.size"),
        ((b'"kind"', b'"import":"os","kind"'), "import"),
    ],
)
def test_a_manifest_that_was_made_up_is_refused(registry, publish, change, named):
    version = publish(files={"x.json": b"x"})
    (stored_manifest,) = stored(registry, "manifests")
    document = stored_manifest.read_bytes().replace(*change)
    digest = sha256(document).hexdigest()
    (registry.home / "manifests" / "sha256" / digest[:2] / digest).write_bytes(document)
    ref = registry.home / "refs" / "support" / "v" / "00000002"
    ref.write_text(f"sha256:{digest} support@2\n")
    with pytest.raises(IntegrityError, match=named):
        registry.resolve("support@2")
    assert registry.resolve("support@1") == version


def test_a_stamp_spares_the_hashing_until_the_file_changes(registry, publish, flip, monkeypatch):
    version = publish()
    folder = registry.path(version)
    monkeypatch.setattr("adapterhub_lite_registry.stamps.SETTLED_NS", 0)
    registry.path(version)
    hashed = []
    monkeypatch.setattr(
        "adapterhub_lite_registry.stamps.hash_file", lambda io, path: hashed.append(path)
    )
    assert registry.path(version) == folder
    assert hashed == []
    flip(stored(registry, "blobs")[0])
    with pytest.raises(IntegrityError):
        registry.path(version)
    assert hashed


def test_a_file_that_just_changed_gets_no_stamp(registry, publish):
    registry.path(publish())
    assert SETTLED_NS > 0
    assert list((registry.home / "verified").iterdir()) == []


def test_the_view_is_built_again_when_it_was_touched(registry, publish, files):
    version = publish()
    folder = registry.path(version)
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").write_bytes(b'{"r": 9}')
    (folder / "pytorch_model.bin").write_bytes(b"evil")
    assert registry.path(version) == folder
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == files


@pytest.mark.parametrize("refused", [(), ("link",), ("link", "symlink")])
def test_a_view_is_linked_or_copied_as_the_file_system_allows(registry, publish, files, refused):
    version = publish()
    for call in refused:
        setattr(registry._io, call, _refuse)
    folder = registry.path(version)
    for path, data in files.items():
        assert (folder / path).read_bytes() == data
    assert registry.path(version) == folder


def _refuse(source: str, target: str) -> None:
    raise PermissionError(1, "not on this file system")


def test_a_checkout_may_be_edited(registry, publish, tmp_path, files):
    version = publish()
    target = registry.checkout(version, tmp_path / "deep" / "out")
    for path, data in files.items():
        assert (target / path).read_bytes() == data
        (target / path).write_bytes(b"edited")
    assert registry.fsck(read_data=True).problems == ()


def test_a_linked_checkout_shares_the_bytes(registry, publish, tmp_path):
    version = publish()
    target = registry.checkout(version, tmp_path / "out", link=True)
    inodes = {path.stat().st_ino for path in stored(registry, "blobs")}
    assert (target / "adapter_config.json").stat().st_ino in inodes


def test_a_checkout_wants_an_empty_place(registry, publish, tmp_path):
    version = publish()
    (tmp_path / "empty").mkdir()
    registry.checkout(version, tmp_path / "empty")
    for occupied in (tmp_path / "empty", registry.home / "FORMAT"):
        with pytest.raises(RegistryError, match="not an empty folder"):
            registry.checkout(version, occupied)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "empty"}


def test_a_file_that_the_version_lacks(registry, publish):
    with pytest.raises(NotFoundError) as caught:
        registry.read_file(publish(), "adapter_config.jsn")
    assert "adapter_config.json" in caught.value.hint


def test_a_registry_of_another_format_is_left_alone(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "FORMAT").write_text("adapterhub-lite-registry 2\n")
    with pytest.raises(RegistryError, match="newer"):
        Registry.open(home)
    assert os.listdir(home) == ["FORMAT"]


def test_verify_tells_how_far_it_is(registry, publish, files):
    publish()
    steps = []
    registry.fsck(read_data=True, progress=lambda done, total: steps.append((done, total)))
    size = sum(len(data) for data in files.values())
    assert steps[-1] == (size, size)
