"""Whole vision-language models: what they are given and write is what transformers makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sighted import KINDS, saved

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.recipe import Recipe
from polymodal.modalities.image.encoders.whole import Whole as Encoder
from polymodal.modalities.image.forms.whole import Whole
from polymodal.models.model import encoded
from polymodal.nn import processors, vision
from polymodal.nn.decoder import Running
from polymodal.nn.manner import Manner
from polymodal.prepared.prepare import Prepared
from polymodal.table import chat
from polymodal.table.media import Media

WIDTH = 8
# Of several sizes and shapes: their tokens are not equally many.
SIZES = [(20, 40), (33, 17), (16, 16)]
QUESTIONS = ["a", "what is it?", "is it red, or what?"]
TEMPLATE = "{photo} {question} or {other} says: "
FORMS = {"photo": Whole(), "other": Whole(), "question": None}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny model of a kind."""
    made: dict[str, str] = {}

    def of(kind: str = "llava") -> str:
        if kind not in made:
            made[kind] = saved(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return of


def pictures(seed: int) -> list[Any]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


def task(path: str, template: str = TEMPLATE, **options: Any) -> Any:
    decoder = {"name": "vision_language", "path": path, **options}
    spec = {"name": "generate", "decoder": decoder, "template": template}
    found = lookup.build("tasks", spec, "said")
    kinds = {"photo": "image", "other": "image", "question": "text"}
    modalities = {name: {name: kind} for name, kind in kinds.items()}
    found.introduce(modalities, {"question": QUESTIONS}.__getitem__)
    found.fit(["a red cross", "no"])
    return found


def shown(arrays: list[Any]) -> Tokens:
    """A modality of pictures, as a model hands it on; None: the row has none."""
    form = Whole()
    cells = [None if one is None else form.encode(Media("a", values=one)) for one in arrays]
    field = Prepared.of(cells, form, ()).gather(np.arange(len(cells)))
    return encoded(Encoder(form, WIDTH), field)


def fused(photos: list[Any], others: list[Any], questions: list[str]) -> Fused:
    bytes_ = [torch.tensor(list(text.encode()), dtype=torch.uint8) for text in questions]
    spelled = torch.nn.utils.rnn.pad_sequence(bytes_, batch_first=True)
    one = torch.ones(len(spelled), 1, dtype=torch.bool)
    tokens = {"photo": shown(photos), "other": shown(others)}
    tokens["question"] = Tokens(torch.zeros(len(spelled), 1, WIDTH), one, spelled)
    return Fused(torch.zeros(len(spelled), WIDTH), tokens, own=tokens)


def head(of: Any) -> Any:
    torch.manual_seed(0)
    return of.heads(WIDTH, [], 0.0, FORMS).eval()


def theirs(path: str, prompt: str, images: list[Any], answer: str) -> tuple[Any, list[int]]:
    """Transformers' own: logits that tell an answer, and what it writes."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(path).eval()
    processor = processors.vision_language(path)
    given = [[Image.fromarray(one) for one in images]]
    count = len(processor.tokenizer.encode(answer, add_special_tokens=False))
    with torch.no_grad():
        made = processor(text=[prompt + answer], images=given, return_tensors="pt")
        logits = model(**made).logits[0, -count - 1 :]
        made = processor(text=[prompt], images=given, return_tensors="pt")
        done = model.generate(**made, max_new_tokens=6, do_sample=False)
    return logits, done[0, made["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize(("kind", "learns"), [*((k, False) for k in KINDS), ("llava", True)])
def test_what_is_told_and_written_is_what_transformers_does(kind, learns, path):
    """Of rows with two pictures and with one, of all sizes, in one padded batch."""
    own, answer = task(path(kind), learns=learns), "a cross"
    photos, others = [*pictures(0)[:2], None], [None, *pictures(1)[1:]]
    writer, mark = head(own), own.tokens.picture
    ids = torch.from_numpy(own.tokens.numbers(answer))
    with torch.no_grad():
        prompt = writer.prompt(fused(photos, others, QUESTIONS))
        logs = writer.decoder.taught(prompt, ids.expand(3, -1), torch.ones(3, len(ids)) > 0)
        first = Running(writer.decoder, prompt).logits
        found = writer.write(prompt, Manner(longest=5))
    for row, question in enumerate(QUESTIONS):
        there = [one for one in (photos[row], others[row]) if one is not None]
        marks = [mark if one[row] is not None else "" for one in (photos, others)]
        text = f"{marks[0]} {question} or {marks[1]} says: "
        wanted, written = theirs(path(kind), text, there, answer)
        torch.testing.assert_close(first[row], wanted[0], atol=1e-4, rtol=1e-4)
        told = wanted.log_softmax(-1)[torch.arange(len(ids)), ids]
        torch.testing.assert_close(logs[row], told, atol=1e-4, rtol=1e-4)
        (said,) = found[row]
        assert [*said.ids, own.tokens.end][:5] == written[:5]


def test_what_learns_is_all_of_it_or_nothing(path):
    given = fused(pictures(0), pictures(1), QUESTIONS)
    for learns in (False, True):
        writer = head(task(path(), learns=learns))
        prompt = writer.prompt(given)
        ids = torch.full((3, 2), 9)
        writer.decoder.taught(prompt, ids, ids > 0).sum().backward()
        moved = {n for n, p in writer.named_parameters() if p.grad is not None and p.grad.any()}
        seeing = {name for name in moved if name.startswith("decoder.sight")}
        assert bool(seeing) == learns and bool(moved) == learns
        assert any(name.startswith("decoder.sight") for name in writer.state_dict()) == learns


def test_no_text_says_that_there_is_a_picture(path):
    own = task(path())
    reader = own.reader(FORMS, 200)
    given = fused([None] * 3, [None] * 3, ["a <image> b", "", "c"])
    assert own.tokens.text(reader.read(given, reader.looks(given))[0][:, 0]) == " a  b or  says: "
    # Though no text is looked at beforehand, so that `check` refuses it as a fit does.
    for template in ("{question} <image>{photo}", "<image>{photo}"):
        with pytest.raises(UserError, match="stands for a picture's tokens"):
            task(path(), template)


def test_pictures_beyond_the_context_are_an_error(path):
    own = task(path("idefics3"))
    reader = own.reader(FORMS, 20)
    given = fused(pictures(0), pictures(1), QUESTIONS)
    with pytest.raises(UserError, match="media, which are never cut") as caught:
        reader.read(given, reader.looks(given))
    assert "longest" in str(caught.value.do)


def test_a_conversation_has_pictures_where_the_model_was_taught_them(path):
    decoder = {"name": "vision_language", "path": path("qwen2_vl")}
    own = lookup.build("tasks", {"name": "generate", "decoder": decoder}, "answer")
    row = chat.row(
        [
            {"role": "user", "content": ["Is it? ", {"type": "image", "path": "a.png"}, "!"]},
            {"role": "assistant", "content": "No."},
            {"role": "user", "content": "Why?"},
        ]
    )
    kinds = {"messages": {"messages": chat.KIND}, "image": {"image": "image"}}
    own.introduce(kinds, {"messages": [row["messages"]]}.__getitem__)
    own.fit(["Yes.", "No."])
    assert own.asks == {"messages": ("spells",), "image": ("spells",)}
    text = own.placed.render({"messages": row["messages"]}, own.tokens)
    read = own.reader({"messages": None, "image": Whole()}, 200)
    look = own.tokens.look(pictures(0)[0])
    ids = read.pieces({"messages": row["messages"]}, {}, {"image": look})
    assert text.startswith("<s>user: Is it? ") and text.endswith("user: Why?assistant: ")
    assert (ids[:, 0] < 0).sum() == look.text.count("<|image_pad|>") > 1
    assert (ids[:, 0] == own.tokens.tokenizer.convert_tokens_to_ids("<|vision_start|>")).sum() == 1


@pytest.mark.parametrize(
    ("lacks", "what"),
    [
        ("processor_config.json", "does not say how its prompts and pictures"),
        ("tokenizer.json", "holds no tokenizer"),
        ("model.safetensors", "holds no weights"),
    ],
)
def test_files_that_are_missing_are_named(lacks, what, path, tmp_path):
    shutil.copytree(path(), tmp_path / "copy")
    (tmp_path / "copy" / lacks).unlink()
    with pytest.raises(UserError, match=what):
        head(task(str(tmp_path / "copy")))


def test_what_is_no_such_model_is_an_error(path, gpt2_path, monkeypatch):
    with pytest.raises(UserError, match="is no vision-language model"):
        lookup.find("nn/decoders", "vision_language").tokens(8, {"path": gpt2_path})
    with pytest.raises(UserError, match="no plain language model"):
        lookup.find("nn/decoders", "pretrained").tokens(8, {"path": path()})
    seen = vision.Sight.forward
    monkeypatch.setattr(vision.Sight, "forward", lambda s, looks: [2 * v for v in seen(s, looks)])
    with pytest.raises(UserError, match="does more than its parts say"):
        vision.opened(path(), weights=True)


def test_a_recipe_fits_saves_and_loads_it(path, tmp_path):
    """Held it writes as before; learning, it is kept with the run."""
    files = []
    for i in range(12):
        files.append(str(tmp_path / f"{i}.png"))
        Image.new("RGB", (16 + i, 20), ["red", "blue"][i % 2]).save(files[-1])
    table = pd.DataFrame({"photo": files, "said": ["red", "blue"] * 6})
    model = {"name": "m", "width": 8, "fusion": "sum", "training": {"epochs": 1, "threads": 1}}
    texts = {}
    for learns in (False, True):
        decoder = {"name": "vision_language", "path": path(), "learns": learns}
        spec = {"name": "generate", "decoder": decoder, "template": "{photo} is "}
        targets = {"said": {**spec, "decoding": {"longest": 4}}}
        recipe = Recipe(targets=targets, models=[model], data={"kinds": {"said": "text"}})
        out = Path(tmp_path / f"run-{learns}")
        run = pm.fit(table, recipe=recipe, out=out)
        assert run.recipe.models[0].modalities["photo"].encoder == {"name": "whole"}
        rows = [{"photo": files[0]}, {"photo": files[1]}]
        texts[learns] = [one.log_likelihood for (one,) in run.write(rows)]
        again = [one.log_likelihood for (one,) in pm.load(out).write(rows)]
        assert texts[learns] == pytest.approx(again, abs=1e-5)
    assert texts[True] != pytest.approx(texts[False], abs=1e-3)
