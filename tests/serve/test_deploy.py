"""The container's files name what is there, and run nobody's code as root."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from pathlib import Path

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
