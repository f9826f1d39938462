"""What a run takes and gives, as types: made of its schema, checked, and documented."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict  # pydantic does not take typing's before Python 3.12

from polymodal.serve.cells import Limits, cell
from polymodal.serve.errors import Refused

# What is documented of a name only up to so many of them.
NAMED = 200
# Everything that is not asked for is refused; JSON has no NaN.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


@dataclass(frozen=True)
class Shapes:
    """One run's requests and answers.

    Attributes:
        name: the run's.
        described: as `Model.described`.
        requests: sort -> the model of its request, of the sorts that the run can answer.
        options: sort -> the model of what a request says beside its rows.
        answers: sort -> the model of its answer.
        limits: of what a request may hold.
    """

    name: str
    described: Mapping[str, Any]
    requests: Mapping[str, type[BaseModel]]
    options: Mapping[str, type[BaseModel]]
    answers: Mapping[str, type[BaseModel]]
    limits: Limits

    @property
    def columns(self) -> dict[str, Mapping[str, Any]]:
        return {column["name"]: column for column in self.described["inputs"]}

    @property
    def decides(self) -> list[Mapping[str, Any]]:
        """Targets with one class of several."""
        return [one for one in self.described["targets"] if one["classes"]]

    @property
    def written(self) -> str | None:
        """The target whose texts are written; None if there is none, or several."""
        found = [one["name"] for one in self.described["targets"] if one["written"]]
        return found[0] if len(found) == 1 else None

    @property
    def along(self) -> bool:
        """Whether that is written along a sound, by no decoder."""
        return any(one["along"] for one in self.described["targets"] if one["written"])

    @property
    def text(self) -> str | None:
        """The column that a text alone is meant for; None if there is none, or several."""
        found = [one["name"] for one in self.described["inputs"] if one["words"]]
        return found[0] if len(found) == 1 else None

    def read(self, what: str, body: bytes) -> dict[str, Any]:
        """A request's JSON, checked, with its cells as a pipeline takes them. Refused otherwise."""
        return self.prepared(parsed(self.requests[what], body, self.columns))

    def prepared(self, asked: BaseModel) -> dict[str, Any]:
        """A checked request for a worker: its "rows", and what else it says."""
        found = said(asked)
        rows = [found.pop("row")] if "row" in found else found.pop("rows")
        return {**found, "rows": self.rows(rows)}

    def checked_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows that a request holds in a place of its own."""
        body = json.dumps({"rows": list(rows)}).encode()
        found: list[dict[str, Any]] = self.read("predict", body)["rows"]
        return found

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows of JSON cells as a pipeline takes them; Refused where a file is none."""
        columns = self.columns
        return [
            {
                name: cell(columns[name], value, f"rows.{i}.{name}", self.limits)
                for name, value in row.items()
            }
            for i, row in enumerate(rows)
        ]


def said(asked: BaseModel) -> dict[str, Any]:
    """What a request says, by the names that it has there."""
    return {
        (field.alias or name): getattr(asked, name)
        for name, field in type(asked).model_fields.items()
        if name in asked.model_fields_set
    }


def shapes(name: str, described: Mapping[str, Any], limits: Limits) -> Shapes:
    """The types of a run's requests and answers."""
    row = _row(f"{name}_Row", described["inputs"], limits)
    modalities = _listed(list(described["modalities"]))
    targets = _listed([one["name"] for one in described["targets"]])
    asked: dict[str, dict[str, Any]] = {
        "predict": {"absent": (modalities, Field([], description=ABSENT))}
    }
    if not described["compared"]:
        asked["explain"] = {"targets": (targets, _left_out(min_length=1))}
    if described["intervals"]:
        told = "Also say where the truth lies with this probability."
        within = Field(None, gt=0, lt=1, description=told, json_schema_extra=_unset)
        asked["predict"]["interval"] = (float, within)
    if described["embeds"]:
        asked["embed"] = {"encoding_format": (Literal["float", "base64"], "float")}
    answers = {
        "predict": _model(f"{name}_Predicted", _answered(name, described)),
        "explain": _model(f"{name}_Explained", {"rows": (list[dict[str, Any]], ...)} | WARNED),
        "embed": _model(f"{name}_Embedded", EMBEDDED | WARNED),
        "retrieve": _model(f"{name}_Retrieved", {"rows": (list[dict[str, Any]], ...)} | WARNED),
    }
    if described["searched"]:
        compared, searched = _some(described["compared"]), _some(described["searched"])
        asked["retrieve"] = {
            "source": (compared, Field(alias="from", description="The modality that asks.")),
            "to": (searched, Field(description="The modality that is found.")),
            "k": (int, Field(10, ge=1, le=1000, description="Rows that are found.")),
        }
    most = {"explain": limits.explained, "retrieve": 1}
    requests = {
        what: _request(f"{name}_{what.title()}", row, most.get(what, limits.rows), options)
        for what, options in asked.items()
    }
    options = {what: _options(f"{name}_{what}", own) for what, own in asked.items()}
    kept = {what: answers[what] for what in requests}
    return Shapes(name, described, requests, options, kept, limits)


def parsed(
    model: type[BaseModel], body: bytes, columns: Mapping[str, Mapping[str, Any]] | None = None
) -> Any:
    """A checked request; Refused with the first mistake and where it is.

    Args:
        columns: of a request with rows: name -> column.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        raise Refused(400, "The body is no JSON document", code="invalid_json")
    raise _misplaced(found, body) if columns is None else _refusal(found, columns)


def _misplaced(found: Sequence[Mapping[str, Any]], body: bytes) -> Refused:
    """Of several ways to take a value the one that went furthest was meant."""
    deepest = max(found, key=lambda one: len(one["loc"]))
    place, value = [], json.loads(body)
    for part in deepest["loc"]:
        # Between names and numbers stands which way was tried.
        if isinstance(value, list if isinstance(part, int) else dict) and (
            isinstance(part, int) or part in value
        ):
            place.append(str(part))
            value = value[part]
    if deepest["type"] == "missing":
        place.append(str(deepest["loc"][-1]))
    told = ".".join(place)
    what = f"{told}: {deepest['msg']}" if told else deepest["msg"]
    return Refused(400, what[:500], param=told or None, code="invalid_value")


def _refusal(
    found: Sequence[Mapping[str, Any]], columns: Mapping[str, Mapping[str, Any]]
) -> Refused:
    first = found[0]
    # Behind a cell's place stands which of its types was tried.
    depth = {"row": 2, "rows": 3}.get(str(first["loc"][0]) if first["loc"] else "", 99)
    parts = first["loc"][:depth]
    place = ".".join(str(part) for part in parts)
    what, code = first["msg"].removeprefix("Value error, "), "invalid_value"
    if first["type"] == "extra_forbidden":
        what, code = "there is no such field", "unknown_field"
    elif len(parts) == depth and parts[-1] in columns:
        tried = {one["type"] for one in found if one["loc"][:depth] == parts}
        told = next((text for kind, text in CELLS.items() if kind in tried), None)
        given = columns[str(parts[-1])]["given"]
        what = told or f"expected {' or '.join(GIVEN[one] for one in given)}, or null"
    return Refused(400, f"{place}: {what}"[:500] if place else what, param=place or None, code=code)


# How types of cells are called, and what is wrong with one that is nearly of its type.
GIVEN = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "strings": "a list of texts",
    "numbers": "a list of numbers",
    "matrix": "a list of lists of numbers",
    "file": "a file in base64",
}
CELLS = {
    "finite_number": "a number must be finite",
    "string_pattern_mismatch": "a text must not hold NUL",
    "string_too_long": "the text is too long",
    "too_long": "the list is too long",
    "too_short": "the list is empty",
}
ABSENT = "Modalities to leave out, as if the row lacked them."
WARNED: dict[str, Any] = {"warnings": (list[dict[str, Any]], ...)}
EMBEDDED: dict[str, Any] = {
    "width": (int, ...),
    "embeddings": (list[list[float] | str], ...),
}


def _row(name: str, columns: Sequence[Mapping[str, Any]], limits: Limits) -> Any:
    """The type of a row: every column may be left out, or be null."""
    fields = {column["name"]: _given(column, limits) | None for column in columns}
    return with_config(STRICT)(TypedDict(name, fields, total=False))  # type: ignore[operator]


def _given(column: Mapping[str, Any], limits: Limits) -> Any:
    """The type of a present cell in JSON."""
    text = Annotated[str, StringConstraints(max_length=limits.text, pattern=r"^[^\x00]*$")]
    gap = float | None
    types: dict[str, Any] = {
        "string": text,
        "number": float,
        "boolean": bool,
        "strings": Annotated[list[text], Field(max_length=limits.text)],
        "numbers": Annotated[list[gap], Field(min_length=1, max_length=limits.numbers)],
        "matrix": Annotated[
            list[Annotated[list[gap], Field(min_length=1, max_length=limits.numbers)]],
            Field(min_length=1, max_length=limits.numbers),
        ],
        "file": Annotated[
            str,
            StringConstraints(max_length=limits.encoded),
            WithJsonSchema(
                {
                    "type": "string",
                    "contentEncoding": "base64",
                    "contentMediaType": column["accepts"],
                    "description": "A file in base64, or as a data URL.",
                }
            ),
        ],
    }
    return reduce(or_, [types[one] for one in column["given"]])


def _request(name: str, row: Any, most: int, options: Mapping[str, Any]) -> type[BaseModel]:
    """One row or several, and options."""
    several = Annotated[list[row], Field(min_length=1, max_length=most)]
    fields = {"row": (row, _left_out()), "rows": (several, _left_out()), **options}
    ways: list[Any] = [{"required": ["row"]}, {"required": ["rows"]}]
    config = ConfigDict(**STRICT, json_schema_extra={"oneOf": ways})
    found: type[BaseModel] = create_model(
        name, __config__=config, __validators__={"either": _either()}, **fields
    )
    return found


def _options(name: str, options: Mapping[str, Any]) -> type[BaseModel]:
    """The same options as parameters of an address, none of which is required there."""
    fields: dict[str, Any] = {}
    for key, (of, told) in options.items():
        bounds = getattr(told, "metadata", ())
        checked = Annotated[(of, *bounds)] if bounds else of
        fields[key] = (checked, Field(None, alias=getattr(told, "alias", None)))
    config = ConfigDict(extra="ignore", allow_inf_nan=False)
    found: type[BaseModel] = create_model(name, __config__=config, **fields)
    return found


def _left_out(**options: Any) -> Any:
    """A field that may be left out, and has no value then."""
    return Field(None, json_schema_extra=_unset, **options)


def _unset(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _either() -> Any:
    def check(asked: Any) -> Any:
        if len({"row", "rows"} & asked.model_fields_set) != 1:
            raise ValueError("either `row`, one row, or `rows`, a list of them, is required")
        return asked

    return model_validator(mode="after")(check)


def _answered(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """A row's answers, a target each."""
    fields: dict[str, Any] = {}
    for i, one in enumerate(described["targets"]):
        value: Any = Any
        if 0 < len(one["classes"]) <= NAMED:
            value = Literal[tuple(one["classes"])] | None
        elif one["number"]:
            value = float | None
        own: dict[str, Any] = {"value": value}
        if one["written"]:
            own |= {"log_likelihood": float, "finish": Literal["stop", "length"]}
        if one["classes"] or one["labels"]:
            own["probabilities"] = dict[str, float]
        own |= {"low": NotRequired[float | None], "high": NotRequired[float | None]}
        own["set"] = NotRequired[list[str]]
        fields[one["name"]] = TypedDict(f"{name}_Answer{i}", own)  # type: ignore[operator]
    answers: Any = TypedDict(f"{name}_Answers", fields)  # type: ignore[misc]
    line = {"answers": answers, "missing": list[str]}
    lines: Any = TypedDict(f"{name}_Line", line)  # type: ignore[misc]
    return {"model": (str, ...), "rows": (list[lines], ...), **WARNED}


def _model(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    make: Callable[..., type[BaseModel]] = create_model
    return make(name, **fields)


def _listed(names: Sequence[str]) -> Any:
    return list[_some(names)]  # type: ignore[misc]


def _some(names: Sequence[str]) -> Any:
    return Literal[tuple(names)]
