"""Searching: conditions in, entries of the index out."""

import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from adapterhub_lite_registry.errors import InvalidQueryError
from adapterhub_lite_registry.names import nearest_hint

MetricCondition: TypeAlias = str | tuple[str, str, float]

_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(>=|<=|==|=|>|<)\s*(\S+)\s*")
_OPERATORS = {">=": ">=", "<=": "<=", ">": ">", "<": "<", "=": "=", "==": "="}
_SORTED_BY = {
    "created": "v.created_at",
    "name": "v.name",
    "number": "v.number",
    "size": "v.size",
}
_METRIC = "SELECT 1 FROM metrics m WHERE m.version = v.id AND m.name = ?"
_COLUMNS = "v.name, v.number, v.digest, v.kind, v.base, v.method, v.task, v.created_at, v.size"


@dataclass(frozen=True)
class Entry:
    """What the index knows of a version; ``metrics`` has one value per name."""

    name: str
    number: int
    digest: str
    kind: str
    base: str | None
    method: str | None
    task: str | None
    created_at: str
    size: int
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True)
class Query:
    """The conditions of a search; all that are given must hold."""

    text: str | None = None
    name: str | None = None
    base: str | None = None
    method: str | None = None
    task: str | None = None
    kind: str | None = None
    metrics: Sequence[tuple[str, str, float]] = ()
    sort: str = "-created"
    latest_only: bool = False
    limit: int | None = None
    offset: int = 0

    def run(self, connection: sqlite3.Connection) -> list[Entry]:
        """Return the matching entries; InvalidQueryError if no version has a named metric."""
        statement, values = self._statement()
        rows = connection.execute(statement, values).fetchall()
        if not rows:
            self._check_metrics(connection)
        return [Entry(*[*row[:-1], json.loads(row[-1])]) for row in rows]

    def _statement(self) -> tuple[str, list[object]]:
        # Only constants of this module enter the text; all that a caller gave is bound.
        join, values = "", list[object]()
        if self._sort_key not in _SORTED_BY:
            join, values = "JOIN metrics s ON s.version = v.id AND s.name = ?", [self._sort_key]
        conditions = list(self._conditions())
        for _, bound in conditions:
            values.extend(bound)
        where = " AND ".join(text for text, _ in conditions) or "1"
        statement = (
            f"SELECT {_COLUMNS}, v.metrics FROM versions v {join} "  # noqa: S608
            f"WHERE {where} ORDER BY {self._order()} LIMIT ? OFFSET ?"
        )
        return statement, [*values, -1 if self.limit is None else self.limit, self.offset]

    def _conditions(self) -> Iterator[tuple[str, Sequence[object]]]:
        for column in ("name", "method", "task", "kind"):
            if (value := getattr(self, column)) is not None:
                yield f"v.{column} = ?", [value]
        if self.base is not None:
            yield "(v.base = ? OR v.base_weights = ?)", [self.base, self.base]
        for name, operator, value in self.metrics:
            yield (
                f"EXISTS ({_METRIC} AND m.value {_OPERATORS[operator]} ?)",
                [name, value],
            )
        if words := _match(self.text or ""):
            yield "v.id IN (SELECT rowid FROM words WHERE text MATCH ?)", [words]
        if self.latest_only:
            yield (
                (
                    "NOT EXISTS (SELECT 1 FROM versions w "
                    "WHERE w.name = v.name AND w.number > v.number)"
                ),
                [],
            )

    def _order(self) -> str:
        direction = "DESC" if self.sort.startswith("-") else "ASC"
        return f"{_SORTED_BY.get(self._sort_key, 's.value')} {direction}, v.name, v.number DESC"

    @property
    def _sort_key(self) -> str:
        return self.sort.removeprefix("-")

    def _check_metrics(self, connection: sqlite3.Connection) -> None:
        wanted = [name for name, _, _ in self.metrics]
        if self._sort_key not in _SORTED_BY:
            wanted.append(self._sort_key)
        for name in wanted:
            if connection.execute("SELECT 1 FROM metrics WHERE name = ?", (name,)).fetchone():
                continue
            known = [row[0] for row in connection.execute("SELECT DISTINCT name FROM metrics")]
            if known:
                raise InvalidQueryError(
                    f"no version has a metric {name!r}", hint=nearest_hint(name, known, "metrics")
                )


def parse_metric(condition: MetricCondition) -> tuple[str, str, float]:
    """Return name, operator and value of ``accuracy>=0.8``; InvalidQueryError if it is not so."""
    if isinstance(condition, str):
        found = _CONDITION.fullmatch(condition)
        name, operator, value = found.groups() if found else ("", "", "")
    else:
        name, operator, value = condition[0], condition[1], str(condition[2])
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name or operator not in _OPERATORS or math.isnan(number):
        raise InvalidQueryError(
            f"cannot read the metric condition {condition!r}", hint="write it like accuracy>=0.8"
        )
    return name, operator, number


def _match(text: str) -> str:
    """Return an FTS5 expression: every word must occur, at least as the start of one."""
    words = re.findall(r"\w+", text)
    return " ".join(f'"{word}"*' for word in words)
