"""How ``ahl predict`` prints answers: for a person, as CSV, as JSON."""

import csv
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from adapterhub_lite.predictions import Prediction

Cells = Mapping[str, Any]


def render(
    predictions: "Sequence[Prediction]",
    form: str,
    classes: Sequence[str],
    top: int | None,
    others: Sequence[Cells],
) -> str:
    """Return predictions as text in one of the formats.

    ``others`` are the cells of each input's further columns: all formats but the table for a person
    put them before the answer. A column that the answer has too is called ``input_NAME``.
    """
    if form == "table":
        return "\n".join(_for_a_person(prediction, top or 3) for prediction in predictions)
    if form == "csv":
        return _csv(_joined(others, [_cells(prediction, classes) for prediction in predictions]))
    rows = _joined(others, [_record(prediction, top) for prediction in predictions])
    if form == "json":
        return json.dumps(rows, indent=2, ensure_ascii=False)
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _joined(others: Sequence[Cells], answers: Sequence[Cells]) -> list[dict[str, Any]]:
    taken = {name for answer in answers for name in answer}
    names = _free_names([*others[0]] if others else [], taken)
    return [
        {new: _json_value(other[name]) for name, new in names.items()} | dict(answer)
        for other, answer in zip(others, answers, strict=True)
    ]


def _free_names(names: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Return under which name each of an input's columns is kept."""
    free: dict[str, str] = {}
    for name in names:
        new = name
        while new in taken or new in free.values() or (new != name and new in names):
            new = f"input_{new}"
        free[name] = new
    return free


def _json_value(cell: Any) -> Any:
    """Return a cell as JSON knows it: what is no finite number is null, a date its text."""
    if isinstance(cell, Mapping):
        return {str(key): _json_value(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_json_value(value) for value in cell]
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell if cell is None or isinstance(cell, str | bool | int | float) else str(cell)


def _record(prediction: "Prediction", top: int | None) -> dict[str, Any]:
    return _cut(prediction.record(), top)


def _cut(record: dict[str, Any], top: int | None) -> dict[str, Any]:
    """Leave the likeliest probabilities, of every member where members answered."""
    if "probabilities" in record:
        record["probabilities"] = dict(list(record["probabilities"].items())[:top])
    if "answers" in record:
        record["answers"] = {name: _cut(own, top) for name, own in record["answers"].items()}
    return record


def _cells(prediction: "Prediction", classes: Sequence[str]) -> dict[str, Any]:
    """Return an answer as cells; a classifier's with one for every label's probability.

    What a member answers is called after it: ``tickets.label``.
    """
    from adapterhub_lite.predictions import Several

    record = prediction.record()
    if isinstance(prediction, Several):
        asked = record["input"]
        return {"input": asked} | {
            f"{name}.{column}": cell
            for name, answer in prediction.answers.items()
            for column, cell in _cells(answer, classes).items()
            if cell != asked
        }
    if "probabilities" not in record:
        return record
    return {
        "text": record["text"],
        "label": ",".join(record["labels"]),
        "score": record["score"],
        **{
            f"p_{name}": record["probabilities"][name]
            for name in classes
            if name in record["probabilities"]
        },
    }


def _csv(rows: Sequence[Cells]) -> str:
    lines = _Lines()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    # csv quotes a cell for the characters that end its lines: for these two, both kinds of them.
    writer = csv.DictWriter(lines, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return "\n".join(lines.written)


class _Lines:
    """A file for the csv module, which writes a line at a time."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> None:
        """Keep a line without its ending."""
        self.written.append(line.removesuffix("\r\n"))


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _for_a_person(prediction: "Prediction", top: int) -> str:
    parts = _answer(prediction, top)
    if shown := _asked(prediction.record()):
        parts.append(" ".join(shown.split())[:80])
    return "\t".join(parts)


def _answer(prediction: "Prediction", top: int) -> list[str]:
    """Return the answer in a few words, and the numbers behind it; of members one part each."""
    from adapterhub_lite.predictions import Several

    if isinstance(prediction, Several):
        answers = prediction.answers.items()
        return [f"{name}: {'  '.join(_answer(answer, top))}" for name, answer in answers]
    record = prediction.record()
    parts = [prediction.summary()]
    if "probabilities" in record:
        likeliest = list(record["probabilities"].items())[:top]
        parts.append("  ".join(f"{name} {value:.2f}" for name, value in likeliest))
    elif "start" in record:
        parts.append(f"{record['score']:.2f}")
    if record.get("finish") == "length":
        parts[0] += " …"
    return parts


def _asked(record: Cells) -> str:
    """Return what was asked, where the answer does not repeat it."""
    for name in ("question", "prompt", "text", "input"):
        if name in record:
            asked = record[name]
            return asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)
    return ""


def write(text: str, output: Path | None) -> None:
    """Print the answers, or write them to a file in one step; what no encoding writes is U+FFFD."""
    from adapterhub_lite.data.normalise import without_surrogates

    text = without_surrogates(text)
    if output is None:
        click.echo(text)
        return
    beside = output.with_name(f".{output.name}.part")
    try:
        beside.write_text(text + "\n", encoding="utf-8", newline="\n")
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    click.echo(f"wrote {output}", err=True)
