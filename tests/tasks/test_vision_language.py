"""Whole vision-language models: what they are given and write is what transformers makes of it."""

from __future__ import annotations

import importlib.metadata
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
from polymodal.fitting import plan
from polymodal.fitting.backbones import Backbones
from polymodal.modalities.image.encoders.whole import Whole as Encoder
from polymodal.modalities.image.forms.whole import Whole
from polymodal.models.model import encoded
from polymodal.nn import looks, processors, vision
from polymodal.nn.borrowed import Sighted
from polymodal.nn.decoder import Running
from polymodal.nn.manner import Manner
from polymodal.prepared.prepare import Prepared
from polymodal.table import chat
from polymodal.table.media import Media
from polymodal.table.read import read
from polymodal.table.schema import Column, Schema

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
        if kind == "smolvlm":
            pytest.importorskip("num2words", reason="its processor needs num2words, of the LGPL")
        if kind not in made:
            made[kind] = saved(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return of


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Tests of one come one after another: it is opened once."""
    return str(request.param)


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


def shown(arrays: list[Any], form: Whole) -> Tokens:
    """A modality of pictures, as a model hands it on; None: the row has none."""
    torch.manual_seed(0)
    cells = [None if one is None else form.encode(Media("a", values=one)) for one in arrays]
    field = Prepared.of(cells, form, ()).gather(np.arange(len(cells)))
    return encoded(Encoder(form, WIDTH), field)


def fused(
    photos: list[Any], others: list[Any], questions: list[str], seen_by: str | None = None
) -> Fused:
    bytes_ = [torch.tensor(list(text.encode()), dtype=torch.uint8) for text in questions]
    spelled = torch.nn.utils.rnn.pad_sequence(bytes_, batch_first=True)
    one = torch.ones(len(spelled), 1, dtype=torch.bool)
    form = Whole(seen_by=seen_by)
    tokens = {"photo": shown(photos, form), "other": shown(others, form)}
    tokens["question"] = Tokens(torch.zeros(len(spelled), 1, WIDTH), one, spelled)
    return Fused(torch.zeros(len(spelled), WIDTH), tokens, own=tokens)


def head(of: Any, forms: dict[str, Any] = FORMS) -> Any:
    torch.manual_seed(0)
    return of.heads(WIDTH, [], 0.0, forms).eval()


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


def test_what_is_told_and_written_is_what_transformers_does(kind, path):
    compare(path(kind), learns=False)


def test_one_that_learns_begins_as_transformers_does(path):
    compare(path(), learns=True)


def compare(path: str, learns: bool) -> None:
    """Of rows with two pictures and with one, of all sizes, in one padded batch."""
    own, answer = task(path, learns=learns), "a cross"
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
        wanted, written = theirs(path, text, there, answer)
        torch.testing.assert_close(first[row], wanted[0], atol=1e-4, rtol=1e-4)
        told = wanted.log_softmax(-1)[torch.arange(len(ids)), ids]
        torch.testing.assert_close(logs[row], told, atol=1e-4, rtol=1e-4)
        (said,) = found[row]
        assert [*said.ids, own.tokens.end][:5] == written[:5]


def test_what_was_seen_before_is_read_as_if_it_were_looked_at_now(kind, path, monkeypatch):
    """Of rows with two pictures, one and none, and of a batch without any."""
    own, by = task(path(kind)), path(kind)
    photos, others = [*pictures(0)[:2], None], [pictures(1)[0], None, None]
    forms = {**FORMS, "photo": Whole(seen_by=by), "other": Whole(seen_by=by)}
    rows = [(photos, others), ([None] * 3, [None] * 3)]
    kept = [fused(*row, QUESTIONS, by) for row in rows]
    wanted = [fused(*row, QUESTIONS) for row in rows]
    now = [head(own).prompt(one) for one in wanted]
    monkeypatch.delattr(type(own.tokens), "look")
    before = [head(own, forms).prompt(one) for one in kept]
    for one, other in zip(before, now, strict=True):
        assert one.mask.equal(other.mask)
        torch.testing.assert_close(one.vectors, other.vectors, atol=1e-5, rtol=1e-5)
        for name in ("positions", "deep"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name))
    for one, other in zip(kept, wanted, strict=True):
        for name in ("photo", "other"):
            assert one.own[name].values.equal(other.own[name].values)


def test_what_is_seen_is_kept_by_all_that_it_depends_on(path, tmp_path, monkeypatch):
    def key(folder: Any, **options: Any) -> str:
        return Whole(seen_by=str(folder), **options).fingerprint

    def changed(name: str, file: str, change: Callable[[Path], Any]) -> str:
        shutil.copytree(path(), tmp_path / name)
        change(tmp_path / name / file)
        return key(tmp_path / name)

    def flip(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)

    def enlarge(file: Path) -> None:
        file.write_text(file.read_text().replace('"shortest_edge": 16', '"shortest_edge": 17'))

    same = changed("same", "config.json", Path.touch)
    others = [
        changed("weights", "model.safetensors", flip),
        changed("processor", "processor_config.json", enlarge),
        key(path(), longest=512),
        Whole().fingerprint,
    ]
    assert same == key(path())
    monkeypatch.setattr(looks, "version", lambda library: f"{library} of tomorrow")
    newer = key(path())

    def lacking(library: str) -> str:
        """What is not needed may be absent, and is then no part of what is seen."""
        if library == "torchvision":
            raise importlib.metadata.PackageNotFoundError
        return library

    monkeypatch.setattr(looks, "version", lacking)
    assert len({same, *others, newer, key(path())}) == 7


def test_pictures_that_another_model_has_seen_are_an_error(path):
    seen = {**FORMS, "other": Whole(seen_by=path("idefics3"))}
    for learns in (False, True):
        with pytest.raises(UserError, match="does not see the pictures of 'other' as they") as why:
            head(task(path(), learns=learns), seen)
        assert (path() if not learns else "it learns to see") in why.value.expected


def test_pictures_are_looked_at_before_where_nobody_learns_to_see_them(path):
    """Neither where one of two decoders does, nor where they are two models."""
    schema = Schema((Column("photo", "image"), Column("other", "image")), ())
    table = read({"photo": [None], "other": [None], "said": ["a"]})

    def forms(*tasks: Any) -> dict[str, Any]:
        return plan.facts(table, schema, 1, Recipe(), tasks, Backbones()).forms["photo"]

    held, free = task(path()), task(path(), learns=True)
    assert forms(held) == forms(held, task(path(), learns="language")) == {"seen_by": path()}
    assert forms(free) == {"seen_by": None}
    assert not forms(held, free) and not forms(held, task(path("idefics3")))


def test_what_learns_is_all_of_it_or_its_language_or_nothing(path):
    given = fused(pictures(0), pictures(1), QUESTIONS)
    for learns in (False, "language", True):
        writer = head(task(path(), learns=learns))
        prompt = writer.prompt(given)
        ids = torch.full((3, 2), 9)
        writer.decoder.taught(prompt, ids, ids > 0).sum().backward()
        moved = {n for n, p in writer.named_parameters() if p.grad is not None and p.grad.any()}
        seeing = {name for name in moved if name.startswith("decoder.sight")}
        assert bool(seeing) == (learns is True) and bool(moved) == bool(learns)
        kept = {name.split(".")[1] for name in writer.state_dict() if name.startswith("decoder.")}
        assert ("sight" in kept, "backbone" in kept) == (learns is True, bool(learns))


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


def test_a_package_that_a_processor_needs_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        task(saved(tmp_path, "smolvlm"))
    assert caught.value.do == "pip install num2words"


def test_what_is_no_such_model_is_an_error(path, gpt2_path, monkeypatch):
    with pytest.raises(UserError, match="is no vision-language model"):
        lookup.find("nn/decoders", "vision_language").tokens(8, {"path": gpt2_path})
    with pytest.raises(UserError, match="no plain language model"):
        lookup.find("nn/decoders", "pretrained").tokens(8, {"path": path()})
    seen = vision.Sight.forward
    monkeypatch.setattr(vision.Sight, "forward", lambda s, looks: [2 * v for v in seen(s, looks)])
    with pytest.raises(UserError, match="does more than its parts say"):
        vision.opened(path(), weights=True)


def test_a_recipe_fits_saves_and_loads_it(path, tmp_path, monkeypatch):
    """It is kept with the run. A tower that does not learn looks at each picture once, in all
    epochs and later, and all is as if it had looked anew."""
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    looked: list[int] = []
    look = Sighted.look
    monkeypatch.setattr(Sighted, "look", lambda s, one: looked.append(1) or look(s, one))
    files = []
    for i in range(12):
        files.append(str(tmp_path / f"{i}.png"))
        Image.new("RGB", (16 + i, 20), ["red", "blue"][i % 2]).save(files[-1])
    table = pd.DataFrame({"photo": files, "said": ["red", "blue"] * 6})
    texts, counts = {}, {}
    for learns, seen in (("language", {}), ("language", {"seen_by": None}), (True, {})):
        decoder = {"name": "vision_language", "path": path(), "learns": learns}
        spec = {"name": "generate", "decoder": decoder, "template": "{photo} is "}
        targets = {"said": {**spec, "decoding": {"longest": 4}}}
        training = {"epochs": 2, "threads": 1, "modality_dropout": 0.0}
        model = {"name": "m", "width": 8, "fusion": "sum", "training": training}
        model["modalities"] = {"photo": {"form": seen}}
        recipe = Recipe(targets=targets, models=[model], data={"kinds": {"said": "text"}})
        out = Path(tmp_path / f"run-{len(texts)}")
        looked.clear()
        run = pm.fit(table, recipe=recipe, out=out)
        assert run.recipe.models[0].modalities["photo"].encoder == {"name": "whole"}
        rows = [{"photo": files[0]}, {"photo": files[1]}, {}]
        run.predict(table)
        key = f"{learns} {seen}"
        counts[key] = len(looked)
        texts[key] = [one.log_likelihood for (one,) in run.write(rows)]
        again = [one.log_likelihood for (one,) in pm.load(out).write(rows)]
        assert texts[key] == pytest.approx(again, abs=1e-5)
    once, anew, free = texts.values()
    assert once == pytest.approx(anew, abs=1e-5) and once != pytest.approx(free, abs=1e-3)
    once, anew, free = counts.values()
    # One picture more, wherever a model is opened.
    assert 12 <= once <= 18 and anew > 36 and free > 36
