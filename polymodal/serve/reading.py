"""A request's body: JSON or a form with files, brought to one checked form."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from fastapi.datastructures import FormData
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from polymodal.serve import cells
from polymodal.serve.errors import Refused
from polymodal.serve.schema import Shapes, parsed, said

JSON, FORM = "application/json", "multipart/form-data"


async def asked(request: Request, shapes: Shapes, what: str) -> dict[str, Any]:
    """A request of one sort, checked, its cells as a pipeline takes them.

    Options of it may stand in its address too: in a form every field is a cell.

    Raises:
        Refused: something of it is wrong.
    """
    options = _options(request, shapes, what)
    kind = content_type(request)
    if kind == JSON:
        return options | shapes.read(what, await request.body())
    if kind == FORM:
        return await _form(request, shapes, what, options)
    raise Refused(415, f"A body is {JSON} or {FORM}", param="content-type", code="unknown_type")


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _options(request: Request, shapes: Shapes, what: str) -> dict[str, Any]:
    if not request.query_params:
        return {}
    model = shapes.options[what]
    given: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        own = request.query_params.getlist(field.alias or name)
        if own:
            is_list = "list" in str(field.annotation)
            given[field.alias or name] = own if is_list else own[-1]
    try:
        return said(model.model_validate(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = str(first["loc"][0])
        what = f"{place} in the address: {first['msg']}"
        raise Refused(400, what[:500], param=place, code="invalid_value") from None


async def body_of(request: Request) -> bytes:
    """The body of a request that is JSON. Refused if it is of another type."""
    if content_type(request) != JSON:
        raise Refused(415, f"The body is {JSON}", param="content-type", code="unknown_type")
    return await request.body()


async def fields_of(request: Request, limits: cells.Limits) -> tuple[dict[str, str], bytes | None]:
    """A form's texts, and its one file, which is its field "file"."""
    if content_type(request) != FORM:
        raise Refused(415, f"The body is {FORM}", param="content-type", code="unknown_type")
    async with _opened(request, 1, 100, limits) as form:
        content = None
        fields: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields[name] = value
            elif name == "file":
                content = cells.file(await value.read(), name, limits)
    return fields, content


async def _form(
    request: Request, shapes: Shapes, what: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    most = len(shapes.columns) + 100  # a set is a field for each of its members
    async with _opened(request, len(shapes.columns), most, shapes.limits) as form:
        row, files = await _cells(form, shapes)
    told = json.dumps({**options, "row": row}).encode()
    found = shapes.prepared(parsed(shapes.requests[what], told, shapes.columns))
    found["rows"][0] |= files
    return found


@asynccontextmanager
async def _opened(
    request: Request, files: int, fields: int, limits: cells.Limits
) -> AsyncIterator[FormData]:
    boundary = re.search(r'boundary="?([^";,]+)', request.headers["content-type"])
    body = await request.body()
    if boundary is None or not body.rstrip().endswith(f"--{boundary[1].strip()}--".encode()):
        raise Refused(400, "The form is broken, or cut short", code="invalid_form")
    try:
        form = await request.form(max_files=files, max_fields=fields, max_part_size=limits.encoded)
    except HTTPException as error:
        raise Refused(400, "The form is broken, or too large", code="invalid_form") from error
    except (ValueError, LookupError) as error:  # of a header within it
        raise Refused(400, "The form is broken", code="invalid_form") from error
    try:
        yield form
    finally:
        await form.close()


async def _cells(form: FormData, shapes: Shapes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A form's cells in JSON, and its files."""
    row: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for name in dict.fromkeys(form.keys()):
        own, place = form.getlist(name), f"row.{name}"
        given = shapes.columns[name]["given"] if name in shapes.columns else ("string",)
        if any(not isinstance(one, str) for one in own):
            if len(own) > 1 or "file" not in given:
                what = (
                    f"{place}: one file was expected" if "file" in given else "a text was expected"
                )
                raise Refused(400, what, param=place, code="invalid_value")
            content = await own[0].read()  # type: ignore[union-attr]
            if content:  # a form's field that nobody filled is an empty file
                files[name] = cells.file(content, place, shapes.limits)
            continue
        texts = [str(one) for one in own]
        if len(texts) > 1 and "strings" in given:
            row[name] = texts
        elif len(texts) > 1:
            raise Refused(400, f"{place}: given more than once", param=place, code="invalid_value")
        elif texts[0]:
            row[name] = _cell(texts[0], given, place)
    return row, files


def _cell(text: str, given: Any, place: str) -> Any:
    """A field's text as a cell; lists of numbers are written as JSON."""
    if "string" in given or not text.lstrip().startswith("["):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(400, f"{place}: no list", param=place, code="invalid_value") from None
