"""From what a command says to a model that can be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.reason.model import Model
from polymodal.reason.reason import FOLDER
from polymodal.run.saved import load


def asked(strategies: Sequence[str], samples: int | None) -> list[Any]:
    """Strategies by their names, those that draw chains with so many samples.

    Raises:
        UserError: one is unknown, or none draws chains and samples are asked for.
    """
    known = {name: lookup.options(lookup.find(FOLDER, name)) for name in strategies}
    if samples is None:
        return list(strategies)
    if not any("samples" in own for own in known.values()):
        raise UserError(
            "`samples` is of strategies that draw chains, and none is asked for",
            expected="self_consistency or verified among the strategies",
            got=", ".join(strategies),
        )
    return [
        {"name": name, "samples": samples} if "samples" in known[name] else name
        for name in strategies
    ]


def opened(
    source: Any,
    *,
    run: Path | None,
    endpoint: str | None,
    model: str | None,
    trust: bool,
    target: str | None,
    question: str | None,
    second: str | None,
    server: Mapping[str, Any],
) -> Model:
    """The run or the server's model, with the rows.

    Args:
        server: of an endpoint, drop, key (an environment variable), parallel and timeout.

    Raises:
        UserError: there is neither, or both; or what one needs is lacking.
    """
    from polymodal.reason.endpoint import Endpoint
    from polymodal.reason.http import Server
    from polymodal.reason.local import Local

    if (run is None) == (endpoint is None):
        raise UserError(
            "There is nothing to ask" if run is None else "Both a run and a server are to be asked",
            expected="either a run's folder, or `endpoint URL` with `model NAME`",
        )
    if run is not None:
        if model is not None or server["drop"]:
            raise UserError(
                f"`{'drop' if model is None else 'model'}` is of servers, and a run is asked",
                expected="`endpoint URL` with it",
            )
        other = None if second is None else load(second, trust=trust)
        return Local(load(run, trust=trust), source, target=target, question=question, second=other)
    if model is None or target is None:
        raise UserError(
            f"A server has to be told the {'model' if model is None else 'target'}",
            expected="`endpoint URL`, `model NAME` and `target COL`",
        )
    key, timeout = os.environ.get(server["key"], ""), server["timeout"]
    return Endpoint(
        Server(str(endpoint), key=key, timeout=timeout),
        model,
        source,
        target=target,
        question=question,
        drop=server["drop"],
        second=second,
        parallel=server["parallel"],
    )
