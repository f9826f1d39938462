"""A worker seen from the server: started, asked, ended, and started again where it died."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from polymodal.base.errors import UserError
from polymodal.serve import wire
from polymodal.serve.errors import Refused

# What libraries that compute read at their start: how many threads they may have.
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Seconds that a worker has to load its run.
LOADING = 600


class Lost(Exception):
    """A worker died, or did not answer in time and was ended."""


Told = Callable[[int, Any], None]


class Backend(Protocol):
    """What answers batches of requests, one batch at a time."""

    async def start(self) -> dict[str, Any]:
        """Make it ready; what the server must know of the run (`Model.described`)."""

    async def ask(
        self, what: str, requests: Sequence[Mapping[str, Any]], seconds: float, told: Told
    ) -> list[Any]:
        """An answer or a Refused for each request. Lost where there is none to be had.

        Args:
            seconds: until an answer, or the next part of one.
            told: called with a request's position and a part of its answer as soon as it is there.
        """

    def leave(self, position: int) -> None:
        """Nobody waits any longer for this request of the batch that is being answered."""

    async def stop(self) -> None:
        """End it; nothing is asked afterwards."""


@dataclass(frozen=True)
class Source:
    """What a worker is started with.

    Attributes:
        run: a run's folder.
        index: the table that is searched, if any.
        reference: rows like those it was trained on, where the training table is no longer there.
        trust: execute the components of the user's own that the run brings.
        threads: that one batch is computed by.
        memory: bytes that requests may take beside the model.
    """

    run: Path
    index: str | None = None
    reference: str | None = None
    trust: bool = False
    threads: int = 1
    memory: int = 6 * 2**30


class Process:
    """A worker in a process of its own."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._batch = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> dict[str, Any]:
        """As of Backend. UserError: the run cannot be loaded."""
        ours, theirs = socket.socketpair()
        told = {
            "socket": theirs.fileno(),
            "run": str(self.source.run),
            "index": self.source.index,
            "reference": self.source.reference,
            "trust": self.source.trust,
            "threads": self.source.threads,
            "memory": self.source.memory,
        }
        threads = dict.fromkeys(POOLS, str(self.source.threads))
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "polymodal.serve.worker", json.dumps(told)),
                pass_fds=[theirs.fileno()],
                env=os.environ | threads,
                stdin=asyncio.subprocess.DEVNULL,
            )
        finally:
            theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            said = await asyncio.wait_for(wire.receive(self._reader), LOADING)
        except (EOFError, OSError, TimeoutError) as error:
            await self.stop()
            raise Lost(f"the worker of {self.source.run} did not start") from error
        if "failed" in said:
            await self.stop()
            raise UserError(said["failed"])
        found: dict[str, Any] = said["ready"]
        return found

    async def ask(
        self, what: str, requests: Sequence[Mapping[str, Any]], seconds: float, told: Told
    ) -> list[Any]:
        assert self._reader is not None and self._writer is not None
        self._batch += 1
        asked = {"what": what, "batch": self._batch, "requests": list(requests)}
        try:
            self._writer.write(wire.packed(asked))
            async with asyncio.timeout(seconds) as limit:
                await self._writer.drain()
                while not isinstance(said := await wire.receive(self._reader), list):
                    limit.reschedule(asyncio.get_running_loop().time() + seconds)
                    for position, *part in said["parts"]:
                        told(position, part)
        except TimeoutError as error:
            await self.stop()
            raise Lost(f"no answer within {seconds:g} s") from error
        except (EOFError, OSError) as error:
            await self.stop()
            raise Lost("the worker died") from error
        except asyncio.CancelledError:
            # Its answer would be taken for that of the next batch.
            await self.stop()
            raise
        return [
            Refused.from_json(one["refused"]) if "refused" in one else one["found"] for one in said
        ]

    def leave(self, position: int) -> None:
        if self._writer is not None:
            self._writer.write(wire.packed({"batch": self._batch, "left": position}))

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
