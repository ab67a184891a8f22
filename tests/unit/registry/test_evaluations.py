"""What versions scored later is kept beside them, durably, and changes nothing of them."""

import errno
import json
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from adapterhub_lite_registry import (
    Dataset,
    InvalidManifestError,
    Metric,
    NotFoundError,
    StorageError,
)
from adapterhub_lite_registry.evaluations import EvaluationDraft, EvaluationStore
from adapterhub_lite_registry.layout import Layout

DRAFT = EvaluationDraft(
    task="text-classification",
    dataset=Dataset(id="new.csv", rows=120, sha256="ab" * 32),
    metrics=(Metric(name="accuracy", value=0.9, n=120, ci=(0.85, 0.94)),),
    signatures={"bleu": "tok:13a"},
    notes=("not defined on these rows: auc",),
    details={"confusion": [[1, 2], [3, 4]]},
)


@pytest.fixture
def store(registry):
    return EvaluationStore.open(registry.home)


def folder_of(registry, version) -> Path:
    return registry.home / "evaluations" / version.digest.removeprefix("sha256:")


def test_records_are_kept_in_order_with_all_that_was_given(registry, publish, store):
    version = publish()
    first = store.add(version, DRAFT)
    second = store.add(version, DRAFT.model_copy(update={"metrics": ()}))
    records, problems = EvaluationStore.open(registry.home).of(version)
    assert (records, problems) == ([first, second], [])
    assert (first.version, first.digest) == ("support@1", version.digest)
    assert first.metrics == DRAFT.metrics
    assert first.details == DRAFT.details
    assert first.time < second.time


def test_a_version_is_what_it_was(registry, publish, store):
    version = publish()
    store.add(version, DRAFT)
    assert registry.resolve("support@1") == version
    assert registry.fsck(read_data=True).problems == ()
    assert registry.reindex() == 1


def test_each_version_has_its_own(publish, store):
    first, second = publish(), publish(files={"a.json": b"{}"})
    store.add(first, DRAFT)
    assert store.of(second) == ([], [])


def test_there_is_nothing_before_the_first(publish, store):
    version = publish()
    assert store.of(version) == ([], [])
    store.forget(version.digest)


def test_records_of_a_version_can_be_removed(registry, publish, store):
    first, second = publish(), publish(files={"a.json": b"{}"})
    store.add(first, DRAFT)
    kept = store.add(second, DRAFT)
    store.forget(first.digest)
    assert store.of(first) == ([], [])
    assert store.of(second) == ([kept], [])
    assert not folder_of(registry, first).exists()


@pytest.mark.parametrize("position", [0, 40, -3])
def test_a_damaged_record_is_named_and_hides_no_other(registry, publish, store, flip, position):
    version = publish()
    store.add(version, DRAFT)
    good = store.add(version, DRAFT)
    damaged = min(folder_of(registry, version).iterdir())
    flip(damaged, position)
    records, problems = store.of(version)
    assert records == [good]
    assert [problem.path for problem in problems] == [str(damaged.relative_to(registry.home))]


def test_a_record_of_another_version_is_no_record_of_this(registry, publish, store):
    first, second = publish(), publish(files={"a.json": b"{}"})
    store.add(first, DRAFT)
    store.add(second, DRAFT)
    (record,) = folder_of(registry, first).iterdir()
    record.rename(folder_of(registry, second) / record.name)
    records, problems = store.of(second)
    assert len(records) == len(problems) == 1


def test_what_json_cannot_hold_is_refused_and_leaves_nothing(registry, publish, store):
    version = publish()
    metrics = (Metric(name="perplexity", value=float("inf")),)
    with pytest.raises(InvalidManifestError, match="cannot be written"):
        store.add(version, DRAFT.model_copy(update={"metrics": metrics}))
    large = DRAFT.model_copy(update={"details": {"table": "x" * (9 << 20)}})
    with pytest.raises(InvalidManifestError, match="limit"):
        store.add(version, large)
    assert store.of(version) == ([], [])
    assert list((registry.home / "tmp").iterdir()) == []


def test_a_record_is_synced_before_it_is_linked_and_its_folder_after(registry, publish, disks):
    version = publish()
    disk = disks.Counting()
    store = EvaluationStore.open(registry.home, disk)
    before = disk.file_syncs
    store.add(version, DRAFT)
    home = registry.home
    assert disk.file_syncs == before + 1
    assert disk.dir_syncs[-3:] == [
        str(home),
        str(home / "evaluations"),
        str(folder_of(registry, version)),
    ]


def test_whatever_fails_nothing_half_written_is_seen(registry, publish, disks):
    version = publish()
    for fail_at in range(1, 40):
        disk = disks.Failing(fail_at, errno.ENOSPC)
        store = EvaluationStore(disk, Layout(registry.home))
        with suppress(StorageError):
            store.add(version, DRAFT)
        records, problems = EvaluationStore.open(registry.home).of(version)
        assert problems == []
        assert list((registry.home / "tmp").iterdir()) == []
        if disk.calls < fail_at:
            assert len(records) >= 1
            return
    pytest.fail("the store never came to its end")


def test_writers_at_once_lose_no_record(registry, publish):
    version = publish()

    def write() -> None:
        store = EvaluationStore.open(registry.home)
        for _ in range(5):
            store.add(version, DRAFT)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records, problems = EvaluationStore.open(registry.home).of(version)
    assert (len(records), problems) == (20, [])


def test_a_home_that_may_only_be_read(registry, publish, disks):
    version = publish()
    store = EvaluationStore.open(registry.home, disks.ReadOnly())
    with pytest.raises(StorageError, match="permission denied"):
        store.add(version, DRAFT)
    assert store.of(version) == ([], [])


def test_without_a_registry_there_are_no_evaluations(tmp_path):
    with pytest.raises(NotFoundError):
        EvaluationStore.open(tmp_path / "nowhere")


def test_a_record_is_plain_json(registry, publish, store):
    version = publish()
    store.add(version, DRAFT)
    (file,) = folder_of(registry, version).iterdir()
    values = json.loads(file.read_bytes())
    assert values["schema"] == 1
    assert values["metrics"][0]["ci"] == [0.85, 0.94]
    assert file.stat().st_mode & 0o222 == 0
