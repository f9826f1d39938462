"""A worker's process: it holds the run, decodes what clients sent, and computes; nothing else.

It is started by `serve.process` with one end of a socket pair, and ends when the other end is gone.
What a decoder does to it costs the requests that it has in hand, and the server starts another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import select
import signal
import socket
import sys
import warnings
from functools import partial
from typing import Any

from polymodal.base.errors import UserError
from polymodal.serve import wire
from polymodal.serve.errors import Refused

logger = logging.getLogger(__name__)


def main() -> None:
    """`python -m polymodal.serve.worker JSON`: see `serve.process.Process`."""
    told = json.loads(sys.argv[1])
    # The server alone is told to stop, and closes the connection when it has all answers.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    warnings.simplefilter("ignore")
    # What clients sent is kept nowhere.
    os.environ["POLYMODAL_CACHE"] = os.devnull
    # Where the server went away there is nothing left to do.
    with socket.socket(fileno=told["socket"]) as connection, contextlib.suppress(EOFError, OSError):
        model = _opened(told, connection)
        if model is not None:
            _limit(told["memory"])
            _serve(model, connection)


def _opened(told: dict[str, Any], connection: socket.socket) -> Any:
    """The model, once the server has been told of it; None where it cannot be had."""
    import torch

    torch.set_num_threads(told["threads"])
    try:
        from polymodal.run.saved import load
        from polymodal.serve.model import Model

        model = Model(load(told["run"], trust=told["trust"]), told["index"], told["reference"])
        _say(connection, {"ready": model.described()})
    except UserError as error:
        _say(connection, {"failed": error.for_shell()})
        return None
    return model


def _serve(model: Any, connection: socket.socket) -> None:
    while True:
        asked = wire.read(connection)
        if "what" not in asked:  # who left a batch that was done already
            continue
        left: set[int] = set()
        told = partial(_told, connection, asked["batch"], left)
        answers = model.answer(asked["what"], asked["requests"], told, left)
        _say(
            connection,
            [
                {"refused": one.to_json()} if isinstance(one, Refused) else {"found": one}
                for one in answers
            ],
        )


def _told(connection: socket.socket, batch: int, left: set[int], parts: list[Any]) -> None:
    """What a batch has come to; and which of its requests nobody waits for any longer."""
    try:
        _say(connection, {"parts": parts})
        while select.select([connection], [], [], 0)[0]:
            gone = wire.read(connection)
            if gone["batch"] == batch:
                left.add(gone["left"])
    except (EOFError, OSError):  # nobody waits for any of it
        raise SystemExit from None


def _say(connection: socket.socket, value: Any) -> None:
    connection.sendall(wire.packed(value))


def _limit(memory: int) -> None:
    """No more memory than so many bytes beyond what the model has taken, and no core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import torch

    if sys.platform != "linux" or torch.cuda.is_available():
        # A GPU's driver reserves addresses by the terabyte.
        return
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))


if __name__ == "__main__":
    main()
