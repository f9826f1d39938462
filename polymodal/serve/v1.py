"""Routes of protocols that many clients speak: models, embeddings, typed decisions, texts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from polymodal.base.words import split
from polymodal.serve import chat, decisions
from polymodal.serve.errors import Refused
from polymodal.serve.hosted import Hosted, answered, vector
from polymodal.serve.reading import body_of
from polymodal.serve.schema import parsed

Text = Annotated[str, StringConstraints(max_length=100_000, pattern=r"^[^\x00]*$")]


class EmbeddingsRequest(BaseModel):
    """Texts, of a run that reads one text; or rows, of any."""

    # Clients send more than there is to know here, such as `user`.
    model_config = ConfigDict(extra="ignore", strict=True, title="EmbeddingsRequest")

    model: Text
    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=256)]
        | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=256)]
        | Annotated[list[int], Field(min_length=1, max_length=100_000)]
        | Annotated[list[list[int]], Field(min_length=1, max_length=256)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


def add(app: FastAPI, hosted: Mapping[str, Hosted]) -> None:
    """Routes for all runs; a request names its own."""

    chat.add(app, hosted, partial(_run, hosted))

    @app.get("/v1/models")
    async def models() -> Response:
        return answered({"object": "list", "data": [_card(one) for one in hosted.values()]})

    @app.get("/v1/models/{name}")
    async def model(name: str) -> Response:
        return answered(_card(_run(hosted, name)))

    if any("embed" in one.shapes.requests for one in hosted.values()):

        @app.post("/v1/embeddings")
        async def embeddings(request: Request) -> Response:
            asked = parsed(EmbeddingsRequest, await body_of(request))
            own = _run(hosted, asked.model)
            own.lane.refuse_overload()
            rows = _rows(own, asked)
            found = await own.ask(request, "embed", {"rows": rows})
            count = sum(len(split(cell)) for row in rows for cell in row.values() if _is_text(cell))
            return answered(
                {
                    "object": "list",
                    "data": [
                        {
                            "object": "embedding",
                            "index": i,
                            "embedding": vector(one, asked.encoding_format),
                        }
                        for i, one in enumerate(found["rows"])
                    ],
                    "model": own.name,
                    "usage": {"prompt_tokens": count, "total_tokens": count},
                }
            )

    if any(one.shapes.decides for one in hosted.values()):

        @app.post("/v1/systemone")
        async def systemone(request: Request) -> Response:
            asked = parsed(decisions.DecisionRequest, await body_of(request))
            own = _run(hosted, asked.model)
            own.lane.refuse_overload()
            questions = decisions.questions(own.shapes, asked)
            row = decisions.row(own.shapes, asked)
            found = await own.ask(request, "predict", {"rows": [row]})
            told = found["rows"][0]["answers"]
            answers = {name: one.answer(told[one.target]) for name, one in questions.items()}
            usage = {"input_tokens": 0, "output_tokens": 0}
            return answered({"model": own.name, "answers": answers, "usage": usage})


def _run(hosted: Mapping[str, Hosted], name: str) -> Hosted:
    if name not in hosted:
        known = ", ".join(hosted)
        what = f"There is no model '{name[:80]}' here, only {known}"
        raise Refused(404, what, param="model", code="model_not_found")
    return hosted[name]


def _card(own: Hosted) -> dict[str, Any]:
    try:
        created = int(datetime.fromisoformat(own.shapes.described["created"]).timestamp())
    except ValueError:  # a run that was put together by hand
        created = int(time.time())
    return {"id": own.name, "object": "model", "created": created, "owned_by": "polymodal"}


def _rows(own: Hosted, asked: EmbeddingsRequest) -> list[dict[str, Any]]:
    """What is to be embedded, as rows of the run."""
    width, given = own.shapes.described["embeds"], asked.input
    if "embed" not in own.shapes.requests:
        what = f"'{own.name}' has no vectors: none of its models is a network with a fusion"
        raise Refused(400, what, param="model", code="no_embeddings")
    if asked.dimensions not in (None, width):
        what = f"Vectors of '{own.name}' have {width} dimensions, and are not cut"
        raise Refused(400, what, param="dimensions", code="invalid_dimensions")
    items: Sequence[Any] = [given] if isinstance(given, str) else given
    if any(isinstance(one, int | list) for one in items):
        what = "Tokens of another model mean nothing here: give the text itself"
        raise Refused(400, what, param="input", code="tokens")
    if any(isinstance(one, dict) for one in items):
        return own.shapes.checked_rows([one for one in items if isinstance(one, dict)])
    if own.shapes.text is None:
        what = f"'{own.name}' does not read one text alone: give rows of its columns"
        raise Refused(400, what, param="input", code="no_text")
    if "" in items:
        raise Refused(400, "A text is empty", param="input", code="invalid_value")
    return [{own.shapes.text: one} for one in items]


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str)
