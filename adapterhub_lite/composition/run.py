"""Makes a composition as planned: into a folder, or as a version of the registry."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import yaml

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.composition.compare import Compared, compare
from adapterhub_lite.composition.plan import ComposePlan
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.errors import UserError
from adapterhub_lite.inference.artifact import ARTIFACT_FILE, LEARNT, MEMBERS, write_artifact_info
from adapterhub_lite.inference.origins import origins_of
from adapterhub_lite.protocols import Learnt
from adapterhub_lite.reports.metadata import front_matter, hub_model, license_of
from adapterhub_lite.training.artifact import RECIPE_FILE
from adapterhub_lite.training.publish import INPUTS, environment, publish_folder, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

CARD: Final = "README.md"
OWN_FILES: Final = frozenset({ARTIFACT_FILE, CARD, RECIPE_FILE, "report.html"})
"""What says how a member itself was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeResult:
    """What came of a composition: its folder or version, how it compared, and what it learnt."""

    plan: ComposePlan
    compared: Compared
    learnt: Learnt | None
    folder: Path | None
    version: "Version | None"


def run_plan(
    plan: ComposePlan, catalogue: Catalogue, registry: "Registry", out: Path | None
) -> ComposeResult:
    """Compose into ``out``, or publish the result under the recipe's name.

    Raises UserError where neither is given, and SelfTestError when the result does not answer as it
    has to; then nothing is left.
    """
    if out is None and plan.recipe.publish is None:
        raise UserError(
            "the result has no place to go", hint="give a folder (--out) or a name (--name)"
        )
    with _folder(out) as folder:
        _write(plan, folder, catalogue)
        learnt = _learn(plan, folder)
        compared = compare(plan, folder, catalogue)
        _describe(plan, compared, learnt, folder)
        version = None
        if out is None and plan.recipe.publish is not None:
            draft = _draft(plan, compared, learnt, folder, catalogue)
            version = publish_folder(
                folder, plan.recipe.publish, draft, registry, plan.recipe.alias
            )
    return ComposeResult(plan=plan, compared=compared, learnt=learnt, folder=out, version=version)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        with fresh_folder(out) as folder:
            yield folder
        return
    with TemporaryDirectory(prefix="adapterhub-") as work:
        folder = Path(work) / "composition"
        folder.mkdir()
        yield folder


def _write(plan: ComposePlan, folder: Path, catalogue: Catalogue) -> None:
    """Write one adapter with the files of the member that answers, or all members' files."""
    if plan.spec.result == "adapter":
        plan.implementation.write(plan.members, plan.params, folder)
        _copy(plan.answering.folder, folder)
        write_artifact_info(folder, plan.answering.info)
        return
    for member in plan.members.all:
        shutil.copytree(member.folder, folder / MEMBERS / member.name)
    info = replace(plan.answering.info, composition=plan.composed)
    write_artifact_info(folder, replace(info, origins=origins_of(info, catalogue)))


def _learn(plan: ComposePlan, folder: Path) -> Learnt | None:
    """Let a composition learn from its members' examples, and write what it learnt."""
    if not plan.examples:
        return None
    files = folder / LEARNT
    files.mkdir()
    inputs = {name: one.inputs for name, one in plan.examples.items()}
    learnt: Learnt = plan.implementation.fit(plan.members, inputs, plan.params, files)
    return learnt


def _copy(source: Path, destination: Path) -> None:
    """Copy what a method does not write: the tokenizer, and what the objective scores with."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name = file.relative_to(source)
        target = destination / name
        if name.as_posix() in OWN_FILES or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _describe(plan: ComposePlan, compared: Compared, learnt: Learnt | None, folder: Path) -> None:
    text = yaml.safe_dump(dict(plan.values), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    base = hub_model(plan.base.ref, plan.base.revision)
    front = {
        **({"base_model": base, "base_model_relation": "adapter"} if base else {}),
        "library_name": "adapterhub-lite",
        **license_of(plan.recipe.license),
        "tags": ["adapterhub-lite", "composition", plan.spec.name],
    }
    members = "\n".join(f"- {one.name}: {one.ref}" for one in plan.found)
    card = (
        f"{front_matter(front)}\n\n# {plan.recipe.publish or 'composition'}\n\n"
        f"{plan.spec.summary}\n\n"
        f"Adapters on {plan.base.ref}, composed by {plan.spec.name}:\n\n{members}\n\n"
        f"Compared with {compared.reference}: {compared.difference:.1e} of the largest output.\n\n"
        f"{_told(learnt)}"
        f"```yaml\n{text}```\n"
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def _told(learnt: Learnt | None) -> str:
    """Return what was learnt, as Markdown."""
    if learnt is None:
        return ""
    parts = [*learnt.lines, *(f"**Warning**: {warning}" for warning in learnt.warnings)]
    if learnt.table:
        header, *rows = [f"| {' | '.join(row)} |" for row in learnt.table]
        parts.append("\n".join([header, "|---" * len(learnt.table[0]) + "|", *rows]))
    return "".join(f"{part}\n\n" for part in parts)


def _labels(plan: ComposePlan) -> tuple[str, ...]:
    """Return every label that may be answered: where members answer for themselves, all theirs."""
    if plan.spec.result != "answers":
        return plan.interface.head.labels
    return tuple(dict.fromkeys(label for m in plan.members.all for label in m.head.labels))


def _draft(
    plan: ComposePlan,
    compared: Compared,
    learnt: Learnt | None,
    folder: Path,
    catalogue: Catalogue,
) -> "ManifestDraft":
    from adapterhub_lite_registry import ManifestDraft, Parent, Signature

    info, face = plan.answering.info, plan.interface
    composed = plan.composed
    told: dict[str, Any] = {
        "name": composed.name,
        "params": dict(composed.params),
        "members": {
            one.name: {"ref": one.ref, "params": dict(one.params)} for one in composed.members
        },
        "head": composed.head,
        "compared_with": compared.reference,
        "relative_difference": compared.difference,
    }
    if learnt is not None:
        told["examples"] = {name: one.told() for name, one in plan.examples.items()}
        told["learnt"] = dict(learnt.figures)
    one_adapter = plan.spec.result == "adapter"
    return ManifestDraft(
        kind="adapter" if one_adapter else "composition",
        description=f"{plan.spec.name} of {', '.join(one.ref for one in plan.found)}"[:500],
        task=face.task,
        base=manifest_base(plan.base),
        method=component("method", info.method, catalogue) if one_adapter else None,
        objective=component("objective", info.objective, catalogue),
        loader=component("loader", info.loader, catalogue),
        hyperparameters={"composition": told},
        parents=tuple(
            Parent(digest=one.digest, role="member", weight=one.params.get("weight"))
            for one in composed.members
            if one.digest
        ),
        recipe=dict(plan.values),
        env=environment(),
        license=plan.recipe.license,
        signature=Signature(inputs=INPUTS[face.rows], labels=_labels(plan)),
        tensors=tensor_count(folder) if one_adapter else None,
    )
