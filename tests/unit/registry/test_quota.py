"""Room is looked for before a byte is written."""

import hashlib
import logging

import pytest

from adapterhub_lite_registry import (
    Config,
    IntegrityError,
    ManifestDraft,
    Source,
    StorageError,
)


def test_above_the_hard_quota_nothing_is_written(registry, publish, tmp_path):
    publish(files={"a.json": b"x" * 600})
    registry.configure(Config(quota_hard=1000))
    before = sorted(registry.home.rglob("*"))
    big = tmp_path / "big"
    big.write_bytes(b"y" * 401)
    with pytest.raises(StorageError, match="quota of 1,000, of which 600") as caught:
        publish(files={"b.json": big})
    assert "ahl gc" in caught.value.hint
    assert sorted(registry.home.rglob("*")) == before
    publish(files={"b.json": b"y" * 400})
    assert registry.used() == 1000


def test_bytes_that_are_here_already_take_no_room(registry, publish):
    publish(files={"a.json": b"x" * 600})
    registry.configure(Config(quota_hard=700))
    publish(files={"again.json": b"x" * 600, "twice.json": b"x" * 600, "new.json": b"y" * 50})
    assert registry.used() == 650


def test_what_is_collected_makes_room(registry, publish):
    publish(files={"a.json": b"x" * 600})
    registry.configure(Config(quota_hard=700))
    registry.remove("support@1")
    with pytest.raises(StorageError):
        publish(files={"b.json": b"y" * 600})
    registry.gc(grace=0)
    publish(files={"b.json": b"y" * 600})


def test_above_the_soft_quota_a_publish_warns(registry, publish, caplog):
    registry.configure(Config(quota_soft=1000))
    publish(files={"a.json": b"x" * 1000})
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        publish(files={"b.json": b"y"})
    assert "soft quota is 1,000" in caplog.text


def test_more_than_the_disk_has_is_refused_before_writing(registry, publish, monkeypatch):
    monkeypatch.setattr(registry._io, "free", lambda path: 10)
    with pytest.raises(StorageError, match="10 are free"):
        publish(files={"a.json": b"x" * 11})
    assert not list(registry.home.glob("tmp/*"))
    publish(files={"a.json": b"x" * 10})


def test_what_is_given_over_lies_on_the_disk_already_and_counts_for_the_quota(
    registry, monkeypatch
):
    sha256 = hashlib.sha256(b"x" * 11).hexdigest()
    monkeypatch.setattr(registry._io, "free", lambda path: 10)
    with registry.scratch() as folder:
        (folder / "a").write_bytes(b"x" * 11)
        given = {"a": Source(folder / "a", sha256=sha256)}
        draft = ManifestDraft(kind="adapter")
        registry.configure(Config(quota_hard=10))
        with pytest.raises(StorageError, match="quota of 10"):
            registry.publish("support", given, draft)
        registry.configure(Config(quota_hard=11))
        with pytest.raises(StorageError, match="are free"):
            registry.publish("support", {**given, "b": b"y" * 11}, draft)
        registry.publish("support", given, draft)


def test_settings_stay_and_rubbish_is_refused(registry, publish):
    config = Config(quota_soft=1, quota_hard=2, remotes=("file:/srv",))
    registry.configure(config)
    assert registry.config == config
    (registry.home / "config.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        publish()
