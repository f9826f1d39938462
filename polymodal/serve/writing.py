"""Texts that a worker writes for several requests at once, each told as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from polymodal.run import writing
from polymodal.run.run import Run
from polymodal.serve.errors import Refused
from polymodal.serve.rows import Rows

# Called with parts: a request's position, which of its texts, and what has come to it.
Told = Callable[[list[tuple[int, int, str]]], None]


def write(
    run: Run, asked: Sequence[Mapping[str, Any]], told: Told, left: set[int]
) -> list[dict[str, Any] | Refused]:
    """Each request's texts.

    Args:
        asked: each with one row or, of a run that has learned chats, "messages"; its "seed", the
            "target", and "how" texts are asked for, which is the same of all.
        left: requests that nobody waits for any longer; looked into after each step.

    Returns:
        Of each request its "texts", with "finish" and how many "pieces" they have, how many places
        were "read" before them, and "warnings".
    """
    asked = [
        {**one, "rows": [writing.conversation(run.schema, one["messages"])]}
        if "messages" in one
        else one
        for one in asked
    ]
    rows = Rows(run, asked)
    refused: dict[int, Refused] = {}
    texts: list[dict[int, dict[str, Any]]] = [{} for _ in asked]
    read = [0] * len(asked)
    seeds = [one["seed"] for one in asked]
    steps = writing.parts(
        run.pipeline, rows.table, asked[0]["target"], asked[0]["how"], rows.ledger, seeds, left
    )
    for number, step in enumerate(steps):
        if number == 0:  # all cells have been read
            refused = rows.refused()
            left |= set(refused)
        for part in step:
            if part.said is not None:
                said = part.said
                read[part.row] = said.read
                own = {"said": said.text, "finish": said.finish, "pieces": said.pieces}
                texts[part.row][part.sample] = own
        told([(p.row, p.sample, p.text) for p in step if p.row not in refused])
    return [
        refused.get(i)
        or {
            "texts": [own[sample] for sample in sorted(own)],
            "read": read[i],
            "warnings": rows.warnings(i),
        }
        for i, own in enumerate(texts)
    ]
