"""The routes that answer by a version's task: labels, and anything."""

from typing import Any, Final

from fastapi import APIRouter, Request

from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.inference.similarity import Compared
from adapterhub_lite.predictions import (
    Classified,
    Embedded,
    Extracted,
    Generated,
    Prediction,
    Several,
    Tagged,
    Valued,
)
from adapterhub_lite.serving.failures import RefusedError
from adapterhub_lite.serving.requests import ClassifyRequest, PredictRequest
from adapterhub_lite.serving.responses import (
    Answer,
    Classification,
    ClassifyResponse,
    EmbeddingAnswer,
    LabelsAnswer,
    PredictResponse,
    SeveralAnswer,
    SimilarityAnswer,
    SpanAnswer,
    TagsAnswer,
    TextAnswer,
    ValueAnswer,
)
from adapterhub_lite.serving.served import Found, require_task
from adapterhub_lite.serving.service import Service
from adapterhub_lite.serving.work import Lane

WRITING: Final = ("text-generation", "text2text-generation")
"""The tasks whose answers are written token by token."""


def answer_routes(service: Service) -> APIRouter:
    """Return the routes of our own form."""
    router = APIRouter(prefix="/v1", tags=["answers"])

    @router.post("/classify", summary="Label texts.")
    async def classify(asked: ClassifyRequest, request: Request) -> ClassifyResponse:
        found = service.find(request, asked.model)
        if asked.member is None:
            require_task(found, ["text-classification"], "ask POST /v1/predict")
        inputs = asked.input if isinstance(asked.input, list) else [asked.input]
        rows = [row_of(found, one, asked.member) for one in inputs]
        answers = await service.answer(request, rows, "read")
        return ClassifyResponse(
            model=found.version,
            data=[_classification(found, number, one) for number, one in enumerate(answers)],
        )

    @router.post("/predict", summary="Answer inputs of any task.")
    async def predict(asked: PredictRequest, request: Request) -> PredictResponse:
        found = service.find(request, asked.model)
        lane: Lane = "write" if found.task in WRITING else "read"
        rows = [row_of(found, one, asked.member) for one in asked.inputs]
        answers = await service.answer(request, rows, lane)
        return PredictResponse(model=found.version, data=[_answer(one) for one in answers])

    return router


def row_of(found: Found, given: Any, member: str | None, **more: Any) -> Asked:
    """Return the row that asks a version what a request gives: a text, or an object with texts."""
    asked = given if isinstance(given, str) else given.asked()
    return Asked(ref=found.version, input=asked, member=member, **more)


def wrong_answer(found: Found, wanted: str) -> RefusedError:
    """Return the refusal of a version, or member, that answers with something else."""
    return RefusedError(
        f"{found.version} does not answer with {wanted}",
        status=400,
        code="wrong_task",
        param="model",
        hint="ask POST /v1/predict",
    )


def _classification(found: Found, index: int, answer: Prediction) -> Classification:
    if not isinstance(answer, Classified):
        raise wrong_answer(found, "labels")
    return Classification(index=index, **_labels(answer))


def _labels(answer: Classified) -> dict[str, Any]:
    return {
        "label": answer.label,
        "labels": list(answer.labels),
        "score": answer.score,
        "probabilities": dict(answer.probabilities),
    }


def _answer(answer: Prediction) -> Answer:
    match answer:
        case Classified():
            return LabelsAnswer(**_labels(answer))
        case Valued():
            return ValueAnswer(value=answer.value)
        case Generated():
            return TextAnswer(text=answer.text, finish=answer.finish)
        case Embedded():
            return EmbeddingAnswer(embedding=list(answer.vector))
        case Several():
            own = {name: _answer(one) for name, one in answer.answers.items()}
            return SeveralAnswer(answers=own)
        case Compared():
            return SimilarityAnswer(similarity=answer.similarity)
        case _:
            return _parts(answer)


def _parts(answer: Prediction) -> Answer:
    if isinstance(answer, Tagged):
        return TagsAnswer(
            words=list(answer.words), tags=list(answer.tags), scores=list(answer.scores)
        )
    assert isinstance(answer, Extracted), "every prediction has its form here"
    return SpanAnswer(answer=answer.answer, start=answer.start, end=answer.end, score=answer.score)
