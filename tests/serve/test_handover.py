"""Servers of others that are handed the routes answer the same requests alike."""

from __future__ import annotations

import asyncio
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import yaml

from polymodal.base.errors import UserError
from polymodal.serve.asgi import Application

pytestmark = [pytest.mark.whole, pytest.mark.slow, pytest.mark.anyio]

ROOT = Path(__file__).parent.parent.parent
KEY = "the-key-of-this-test"
# A driver of Ray that serves what deploy/ holds until its input ends.
RAY = """
import sys
import ray
from ray import serve
ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
serve.start(http_options={"port": int(sys.argv[1])})
from deploy.ray_serve import deployment
serve.run(deployment)
print("listening", flush=True)
sys.stdin.read()
serve.shutdown()
"""


def requests(make: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Right ones of every sort, and wrong ones."""
    own = make.row(1)
    plain = {n: own[n] for n in ("note", "price", "colour")}
    files = {"photo": ("a.png", make.png(1)), "clip": ("a.wav", make.sound(1))}
    asked = {"kept": {"type": "noul"}}
    return [
        *(("GET", path, {}) for path in ("/health", "/ready", "/runs", "/v1/models", "/nothing")),
        ("GET", "/openapi.json", {}),
        ("POST", "/predict", {"json": {"row": own}}),
        ("POST", "/predict", {"json": {"rows": [make.row(i) for i in range(3)]}}),
        ("POST", "/predict?absent=photo&interval=0.9", {"data": plain, "files": files}),
        ("POST", "/runs/model/embed", {"json": {"row": own, "encoding_format": "base64"}}),
        ("POST", "/explain", {"json": {"row": own, "targets": ["kept"]}}),
        ("POST", "/v1/embeddings", {"json": {"model": "model", "input": ["good", "bad"]}}),
        ("POST", "/v1/systemone", {"json": {"model": "model", "state": own, "questions": asked}}),
        ("POST", "/predict", {"json": {"row": {"pictrue": "a"}}}),
        ("POST", "/predict", {"json": {"row": {"photo": "/etc/passwd"}}}),
        ("POST", "/predict", {"json": {"row": {"note": "a\0b"}}}),
        ("POST", "/predict", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ("POST", "/predict", {"content": b"a", "headers": {"content-type": "text/plain"}}),
        ("POST", "/v1/embeddings", {"json": {"model": "none", "input": "a"}}),
        ("DELETE", "/predict", {}),
        ("GET", "/runs", {"headers": {"authorization": "Bearer wrong"}}),
    ]


async def answers(client: httpx2.AsyncClient, make: Any) -> list[Any]:
    found = []
    for method, path, given in requests(make):
        headers = {"authorization": f"Bearer {KEY}", **given.get("headers", {})}
        answer = await client.request(method, path, **{**given, "headers": headers})
        assert answer.headers["x-request-id"]
        found.append((method, path, answer.status_code, answer.json()))
    return found


@asynccontextmanager
async def living(app: Application) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that has been told that its server starts, and of its end."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan"}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    assert await said.get() == {"type": "lifespan.startup.complete"}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    await told.put({"type": "lifespan.shutdown"})
    assert await said.get() == {"type": "lifespan.shutdown.complete"}
    await task


async def test_the_routes_are_an_application_of_any_server(
    made: Path, serve: Any, make: Any
) -> None:
    async with living(Application({"model": str(made)}, (KEY,))) as client:
        found = await answers(client, make)
    codes = [status for _, _, status, _ in found]
    assert codes == [200] * 4 + [404] + [200] * 8 + [400] * 4 + [415, 404, 405, 401]
    told: asyncio.Queue[Any] = asyncio.Queue()
    await told.put({"type": "lifespan.startup"})
    said: list[Any] = []

    async def keep(message: Any) -> None:
        said.append(message)

    await Application({"model": str(made / "none")})({"type": "lifespan"}, told.get, keep)
    assert said[0]["type"] == "lifespan.startup.failed" and "finished run" in said[0]["message"]


@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'ray[serve]'")
async def test_ray_answers_the_same_requests_alike(made: Path, make: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "RUN": str(made), "POLYMODAL_KEYS": KEY, "RAY_USAGE_STATS_ENABLED": "0"}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", RAY, str(port)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, cwd=ROOT, **pipes) as driver:
        try:
            assert any(line.strip() == "listening" for line in driver.stdout)
            place = f"http://127.0.0.1:{port}"
            async with httpx2.AsyncClient(base_url=place, timeout=300) as client:
                found = await answers(client, make)
        finally:
            driver.stdin.close()
            driver.wait(120)
    async with living(Application({"model": str(made)}, (KEY,))) as client:
        assert found == await answers(client, make)


@pytest.mark.parametrize(
    ("keys", "says"), [("", "Anybody who reaches Ray"), (f"{KEY},short", "5 characters")]
)
async def test_ray_starts_with_keys_that_a_server_takes_or_not_at_all(
    keys: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handed(found: str) -> list[Application]:
        seen: list[Application] = []
        ray = SimpleNamespace(
            ingress=lambda app: seen.append(app) or (lambda replica: replica),
            deployment=lambda **_: lambda replica: SimpleNamespace(bind=lambda: replica),
        )
        monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=ray))
        monkeypatch.setenv("POLYMODAL_KEYS", found)
        runpy.run_path(str(ROOT / "deploy/ray_serve.py"))
        return seen

    monkeypatch.setenv("RUN", "/runs/first")
    (app,) = handed(f"{KEY},{KEY[::-1]}")
    assert app.settings.access.keys == (KEY, KEY[::-1])
    with pytest.raises(UserError, match=says):
        handed(keys)


def test_kserve_is_handed_the_image_as_it_is() -> None:
    told = yaml.safe_load((ROOT / "deploy/kserve.yaml").read_text())
    assert (told["apiVersion"], told["kind"]) == (
        "serving.kserve.io/v1beta1",
        "InferenceService",
    )
    (own,) = told["spec"]["predictor"]["containers"]
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert f"EXPOSE {own['ports'][0]['containerPort']}" in image
    assert own["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8000}
    assert own["livenessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
    assert f"USER {own['securityContext']['runAsUser']}" in image
    assert f'CMD ["{own["args"][0]}"]' in image
    mounted = {one["name"] for one in own["volumeMounts"]}
    assert mounted == {one["name"] for one in told["spec"]["predictor"]["volumes"]}
