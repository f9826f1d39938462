"""The routes of a server: what each run can be asked, and what whoever runs the machine asks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from polymodal.serve import page, v1
from polymodal.serve.document import describe
from polymodal.serve.errors import Refused
from polymodal.serve.gate import ClientGone, Gate
from polymodal.serve.hosted import Hosted, answered, vector
from polymodal.serve.metrics import CONTENT_TYPE, Metrics
from polymodal.serve.reading import asked


def application(hosted: Mapping[str, Hosted], gate: Gate) -> FastAPI:
    """The routes of these runs; the first of them also answers without its name."""
    app = FastAPI(title="Polymodal", docs_url=None, redoc_url=None, openapi_url=None)
    metrics = gate.metrics
    first = next(iter(hosted.values()))
    for own, base in [(first, ""), *((one, f"/runs/{one.name}") for one in hosted.values())]:
        for what in own.shapes.requests:
            # Bodies are checked by types that are made of a schema, not by FastAPI's.
            app.add_route(f"{base}/{what}", _answering(own, what, metrics), methods=["POST"])
    v1.add(app, hosted)

    @app.get("/health")
    async def health() -> Response:
        return answered({"status": "alive"})

    @app.get("/ready")
    async def ready() -> Response:
        workers = {one.name: one.lane.ready for one in hosted.values()}
        is_ready = all(workers.values())
        return answered({"ready": is_ready, "workers": workers}, 200 if is_ready else 503)

    @app.get("/metrics")
    async def figures() -> Response:
        lanes = [(one.name, one.lane.waiting, one.lane.ready) for one in hosted.values()]
        return Response(metrics.text(lanes), media_type=CONTENT_TYPE)

    @app.get("/runs")
    async def runs() -> Response:
        return answered({"runs": [told(one) for one in hosted.values()]})

    document = json.dumps(describe(hosted)).encode()

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return Response(document, media_type="application/json")

    @app.get("/")
    async def playground() -> Response:
        return Response(page.CONTENT, headers=page.HEADERS)

    app.exception_handler(Refused)(_refused)
    app.exception_handler(HTTPException)(_not_found)
    app.exception_handler(ClientGone)(_gone)
    app.exception_handler(Exception)(_failed)
    gate.routes = frozenset(getattr(route, "path", "") for route in app.routes)
    return app


def told(own: Hosted) -> dict[str, Any]:
    """What there is to know of a run."""
    return {"name": own.name, "can": list(own.shapes.requests), **own.shapes.described}


def _answering(
    own: Hosted, what: str, metrics: Metrics
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        own.lane.refuse_overload()
        wanted = await asked(request, own.shapes, what)
        coded = wanted.pop("encoding_format", "float")
        found = await own.ask(request, what, wanted)
        metrics.of_answer(own.name, what, wanted | {"columns": own.shapes.columns}, found)
        if what == "embed":
            return answered(_embedded(found, coded, own.shapes.described["embeds"]))
        if what == "predict":
            found.pop("drift", None)
            found = {"model": own.name, **found}
        return answered(found)

    answer.__name__ = f"{what}_{own.name}"
    return answer


def _embedded(found: Mapping[str, Any], coded: str, width: int) -> dict[str, Any]:
    vectors = [vector(one, coded) for one in found["rows"]]
    return {"width": width, "embeddings": vectors, "warnings": found["warnings"]}


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return Response(error.body(), error.status, error.headers, "application/json")


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "unknown_route", 405: "unknown_method"}
    what = {404: "There is no such route", 405: "The route is not asked by this method"}
    told = what.get(error.status_code, "The request is not understood")
    refused = Refused(error.status_code, told, code=codes.get(error.status_code, "invalid_request"))
    return Response(
        refused.body(), refused.status, dict(error.headers or {}), media_type="application/json"
    )


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


async def _failed(_: Request, __: Exception) -> Response:
    refused = Refused(500, "The server failed on this request", code="failed")
    return Response(refused.body(), 500, media_type="application/json")
