"""``ahl predict``: texts from anywhere, answers in any form, nothing half-written."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.api import open_registry
from adapterhub_lite.inference import Predictor
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite_registry import Registry

TEXTS = ["abc", "some words", "a text that is rather long"]


@dataclass
class Lengths(ProbabilityScorer):
    """A scorer whose probabilities follow the length of the text."""

    classes: tuple[str, ...] = ("long", "short", "tiny")
    multi_label: bool = False
    threshold: float = 0.5
    asked: list[str] = field(default_factory=list)

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        self.asked += texts
        if progress:
            progress(len(texts))
        return np.array([self._shares(len(text)) for text in texts], dtype=float).reshape(-1, 3)

    def _shares(self, length: int) -> tuple[float, float, float]:
        if length > 20:
            return 0.625, 0.25, 0.125
        return (0.125, 0.75, 0.125) if length > 5 else (0.25, 0.3125, 0.4375)


@pytest.fixture
def scorer() -> Lengths:
    return Lengths()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, scorer: Lengths) -> Path:
    """Work in a fresh folder, with a registry whose every version is the same scorer."""
    Registry.open(home)

    def load(ref: str, **options: Any) -> Predictor:
        assert ref == "words@prod"
        assert options["device"] == "cpu"
        return Predictor(scorer, "words@3", "text-classification", "labelled-text")

    monkeypatch.setattr("adapterhub_lite.api.load", load)
    open_registry()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets what is piped in."""

    def pipe(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return pipe


def predicted(ahl: Any, *words: str) -> Any:
    done = ahl("predict", "words@prod", *words)
    assert done.code == 0, done.err
    return done


def test_a_line_a_text_for_a_person(ahl: Any) -> None:
    done = predicted(ahl, *TEXTS)
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert lines == [
        ["tiny", "tiny 0.44  short 0.31  long 0.25", "abc"],
        ["short", "short 0.75  long 0.12  tiny 0.12", "some words"],
        ["long", "long 0.62  short 0.25  tiny 0.12", "a text that is rather long"],
    ]
    assert done.err == ""


def test_a_long_text_is_cut_for_a_person_only(ahl: Any) -> None:
    text = "word " * 100
    assert len(predicted(ahl, text).out) < 150
    assert json.loads(predicted(ahl, text, "--json").out)[0]["text"] == text


@pytest.mark.parametrize("text", ["two\nlines", "two\tcolumns"])
def test_a_text_cannot_break_the_table(ahl: Any, text: str) -> None:
    (line,) = predicted(ahl, text).out.splitlines()
    assert len(line.split("\t")) == 3


def test_json_is_one_document(ahl: Any) -> None:
    first, *_ = rows = json.loads(predicted(ahl, *TEXTS, "--format", "json").out)
    assert [row["text"] for row in rows] == TEXTS
    assert first == {
        "text": "abc",
        "label": "tiny",
        "labels": ["tiny"],
        "score": 0.4375,
        "probabilities": {"tiny": 0.4375, "short": 0.3125, "long": 0.25},
    }
    assert list(first["probabilities"]) == ["tiny", "short", "long"], "the likeliest first"
    assert json.loads(predicted(ahl, *TEXTS, "--json").out) == rows


def test_jsonl_is_a_document_a_line(ahl: Any) -> None:
    out = predicted(ahl, *TEXTS, "--format", "jsonl").out
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == json.loads(predicted(ahl, *TEXTS, "--json").out)


def test_csv_has_a_column_a_label_in_the_order_of_the_classes(ahl: Any) -> None:
    awkward = 'a "quoted", comma\nand a line'
    out = predicted(ahl, "abc", awkward, "--format", "csv").out
    head, *rows = csv.reader(io.StringIO(out))
    assert head == ["text", "label", "score", "p_long", "p_short", "p_tiny"]
    assert rows == [
        ["abc", "tiny", "0.4375", "0.25", "0.3125", "0.4375"],
        [awkward, "long", "0.625", "0.625", "0.25", "0.125"],
    ]


@pytest.mark.xfail(reason="a bare carriage return is not quoted", strict=True)
def test_csv_keeps_a_carriage_return(ahl: Any, here: Path) -> None:
    predicted(ahl, "one\rtwo", "--output", "out.csv")
    with (here / "out.csv").open(newline="") as stream:
        _, row = csv.reader(stream)
    assert row[0] == "one\rtwo"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_top_cuts_probabilities(ahl: Any, form: str) -> None:
    out = predicted(ahl, "abc", "--format", form, "--top", "2").out
    (row,) = json.loads(out) if form == "json" else [json.loads(out)]
    assert row["probabilities"] == {"tiny": 0.4375, "short": 0.3125}


def test_top_cuts_the_table_and_may_ask_for_more_than_there_are(ahl: Any) -> None:
    assert predicted(ahl, "abc", "--top", "1").out == "tiny\ttiny 0.44\tabc\n"
    assert "long 0.25" in predicted(ahl, "abc", "--top", "9").out


def test_letters_of_any_script_are_kept(ahl: Any) -> None:
    for form in ("json", "jsonl", "csv", "table"):
        assert "日本 é" in predicted(ahl, "日本 é", "--format", form).out


def test_several_labels_or_none(ahl: Any, scorer: Lengths) -> None:
    scorer.multi_label, scorer.threshold = True, 0.25
    (row,) = json.loads(predicted(ahl, "abc", "--json").out)
    assert row["labels"] == ["tiny", "short", "long"]
    assert '"tiny,short,long"' in predicted(ahl, "abc", "--format", "csv").out
    assert predicted(ahl, "abc").out.startswith("tiny, short, long\t")
    scorer.threshold = 0.9
    (row,) = json.loads(predicted(ahl, "abc", "--json").out)
    assert (row["label"], row["labels"], row["score"]) == (None, [], 0.4375)
    assert "\nabc,,0.4375," in predicted(ahl, "abc", "--format", "csv").out
    assert predicted(ahl, "abc").out.startswith("(none)\t")


@pytest.mark.parametrize("words", [[], ["--file", "-"]])
def test_lines_are_read_from_stdin(
    ahl: Any, stdin: Callable[[str], None], words: list[str]
) -> None:
    stdin("abc\n\nsome words\r\n   \nlast without an end")
    rows = json.loads(predicted(ahl, "--json", *words).out)
    assert [row["text"] for row in rows] == ["abc", "some words", "last without an end"]


def test_nothing_on_stdin_is_an_error(ahl: Any, stdin: Callable[[str], None]) -> None:
    stdin("\n  \n")
    done = ahl("predict", "words@prod")
    assert done.code == 2
    assert done.err == "error: there are no texts in stdin\n  hint: give one text a line\n"


def test_a_terminal_is_not_waited_for(ahl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_texts_are_read_from_a_file(ahl: Any, here: Path, name: str) -> None:
    write_texts(here / name)
    rows = json.loads(predicted(ahl, "--file", name, "--json").out)
    assert [row["text"] for row in rows] == TEXTS


def test_the_column_can_be_named(ahl: Any, here: Path) -> None:
    (here / "rows.csv").write_text("first,second\na,abc\nb,some words\n")
    rows = json.loads(predicted(ahl, "--file", "rows.csv", "--text", "second", "--json").out)
    assert [row["text"] for row in rows] == ["abc", "some words"]
    done = ahl("predict", "words@prod", "--file", "rows.csv")
    assert done.code == 2
    assert "which column is the text" in done.err
    done = ahl("predict", "words@prod", "--file", "rows.csv", "--text", "third")
    assert done.code == 2
    assert "third" in done.err


def test_cells_that_are_no_texts_keep_their_rows(ahl: Any, here: Path) -> None:
    (here / "rows.jsonl").write_text('{"text": "abc"}\n{"text": null}\n{"text": 12}\n')
    rows = json.loads(predicted(ahl, "--file", "rows.jsonl", "--json").out)
    assert [row["text"] for row in rows] == ["abc", "", "12"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("out.csv", "text,label,score,p_long,p_short,p_tiny"),
        ("out.jsonl", '{"text": "abc", "label": "tiny"'),
        ("out.json", "["),
    ],
)
def test_the_ending_of_the_output_says_the_format(
    ahl: Any, here: Path, name: str, first: str
) -> None:
    done = predicted(ahl, "abc", "--output", name)
    assert done.out == ""
    assert done.err == f"wrote {name}\n"
    content = (here / name).read_text()
    assert content.startswith(first)
    assert content.endswith("\n")
    assert not content.endswith("\n\n")
    assert [path.name for path in here.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.tsv"])
def test_an_ending_that_says_no_format_is_refused(
    ahl: Any, here: Path, scorer: Lengths, name: str
) -> None:
    done = ahl("predict", "words@prod", "abc", "--output", name)
    assert done.code == 2
    assert ".csv, .jsonl or .json" in done.err
    assert scorer.asked == []
    assert list(here.iterdir()) == []
    predicted(ahl, "abc", "--output", name, "--format", "table")
    assert (here / name).read_text() == "tiny\ttiny 0.44  short 0.31  long 0.25\tabc\n"


def test_a_format_that_is_given_wins_over_the_ending(ahl: Any, here: Path) -> None:
    predicted(ahl, "abc", "--output", "out.csv", "--format", "json")
    assert json.loads((here / "out.csv").read_text())[0]["label"] == "tiny"


def test_the_output_is_what_would_be_printed(ahl: Any, here: Path) -> None:
    for form in ("csv", "json", "jsonl", "table"):
        predicted(ahl, *TEXTS, "--format", form, "--output", "out")
        assert (here / "out").read_text() == predicted(ahl, *TEXTS, "--format", form).out


def test_a_failure_leaves_the_old_output_and_nothing_beside_it(
    ahl: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "out.csv").write_text("old")

    def fail(*_: object) -> str:
        raise RuntimeError("rendering failed")

    with monkeypatch.context() as patch:
        patch.setattr("adapterhub_lite.cli.predict.render", fail)
        assert ahl("predict", "words@prod", "abc", "--output", "out.csv").code == 1
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        assert ahl("predict", "words@prod", "abc", "--output", "out.csv").code == 1
    assert [path.name for path in here.iterdir()] == ["out.csv"]
    assert (here / "out.csv").read_text() == "old"


def test_an_output_that_cannot_be_written(ahl: Any, here: Path) -> None:
    done = ahl("predict", "words@prod", "abc", "--output", "no-such-folder/out.csv")
    assert done.code in (1, 2)
    assert "no-such-folder" in done.err
    (here / "folder").mkdir()
    assert ahl("predict", "words@prod", "abc", "--output", "folder").code == 2
    assert [path.name for path in here.iterdir()] == ["folder"]


def test_half_a_surrogate_pair_is_written_somehow(ahl: Any, here: Path) -> None:
    (here / "rows.jsonl").write_text('{"text": "half \\ud800 a pair"}\n')
    predicted(ahl, "--file", "rows.jsonl", "--output", "out.csv")


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
    ahl: Any, scorer: Lengths, words: list[str], shown: str
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
    ahl: Any, here: Path, content: bytes | None
) -> None:
    if content is not None:
        (here / "rows.txt").write_bytes(content)
    done = ahl("predict", "words@prod", "--file", "rows.txt")
    assert done.code == 2
    assert "rows.txt" in done.err


def test_a_line_of_a_file_is_a_line_of_stdin(
    ahl: Any, here: Path, stdin: Callable[[str], None]
) -> None:
    content = "one\u2028line\x0band more\nanother\n"
    stdin(content)
    (here / "rows.txt").write_text(content)
    piped, read = (
        json.loads(predicted(ahl, "--json", *words).out) for words in ([], ["--file", "rows.txt"])
    )
    assert len(piped) == 2
    assert read == piped


@pytest.mark.parametrize("words", [["--text", "body"], ["--format", "csv", "--top", "1"]])
def test_an_option_that_does_nothing_is_refused(ahl: Any, words: list[str]) -> None:
    assert ahl("predict", "words@prod", "abc", *words).code == 2
