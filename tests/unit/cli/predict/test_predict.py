"""``ahl predict``: texts from anywhere; a mistake is named before anything is computed."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
TEXTS = ["abc", "some words", "a text that is rather long"]

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets what is piped in."""

    def pipe(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return pipe


@pytest.mark.parametrize("words", [[], ["--file", "-"]])
def test_lines_are_read_from_stdin(
    predicted: Ask, stdin: Callable[[str], None], words: list[str]
) -> None:
    stdin("abc\n\nsome words\r\n   \nlast without an end")
    rows = json.loads(predicted("--json", *words).out)
    assert [row["text"] for row in rows] == ["abc", "some words", "last without an end"]


def test_nothing_on_stdin_is_an_error(ahl: Ask, stdin: Callable[[str], None]) -> None:
    stdin("\n  \n")
    done = ahl("predict", "words@prod")
    assert done.code == 2
    assert done.err == "error: there are no texts in stdin\n  hint: give one text a line\n"


def test_a_terminal_is_not_waited_for(ahl: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    done = ahl("predict", "words@prod")
    assert done.code == 2
    assert "give a text, --file FILE, or lines on stdin" in done.err


def write_texts(file: Path) -> None:
    rows = [{"text": text, "number": i} for i, text in enumerate(TEXTS)]
    match file.suffix:
        case ".txt":
            file.write_text("abc\nsome words\n\na text that is rather long\n")
        case ".jsonl":
            file.write_text("\n".join(json.dumps(row) for row in rows))
        case ".csv":
            with file.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, ["text", "number"])
                writer.writeheader()
                writer.writerows(rows)
        case ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            parquet.write_table(pa.Table.from_pylist(rows), file)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.txt", "rows.parquet"])
def test_texts_are_read_from_a_file(predicted: Ask, here: Path, name: str) -> None:
    write_texts(here / name)
    rows = json.loads(predicted("--file", name, "--json").out)
    assert [row["text"] for row in rows] == TEXTS


def test_the_column_can_be_named(ahl: Ask, predicted: Ask, here: Path) -> None:
    (here / "rows.csv").write_text("first,second\na,abc\nb,some words\n")
    rows = json.loads(predicted("--file", "rows.csv", "--text", "second", "--json").out)
    assert [row["text"] for row in rows] == ["abc", "some words"]
    done = ahl("predict", "words@prod", "--file", "rows.csv")
    assert done.code == 2
    assert "which column is the text" in done.err
    done = ahl("predict", "words@prod", "--file", "rows.csv", "--text", "third")
    assert done.code == 2
    assert "third" in done.err


def test_cells_that_are_no_texts_keep_their_rows(predicted: Ask, here: Path) -> None:
    (here / "rows.jsonl").write_text('{"text": "abc"}\n{"text": null}\n{"text": 12}\n')
    rows = json.loads(predicted("--file", "rows.jsonl", "--json").out)
    assert [row["text"] for row in rows] == ["abc", "", "12"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["abc", "--file", "rows.csv"], "give texts or --file, not both"),
        (["--file", "none.csv"], "none.csv: no such file or folder"),
        (["abc", "--format", "yaml"], "'yaml'"),
        (["abc", "--top", "0"], "--top"),
        (["--file", "rows.xyz"], "rows.xyz"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_predicted(
    ahl: Ask, scorer: Any, words: list[str], shown: str
) -> None:
    done = ahl("predict", "words@prod", *words)
    assert done.code == 2
    assert shown in done.err
    assert done.out == ""
    assert scorer.asked == []


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"caf\xe9\n",
    ],
)
def test_a_text_file_that_cannot_be_used_is_the_users_mistake(
    ahl: Ask, here: Path, content: bytes | None
) -> None:
    if content is not None:
        (here / "rows.txt").write_bytes(content)
    done = ahl("predict", "words@prod", "--file", "rows.txt")
    assert done.code == 2
    assert "rows.txt" in done.err


def test_a_line_of_a_file_is_a_line_of_stdin(
    predicted: Ask, here: Path, stdin: Callable[[str], None]
) -> None:
    content = "one\u2028line\x0band more\nanother\n"
    stdin(content)
    (here / "rows.txt").write_text(content)
    piped, read = (
        json.loads(predicted("--json", *words).out) for words in ([], ["--file", "rows.txt"])
    )
    assert len(piped) == 2
    assert read == piped


@pytest.mark.parametrize("words", [["--text", "body"], ["--format", "csv", "--top", "1"]])
def test_an_option_that_does_nothing_is_refused(ahl: Ask, words: list[str]) -> None:
    assert ahl("predict", "words@prod", "abc", *words).code == 2


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["abc", "--column", "text=body"], "are about a --file"),
        (["abc", "--form", "pair"], "are about a --file"),
        (["--file", "rows.csv", "--second", "b"], "in a --file they are columns"),
        (["--file", "rows.csv", "--text", "a", "--column", "text=b"], "given twice"),
        (["--file", "rows.csv", "--column", "text"], "not of the form ROLE=COLUMN"),
        (["--file", "rows.csv", "--column", "text=a", "--column", "text=b"], "given twice"),
        (["abc", "--context", "a b"], "--context: the version takes a text"),
        (['["a", "b", "c"]'], "the version takes a text, and of pairs the other"),
    ],
)
def test_options_that_contradict_the_rest_are_refused(
    ahl: Ask, here: Path, scorer: Any, words: list[str], shown: str
) -> None:
    (here / "rows.csv").write_text("a,b\nabc,def\n")
    done = ahl("predict", "words@prod", *words)
    assert done.code == 2
    assert shown in done.err
    assert scorer.asked == []


def test_a_text_in_brackets_is_a_text(predicted: Ask, scorer: Any) -> None:
    predicted("[1, 2]", "[sic] a text", '[{"a": 1}]')
    assert scorer.asked == ["[1, 2]", "[sic] a text", '[{"a": 1}]']


def test_a_pair_of_texts(predicted: Ask, scorer: Any, stdin: Callable[[str], None]) -> None:
    predicted("one", "two", "--second", "other")
    predicted('["one", "other"]')
    stdin("a\nb\n")
    predicted("--second", "other")
    pairs = [("one", "other"), ("two", "other"), ("one", "other"), ("a", "other"), ("b", "other")]
    assert scorer.asked == pairs


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("premise,hypothesis", []),
        ("question1,question2,label", []),
        ("a,b", ["--text", "a", "--column", "text2=b"]),
        ("body,b", ["--column", "text2=b"]),
    ],
)
def test_pairs_are_found_in_a_table(
    predicted: Ask, here: Path, scorer: Any, header: str, words: list[str]
) -> None:
    row = ",".join(["one", "other", "yes"][: header.count(",") + 1])
    (here / "rows.csv").write_text(f"{header}\n{row}\n")
    predicted("--file", "rows.csv", *words)
    assert scorer.asked == [("one", "other")]


def test_what_a_reader_notes_is_said(predicted: Ask, here: Path) -> None:
    (here / "rows.csv").write_text("text;id\nabc;1\n")
    assert predicted("--file", "rows.csv").err.startswith("note: rows.csv: cells are divided by")


def test_a_version_that_reads_one_text_takes_no_pair(
    ahl: Ask, here: Path, publish_fake: Callable[[str, str], None]
) -> None:
    publish_fake("alone", "contrastive")
    done = ahl("predict", "alone", "one", "--second", "other")
    assert done.code == 2
    assert done.err.startswith("error: --second: the version takes a text\n")
    (here / "rows.csv").write_text("premise,hypothesis\na,b\n")
    done = ahl("predict", "alone", "--file", "rows.csv")
    assert done.code == 2
    assert "cannot tell which column is the text" in done.err


def test_bytes_that_are_no_text_are_written_somehow(predicted: Ask) -> None:
    assert json.loads(predicted("half \udcff", "--json").out)[0]["text"] == "half \ufffd"
