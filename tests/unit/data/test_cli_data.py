"""``ahl data check``."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.cli.data import data
from adapterhub_lite.cli.root import cli
from adapterhub_lite.errors import DataError

GOOD = "text,label\nwhere is my card,card\nmy card is lost,card\npay the bill,bill\na fee,bill\n"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``data check`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("adapterhub_lite.plugins.get_catalogue", lambda **_: catalogue)
    return lambda *args: CliRunner().invoke(cli, ["data", "check", *args])


def test_good_rows(run: Run) -> None:
    Path("a.csv").write_text(GOOD)
    done = run("a.csv")
    assert done.exit_code == 0
    assert "text: text   label: label" in done.output
    assert done.output.endswith("can be trained on: 4 rows in 2 classes, nothing wrong\n")


def test_warnings_are_shown_with_examples(run: Run) -> None:
    Path("a.csv").write_text(GOOD + "A fee,bill\n,card\nme too,other\n")
    done = run("a.csv")
    assert done.exit_code == 0
    assert "  row 6: (empty) → card" in done.output
    assert "  row 4: a fee → bill\n    row 5: A fee → bill" in done.output
    assert "classes of a single row:\n  other\n" in done.output
    assert done.output.endswith("can be trained on: 5 rows in 3 classes, 3 warnings\n")


def test_errors_exit_with_2_and_say_why(run: Run) -> None:
    Path("a.csv").write_text(GOOD)
    Path("b.csv").write_text("text,label\n" + "".join(f"t{n},new{n:02}\n" for n in range(12)))
    done = run("a.csv", "--test", "b.csv")
    assert done.exit_code == 2
    assert "and 2 more" in done.output
    last = done.output.splitlines()[-1]
    assert last.startswith("cannot be trained on: test: labels that training does not know")


def test_json_holds_the_same(run: Run) -> None:
    Path("a.csv").write_text("text;label\na;x\nb;x\n")
    done = run("a.csv", "--json")
    assert done.exit_code == 2
    assert "note: a.csv: cells are divided by ';'" in run("a.csv").output
    value = json.loads(done.output)
    assert value["columns"] == {"text": "text", "label": "label"}
    assert value["trainable"] is False
    assert value["findings"][0]["reason"] == "only one class"
    assert "';'" in value["notes"][0]


def test_flags_and_lists_of_labels(run: Run) -> None:
    Path("a.csv").write_text("body,spam,urgent\nwin now,1,1\nhello,0,0\n")
    done = run("a.csv", "--text", "body", "--label", "spam", "--label", "urgent", "--json")
    assert json.loads(done.output)["train"]["classes"] == {"spam": 1, "urgent": 1}
    Path("b.rows").write_text('{"text": "a", "tags": "x/y"}\n{"text": "b", "tags": ""}\n')
    options = ("--multi-label", "--label-separator", "/", "--format", "jsonl", "--json")
    done = run("b.rows", *options)
    assert json.loads(done.output)["train"]["classes"] == {"x": 1, "y": 1}


def test_the_threshold_is_passed_on(run: Run) -> None:
    Path("a.csv").write_text("text,label\na b c,x\na b d,x\ne,y\nf,y\n")
    assert "near-duplicates" not in run("a.csv").output
    assert "near-duplicates" in run("a.csv", "--near-duplicate", "0.5").output


@pytest.mark.parametrize("options", [("--near-duplicate", "0"), ("--label-separator", "")])
def test_options_that_make_no_sense_are_refused(run: Run, options: tuple[str, str]) -> None:
    Path("a.csv").write_text(GOOD)
    done = run("a.csv", *options)
    assert done.exit_code == 2
    assert options[0] in done.output


def test_unreadable_rows_are_a_data_error_for_the_top_to_print(run: Run) -> None:
    done = run("gone.csv")
    assert isinstance(done.exception, DataError)


def test_every_option_has_a_help_text() -> None:
    options = [item for item in data.commands["check"].params if isinstance(item, click.Option)]
    assert all(option.help for option in options)
