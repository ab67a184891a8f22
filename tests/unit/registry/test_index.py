"""The index is disposable: whatever happens to it, a search answers from the files."""

import sqlite3
from contextlib import closing

import pytest

from adapterhub_lite_registry import InvalidQueryError, ManifestDraft, Registry

CONTENT = {
    "versions": "SELECT name, number, digest, kind, base, base_weights, method, task, "
    "created_at, size, metrics FROM versions ORDER BY name, number",
    "refs": "SELECT name, number, inode, damage FROM refs ORDER BY name, number",
    "metrics": "SELECT v.digest, m.name, m.value FROM metrics m "
    "JOIN versions v ON v.id = m.version ORDER BY 1, 2",
    "parents": "SELECT v.digest, p.parent, p.role, p.weight FROM parents p "
    "JOIN versions v ON v.id = p.version ORDER BY 1, 2",
    "words": "SELECT v.digest, w.text FROM words w JOIN versions v ON v.id = w.rowid ORDER BY 1",
}


def dump(registry):
    with closing(sqlite3.connect(registry.home / "index.db")) as connection:
        return {table: connection.execute(query).fetchall() for table, query in CONTENT.items()}


def found(entries):
    return [str(entry) for entry in entries]


@pytest.fixture
def filled(registry, publish):
    base = {"ref": "org/minilm", "weights_sha256": "a" * 64}
    lora, full = {"name": "lora"}, {"name": "full"}
    for value in (0.7, 0.9, 0.8):
        publish(
            base=base,
            method=lora,
            task="text-classification",
            description="routes support tickets",
            metrics=[
                {"name": "accuracy", "value": 0.99, "split": "train"},
                {"name": "accuracy", "value": value, "split": "test"},
            ],
        )
    parent = registry.resolve("support@2").digest
    publish("legal", kind="model", method=full, base={"ref": "org/bert"})
    publish("merged", kind="model", parents=[{"digest": parent, "role": "left", "weight": 0.5}])
    return registry


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ["merged@1", "legal@1", "support@3", "support@2", "support@1"]),
        ({"name": "legal"}, ["legal@1"]),
        ({"base": "org/minilm", "limit": 1}, ["support@3"]),
        ({"base": "a" * 64, "offset": 1}, ["support@2", "support@1"]),
        ({"method": "lora", "task": "text-classification", "sort": "number"},
         ["support@1", "support@2", "support@3"]),
        ({"kind": "model"}, ["merged@1", "legal@1"]),
        ({"metric": "accuracy>=0.8", "sort": "-accuracy"}, ["support@2", "support@3"]),
        ({"metric": ("accuracy", "<", 0.8)}, ["support@1"]),
        ({"metric": ["accuracy > 0.7", "accuracy < 0.9"]}, ["support@3"]),
        ({"sort": "accuracy"}, ["support@1", "support@3", "support@2"]),
        ({"latest_only": True, "sort": "name"}, ["legal@1", "merged@1", "support@3"]),
        ({"text": "tick rout", "latest_only": True}, ["support@3"]),
        ({"text": 'quo"te OR'}, []),
        ({"text": "minilm"}, ["support@3", "support@2", "support@1"]),
        ({"method": "none"}, []),
    ],
)  # fmt: skip
def test_search(filled, conditions, expected):
    assert found(filled.search(**conditions)) == expected


@pytest.mark.parametrize(
    "conditions",
    [
        {"metric": "accuracy"},
        {"metric": "accuracy>=high"},
        {"metric": "accuracy!=1"},
        {"metric": "acuracy>0"},
        {"sort": "-acuracy"},
        {"metric": ("accuracy", "~", 1.0)},
        {"metric": "accuracy>nan"},
    ],
)
def test_a_search_that_makes_no_sense(filled, conditions):
    with pytest.raises(InvalidQueryError) as caught:
        filled.search(**conditions)
    assert "accuracy" in caught.value.hint


def test_an_entry_carries_what_a_table_shows(filled):
    (entry,) = filled.search(name="support", limit=1)
    assert (entry.base, entry.method, entry.task) == ("org/minilm", "lora", "text-classification")
    assert entry.metrics == {"accuracy": 0.8}
    assert entry.size == filled.resolve("support").manifest.size


def _delete(index):
    index.unlink()


def _overwrite(index):
    index.write_bytes(b"not a database, but long enough to be read as one" * 100)


def _truncate(index):
    index.write_bytes(index.read_bytes()[:5000])


def _empty(index):
    index.write_bytes(b"")


def _alter(index):
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("DROP TABLE metrics")
        connection.commit()


def _age(index):
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("harm", [_delete, _overwrite, _truncate, _empty, _alter, _age])
def test_a_harmed_index_is_rebuilt_identically(filled, harm):
    everything = filled.search(metric="accuracy>0"), filled.search()
    before = dump(filled)
    harm(filled.home / "index.db")
    assert (filled.search(metric="accuracy>0"), filled.search()) == everything
    assert dump(filled) == before


def test_reindex_counts_the_versions(filled):
    assert filled.reindex() == 5
    filled.remove("support@1")
    assert filled.reindex() == 4


def test_an_index_kept_up_equals_one_built_anew(filled, publish):
    filled.search()
    publish(alias="prod")
    filled.search()
    filled.remove("support@1")
    publish("another")
    filled.search()
    kept_up = dump(filled)
    filled.reindex()
    assert dump(filled) == kept_up


def test_what_others_did_is_seen_at_once(filled):
    other = Registry.open(filled.home)
    filled.search()
    other.remove("support@1")
    assert found(filled.search(name="support")) == ["support@3", "support@2"]
    other.publish("support", {"x.json": b"x"}, ManifestDraft(kind="adapter"))
    assert found(filled.search(name="support")) == ["support@4", "support@3", "support@2"]


def test_an_index_that_cannot_be_written_is_done_without(filled):
    everything = filled.search()
    (filled.home / "index.db").unlink()
    (filled.home / "index.lock").unlink()
    (filled.home / "index.lock").mkdir()
    assert filled.search() == everything


def test_a_damaged_version_hides_no_other(filled, flip):
    filled.search()
    digest = filled.resolve("legal").digest.removeprefix("sha256:")
    flip(filled.home / "manifests" / "sha256" / digest[:2] / digest)
    assert filled.reindex() == 4
    (problem,) = filled.unreadable()
    assert problem.path == "refs/legal/v/00000001"
    assert "legal@1" not in found(filled.search())
