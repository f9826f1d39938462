"""What a server of a run answers a second, how soon, and what it refuses: over loopback.

    polymodal quickstart --out quickstart
    python benchmarks/serving.py quickstart/run --data quickstart/data/test.csv --requests 20000

Rows of a table, their media in base64, are asked by connections that ask again as soon as they are
answered. `offline` is the same rows by `Pipeline.predict` in one process of as many threads as a
worker has, in batches as large as the server's. Then the server is overloaded, its worker is killed
under load, and it is told to stop while requests are in hand. `--beside litserve bentoml` serves
the same run by those, with their own batching, where `--python` has them. Client and server share
the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import polymodal as pm
from polymodal.contract import kind

# Seconds before a client that was refused asks again.
PAUSE = 0.2

LITSERVE = """
import base64, sys
import litserve
import polymodal as pm

class Api(litserve.LitAPI):
    def setup(self, device):
        self.pipeline = pm.load(sys.argv[1]).pipeline
        self.files = sys.argv[2].split(",")
    def decode_request(self, request):
        own = request["row"]
        return {n: base64.b64decode(c) if n in self.files else c for n, c in own.items()}
    def predict(self, x):
        rows = x
        rows = rows if isinstance(rows, list) else [rows]
        found = self.pipeline.predict(rows)
        return [{n: c[i] for n, c in found.items()} for i in range(len(rows))]
    def unbatch(self, output):
        return list(output)
    def encode_response(self, output):
        return output

if __name__ == "__main__":  # its worker imports this file anew
    api = Api(max_batch_size=int(sys.argv[4]), batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(port=int(sys.argv[3]), generate_client_file=False)
"""
BENTOML = """
import base64, os
import bentoml
import polymodal as pm

@bentoml.service(workers=1, traffic={"timeout": 300, "max_concurrency": 10000})
class Api:
    def __init__(self):
        self.pipeline = pm.load(os.environ["RUN"]).pipeline
        self.files = os.environ["FILES"].split(",")
    @bentoml.api(batchable=True, max_batch_size=int(os.environ["BATCH"]), max_latency_ms=30000)
    def many(self, rows: list[dict]) -> list[dict]:
        def cells(own):
            return {n: base64.b64decode(c) if n in self.files else c for n, c in own.items()}
        found = self.pipeline.predict([cells(own) for own in rows])
        return [{n: c[i] for n, c in found.items()} for i in range(len(rows))]
"""


@dataclass
class Load:
    """What became of requests.

    Attributes:
        seconds: that all took.
        took: of each answer that is no refusal.
        codes: how many answers of each status.
        failed: requests without an answer.
    """

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    failed: int = 0

    def line(self, rows: int = 1) -> str:
        p50, p99 = (1000 * np.quantile(self.took or [np.nan], q) for q in (0.5, 0.99))
        codes = ", ".join(f"{n:,} × {code}" for code, n in sorted(self.codes.items()))
        rate = self.codes[200] * rows / self.seconds
        return f"{rate:,.0f} | {p50:,.1f} | {p99:,.1f} | {codes} | {self.failed:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="table that the rows are of")
    parser.add_argument("--rows", type=int, default=256, help="that are asked again and again")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--fewer", type=int, default=5_000, help="where not all have to be asked")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--python", default=sys.executable, help="that has the others")
    parser.add_argument("--beside", nargs="*", choices=["litserve", "bentoml"], default=[])
    parser.add_argument("--clients", type=int, default=8, help="that ask ours and those beside it")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    torch.set_num_threads(given.threads)
    run = pm.load(given.run)
    rows, given.files = rows_of(run, given.data, given.rows)
    print(f"offline: {offline(run, rows, given.batch):,.0f} rows a second")
    one = [{"row": coded(own)} for own in rows]
    print(
        "| server | rows a second | p50 ms | p99 ms | answers | failed |\n|---|---|---|---|---|---|"
    )
    for part in given.parts:
        PARTS[part](given, one)


def load(given: argparse.Namespace, one: list[Any]) -> None:
    with Server(given.run, "--batch", "1", "--queue", "4096") as server:
        told = asyncio.run(ask(server.port, one, given.fewer // 4, given.connections))
        print(f"| unbatched | {told.line()} |", flush=True)
    with served(given, one) as server:
        before = server.memory()
        told = asyncio.run(ask(server.port, one, given.requests, given.connections))
        print(f"| batched | {told.line()} |", flush=True)
        many = [{"rows": [own["row"] for own in part]} for part in parts(one, 32)]
        told = asyncio.run(ask(server.port, many, max(20, given.fewer // 100), 8))
        print(f"| batched, 32 rows a request | {told.line(32)} |", flush=True)
        print(f"memory: {before:,.0f} MB, then {server.memory():,.0f} MB", file=sys.stderr)


def overload(given: argparse.Namespace, one: list[Any]) -> None:
    """Four times as many connections as rows may wait, each asking again and again."""
    with served(given, one, queue=given.connections) as server:
        before, many = server.memory(), 4 * given.connections
        told = asyncio.run(ask(server.port, one, 4 * given.fewer, many, pause=PAUSE))
        print(f"| overloaded, 4 × its queue | {told.line()} |", flush=True)
        print(f"memory: {before:,.0f} MB, then {server.memory():,.0f} MB", file=sys.stderr)


def kill(given: argparse.Namespace, one: list[Any]) -> None:
    """The worker is killed once under load: what is lost is what it had in hand."""

    async def killed(server: Server) -> Load:
        asking = asyncio.create_task(ask(server.port, one, given.fewer, given.connections))
        await asyncio.sleep(2)
        os.kill(server.workers()[0], signal.SIGKILL)
        return await asking

    with served(given, one) as server:
        told = asyncio.run(killed(server))
        print(f"| its worker killed after 2 s | {told.line()} |", flush=True)


def stop(given: argparse.Namespace, one: list[Any]) -> None:
    """SIGTERM while many requests are in hand; seconds until the server has ended."""
    many = 4 * given.connections

    async def stopped(server: Server) -> tuple[Load, float]:
        asking = asyncio.create_task(ask(server.port, one, many, many))
        await asyncio.sleep(0.3)
        start = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        told = await asking
        await asyncio.to_thread(server.process.wait)
        return told, time.perf_counter() - start

    with served(given, one) as server:
        told, seconds = asyncio.run(stopped(server))
        print(f"| told to stop | {told.line()} |\nstopped after {seconds:.1f} s", flush=True)


def beside(given: argparse.Namespace, one: list[Any]) -> None:
    """Ours, and the same requests to other servers of the same run, by few clients."""
    if not given.beside:
        return
    with served(given, one) as server:
        told = asyncio.run(ask(server.port, one, given.fewer, given.clients))
        print(f"| polymodal, {given.clients} clients | {told.line()} |", flush=True)
    for name in given.beside:
        told = another(name, given, one)
        print(f"| {name}, {given.clients} clients | {told.line()} |", flush=True)


# What is measured, in this order.
PARTS = {"load": load, "overload": overload, "kill": kill, "stop": stop, "beside": beside}


@contextlib.contextmanager
def served(given: argparse.Namespace, one: list[Any], queue: int = 4096) -> Iterator[Server]:
    """A server that has answered some requests already."""
    with Server(given.run, "--batch", str(given.batch), "--queue", str(queue)) as server:
        asyncio.run(ask(server.port, one, 200, min(given.connections, queue)))
        yield server


def rows_of(run: pm.Run, data: Path, most: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of a table with the bytes of their media, and which columns these are."""
    table = run.table(data)
    files = [c.name for c in run.schema.inputs if "file" in kind.of(c.kind).given(c.kind)]
    rows = []
    for i in range(min(most, len(table))):
        own = {c.name: table.cells(c.name)[i] for c in run.schema.inputs}
        for name in files:
            media = table.medium(own[name], i, name)
            own[name] = media and (media.values.tolist() if media.path is None else media.bytes())
        rows.append({n: cell for n, cell in own.items() if cell is not None})
    return rows, files


def coded(row: dict[str, Any]) -> dict[str, Any]:
    return {n: base64.b64encode(c).decode() if isinstance(c, bytes) else c for n, c in row.items()}


def parts(rows: Sequence[Any], size: int) -> list[Any]:
    return [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)]


def offline(run: pm.Run, rows: list[dict[str, Any]], batch: int) -> float:
    """Rows a second; the better of three."""
    run.pipeline.predict(rows[:batch])
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for i in range(0, len(rows), batch):
            run.pipeline.predict(rows[i : i + batch])
        best = max(best, len(rows) / (time.perf_counter() - start))
    return best


class Server:
    """`polymodal serve` in a process of its own."""

    def __init__(self, run: Path, *words: str) -> None:
        command = [sys.executable, "-m", "polymodal", "serve", f"run={run}", "--port", "0", *words]
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(command, stderr=self.log)
        while not (lines := [x for x in self._said() if '"listening"' in x]):
            if self.process.poll() is not None:
                raise SystemExit("\n".join(self._said()))
            time.sleep(0.1)
        self.port = int(json.loads(lines[0])["port"])

    def _said(self) -> list[str]:
        return Path(self.log.name).read_text().splitlines()

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def memory(self) -> float:
        """MB that the server and its workers hold."""
        every = (self.process.pid, *self.workers())
        pages = [int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in every]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


async def ask(
    port: int,
    bodies: Sequence[Any],
    requests: int,
    connections: int,
    path: str = "/predict",
    pause: float = 0.0,
) -> Load:
    """Ask so many times in all, by so many connections at once.

    Args:
        pause: seconds before who was refused asks again.
    """
    told, left = Load(), iter(range(requests))
    content = [json.dumps(body).encode() for body in bodies]

    async def connection() -> None:
        reader = writer = None
        for number in left:
            body = content[number % len(content)]
            start = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                assert reader is not None
                code, close = await answered(reader)
            except (OSError, EOFError):
                told.failed += 1
                writer = None
                continue
            told.codes[code] += 1
            if code == 429:
                await asyncio.sleep(pause)
            if code == 200:
                told.took.append(time.perf_counter() - start)
            if close:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    told.seconds = time.perf_counter() - start
    return told


async def answered(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """An answer's status, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(x for x in head.split("\r\n") if x.startswith("content-length:"))
    await reader.readexactly(int(length.split(":")[1]))
    return int(head.split()[1]), "connection: close" in head


def another(name: str, given: argparse.Namespace, one: list[Any]) -> Load:
    """The same requests to another server of the same run."""
    port = 8900 + len(name)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "service.py")
        script.write_text(LITSERVE if name == "litserve" else BENTOML)
        env = {**os.environ, "RUN": str(given.run.resolve()), "FILES": ",".join(given.files)}
        env |= {"BATCH": str(given.batch), "BENTOML_DO_NOT_TRACK": "1"}
        env |= {"OMP_NUM_THREADS": str(given.threads)}
        litserve = [str(script), env["RUN"], env["FILES"], str(port), env["BATCH"]]
        bentoml = ["-m", "bentoml", "serve", "service:Api", "--port", str(port)]
        words = litserve if name == "litserve" else bentoml
        log = open(Path(folder, "log"), "w")  # noqa: SIM115
        process = subprocess.Popen(
            [given.python, *words], cwd=folder, env=env, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            path = "/predict" if name == "litserve" else "/many"
            bodies = one if name == "litserve" else [{"rows": [own["row"]]} for own in one]
            for _ in range(600):
                time.sleep(0.2)
                told = asyncio.run(ask(port, bodies, 2, 1, path=path))
                if told.codes[200] == 2:
                    break
                if process.poll() is not None:
                    raise SystemExit(Path(folder, "log").read_text()[-3000:])
            else:
                raise SystemExit(f"{name} did not answer")
            asyncio.run(ask(port, bodies, 200, given.clients, path=path))
            return asyncio.run(ask(port, bodies, given.fewer, given.clients, path=path))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            log.close()


if __name__ == "__main__":
    main()
