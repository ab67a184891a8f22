"""Output layers that are the embeddings in some models, and tensors of their own in others."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapterhub_lite.merging.alignment.names import Table
from adapterhub_lite.streaming.tying import (
    ALIASES,
    has_output_head,
    input_embeddings,
    is_output_layer,
    may_be_tied,
)


def share_aliases(tables: Sequence[Table], notices: list[str]) -> None:
    """Give a tensor under both of its names where some models have it under the other one."""
    for pair in ALIASES:
        for name, other in (pair, pair[::-1]):
            if not any(name in table.origins for table in tables):
                continue
            for table in tables:
                if name not in table.origins and other in table.origins:
                    table.origins[name] = table.origins[other]
                    notices.append(f"{table.label}: {other!r} stands for {name!r}, which is tied")


def separate_outputs(
    tables: Sequence[Table], configs: Sequence[Mapping[str, Any]], notices: list[str]
) -> dict[str, Any]:
    """Let embeddings stand for the output layer of models that tie the two, where others do not.

    Returns what the output's config has to say then. An output layer that is tied in every model
    is left out: whoever loads the result ties it again.
    """
    changes: dict[str, Any] = {}
    found = {name for table in tables for name in table.origins if is_output_layer(name)}
    for output in sorted(found):
        tied = [
            _tied_to(output, table, config) for table, config in zip(tables, configs, strict=True)
        ]
        having = [output in table.origins for table in tables]
        if not any(has and to is None for has, to in zip(having, tied, strict=True)):
            for table in tables:
                table.origins.pop(output, None)
            notices.append(f"{output!r} is tied to the embeddings in every model: it is left out")
            continue
        for table, embeddings in zip(tables, tied, strict=True):
            if embeddings is not None:
                table.origins[output] = table.origins[embeddings]
                changes["tie_word_embeddings"] = False
                notices.append(
                    f"{table.label}: {embeddings!r} stands for {output!r}, which is tied to it and "
                    "not in other models; the result is not tied"
                )
    return changes


def _tied_to(output: str, table: Table, config: Mapping[str, Any]) -> str | None:
    """Return the embeddings that a model has for its output layer, or None."""
    shapes = {name: origin.source.tensors[origin.name] for name, origin in table.origins.items()}
    embeddings = input_embeddings(shapes)
    if embeddings is None:
        return None
    if output in table.origins:
        return embeddings if config.get("tie_word_embeddings") is True else None
    tied = may_be_tied(config) and has_output_head(output, table.origins)
    return embeddings if tied else None
