"""A run of every kind of column, and a server of it in this process."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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


class Here:
    """A worker in this process."""

    def __init__(self, model: Model) -> None:
        self.model, self.batches = model, []  # type: ignore[var-annotated]

    async def start(self) -> dict[str, Any]:
        return self.model.described()

    async def ask(self, what: str, requests: Sequence[Mapping[str, Any]], seconds: float) -> Any:
        self.batches.append((what, len(requests)))
        return await asyncio.to_thread(self.model.answer, what, requests)

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
