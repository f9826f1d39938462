"""A run of every kind of column, and a server of it in this process."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import numpy as np
import pytest
from PIL import Image

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show
from polymodal.serve.app import application
from polymodal.serve.cells import Limits
from polymodal.serve.gate import Access, Gate
from polymodal.serve.hosted import Hosted
from polymodal.serve.lane import Lane, Pace
from polymodal.serve.metrics import Metrics
from polymodal.serve.model import Model
from polymodal.serve.process import Told
from polymodal.serve.schema import shapes
from polymodal.table.media import wav

ROWS = 48
QUICK = {"epochs": 1, "threads": 1, "precision": "fp32"}


def png(seed: int = 0, side: int = 16) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sound(seed: int = 0) -> bytes:
    return wav(np.random.default_rng(seed).normal(0, 0.1, 1600).astype(np.float32), 16_000)


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def row(seed: int = 0) -> dict[str, Any]:
    """A whole row in JSON."""
    return {
        "photo": coded(png(seed)),
        "clip": coded(sound(seed)),
        "note": ["good and new", "bad and old"][seed % 2],
        "signal": [0.1 * seed, 1.0, 2.0, 1.5],
        "price": 9.5 + seed,
        "colour": ["red", "blue"][seed % 2],
        "tags": ["a", "b"],
    }


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that reads a row's picture, sound, text, series and table."""
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(0)
    yes = rng.integers(0, 2, ROWS)
    for i in range(ROWS):
        (folder / f"{i}.png").write_bytes(png(i))
        (folder / f"{i}.wav").write_bytes(sound(i))
    columns = {
        "photo": [str(folder / f"{i}.png") for i in range(ROWS)],
        "clip": [str(folder / f"{i}.wav") for i in range(ROWS)],
        "note": [f"{['bad and old', 'good and new'][y]} {i}" for i, y in enumerate(yes)],
        "signal": [list(rng.normal(size=6)) for _ in range(ROWS)],
        "price": list(rng.uniform(1, 20, ROWS)),
        "colour": [["red", "blue", "green"][i % 3] for i in range(ROWS)],
        "tags": [["a", "b"] if i % 2 else ["b", "c"] for i in range(ROWS)],
        "kept": [["no", "yes"][y] for y in yes],
        "stars": [str(1 + i % 3) for i in range(ROWS)],
        "hours": list(rng.normal(5, 1, ROWS) + yes),
    }
    every: dict[str, Any] = {n: {} for n in ("photo", "clip", "note", "signal", "table")}
    models = [
        {"name": "net", "modalities": every, "width": 8, "training": QUICK},
        {"name": "trees", "modalities": {"note": {}, "table": {}}, "learner": "trees"},
    ]
    kinds = {"note": "text", "colour": "category", "tags": "set", "stars": "category"}
    recipe = Recipe.model_validate({"models": models, "data": {"kinds": kinds}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        out = folder / "run"
        targets = ["kept", "stars", "hours"]
        pm.fit(columns, targets, recipe=recipe, out=out, show=Show.silent())
    return out


DECODER = {"name": "gpt2", "hidden": 32, "depth": 1, "heads": 2, "dropout": 0.0}
GENERATE = {"name": "generate", "decoder": DECODER, "vocabulary": 320}
WRITES = {"epochs": 40, "batch_size": 16, "lr": 0.01, "attention": "plain"}


def fitted(
    folder: Path,
    columns: dict[str, Any],
    inputs: Mapping[str, Any],
    spec: Mapping[str, Any] = GENERATE,
) -> Path:
    """A run that writes "said" of these columns."""
    training = {**QUICK, **WRITES, "memory_format": "contiguous"}
    member = {"name": "net", "fusion": "sum", "width": 16, "modalities": inputs}
    given = {
        "targets": {"said": spec},
        "models": [{**member, "training": training}],
        "data": {"kinds": {"said": "text", **({"note": "text"} if "note" in columns else {})}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        recipe = Recipe.model_validate(given)
        pm.fit(columns, recipe=recipe, out=folder / "run", show=Show.silent())
    return folder / "run"


@pytest.fixture(scope="session")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that writes after a text and a picture: what both are like."""
    folder = tmp_path_factory.mktemp("writing")
    rows = [(i % 2, i // 2 % 2, i) for i in range(80)]
    # No two alike: rows of the same inputs would be one row of several texts.
    for dark, _, i in rows:
        picture(bool(dark), i).save(folder / f"{i}.png")
    columns = {
        "photo": [str(folder / f"{i}.png") for _, _, i in rows],
        "note": [["bad and old", "good and new"][good] for _, good, _ in rows],
        "said": [f"{['light', 'dark'][d]}, a {['pity', 'joy'][g]}" for d, g, _ in rows],
    }
    return fitted(folder, columns, {"photo": {"form": {"size": 8}}, "note": {}})


# A question, and the call of a function that answers it.
WEATHER = (
    "What is the weather in San Francisco?",
    '{"name":"get_weather","arguments":{"location":"San Francisco"}}',
)


@pytest.fixture(scope="session")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that goes on with conversations, in which pictures are shown."""
    folder = tmp_path_factory.mktemp("chatting")
    talks = []
    for i in range(24):
        path = folder / f"{i}.png"
        picture(bool(i % 2), i).save(path)
        shown = {"type": "image", "path": str(path)}
        content = [{"type": "text", "text": "What is it?"}, shown]
        said = [["It is light.", "It is dark."][i % 2], ["A day.", "A night."][i % 2]]
        talks.append(
            [
                {"role": "user", "content": content},
                {"role": "assistant", "content": said[0]},
                {"role": "user", "content": "And when?"},
                {"role": "assistant", "content": said[1]},
            ]
        )
        roles = zip(("user", "assistant"), WEATHER, strict=True)
        talks.append([{"role": role, "content": text} for role, text in roles])
    given = {
        "targets": {"answer": {"name": "generate", "decoder": DECODER, "vocabulary": 320}},
        "fusion": "sum",
        "width": 16,
        "training": {**QUICK, **WRITES, "memory_format": "contiguous"},
    }
    (folder / "talks.jsonl").write_text(
        "\n".join(json.dumps({"messages": messages}) for messages in talks)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        recipe = Recipe.model_validate({**given, "train": str(folder / "talks.jsonl")})
        pm.fit(recipe=recipe, out=folder / "run", show=Show.silent())
    return folder / "run"


@pytest.fixture(scope="session")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that writes after a sound: whether it is loud."""
    return _hearing(tmp_path_factory.mktemp("hearing"), 64, GENERATE, {})


@pytest.fixture(scope="session")
def along(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that writes the same along the sound."""
    ear = {"name": "crnn", "hidden": 16}
    task = {"name": "transcribe", "units": "pieces", "decoding": {"choices": LOUD}}
    return _hearing(tmp_path_factory.mktemp("along"), 16, task, {"encoder": ear})


LOUD = ["it is quiet", "it is loud"]


def _hearing(folder: Path, count: int, task: Mapping[str, Any], how: Mapping[str, Any]) -> Path:
    rows = range(count)
    for i in rows:
        noise = np.random.default_rng(i).normal(0, [0.005, 0.3][i % 2], 1600)
        (folder / f"{i}.wav").write_bytes(wav(noise.astype(np.float32), 16_000))
    columns = {
        "clip": [str(folder / f"{i}.wav") for i in rows],
        "said": [LOUD[i % 2] for i in rows],
    }
    return fitted(folder, columns, {"clip": dict(how)}, task)


def picture(dark: bool, seed: int = 0) -> Image.Image:
    low = 0 if dark else 200
    pixels = np.random.default_rng(seed).integers(low, low + 50, (8, 8, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


class Here:
    """A worker in this process."""

    def __init__(self, model: Model) -> None:
        self.model, self.batches = model, []  # type: ignore[var-annotated]
        self.left: set[int] = set()
        self.steps = 0  # of texts

    async def start(self) -> dict[str, Any]:
        return self.model.described()

    async def ask(
        self, what: str, requests: Sequence[Mapping[str, Any]], seconds: float, told: Told
    ) -> Any:
        self.batches.append((what, len(requests)))
        self.left, loop = set(), asyncio.get_running_loop()

        def tell(parts: Sequence[Any]) -> None:
            self.steps += 1
            for position, *part in parts:
                loop.call_soon_threadsafe(told, position, part)

        return await asyncio.to_thread(self.model.answer, what, requests, tell, self.left)

    def leave(self, position: int) -> None:
        self.left.add(position)

    async def stop(self) -> None:
        pass


@pytest.fixture(scope="session")
def model(made: Path) -> Model:
    return Model(pm.load(made))


@pytest.fixture
def kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker: what clients send is not cached."""
    monkeypatch.setenv("POLYMODAL_CACHE", "/dev/null")


class Makes:
    """What tests send."""

    png, sound, coded, row = map(staticmethod, (png, sound, coded, row))
    picture, here = map(staticmethod, (picture, Here))

    # What a model has to keep to, and comes to no end of soon.
    endless: ClassVar[dict[str, Any]] = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "string", "minLength": 800}},
    }

    @staticmethod
    def shot(dark: bool) -> bytes:
        file = io.BytesIO()
        picture(dark).save(file, "PNG")
        return file.getvalue()

    @staticmethod
    def loud() -> bytes:
        return wav(np.random.default_rng(99).normal(0, 0.3, 1600).astype(np.float32), 16_000)


@pytest.fixture
def make() -> type[Makes]:
    return Makes


@pytest.fixture
def here(model: Model) -> Here:
    return Here(model)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def serve(model: Model, kept_nowhere: None) -> Callable[..., Any]:
    """`async with serve(...) as client`: a server of these models."""

    @asynccontextmanager
    async def run(
        models: Mapping[str, Any] | None = None,
        access: Access | None = None,
        limits: Limits | None = None,
        pace: Pace | None = None,
    ) -> AsyncIterator[httpx2.AsyncClient]:
        limits, metrics = limits or Limits(), Metrics()
        hosted: dict[str, Hosted] = {}
        gate = Gate(lambda *given: app(*given), access or Access(), limits, metrics)
        for name, one in (models or {"first": Here(model)}).items():
            lane = Lane(
                name, [one], pace or Pace(), lambda *told, n=name: metrics.of_lane(n, *told)
            )
            await lane.start()
            hosted[name] = Hosted(lane, shapes(name, lane.described, limits))
        app = application(hosted, gate)
        transport = httpx2.ASGITransport(app=gate)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
                client.hosted = hosted  # type: ignore[attr-defined]
                yield client
        finally:
            for own in hosted.values():
                await own.lane.kill()

    return run


class Running:
    """A server's process, and what it has said."""

    def __init__(self, folder: Path, words: tuple[str, ...], log: Path, **env: str) -> None:
        command = [sys.executable, "-m", "polymodal", "serve", f"first={folder}", "--port", "0"]
        command += ["--timeout", "250"]
        self.log = log
        with open(log, "wb") as stream:
            self.process = subprocess.Popen(
                [*command, *words], stderr=stream, env={**os.environ, **env}
            )
        port = self.until(lambda: self.said("listening"))[0]["port"]
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=300)

    def said(self, event: str) -> list[dict[str, Any]]:
        # A line that is still being written has no end yet.
        lines = self.log.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == event]

    def until(self, is_so: Callable[[], Any], seconds: float = 300) -> Any:
        end = time.monotonic() + seconds
        while not (found := is_so()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return found

    def workers(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in listed.split()]

    def figure(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@contextmanager
def _starting(made: Path, folder: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*words: str, **env: str) -> Running:
        running.append(Running(made, words, folder / f"log{len(running)}", **env))
        return running[-1]

    try:
        yield begin
    finally:
        for one in running:
            one.client.close()
            one.process.kill()
            one.process.wait()


@pytest.fixture
def start(made: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    with _starting(made, tmp_path) as begin:
        yield begin


@pytest.fixture(scope="module")
def start_once(
    made: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Running]]:
    """As `start`, for a server that several tests ask: each takes seconds to load its runs."""
    with _starting(made, tmp_path_factory.mktemp("servers")) as begin:
        yield begin
