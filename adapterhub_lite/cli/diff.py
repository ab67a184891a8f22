"""``ahl diff``: what to know of models before merging them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import input_options, json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.merging.diagnosis.diagnose import Diagnosis
    from adapterhub_lite.merging.opening import Opened

QUIET_SECONDS = 2.0
"""Work that takes longer shows a bar."""


def _as_png(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """Refuse, before the work, a picture that could not be written after it."""
    if value is not None and value.suffix.lower() != ".png":
        raise click.BadParameter(f"a picture is a PNG: {value.with_suffix('.png')}")
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.parent}")
    return value


@click.command(short_help="Compare models before merging: norms, cosines, sign conflicts, a hint.")
@click.argument("refs", nargs=-1, metavar="MODEL MODEL…")
@click.option(
    "--base", metavar="REF", help="The model that all were trained from; adapters know theirs."
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_as_png,
    help="Draw the comparison into this PNG file.",
)
@click.option(
    "--threads", type=click.IntRange(1), help="How many tensors at once (default: one a core)."
)
@input_options
@json_option
@shared_options
def diff(
    refs: tuple[str, ...],
    base: str | None,
    picture: Path | None,
    threads: int | None,
    any_base: bool,
    convert_pickle: bool,
    as_json: bool,
) -> None:
    """Compare what MODELs learnt since their base: how far they moved, and whether they collide.

    Models and adapters alike; they are read piece by piece, so their size does not matter. Ends
    with what merge strategies may suit, each with the rule that says so.

    \b
    ahl diff legal@3 medical@1 --base ./llama
    ahl diff a@1 b@1 c@1 --picture diff.png
    """  # fmt: skip
    if len(refs) < 2:
        raise click.UsageError("name two models or more: ahl diff A B --base BASE")
    from adapterhub_lite.cli.diff_output import diagnosis_json, print_diagnosis

    insisted = {"any_base": any_base, "convert_pickle": convert_pickle}
    diagnosis, notices = _diagnose(refs, base, threads, insisted)
    if picture is not None:
        from adapterhub_lite.merging.diagnosis.picture import diagnosis_png

        picture.write_bytes(diagnosis_png(diagnosis))
    if as_json:
        diagnosis_json(diagnosis, notices, picture)
    else:
        print_diagnosis(diagnosis, notices, picture)


def _diagnose(
    refs: Sequence[str], base: str | None, threads: int | None, insisted: Mapping[str, bool]
) -> "tuple[Diagnosis, list[str]]":
    """Return the comparison, and what is not to pass in silence."""
    from adapterhub_lite import api
    from adapterhub_lite.merging.alignment.align import Member
    from adapterhub_lite.merging.diagnosis.comparable import under_common_names
    from adapterhub_lite.merging.diagnosis.diagnose import diagnose
    from adapterhub_lite.merging.engine import Settings
    from adapterhub_lite.merging.opening import Allowed, open_model
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    allowed = Allowed(**insisted)
    given = open_model(base, registry, catalogue, allowed=allowed) if base else None
    on = base if given and given.adapter is None else None
    models = [open_model(ref, registry, catalogue, base=on, allowed=allowed) for ref in refs]
    under = given or _common_base(models)
    named = under_common_names(
        [Member(model.source, model.config) for model in models],
        Member(under.source, under.config),
    )
    opened = [notice for model in (under, *models) for notice in model.notices]
    with _progress() as told:
        diagnosis = diagnose(
            named.models,
            named.base,
            settings=Settings(threads=threads or _cores()),
            progress=told,
        )
    return diagnosis, list(dict.fromkeys([*opened, *named.notices]))


def _common_base(models: "Sequence[Opened]") -> "Opened":
    """Return the base that all models, being adapters, have; raises CapabilityError."""
    from adapterhub_lite.errors import CapabilityError

    hint = "name the model that all were trained from: --base REF"
    bases = [(model.ref, model.base) for model in models]
    first = bases[0][1]
    for ref, own in bases:
        if own is None:
            raise CapabilityError(f"{ref} is a whole model, and no base is given", hint=hint)
        if first is not None and own.folder != first.folder:
            raise CapabilityError(
                f"{ref} was trained on {own.ref}, and {bases[0][0]} on {first.ref}", hint=hint
            )
    assert first is not None, "a model without a base was refused"
    return first


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar once the work turns out to take a while."""
    from adapterhub_lite.cli.progress import counting

    began = time.monotonic()
    update: Callable[[int], None] | None = None
    with ExitStack() as stack:

        def told(done: int, total: int) -> None:
            nonlocal update
            if update is None and time.monotonic() - began > QUIET_SECONDS:
                update = stack.enter_context(counting("comparing tensors", total))
            if update is not None:
                update(done)

        yield told


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))
