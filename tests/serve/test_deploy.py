"""The container's files name what is there, and run nobody's code as root."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from polymodal.cli import main as cli
from polymodal.serve.gate import OPEN

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def test_the_image_is_slim_not_roots_and_asks_for_its_health() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases and all(one.startswith("python:3.12-slim") for one in bases)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11"
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*$", last, re.MULTILINE)
    (path,) = re.findall(r"HEALTHCHECK[^\[]*\[.*127\.0\.0\.1:8000(/\w+)", last)
    assert path in OPEN
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / one).exists() for one in source.split())
    assert "'.[serve]'" in text


def test_the_image_starts_the_server_with_options_that_there_are() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    words = json.loads(re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)[0])
    assert words[:2] == ["polymodal", "serve"]
    shown = CliRunner().invoke(cli.app, ["serve", "--help"]).stdout
    assert all(word in shown for word in words if word.startswith("--"))
    assert inspect.signature(cli.serve.serve).parameters["port"].default == 8000


def test_the_image_is_without_faults_to_its_linter() -> None:
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint looks for faults in a Dockerfile, and is not installed")
    done = subprocess.run([linter, str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def steps(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile and what they say, lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    pairs = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(name, said.strip()) for name, _, said in pairs]


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.skipif(
    not os.environ.get("POLYMODAL_IMAGE"),
    reason="installs gigabytes: POLYMODAL_IMAGE=1, where pip reaches an index",
)
def test_the_steps_of_the_image_run_one_by_one(made: Path, tmp_path: Path) -> None:
    """In folders of this machine instead of a container's, as another user where there is one."""
    places = {"/opt/polymodal": str(tmp_path / "opt"), "/run/model": str(made)}
    env = {**os.environ, "HOME": str(tmp_path), "POLYMODAL_UNGUARDED": "1"}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        env.pop(name, None)
    work = tmp_path

    def local(text: str) -> str:
        for inside, here in places.items():
            text = text.replace(inside, here)
        return text

    words: list[str] = []
    health: list[str] = []
    for name, said in steps((DEPLOY / "Dockerfile").read_text()):
        if name == "WORKDIR":
            work = tmp_path / said.strip("/")
            work.mkdir()
        elif name == "COPY" and not said.startswith("--from"):
            *sources, to = said.split()
            for source in sources:
                given, goal = ROOT / source, work / to
                if given.is_dir():
                    shutil.copytree(given, goal)
                else:
                    shutil.copy(given, goal)
        elif name == "RUN" and not said.startswith("useradd"):
            command = local(said).replace("python -m venv", f"{sys.executable} -m venv")
            done = subprocess.run(command, shell=True, cwd=work, env=env, capture_output=True)
            assert done.returncode == 0, done.stderr.decode()[-3000:]
        elif name == "ENV":
            for pair in said.split():
                key, _, value = local(pair).partition("=")
                env[key] = value.replace("$PATH", env["PATH"])
        elif name == "HEALTHCHECK":
            health = json.loads(said.partition("CMD ")[2])
        elif name in ("ENTRYPOINT", "CMD"):
            words += [local(one) for one in json.loads(said)]
    words = ["127.0.0.1" if one == "0.0.0.0" else one for one in words]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=env, cwd=tmp_path, stderr=pipe, text=True) as server:
        try:
            assert server.stderr is not None
            assert any('"listening"' in line for line in server.stderr)
            subprocess.run(health, env=env, check=True)
        finally:
            server.terminate()
        assert server.wait(60) == 0


def test_the_services_agree_on_ports_keys_and_paths() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]
    own = services["polymodal"]
    assert (DEPLOY / own["build"]["context"] / own["build"]["dockerfile"]).exists()
    assert own["read_only"] and own["cap_drop"] == ["ALL"]
    assert "POLYMODAL_KEYS" in own["environment"]
    assert all(port.startswith("127.0.0.1:") for one in services.values() for port in one["ports"])
    assert scrape["static_configs"][0]["targets"] == ["polymodal:8000"]
    assert scrape["metrics_path"] == "/metrics"
    key = scrape["authorization"]["credentials_file"]
    assert f"> {key}" in services["prometheus"]["entrypoint"][-1]
