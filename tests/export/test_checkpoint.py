"""Checkpoints that transformers opens by itself: the same pieces, the same logits."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typed import polymodal

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.export.checkpoint import checkpoint
from polymodal.nn.decoder import Prompt

PROMPTS = 50
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}
SMALL = {"name": "llama", "hidden": 32, "depth": 2, "heads": 2, "groups": 1, "context": 128}
TRAINING = {"epochs": 3, "batch_size": 16, "lr": 0.003, "precision": "fp32", "threads": 1}
TRAINING |= {"attention": "sdpa", "memory_format": "contiguous", "modality_dropout": 0.0}

# It runs where this package is not.
ALONE = """
import json, sys
import torch
from PIL import Image
import transformers

folder, asked = sys.argv[1], json.load(open(sys.argv[2]))
torch.set_num_threads(1)
seen = "picture" in asked[0]
# Each loads much when it is asked for.
opened = "AutoModelForImageTextToText" if seen else "AutoModelForCausalLM"
model = getattr(transformers, opened).from_pretrained(folder).eval()
reads = "AutoProcessor" if seen else "AutoTokenizer"
tokens = getattr(transformers, reads).from_pretrained(folder)
found = []
for one in asked:
    if seen:
        given = tokens(images=Image.open(one["picture"]), text=one["text"], return_tensors="pt")
    else:
        given = tokens(one["text"], return_tensors="pt")
    given.pop("token_type_ids", None)
    with torch.no_grad():
        logits = model(**given).logits[0, -1].tolist()
        written = model.generate(**given, max_new_tokens=12, do_sample=False)
    found.append({"logits": logits, "ids": written[0, given["input_ids"].shape[1]:].tolist()})
assert not any(name.startswith("polymodal") for name in sys.modules)
json.dump(found, open(sys.argv[3], "w"))
"""


def tower(folder: Path, kind: str) -> Path:
    """A tiny vision model of random weights, as people save one."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModel,
        ViTConfig,
        ViTImageProcessor,
        ViTModel,
    )

    torch.manual_seed(0)
    size: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"intermediate_size": 24, "image_size": 16, "patch_size": 8}
    sides = {"size": {"height": 16, "width": 16}}
    if kind == "clip":
        CLIPVisionModel(CLIPVisionConfig(**size)).save_pretrained(folder)
        crop = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
        CLIPImageProcessor(**crop).save_pretrained(folder)
    else:
        ViTModel(ViTConfig(**size), add_pooling_layer=False).save_pretrained(folder)
        ViTImageProcessor(**sides).save_pretrained(folder)
    return folder


def rows(folder: Path, count: int) -> list[dict[str, Any]]:
    draw = random.Random(count)
    folder.mkdir(exist_ok=True)
    found = []
    for i in range(count):
        name = draw.choice(list(COLOURS))
        noise = np.random.default_rng(i).integers(-25, 25, (16, 16, 3))
        pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        word = draw.choice(["colour", "shade"])
        question = f"Which {word} is number {i}?"
        found.append(
            {"picture": str(folder / f"{i}.png"), "question": question, "said": f"{word} {name}"}
        )
    return found


def fitted(data: list[dict[str, Any]], spec: dict[str, Any], model: dict[str, Any], out: Path):
    task = {"name": "generate", "decoder": SMALL, "vocabulary": 300, "projector": "plain", **spec}
    member = {"name": "model", "fusion": "sum", "training": TRAINING, **model}
    recipe = {"targets": {"said": task}, "models": [member]}
    recipe |= {"data": {"kinds": {"said": "text", "question": "text"}}}
    return pm.fit(data, recipe=Recipe.model_validate(recipe), out=out)


def alone(folder: Path, asked: list[dict[str, str]], place: Path) -> list[dict[str, Any]]:
    """What a process that knows transformers only makes of prompts."""
    (place / "asked.json").write_text(json.dumps(asked))
    (place / "alone.py").write_text(ALONE)
    hidden = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    words = ["alone.py", str(folder), "asked.json", "found.json"]
    subprocess.run([sys.executable, "-P", *words], cwd=place, env=hidden, check=True)
    found: list[dict[str, Any]] = json.loads((place / "found.json").read_text())
    return found


def logits(run, row: dict[str, Any]) -> torch.Tensor:
    """Of the first piece."""
    from polymodal.run.writing import _fused
    from polymodal.table.ledger import Ledger

    table = run.table([row])
    ((_, head, fused),) = _fused(run.pipeline, table, run.tasks["said"], {}, Ledger())
    with torch.no_grad():
        prompt: Prompt = head.prompt(fused)
        return head.decoder.logits(head.decoder.states(prompt)[:, -1])[0]


def same(run, data: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    task = run.tasks["said"]
    ours = run.write([{k: v for k, v in row.items() if k != "said"} for row in data], longest=12)
    for row, (said,), other in zip(data, ours, theirs, strict=True):
        ids = [n for n in other["ids"] if n != task.tokens.end]
        assert task.tokens.text(ids) == said.text
        found = torch.tensor(other["logits"])[: task.tokens.count]
        torch.testing.assert_close(found, logits(run, row), atol=1e-4, rtol=1e-4)


def seeing(tmp_path: Path, kind: str) -> tuple[Any, list[dict[str, Any]]]:
    """A run that reads a picture by a vision model, and its rows."""
    data = rows(tmp_path / "data", PROMPTS + 10)
    form = {"path": str(tower(tmp_path / "tower", kind)), "tune": True}
    picture = {"encoder": {"name": "pretrained", "plain": True}, "form": form}
    model = {"modalities": {"picture": picture, "question": {}}, "width": 16}
    template = "{picture} Question: {question} Answer:"
    return fitted(data, {"template": template}, model, tmp_path / "run"), data


@pytest.mark.whole
def test_pictures_and_texts_become_llava(tmp_path):
    run, data = seeing(tmp_path, "clip")
    words = [str(tmp_path / "run"), "--to", "transformers", "--out", str(tmp_path / "hf")]
    assert polymodal("export", *words) == 0
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["architectures"] == ["LlavaForConditionalGeneration"]
    asked = [
        {"picture": row["picture"], "text": f"<image> Question: {row['question']} Answer:"}
        for row in data[:PROMPTS]
    ]
    same(run, data[:PROMPTS], alone(tmp_path / "hf", asked, tmp_path))
    assert "<image> Question: {question} Answer:" in (tmp_path / "hf" / "README.md").read_text()


@pytest.mark.whole
def test_vision_models_that_llava_would_read_otherwise_are_refused(tmp_path):
    """ViT normalises its last layer's output; LLaVA reads it before."""
    run, _ = seeing(tmp_path, "vit")
    with pytest.raises(UserError, match="no shape that transformers knows"):
        checkpoint(run, tmp_path / "hf")


@pytest.mark.whole
def test_texts_alone_become_a_language_model(tmp_path):
    data = [{k: v for k, v in row.items() if k != "picture"} for row in rows(tmp_path / "d", 60)]
    run = fitted(data, {"template": "Question: {question} Answer:"}, {}, tmp_path / "run")
    checkpoint(run, tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    asked = [{"text": f"Question: {row['question']} Answer:"} for row in data[:PROMPTS]]
    same(run, data[:PROMPTS], alone(tmp_path / "hf", asked, tmp_path))
    with pytest.raises(UserError, match="is there already"):
        checkpoint(run, tmp_path / "hf")


@pytest.mark.whole
def test_runs_of_other_shapes_are_refused(tmp_path):
    data = rows(tmp_path / "data", 40)
    picture = {"encoder": {"name": "patch"}, "form": {"size": 16}}
    model = {"modalities": {"picture": picture, "question": {}}, "width": 16}
    model["training"] = {**TRAINING, "epochs": 1}
    run = fitted(data, {"template": "{picture} {question}"}, model, tmp_path / "run")
    with pytest.raises(UserError, match="no shape that transformers knows"):
        checkpoint(run, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()
