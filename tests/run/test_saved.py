"""A run's folder from elsewhere: nothing of it is executed, and nothing spoilt is used."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base import sealed
from polymodal.base.errors import UserError
from polymodal.base.tensors import read_tensors, write_tensors
from polymodal.contract.recipe import Recipe
from polymodal.nn import checkpoint
from polymodal.run.saved import FORMAT, load

EVIL = "raise SystemExit('executed')\n"
NAMES = [
    "code/evil.py:Évil",
    "code/evil.py:1",
    "code/evil.py:",
    "code/evil.py:X\n",
    "code/evil.py\n:X",
    "code/evil.PY:X",
    "code/evil.txt:X",
    "code/evil:X",
    "code/link.py:X",
    "code/../evil.py:X",
    "./code/../../evil.py:X",
    "code/inner/evil.py:X",
    "code/evil.py:X",
]


def described(name: str, part: str) -> dict[str, Any]:
    """What a run may say of itself, with a component of this name in one place."""
    spec = {"name": "m", "learner": "gradient", "fusion": "concat", "modalities": {"a": {}}}
    form = {"kind": "text", "name": "ngrams", "settings": {}, "state": {}, "shape": [2]}
    task = {"task": "label", "name": "classify", "options": {}, "state": {}}
    if part == "form":
        form["name"] = name
    elif part == "task":
        task["name"] = name
    elif part == "encoder":
        spec["modalities"] = {"a": {"encoder": {"name": name}}}
    elif part == "balance":
        spec["training"] = {"balance": name}
    else:
        spec[part] = name
    return {
        "format": FORMAT,
        "versions": {"polymodal": "0"},
        "schema": {"inputs": [], "targets": [], "group": None, "skipped": {}, "identifiers": []},
        "forms": [form],
        "tasks": [task],
        "members": [{"spec": spec, "forms": {"a": 0}, "kernels": {}, "facts": {}}],
        "weights": {"fused": {"label": {"m": 1.0}}},
        "files": {},
        "leaderboard": [],
        "ledger": {},
    }


@pytest.mark.parametrize("part", ["form", "task", "encoder", "balance", "fusion", "learner"])
@pytest.mark.parametrize("name", NAMES)
def test_no_name_executes_code_that_is_not_trusted(name: str, part: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "code" / "inner").mkdir(parents=True)
    files = ["evil.py", "evil.PY", "evil.txt", "evil", "evil.py\n", "inner/evil.py"]
    for file in [*(run / "code" / name for name in files), run / "evil.py", tmp_path / "evil.py"]:
        file.write_text(EVIL)
    (run / "code" / "link.py").symlink_to(tmp_path / "evil.py")
    sealed.write(run / "run.json", described(name, part))
    with pytest.raises(UserError):
        load(run)
    if name != "code/evil.py:X" and "Évil" not in name:
        with pytest.raises(UserError):
            load(run, trust=True)


def test_a_kind_is_no_way_out_of_the_package(tmp_path: Path) -> None:
    found = described("mine", "form")
    found["forms"][0]["kind"] = f"../../..{tmp_path}/x"
    (tmp_path / "x" / "forms").mkdir(parents=True)
    (tmp_path / "x" / "forms" / "mine.py").write_text(EVIL)
    sealed.write(tmp_path / "run.json", found)
    with pytest.raises(UserError):
        load(tmp_path)


def test_a_backbone_that_is_not_there_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "_fetch", lambda *_: pytest.fail("was asked"))
    for path in ("pretrained-0123456789ab", "../me/model", "/me/model", "me/model"):
        found = described("pretrained", "form")
        found["forms"][0]["settings"] = {"path": path, "tune": False}
        Path("run").mkdir(exist_ok=True)
        (Path("run") / "recipe.yaml").touch()
        (Path("run") / "model.safetensors").touch()
        files = ("recipe.yaml", "model.safetensors")
        found["files"] = {name: sealed.hashed(Path("run") / name) for name in files}
        sealed.write(Path("run") / "run.json", found)
        with pytest.raises(UserError):
            load("run")


# -- a run that was fitted ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an expert and a network, with a column and a note called like components."""
    folder = tmp_path_factory.mktemp("fitted")
    number = np.random.default_rng(0).normal(size=60)
    frame = pd.DataFrame({"main.py:run": number, "skip.py:me": number * 7})
    frame["label"] = np.where(number > 0, "a.py:B", "c")
    table = {"table": {}}
    training = {"epochs": 1, "precision": "fp32", "attention": "plain", "threads": 1}
    models = [
        {"name": "expert", "learner": "linear", "modalities": table},
        {"name": "net", "modalities": table, "width": 8, "training": training},
    ]
    recipe = Recipe.model_validate(
        {"models": models, "compare": True, "data": {"drop": ["skip.py:me"]}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        pm.fit(frame, "label", recipe=recipe, out=folder / "run")
    return folder / "run"


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(fitted, tmp_path / "run"))


def test_a_column_called_like_a_component_is_a_column(run: Path) -> None:
    found = load(run)
    assert found.predict_row({"main.py:run": 3.0})["label"] == "a.py:B"
    assert not (run / "code").exists()


def test_files_have_the_usual_permissions(run: Path) -> None:
    probe = run / "probe"
    probe.touch()
    modes = {name: stat.S_IMODE((run / name).stat().st_mode) for name in os.listdir(run)}
    assert set(modes.values()) == {modes["probe"]}, modes


@pytest.mark.parametrize("what", ["nowhere", "another's", "damaged", "a file"])
def test_predictions_need_no_cache(
    what: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "new.csv"
    table.write_text("main.py:run\n" + "\n".join(str(i / 7) for i in range(-9, 9)))
    loaded, cache = load(run), tmp_path / "cache"
    monkeypatch.setenv("POLYMODAL_CACHE", str(cache))
    expected = loaded.predict(table)
    scores = [path.read_bytes() for path in (cache / "scores").iterdir()]
    assert scores
    if what == "a file":
        cache = table
    elif what == "nowhere":
        cache = Path("/dev/null/cache")
    elif what == "another's":
        cache = tmp_path / "other"
        cache.mkdir()
        (cache / "scores").write_text("mine")
    else:
        for path in (cache / "scores").iterdir():
            path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    monkeypatch.setenv("POLYMODAL_CACHE", str(cache))
    assert loaded.predict(table) == expected


def flipped(name: str, at: float) -> Callable[[Path], None]:
    def flip(run: Path) -> None:
        data = bytearray((run / name).read_bytes())
        data[int(at * (len(data) - 1))] ^= 4
        (run / name).write_bytes(data)

    return flip


def edited(change: Callable[[dict[str, Any]], Any], seal: bool = True) -> Callable[[Path], None]:
    """A description changed by who seals it anew, or does not."""

    def edit(run: Path) -> None:
        found = json.loads((run / "run.json").read_text())
        change(found)
        found.pop("seal")
        if seal:
            sealed.write(run / "run.json", found)
        else:
            (run / "run.json").write_text(json.dumps(found))

    return edit


def weights(value: float) -> Callable[[Path], None]:
    """Weights that are no numbers, with hashes that fit."""

    def spoil(run: Path) -> None:
        tensors, described = read_tensors(run / "model.safetensors")
        name = next(name for name, one in tensors.items() if one.is_floating_point())
        tensors[name].flatten()[0] = value
        write_tensors(run / "model.safetensors", tensors, described)
        file = {"model.safetensors": sealed.hashed(run / "model.safetensors")}
        edited(lambda found: found["files"].update(file))(run)

    return spoil


def deep(run: Path) -> None:
    (run / "run.json").write_text('{"a":' * 200_000)


def shares(**members: float) -> Callable[[dict[str, Any]], Any]:
    return lambda found: found["weights"]["fused"].update(label=members)


SPOILT = {
    **{f"weights flipped at {at}": flipped("model.safetensors", at) for at in (0.02, 0.5, 0.9, 1)},
    **{f"description flipped at {at}": flipped("run.json", at) for at in (0.1, 0.3, 0.5, 0.7)},
    "recipe flipped": flipped("recipe.yaml", 0.5),
    "recipe gone": lambda run: (run / "recipe.yaml").unlink(),
    "weights gone": lambda run: (run / "model.safetensors").unlink(),
    "weights a folder": lambda run: (
        (run / "model.safetensors").unlink(),
        (run / "model.safetensors").mkdir(),
    ),
    "NaN weights": weights(float("nan")),
    "infinite weights": weights(float("inf")),
    "NaN mixture": edited(shares(expert=float("nan")), seal=False),
    "no mixture": edited(shares()),
    "half a mixture": edited(shares(expert=0.5)),
    "negative mixture": edited(shares(expert=2, net=-1)),
    "unknown member": edited(shares(nobody=1)),
    "unknown target": edited(lambda found: found["weights"]["fused"].update(x={"net": 1})),
    "no fused": edited(lambda found: found["weights"].pop("fused")),
    "form out of range": edited(lambda found: found["members"][0]["forms"].update(table=99)),
    "huge shape": edited(lambda found: found["forms"][0].update(shape=[10**12])),
    "file outside": edited(lambda found: found["files"].update({"../x": "0"})),
    "no files": edited(lambda found: found.update(files={})),
    "deep JSON": deep,
    "a list": lambda run: (run / "run.json").write_text("[]"),
    "null": lambda run: (run / "run.json").write_text("null"),
    "a long number": lambda run: (run / "run.json").write_text('{"format": ' + "9" * 5000 + "}"),
    "no text": lambda run: (run / "run.json").write_bytes(b"\xff\xfe\0\0"),
    "another format": edited(lambda found: found.update(format=[3])),
    "unsealed": edited(lambda found: None, seal=False),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_run_is_not_used(what: str, run: Path) -> None:
    SPOILT[what](run)
    with pytest.raises(UserError):
        load(run)
