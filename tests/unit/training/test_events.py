"""``events.jsonl``: a line is in the file before anybody hears of it, and a crash spoils one."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.training.events import RunLog, SeedRun, read_events


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]]


def test_an_event_is_in_the_file_before_listeners_and_plugins_hear(
    lab: Any, tmp_path: Path
) -> None:
    heard: list[tuple[str, str]] = []

    def check(who: str, event: Mapping[str, Any]) -> None:
        assert lines_of(log.file)[-1] == event
        heard.append((who, event["event"]))

    catalogue = lab.catalogue_with(adapterhub_run_event=lambda event: check("plugin", event))
    listeners = [lambda event: check("first", event), lambda event: check("second", event)]
    log = RunLog(tmp_path / "run", catalogue, listeners)
    log.emit("started", rows=3)
    log.emit("finished")
    log.close()
    assert heard == [
        (who, event) for event in ("started", "finished") for who in ("first", "second", "plugin")
    ]


def test_what_was_emitted_is_read(lab: Any, tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs" / "one", lab.catalogue)
    run = SeedRun(log, 7)
    run.emit("seed-started", rows=3, folder=Path("a"), note="déjà\nvu")
    run.step("train", 1, 20, loss=0.5)
    log.close()
    started, step = read_events(log.file)
    assert started.pop("time") <= step.pop("time")
    assert list(started.items()) == [
        ("event", "seed-started"),
        ("seed", 7),
        ("rows", 3),
        ("folder", "a"),
        ("note", "déjà\nvu"),
    ]
    place = {"event": "step", "seed": 7, "stage": "train"}
    assert step == place | {"done": 1, "total": 20, "loss": 0.5}


def test_two_runs_never_share_a_folder(lab: Any, tmp_path: Path) -> None:
    RunLog(tmp_path / "run", lab.catalogue).close()
    with pytest.raises(FileExistsError):
        RunLog(tmp_path / "run", lab.catalogue)


def test_a_plugin_that_fails_stops_nothing(
    lab: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Mapping[str, Any]) -> None:
        raise RuntimeError("the tracker is down")

    log = RunLog(tmp_path / "run", lab.catalogue_with(adapterhub_run_event=fail))
    with caplog.at_level(logging.WARNING):
        log.emit("started")
        log.emit("finished")
    log.close()
    assert [event["event"] for event in read_events(log.file)] == ["started", "finished"]
    assert "acme-follower" in caplog.messages[0]
    assert "the tracker is down" in caplog.messages[0]


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    whole = '{"event": "a"}\n{"event": "b", "text": "c"}\n'
    for length in range(len(whole) + 1):
        file.write_text(whole[:length])
        names = [event["event"] for event in read_events(file)]
        assert names == ["a", "b"][: (length >= 14) + (length >= len(whole) - 1)]


def test_a_cut_may_go_through_a_letter(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes('{"event": "a"}\n{"event": "é'.encode()[:-1])
    assert read_events(file) == [{"event": "a"}]


@pytest.mark.parametrize("mark", ["\u2028", "\x85"])
def test_a_line_separator_in_a_text_ends_no_event(lab: Any, tmp_path: Path, mark: str) -> None:
    log = RunLog(tmp_path / "run", lab.catalogue)
    log.emit("started", column=f"my{mark}text")
    log.emit("finished")
    log.close()
    assert [event["event"] for event in read_events(log.file)] == ["started", "finished"]
