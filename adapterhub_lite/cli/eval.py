"""``ahl eval``: score versions on rows, and compare two of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import base_options, json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.data.table import RowSet
    from adapterhub_lite.evaluation import Comparison, Evaluation
    from adapterhub_lite.inference.predictor import Predictor
    from adapterhub_lite.protocols import Interface
    from adapterhub_lite.scoring import Scored
    from adapterhub_lite.specs import Task
    from adapterhub_lite_registry import Registry


@click.command("eval", short_help="Score versions on rows, and compare two of them.")
@click.argument("ref")
@click.argument("other", required=False)
@click.option("--data", metavar="FILE", required=True, help="The rows, with what is true of them.")
@click.option("--text", metavar="COLUMN", help="The column with the text.")
@click.option("--text2", metavar="COLUMN", help="The column with the second text of pairs.")
@click.option(
    "--label",
    "labels",
    metavar="COLUMN",
    multiple=True,
    help="The column with the label; given several times: 0/1 columns, one a label.",
)
@click.option("--label-separator", help="What stands between the labels in a multi-label cell.")
@click.option(
    "--column",
    "columns",
    metavar="ROLE=COLUMN",
    multiple=True,
    help="The column with a role, for rows that are no labelled texts: words=tokens.",
)
@click.option(
    "--scale",
    type=(float, float),
    metavar="LOW HIGH",
    help="The lowest and the highest similarity in the file, for pairs with a value.",
)
@click.option("--form", help="How the rows are written, where several ways fit.")
@click.option(
    "--format", "reader", metavar="READER", help="The reader, where the ending tells none."
)
@click.option("--encoding", default="utf-8", show_default=True, help="The file's text encoding.")
@click.option(
    "--metric", "metrics", metavar="NAME", multiple=True, help="Only this metric; may be repeated."
)
@click.option(
    "--member",
    metavar="NAME",
    help="Score this member of a composition, or outer/inner; nothing is kept beside a version.",
)
@click.option("--no-record", is_flag=True, help="Do not keep the scores beside the version.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
@base_options
@json_option
@shared_options
def evaluate(
    ref: str,
    other: str | None,
    *,
    data: str,
    text: str | None,
    text2: str | None,
    labels: tuple[str, ...],
    label_separator: str | None,
    columns: tuple[str, ...],
    scale: tuple[float, float] | None,
    form: str | None,
    reader: str | None,
    encoding: str,
    metrics: tuple[str, ...],
    member: str | None,
    no_record: bool,
    device: str,
    base: str | None,
    any_base: bool,
    as_json: bool,
) -> None:
    """Score the version REF on rows, or compare it with OTHER on the same rows.

    Every metric of the task comes with its 95 % interval; of two versions the difference comes
    with a paired test. The scores are kept beside the versions: see ahl show.

    \b
    ahl eval tickets@prod --data new-tickets.csv
    ahl eval tickets@3 tickets@4 --data new-tickets.csv --metric macro_f1
    ahl eval a-and-b --member b --data new-tickets.csv
    """  # fmt: skip
    from adapterhub_lite.cli.eval_output import print_results, results_json

    section = {
        "train": data,
        "text": text,
        "text2": text2,
        "label": labels[0] if len(labels) == 1 else list(labels) or None,
        "label_separator": label_separator,
        "columns": _roles(columns),
        "scale": scale,
        "form": form,
        "format": reader,
        "encoding": encoding,
    }
    chosen = {name: value for name, value in section.items() if value}
    loading = Loading(device, base, any_base, member)
    results = _score([ref, other] if other else [ref], chosen, metrics, loading)
    if as_json:
        results_json(results)
    else:
        print_results(results)
    if not no_record and member is None:
        _record(results)


@dataclass(frozen=True, slots=True)
class Loading:
    """How versions are loaded, and which member of them is asked."""

    device: str
    base: str | None
    any_base: bool
    member: str | None


@dataclass(frozen=True, slots=True)
class VersionScores:
    """One version's answers and scores."""

    name: str
    ref: str
    scored: "Scored"
    evaluation: "Evaluation"


@dataclass(frozen=True, slots=True)
class Results:
    """What one or two versions scored on the same rows."""

    source: str
    rows: "RowSet"
    task: "Task"
    notes: tuple[str, ...]
    versions: tuple[VersionScores, ...]
    comparisons: "tuple[Comparison, ...]"
    registry: "Registry"


def _roles(pairs: Sequence[str]) -> dict[str, str]:
    found = dict(pair.partition("=")[::2] for pair in pairs)
    if len(found) < len(pairs) or not all(role and column for role, column in found.items()):
        raise click.UsageError("--column: give each role once, as ROLE=COLUMN")
    return found


def _score(
    refs: Sequence[str], section: dict[str, Any], only: Sequence[str], loading: Loading
) -> Results:
    from adapterhub_lite import api
    from adapterhub_lite.evaluation import compare_metrics, fitting_metrics
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    interface = _common_interface(refs, registry, catalogue, loading.member)
    task = _one_task(interface, refs[0])
    fitting_metrics(catalogue, task, only=only)  # a wrong name is told before the work
    predictor = _load(refs[0], registry, catalogue, loading)
    rows, notes = _read(section, interface, predictor.multi_label, catalogue)
    done = [_evaluate(predictor, refs[0], rows, catalogue, only)]
    comparisons: tuple[Comparison, ...] = ()
    if len(refs) > 1:
        del predictor  # two models need not be in memory together
        other = _load(refs[1], registry, catalogue, loading)
        done.append(_evaluate(other, refs[1], rows, catalogue, only))
        names = [metric.name for metric in done[0].evaluation.metrics]
        comparisons = compare_metrics(done[0].scored, done[1].scored, names, catalogue)
    source = str(section["train"])
    return Results(source, rows, task, notes, tuple(done), comparisons, registry)


def _common_interface(
    refs: Sequence[str], registry: "Registry", catalogue: "Catalogue", member: str | None
) -> "Interface":
    """Return what the first version is asked; CapabilityError if the other does another task."""
    from adapterhub_lite.errors import CapabilityError
    from adapterhub_lite.inference.artifact import member_folder, read_info
    from adapterhub_lite.inference.interface import interface_of
    from adapterhub_lite.inference.loading import resolve_artifact
    from adapterhub_lite.inference.origins import require_parts

    found = {}
    for folder, name in (resolve_artifact(ref, registry) for ref in refs):
        info = read_info(folder if member is None else member_folder(folder, member))
        require_parts(info, name, catalogue, ["objective"])
        found[name] = interface_of(info, catalogue)
    if len({one.task for one in found.values()}) > 1:
        tasks = [f"{name} does {one.task}" for name, one in found.items()]
        raise CapabilityError(" and ".join(tasks), hint="compare versions of one task")
    return next(iter(found.values()))


def _one_task(interface: "Interface", ref: str) -> "Task":
    """Return the task to score; raises CapabilityError where every member answers by its own."""
    from adapterhub_lite.errors import CapabilityError

    if interface.task == "several-answers":
        raise CapabilityError(
            f"every member of {ref} gives an answer of its own, and rows have one truth",
            hint=f"score one: --member NAME (its members: ahl show {ref})",
        )
    return interface.task


def _load(ref: str, registry: "Registry", catalogue: "Catalogue", how: Loading) -> "Predictor":
    from adapterhub_lite import api

    predictor = api.load(
        ref,
        registry=registry,
        catalogue=catalogue,
        device=how.device,
        base=how.base,
        any_base=how.any_base,
    )
    return predictor if how.member is None else predictor.member(how.member)


def _read(
    section: dict[str, Any], interface: "Interface", multi_label: bool, catalogue: "Catalogue"
) -> "tuple[RowSet, tuple[str, ...]]":
    """Read the rows as the model takes them; those that nobody could answer are left out."""
    from adapterhub_lite.data.clean import UNUSABLE, clean
    from adapterhub_lite.data.prepare import load
    from adapterhub_lite.recipes import DataSection, validate

    chosen = validate(DataSection, {**section, "multi_label": multi_label}, where="data")
    loaded = load(chosen, catalogue, rows=interface.rows, pairs=interface.pairs)
    cleaned = clean(loaded.train, UNUSABLE)
    left_out = (f"rows left out for {flaw}: {count}" for flaw, count in cleaned.removed.items())
    return cleaned.rows, (*loaded.notes, *left_out)


def _evaluate(
    predictor: "Predictor",
    ref: str,
    rows: "RowSet",
    catalogue: "Catalogue",
    only: Sequence[str],
) -> VersionScores:
    from adapterhub_lite.cli.progress import counting
    from adapterhub_lite.evaluation import evaluate_scored, require_known_labels

    require_known_labels(rows, predictor.classes)
    with counting(f"scoring {predictor.name}", len(rows)) as progress:
        scored = predictor.score(rows, progress)
    evaluation = evaluate_scored(
        scored, rows, predictor.classes, catalogue, task=predictor.task, only=only
    )
    return VersionScores(predictor.name, ref, scored, evaluation)


def _record(results: Results) -> None:
    """Keep the scores beside the versions; what the disk refuses costs no result."""
    from adapterhub_lite.errors import StorageError
    from adapterhub_lite.evaluation import draft_record
    from adapterhub_lite.inference.loading import is_path
    from adapterhub_lite.training.publish import environment
    from adapterhub_lite_registry.evaluations import EvaluationStore

    for scores in results.versions:
        if is_path(scores.ref):
            continue
        draft = draft_record(
            scores.evaluation, results.rows, results.source, results.task, environment()
        )
        try:
            version = results.registry.resolve(scores.name)
            EvaluationStore.open(results.registry.home).add(version, draft)
        except StorageError as error:
            click.echo(f"warning: {scores.name}: not recorded: {error.message}", err=True)
