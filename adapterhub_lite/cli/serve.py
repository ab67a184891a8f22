"""``ahl serve``: answer over HTTP."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import loader_option, settings, shared_options

if TYPE_CHECKING:
    import socket

    from adapterhub_lite.serving.access import Access
    from adapterhub_lite.serving.app import Application
    from adapterhub_lite.serving.journal import RequestLog, Texts
    from adapterhub_lite.serving.limits import Limits
    from adapterhub_lite_registry import Registry

TEXTS = ("none", "hash", "masked", "full")
_TOKEN_VARIABLE = "AHL_TOKEN"  # noqa: S105 - where the token is, not what it is
_KEPT_LOGS = 5


@click.command(short_help="Answer requests over HTTP, OpenAI's among them.")
@click.argument("refs", nargs=-1, metavar="[NAME]...")
@click.option("--alias", metavar="ALIAS", help="Serve every name that has this alias.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to bind; 0 takes a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A file with the token that requests have to bear (default: ${_TOKEN_VARIABLE}).",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
@loader_option
@click.option(
    "--max-loaded-mb",
    type=click.IntRange(min=1),
    help="Drop the adapters used least recently beyond this size (default: keep all).",
)
@click.option(
    "--max-batch",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    help="Inputs computed together.",
)
@click.option(
    "--max-wait-ms",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    help="How long a batch waits for more inputs.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Inputs that may wait; more are refused with 429.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Requests answered at the same time; more are refused with 429.",
)
@click.option(
    "--max-inputs",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Inputs in a request.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Tokens that a request may have written.",
)
@click.option(
    "--max-body-kb",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="The size of a request's body.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds after which a request is answered with 504.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds to finish what was asked, when told to stop.",
)
@click.option(
    "--request-log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what was answered there, a line of JSON an input.",
)
@click.option(
    "--log-texts",
    type=click.Choice(TEXTS),
    default="hash",
    show_default=True,
    help="What of a text the request log keeps.",
)
@click.option(
    "--log-mb",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="The size at which the request log begins a new file; five old ones are kept.",
)
@click.option(
    "--supervise/--no-supervise",
    default=True,
    show_default=True,
    help="Start the server again when its process dies.",
)
@shared_options
def serve(
    refs: tuple[str, ...],
    *,
    alias: str | None,
    host: str,
    port: int,
    token_file: Path | None,
    device: str,
    loader: str | None,
    max_loaded_mb: int | None,
    max_batch: int,
    max_wait_ms: float,
    max_queue: int,
    max_requests: int,
    max_inputs: int,
    max_tokens: int,
    max_body_kb: int,
    timeout: float,
    grace: float,
    request_log: Path | None,
    log_texts: "Texts",
    log_mb: int,
    supervise: bool,
) -> None:
    """Serve versions of the registry over HTTP until the process is told to stop.

    A NAME alone opens all its versions and aliases, name@7 or name@prod that one. Without a token
    only this machine is answered. A page to try versions on is at /.

    \b
    ahl serve tickets
    ahl serve tickets@prod names@4 --port 8080
    ahl serve --alias prod --host 0.0.0.0 --token-file token
    curl -s 127.0.0.1:8000/v1/classify -H 'content-type: application/json' \\
      -d '{"model": "tickets", "input": "my parcel never came"}'
    """  # fmt: skip
    from adapterhub_lite.cli.registry_common import open_registry
    from adapterhub_lite.serving.journal import log_as_json, log_event
    from adapterhub_lite.serving.limits import Limits
    from adapterhub_lite.serving.served import require_refs, require_there
    from adapterhub_lite.serving.supervisor import fork_worker

    require_refs(refs, alias)
    access = _access(host, token_file)
    limits = Limits(
        body_bytes=max_body_kb * 1024,
        inputs=max_inputs,
        new_tokens=max_tokens,
        requests=max_requests,
        queue=max_queue,
        batch=max_batch,
        max_wait=max_wait_ms / 1000,
        timeout=timeout,
        grace=grace,
    )
    _require_libraries()
    registry = open_registry()
    require_there(registry, refs, alias)
    listener = _listen(host, port)
    log_as_json()
    log_event("listening", url=_url(listener), served=[*refs], alias=alias)
    # Nothing heavy is imported before this line: the supervisor stays small, and can fork.
    parent = fork_worker() if supervise else None
    journal = _request_log(request_log, log_texts, log_mb)
    most_bytes = None if max_loaded_mb is None else max_loaded_mb * 1_000_000
    loading = {"device": device, "loader": loader, "most_bytes": most_bytes}
    from adapterhub_lite.serving.server import run_worker

    application = _application(registry, refs, alias, access, limits, journal, loading)
    run_worker(application, limits, listener, parent)


def _application(
    registry: "Registry",
    refs: Sequence[str],
    alias: str | None,
    access: "Access",
    limits: "Limits",
    journal: "RequestLog | None",
    loading: Mapping[str, Any],
) -> "Application":
    """Return the server, with what was named loaded; ``loading`` are settings of the fleet."""
    from adapterhub_lite.inference.fleet import Fleet
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.serving.app import Application
    from adapterhub_lite.serving.served import Served

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    fleet = Fleet(registry, catalogue, **loading)
    for ref in refs:
        fleet.predictor(ref)
    served = Served(fleet, registry, refs, alias)
    return Application(fleet, served, access=access, limits=limits, request_log=journal)


def _require_libraries() -> None:
    from importlib.util import find_spec

    from adapterhub_lite.errors import MissingDependencyError

    for library in ("fastapi", "uvicorn", "prometheus_client"):
        if find_spec(library) is None:
            raise MissingDependencyError(library, install="pip install 'adapterhub-lite[serve]'")


def _access(host: str, token_file: Path | None) -> "Access":
    """Return who may ask; raises UserError where others could, and there is no token."""
    from adapterhub_lite.errors import DataError
    from adapterhub_lite.serving.access import Access

    if token_file is None:
        return Access(os.environ.get(_TOKEN_VARIABLE), host)
    try:
        text = token_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{token_file} cannot be read: {error}", path=str(token_file)) from None
    return Access(text.strip(), host)


def _listen(host: str, port: int) -> "socket.socket":
    from adapterhub_lite.errors import UserError
    from adapterhub_lite.serving.listening import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise UserError(
            f"{host}:{port} cannot be bound: {(error.strerror or str(error)).lower()}",
            hint="choose another: --port 8001",
        ) from None


def _url(listener: "socket.socket") -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _request_log(path: Path | None, texts: "Texts", megabytes: int) -> "RequestLog | None":
    from adapterhub_lite.serving.journal import RequestLog

    if path is None:
        return None
    return RequestLog(path, texts, most_bytes=megabytes * 1_000_000, keep=_KEPT_LOGS)
