"""What is particular to bundles, stores and addresses."""

import io
import tarfile
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import AdapterHubError, IntegrityError, RemoteError
from adapterhub_lite.remotes import pull_version, push_version
from adapterhub_lite_registry import Registry
from adapterhub_lite_remotes import STORES
from adapterhub_lite_remotes.archive import OCTAL, head_block, read_members
from adapterhub_lite_remotes.layout import local_path


@pytest.fixture
def bundle(publish: Any, here: Registry, catalogue: Catalogue, tmp_path: Path) -> Path:
    publish()
    push_version("support", f"bundle:{tmp_path}/b.tar", here, catalogue, alias="prod")
    return tmp_path / "b.tar"


def test_a_bundle_is_a_plain_tar_archive(bundle: Path, here: Registry, tmp_path: Path) -> None:
    with tarfile.open(bundle) as archive:
        names = archive.getnames()
        assert all(member.isreg() for member in archive)
        (weights,) = (
            archive.extractfile(name)
            for name in names
            if name.endswith(here.resolve("support").manifest.files[1].sha256)
        )
        assert weights is not None
        assert weights.read() == here.read_file(
            here.resolve("support"), "adapter_model.safetensors"
        )
    assert len(names) == len(set(names))
    assert set(read_members(bundle)) == set(names)
    assert [path.name for path in tmp_path.glob(".*")] == [], "nothing is left beside it"


def test_the_same_pushes_give_the_same_bytes(
    bundle: Path, here: Registry, catalogue: Catalogue
) -> None:
    other = bundle.with_name("other.tar")
    push_version("support", f"bundle:{other}", here, catalogue, alias="prod")
    assert other.read_bytes() == bundle.read_bytes()


def test_the_longest_names_have_a_place(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue, tmp_path: Path
) -> None:
    name, alias = "n" * 63, "a" * 63
    publish(name)
    address = f"bundle:{tmp_path}/long.tar"
    push_version(name, address, here, catalogue, alias=alias)
    assert pull_version(address, there, catalogue, ref=f"{name}@{alias}").new


def test_a_file_of_any_size_has_a_header() -> None:
    for size in (0, OCTAL - 1, OCTAL, 2**50):
        head = head_block("blobs/sha256/00/" + "0" * 64, size)
        assert len(head) == 512
        assert tarfile.TarInfo.frombuf(head, "utf-8", "strict").size == size


def add(archive: tarfile.TarFile, kind: bytes, **fields: Any) -> None:
    member = tarfile.TarInfo("refs/evil/v/00000001")
    member.type = kind
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(bytes(member.size)))


@pytest.mark.parametrize(
    "harm",
    [
        lambda archive: add(archive, tarfile.SYMTYPE, linkname="/etc/passwd"),
        lambda archive: add(archive, tarfile.LNKTYPE, linkname="FORMAT"),
        lambda archive: add(archive, tarfile.DIRTYPE),
        lambda archive: add(archive, tarfile.CHRTYPE),
        lambda archive: add(archive, tarfile.FIFOTYPE),
        lambda archive: add(archive, tarfile.GNUTYPE_SPARSE),
        lambda archive: add(archive, tarfile.XHDTYPE, size=10),
        lambda archive: add(archive, tarfile.GNUTYPE_LONGNAME, size=10),
        lambda archive: add(archive, tarfile.REGTYPE, name="FORMAT"),
        lambda archive: add(archive, tarfile.REGTYPE, name="x" * 150 + "/y"),
    ],
    ids=["symlink", "link", "folder", "device", "pipe", "sparse", "pax", "long", "twice", "name"],
)
def test_members_that_are_no_plain_files(
    bundle: Path, there: Registry, catalogue: Catalogue, harm: Callable[[tarfile.TarFile], None]
) -> None:
    with tarfile.open(bundle, "a", format=tarfile.GNU_FORMAT) as archive:
        harm(archive)
    with pytest.raises(IntegrityError):
        pull_version(f"bundle:{bundle}", there, catalogue)
    assert there.names() == []


def test_a_bundle_that_is_cut_anywhere(bundle: Path, there: Registry, catalogue: Catalogue) -> None:
    whole = bundle.read_bytes()
    ends = {member.end for member in read_members(bundle).values()}
    for size in sorted({0, 1, 511, 513, *(end - 1 for end in ends), *(end - 700 for end in ends)}):
        bundle.write_bytes(whole[: max(0, size)])
        with pytest.raises(AdapterHubError):
            pull_version(f"bundle:{bundle}", there, catalogue, ref="support@prod")
    assert there.names() == []


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" * 400, bytes(2048)])
def test_a_file_that_is_no_bundle_is_left_as_it_is(
    publish: Any, here: Registry, catalogue: Catalogue, tmp_path: Path, content: bytes
) -> None:
    publish()
    file = tmp_path / "thesis.doc"
    file.write_bytes(content)
    with pytest.raises((RemoteError, IntegrityError)):
        push_version("support", f"bundle:{file}", here, catalogue)
    assert file.read_bytes() == content


def test_two_who_write_one_bundle(
    publish: Any, bundle: Path, here: Registry, catalogue: Catalogue
) -> None:
    publish(seed=1)
    publish(seed=2)
    seen: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        if not seen:
            seen.append("asked")
            with pytest.raises(RemoteError, match="written by somebody else"):
                push_version("support@3", f"bundle:{bundle}", here, catalogue)
            seen.append("refused")

    push_version("support@2", f"bundle:{bundle}", here, catalogue, progress=meanwhile)
    assert seen == ["asked", "refused"]
    push_version("support@3", f"bundle:{bundle}", here, catalogue)
    versions = [name for name in read_members(bundle) if "/v/" in name]
    assert len(versions) == 3


def test_a_bundle_that_changed_since_it_was_read(
    publish: Any, bundle: Path, here: Registry, catalogue: Catalogue, monkeypatch: Any
) -> None:
    from adapterhub_lite_remotes import bundle as module

    publish(seed=1)
    publish(seed=2)
    address = f"bundle:{bundle}"
    late = module.open_bundle(address, create=True)
    push_version("support@2", address, here, catalogue)
    with pytest.raises(RemoteError, match="written by somebody else"):
        late.publish("support", 3, "sha256:" + "0" * 64)
    late.close()
    push_version("support@3", address, here, catalogue)
    assert len([name for name in read_members(bundle) if "/v/" in name]) == 3


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///srv/a b", "/srv/a b"),
        ("file:/srv/x", "/srv/x"),
        ("file:x/y", "x/y"),
        ("bundle:my%20file.tar", "my file.tar"),
        ("file://localhost/srv", "/srv"),
    ],
)
def test_addresses_of_this_machine(address: str, path: str) -> None:
    assert local_path(address) == Path(path)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(RemoteError, match="machine 'folder'") as caught:
        local_path("file://folder/x")
    assert "file:folder/x" in caught.value.hint
    with pytest.raises(RemoteError, match="has no path"):
        local_path("file:")


def test_fsspec_knows_every_scheme_that_is_offered() -> None:
    from fsspec.registry import known_implementations

    schemes = [scheme for _, _, some, _ in STORES for scheme in some]
    assert set(schemes) <= set(known_implementations)
    assert len(schemes) == len(set(schemes))


def test_what_a_store_raises_is_told_in_one_line(
    publish: Any, here: Registry, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    class ExpiredError(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise ExpiredError("log in\nagain")

    publish()
    address = f"memory://{uuid.uuid4().hex}"
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(RemoteError) as caught:
        push_version("support", address, here, catalogue)
    assert caught.value.message == f"{address} refuses: ExpiredError: log in"
    assert caught.value.remote == address


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"adapterhub-lite-remote 2\n", "newer format"), (b"x" * 10_000, "newer format")],
)
def test_a_store_of_another_format(
    there: Registry, catalogue: Catalogue, content: bytes, match: str
) -> None:
    import fsspec

    place = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe_file(f"{place}/FORMAT", content)
    with pytest.raises(RemoteError, match=match):
        pull_version(place, there, catalogue)


def test_a_reference_in_the_wrong_place(
    publish: Any, here: Registry, there: Registry, catalogue: Catalogue
) -> None:
    import fsspec

    publish(seed=0)
    publish(seed=1)
    place = f"memory://{uuid.uuid4().hex}"
    for ref in ("support@1", "support@2"):
        push_version(ref, place, here, catalogue)
    files = fsspec.filesystem("memory")
    files.cp_file(f"{place}/refs/support/v/00000001", f"{place}/refs/support/v/00000002")
    with pytest.raises(IntegrityError, match="the reference is that of support@1"):
        pull_version(place, there, catalogue)


def test_chained_addresses_are_refused(there: Registry, catalogue: Catalogue) -> None:
    with pytest.raises(RemoteError, match="chains several places"):
        pull_version("memory://x::file:///etc", there, catalogue)


def test_a_push_sweeps_what_killed_ones_left(
    publish: Any, here: Registry, catalogue: Catalogue
) -> None:
    address = f"memory://{uuid.uuid4().hex}/adapters"
    publish(seed=1)
    push_version("support", address, here, catalogue)
    store = fsspec.filesystem("memory")
    root = address.removeprefix("memory:/")
    for name, days in (("old", 2), ("young", 0)):
        store.pipe_file(f"{root}/tmp/{name}", b"half")
        store.store[f"{root}/tmp/{name}"].modified -= timedelta(days=days)
    pull_version(address, here, catalogue)
    assert len(store.ls(f"{root}/tmp")) == 2, "who only reads removes nothing"
    publish(seed=2)
    push_version("support", address, here, catalogue)
    assert store.ls(f"{root}/tmp", detail=False) == [f"{root}/tmp/young"]
