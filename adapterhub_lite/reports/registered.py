"""The model card of any version, from its manifest: what it is for, how it was made and scored.

A version that was trained, merged or imported has a card of its own among its files, written when
it was made; this one can be had of every version, and knows what came later.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.reports.card import KINDS
from adapterhub_lite.reports.markdown import cell, code, longest_run, printable
from adapterhub_lite.reports.metadata import (
    file_names,
    front_matter,
    hub_model,
    license_of,
    model_index,
    name_test_rows,
    task_of,
)
from adapterhub_lite.reports.usage import EXAMPLES, code_block, ours_code, theirs_code
from adapterhub_lite.specs import Head, HeadKind, RowKind, Task

if TYPE_CHECKING:
    from adapterhub_lite_registry import Component, Manifest, Metric
    from adapterhub_lite_registry.evaluations import EvaluationRecord

HEADS: Final[Mapping[str, HeadKind]] = {
    "text-classification": "sequence-classification",
    "token-classification": "token-classification",
    "text-regression": "sequence-classification",
    "question-answering": "question-answering",
    "text-generation": "causal-lm",
    "text2text-generation": "seq2seq-lm",
    "sentence-similarity": "none",
}
ASKED: Final[Mapping[tuple[str, ...], RowKind]] = {
    ("text",): "labelled-text",
    ("words",): "tagged-words",
    ("question", "context"): "question",
    ("messages",): "dialogue",
    ("source",): "source-target",
}
"""What a version is asked with → the kind of row with an example of it."""
MOST_LABELS: Final = 200
BASELINE: Final = "baseline_"
SHORT: Final = 19
"""So many characters of a digest stand for it: ``sha256:`` and twelve more."""


def version_card(
    manifest: "Manifest",
    number: int,
    *,
    library: str | None = None,
    parents: Mapping[str, str] | None = None,
    evaluations: "Sequence[EvaluationRecord]" = (),
) -> str:
    """Return a version's card as Markdown, with the metadata that the hub reads.

    ``library`` is who loads the files, where that is known; ``parents`` says of digests which
    versions they are here; ``evaluations`` were made after publishing.
    """
    library = library or library_of_files(manifest)
    parts = [
        front_matter(_metadata(manifest, library)),
        f"# {manifest.name}@{number}",
        manifest.description or "",
        _intended_use(manifest),
        _scores("Scores", manifest.metrics),
        *(_evaluation(record) for record in evaluations),
        _making(manifest),
        _recipe(manifest),
        _lineage(manifest, parents or {}),
        _use(manifest, number, library),
    ]
    return printable("\n\n".join(part for part in parts if part) + "\n")


def library_of_files(manifest: "Manifest") -> str:
    """Return the library that loads such files as they are, by the hub's names."""
    names = {entry.path for entry in manifest.files}
    if manifest.kind == "composition":
        return "adapterhub-lite"
    if "adapter_config.json" in names:
        return "peft"
    if "modules.json" in names:
        return "sentence-transformers"
    has_head = HEADS.get(manifest.task or "", "none") != "none" and "head.json" not in names
    return "transformers" if has_head and "config.json" in names else "adapterhub-lite"


def _metadata(manifest: "Manifest", library: str) -> dict[str, Any]:
    task = task_of(_task(manifest)) if _task(manifest) in KINDS else None
    base = hub_model(manifest.base.ref, manifest.base.revision) if manifest.base else None
    parts = (manifest.objective, manifest.method, *manifest.strategies)
    scores = [
        (metric.name, metric.value)
        for metric in manifest.metrics
        if metric.split == "test" and not metric.name.startswith(BASELINE)
    ]
    return {
        "library_name": library,
        **license_of(manifest.license),
        **({"pipeline_tag": task} if task else {}),
        **({"base_model": base, "base_model_relation": _relation(manifest)} if base else {}),
        "tags": ["adapterhub-lite", *dict.fromkeys(part.name for part in parts if part)],
        **({"metrics": [name for name, _ in scores]} if scores else {}),
        **model_index(manifest.name, task, _test_rows(manifest), scores),
    }


def _test_rows(manifest: "Manifest") -> str:
    """Return what the test rows are called, whose files stand in the recipe alone."""
    train = manifest.dataset.id.split(",") if manifest.dataset else ()
    data = (manifest.recipe or {}).get("data")
    test = data.get("test") if isinstance(data, dict) else None
    files = list(test.values()) if isinstance(test, dict) else [test]
    return name_test_rows((file for file in files if isinstance(file, str)), train)


def _relation(manifest: "Manifest") -> str:
    if manifest.kind == "adapter":
        return "adapter"
    return "merge" if manifest.strategies else "finetune"


def _task(manifest: "Manifest") -> Task:
    return manifest.task  # type: ignore[return-value]


def _intended_use(manifest: "Manifest") -> str:
    what = KINDS.get(_task(manifest), f"A version of the kind {code(manifest.kind)}")
    if manifest.kind == "adapter" and manifest.base:
        what += f", as an adapter on {code(_base_name(manifest))}"
    lines = ["## Intended use", "", f"{what}."]
    signature, data = manifest.signature, manifest.dataset
    if signature and signature.inputs:
        lines[-1] += f" It is asked with {_listed(signature.inputs)}."
    if signature and signature.labels:
        lines += ["", f"Labels: {_labels(signature.labels)}"]
    lines.append("")
    if data is not None:
        rows = f"{data.rows:,} rows of " if data.rows is not None else ""
        lines.append(
            f"It learned from {rows}{code(file_names(data.id.split(',')))}, and is meant for texts "
            "like those. How it does on others was not measured here."
        )
    else:
        lines.append("It is not recorded from which rows it learned.")
    return "\n".join(lines)


def _labels(labels: Sequence[str]) -> str:
    more = f", and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    return _listed(labels[:MOST_LABELS]) + more


def _scores(title: str, metrics: "Sequence[Metric]") -> str:
    if not metrics:
        return f"## {title}\n\nNo score is recorded."
    lines = [f"## {title}", "", "| metric | value | 95 % interval | on rows |", "|---|---|---|---|"]
    for metric in metrics:
        interval = f"{metric.ci[0]:.4f} to {metric.ci[1]:.4f}" if metric.ci else ""
        where = ", ".join(
            filter(None, (metric.split, f"{metric.n:,}" if metric.n is not None else None))
        )
        lines.append(f"| {cell(metric.name)} | {metric.value:.4f} | {interval} | {where} |")
    if any(metric.name.startswith(BASELINE) for metric in metrics):
        lines += ["", f"{code(BASELINE)} stands before the scores of the frozen baseline."]
    return "\n".join(lines)


def _evaluation(record: "EvaluationRecord") -> str:
    data = file_names(record.dataset.id.split(","))
    return _scores(f"Scores on {data}, evaluated {record.time[:10]}", record.metrics)


def _making(manifest: "Manifest") -> str:
    lines = [f"- {label}: {value}" for label, value in _facts(manifest) if value]
    return "\n".join(["## How it was made", "", *lines]) if lines else ""


def _facts(manifest: "Manifest") -> Iterator[tuple[str, str]]:
    """Yield what is told of the making, label by label; nothing stands for what is not known."""
    base, data = manifest.base, manifest.dataset
    yield "base", code(_base_name(manifest)) if base else ""
    yield "SHA-256 of the base's weights", code(base.weights_sha256 or "") if base else ""
    for label in ("method", "objective", "loader"):
        yield label, _component(getattr(manifest, label))
    for strategy in manifest.strategies:
        yield "strategy", _component(strategy)
    yield "seed", code(str(manifest.seed)) if manifest.seed is not None else ""
    yield "SHA-256 of the training rows", code(data.sha256 or "") if data else ""
    yield "licence of the base", manifest.base_license or ""
    yield "made", manifest.created_at[:10]
    yield "with", ", ".join(f"{name} {version}" for name, version in manifest.env.items())


def _base_name(manifest: "Manifest") -> str:
    """Return a base's name, and of a folder its last part: the rest is a machine's own."""
    assert manifest.base is not None, "the caller has looked"
    ref = manifest.base.ref
    return ref if hub_model(ref, manifest.base.revision) else file_names([ref.rstrip("/")])


def _component(part: "Component | None") -> str:
    if part is None:
        return ""
    source = f" ({part.plugin} {part.plugin_version or ''})".replace(" )", ")")
    return code(part.name) + (source if part.plugin else "")


def _recipe(manifest: "Manifest") -> str:
    if manifest.recipe is None:
        return ""
    import yaml

    text = yaml.safe_dump(manifest.recipe, sort_keys=False, allow_unicode=True)
    fence = "`" * max(3, longest_run(text) + 1)
    return f"## Recipe\n\n{fence}yaml\n{text}{fence}"


def _lineage(manifest: "Manifest", names: Mapping[str, str]) -> str:
    if not manifest.parents:
        return ""
    lines = ["## Lineage", "", "| made from | as | weight | digest |", "|---|---|---|---|"]
    for parent in manifest.parents:
        name = code(names[parent.digest]) if parent.digest in names else ""
        weight = f"{parent.weight:g}" if parent.weight is not None else ""
        digest = code(parent.digest[:SHORT] + "…")
        role = cell(parent.role) if parent.role else ""
        lines.append(f"| {name} | {role} | {weight} | {digest} |")
    return "\n".join(lines)


def _use(manifest: "Manifest", number: int, library: str) -> str:
    asked = ASKED.get(tuple(manifest.signature.inputs)) if manifest.signature else None
    name = f"{manifest.name}@{number}"
    if asked is None:
        ours = f'import adapterhub_lite\n\nadapterhub_lite.load("{name}")'
    else:
        ours = ours_code(name, EXAMPLES[asked])
    parts = ["## Use", code_block(ours)]
    kind = HEADS.get(manifest.task or "", "none")
    labels = manifest.signature.labels if manifest.signature else ()
    base = _base_name(manifest) if manifest.base else "path/to/the/base"
    if theirs := theirs_code(library, Head(kind=kind, labels=labels), base):
        parts += ["Without adapterhub-lite:", code_block(theirs)]
    return "\n\n".join(parts)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(code(word) for word in words)
