"""What a check looks at, and what it says."""

import sqlite3
from contextlib import closing

import pytest

from adapterhub_lite_registry import InvalidQueryError, Reading


def blobs(registry):
    return sorted(registry.home.glob("blobs/sha256/??/*"))


def test_the_structure_is_checked_without_reading(registry, publish, flip):
    publish()
    flip(blobs(registry)[0])
    report = registry.fsck()
    assert report.problems == ()
    assert (report.versions, report.files.files, report.read.files) == (1, 3, 0)
    blobs(registry)[0].write_bytes(b"short")
    (problem,) = registry.fsck().problems
    assert (problem.kind, problem.versions) == ("blob", ("support@1",))
    blobs(registry)[0].unlink()
    (problem,) = registry.fsck().problems
    assert "missing" in problem.message


def test_a_sample_reads_its_share_and_the_seed_repeats_it(registry, publish, flip):
    for number in range(40):
        publish(files={"a.json": b"%d" % number})
    report = registry.fsck(sample=Reading(0.1, 7))
    assert report.read.files == 4
    assert registry.fsck(sample=Reading(0.001, 7)).read.files == 1
    for path in blobs(registry):
        flip(path)
    first = registry.fsck(sample=Reading(0.1, 7)).problems
    assert len(first) == 4
    assert registry.fsck(sample=Reading(0.1, 7)).problems == first
    assert registry.fsck(sample=Reading(0.1, 8)).problems != first
    with pytest.raises(InvalidQueryError):
        registry.fsck(sample=Reading(0.0, 7))


def test_a_missing_file_is_told_of_whatever_the_sample(registry, publish):
    for number in range(10):
        publish(files={"a.json": b"%d" % number})
    blobs(registry)[3].unlink()
    assert all(len(registry.fsck(sample=Reading(0.1, n)).problems) == 1 for n in range(10))


def test_an_alias_that_no_logged_move_set_is_told_of(registry, publish):
    publish(alias="prod"), publish()
    assert registry.fsck().problems == ()
    alias = registry.home / "refs" / "support" / "alias" / "prod"
    alias.write_bytes((registry.home / "refs" / "support" / "v" / "00000002").read_bytes())
    (problem,) = registry.fsck().problems
    assert problem.path == "refs/support/alias/prod"


def test_an_index_that_disagrees_is_told_of_and_built_anew(registry, publish):
    publish()
    registry.search()
    with closing(sqlite3.connect(registry.home / "index.db")) as index, index:
        index.execute("UPDATE versions SET digest = 'sha256:0'")
    (problem,) = registry.fsck().problems
    assert problem.kind == "index"
    assert registry.repair()[0].mended
    assert registry.fsck().problems == ()
    with closing(sqlite3.connect(registry.home / "index.db")) as index, index:
        index.execute(
            "INSERT INTO versions SELECT NULL, 'ghost', 1, digest, kind, base, base_weights, "
            "method, task, created_at, size, metrics FROM versions"
        )
    (problem,) = registry.fsck().problems
    assert "ghost@1" in problem.message


def test_settings_that_cannot_be_read_are_told_of(registry, publish):
    publish()
    (registry.home / "config.json").write_text('{"quota_hard": "much"}')
    (problem,) = registry.fsck().problems
    assert "config.json" in problem.path
