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
import signal
import socket
import sys
import warnings
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
        stream = connection.makefile("rwb")
        model = _opened(told, stream)
        if model is not None:
            _limit(told["memory"])
            _serve(model, stream)


def _opened(told: dict[str, Any], stream: Any) -> Any:
    """The model, once the server has been told of it; None where it cannot be had."""
    import torch

    torch.set_num_threads(told["threads"])
    try:
        from polymodal.run.saved import load
        from polymodal.serve.model import Model

        model = Model(load(told["run"], trust=told["trust"]), told["index"])
        _say(stream, {"ready": model.described()})
    except UserError as error:
        _say(stream, {"failed": error.for_shell()})
        return None
    return model


def _serve(model: Any, stream: Any) -> None:
    while True:
        asked = wire.read(stream)
        answers = model.answer(asked["what"], asked["requests"])
        told = [
            {"refused": one.to_json()} if isinstance(one, Refused) else {"found": one}
            for one in answers
        ]
        _say(stream, told)


def _say(stream: Any, value: Any) -> None:
    stream.write(wire.packed(value))
    stream.flush()


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
