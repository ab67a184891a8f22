"""The application: routes, their errors, and what stands around them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.serving.access import Access
from adapterhub_lite.serving.answers import answer_routes
from adapterhub_lite.serving.contract import Answers
from adapterhub_lite.serving.described import all_models, family, one_model
from adapterhub_lite.serving.failures import Failure, RefusedError, failure_of
from adapterhub_lite.serving.figures import Figures
from adapterhub_lite.serving.guard import Guard
from adapterhub_lite.serving.journal import RequestLog
from adapterhub_lite.serving.limits import Limits
from adapterhub_lite.serving.openai import openai_routes
from adapterhub_lite.serving.page import page_response
from adapterhub_lite.serving.responses import (
    ErrorBody,
    Family,
    Health,
    ServedModel,
    ServedModels,
)
from adapterhub_lite.serving.served import Served
from adapterhub_lite.serving.service import Service, record_of

_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorBody, "description": said}
    for status, said in {
        400: "The body is no JSON, or the version cannot answer this.",
        401: "The token is missing or wrong.",
        403: "The request names another machine.",
        404: "The model is not served, or not there.",
        405: "The route has no such method.",
        408: "The body came too slowly.",
        409: "The adapter was trained on another base than is there.",
        413: "The body is too large.",
        422: "The body has another form than the schema's, or asks for more than is allowed.",
        429: "Too much waits already; Retry-After says for how long.",
        500: "The server failed.",
        503: "The server is stopping, or the version cannot be loaded.",
        504: "There was no answer in time.",
    }.items()
}


class Application:
    """The whole server as an ASGI application, and what its process has to do with it."""

    def __init__(
        self,
        fleet: Answers,
        served: Served,
        *,
        access: Access,
        limits: Limits,
        request_log: RequestLog | None = None,
    ) -> None:
        self.figures = Figures()
        self.service = Service(fleet, served, limits, self.figures, request_log)
        self.figures.watch(lambda: self.service.batcher.waiting, lambda: dict(fleet.loaded()))
        self.api = _api(self)
        self.guard = Guard(self.api, access, limits, self.figures)
        self._limits = limits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as ASGI says."""
        await self.guard(scope, receive, send)

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.service.batcher.alive and not self.guard.draining

    async def drain(self) -> bool:
        """Refuse what comes from now on, and wait for what came before; at most for the grace.

        Returns whether everything was answered.
        """
        self.guard.draining = True
        try:
            async with asyncio.timeout(self._limits.grace):
                while self.guard.active:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self.guard.cut_off()
            return False
        return True


def _api(application: Application) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        application.service.batcher.start()
        yield

    api = FastAPI(
        title="adapterhub-lite",
        summary="Versions of a registry, over HTTP.",
        docs_url=None,  # its pages load code from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=_ERRORS,
        exception_handlers={
            RequestValidationError: _invalid,
            HTTPException: _http_error,
            AdapterHubError: _refused,
            Exception: _refused,
        },
    )
    # A request is held against one route after the other: what is asked most comes first.
    api.include_router(answer_routes(application.service))
    api.include_router(openai_routes(application.service))
    api.include_router(_model_routes(application.service))
    api.include_router(_server_routes(application))
    return api


def _server_routes(application: Application) -> APIRouter:
    router = APIRouter(tags=["server"])

    @router.get("/health", summary="Whether the process works.")
    async def health() -> Health:
        if not application.service.batcher.alive:
            raise RefusedError("the model's thread ended", status=503, code="not_working")
        return Health(status="ok")

    @router.get("/ready", summary="Whether requests are answered.")
    async def ready() -> Health:
        if not application.ready:
            raise RefusedError("the server is stopping", status=503, code="draining")
        return Health(status="ready")

    @router.get("/metrics", summary="Figures for Prometheus.", response_class=Response)
    async def metrics() -> Response:
        return Response(application.figures.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return page_response()

    return router


def _model_routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["models"])

    # Plain functions: FastAPI runs them on threads, since they read many small files.
    @router.get("", summary="List what may be asked for.")
    def models() -> ServedModels:
        return all_models(service.served)

    @router.get("/{model}", summary="Describe a version.")
    def model(model: str) -> ServedModel:
        return one_model(service.served, model)

    @router.get("/{model}/lineage", summary="Say what a version was made from.")
    def lineage(model: str) -> Family:
        return family(service.served, model)

    return router


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return _reply(request, failure_of(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {400: "invalid_json", 404: "no_such_route", 405: "no_such_method"}
    failure = Failure(error.status_code, code.get(error.status_code, "refused"), str(error.detail))
    reply = _reply(request, failure)
    reply.headers.update(error.headers or {})
    return reply


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a body, and where; never what it holds."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    place = place.encode("ascii", "backslashreplace").decode()  # it may hold a key of the body
    if first["type"] == "json_invalid":
        return _reply(request, Failure(400, "invalid_json", "the body is no JSON"))
    said = f"{place}: {first['msg']}" if place else str(first["msg"])
    if first["type"] == "extra_forbidden":
        said = f"unknown key {place!r}"
    return _reply(request, Failure(422, "invalid_request", said, place or None))


def _reply(request: Request, failure: Failure) -> JSONResponse:
    record_of(request).code = failure.code
    return JSONResponse(failure.body(), failure.status, failure.headers())
