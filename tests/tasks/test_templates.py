"""Templates: what a decoder reads of a row, and conversations."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typed import one_error, polymodal

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Fused, Tokens
from polymodal.contract.recipe import Recipe
from polymodal.prepared.targets import prepared
from polymodal.table import chat
from polymodal.tasks._prompt import medium
from polymodal.tasks._template import divided, parsed, usual
from polymodal.tasks.generate import Generate

WIDTH = 8
KINDS = {"photo": "image", "question": "text", "price": "number"}
WHOSE = {"photo": "photo", "question": "question", "price": "table"}
QUESTIONS = ["What is it?", "Who, then, is it?", "Why?"]
SMALL = {"name": "llama", "hidden": 32, "depth": 2, "heads": 2, "groups": 1, "context": 96}
TEMPLATE = "{photo} Question: {question} ({price}) Answer:"
TRAINING = {
    "epochs": 60,
    "batch_size": 16,
    "lr": 0.005,
    "modality_dropout": 0.0,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def task(template: str | None = TEMPLATE, **options: Any) -> Generate:
    spec = {"name": "generate", "decoder": SMALL, "template": template, "vocabulary": 300}
    found = lookup.build("tasks", {**spec, **options}, "said")
    columns = {"question": QUESTIONS, "price": [1.5, None, 3.0]}
    groups = {"photo": {"photo": "image"}, "question": {"question": "text"}}
    found.introduce({**groups, "table": {"price": "number"}}, columns.__getitem__)
    found.fit(["a red cross", "a blue square", "no"])
    return found


def spelled(texts: list[str]) -> torch.Tensor:
    rows = [torch.tensor(list(text.encode()), dtype=torch.uint8) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def fused(lengths: tuple[int, ...] = (3, 1, 2), width: int = WIDTH) -> Fused:
    """Rows with a picture of some tokens, a question and a price, of which one is missing."""
    draw = torch.Generator().manual_seed(0)
    rows, longest = len(lengths), max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    values = torch.randn(rows, longest, width, generator=draw) * mask.unsqueeze(-1)
    one = torch.ones(rows, 1, dtype=torch.bool)
    prices = spelled(['{"price": "1.5"}', "{}", '{"price": "3"}'][:rows])
    tokens = {
        "photo": Tokens(values, mask),
        "question": Tokens(torch.zeros(rows, 1, width), one, spelled(QUESTIONS[:rows])),
        "table": Tokens(torch.zeros(rows, 1, width), one, prices),
    }
    return Fused(torch.zeros(rows, width), tokens, own=tokens)


def some(given: Fused, rows: list[int]) -> Fused:
    own = {name: tokens.take(torch.tensor(rows)) for name, tokens in given.own.items()}
    own["photo"] = cut(own["photo"])
    return Fused(given.pooled[rows], own, own=own)


def cut(tokens: Tokens) -> Tokens:
    longest = int(tokens.mask.sum(1).max())
    return Tokens(tokens.values[:, :longest], tokens.mask[:, :longest])


def head(of: Generate) -> Any:
    torch.manual_seed(0)
    return of.heads(WIDTH, [], 0.0, {"photo": None, "question": None, "table": None}).eval()


def read(of: Generate, row: np.ndarray[Any, Any]) -> str:
    """A row's pieces as text, a medium's token as *."""
    found = ""
    for piece, _ in row.tolist():
        found += "*" if piece < 0 else of.tokens.text([piece])
    return found.replace(" ", "")


def test_a_row_is_read_as_its_template_says():
    own = task()
    reader = own.reader(dict.fromkeys(["photo", "question", "table"]), 64)
    rows = reader.read(fused())
    assert read(own, rows[0]) == "***Question:Whatisit?(1.5)Answer:"
    assert read(own, rows[1]) == "*Question:Who,then,isit?()Answer:"
    assert [row[row[:, 0] == medium(0), 1].tolist() for row in rows] == [[0, 1, 2], [0], [0, 1]]
    hidden = fused()
    gone = Tokens(torch.zeros(3, 1, WIDTH), torch.zeros(3, 1) > 0)
    hidden.tokens = {**hidden.tokens, "question": gone}
    assert read(own, reader.read(hidden)[0]) == "***Question:(1.5)Answer:"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{a}", [("", "a")]),
        ("{{x}} {a.b:c!d} end", [("{", None), ("x}", None), (" ", "a.b:c!d"), (" end", None)]),
    ],
)
def test_braces_name_columns(text, parts):
    assert [p for p in parsed(text).parts if p != ("", None)] == parts


@pytest.mark.parametrize("text", ["no column", "{} here", "a { b", "", "a } b"])
def test_templates_that_are_none_are_errors(text):
    with pytest.raises(UserError, match="template"):
        parsed(text)


def test_the_usual_template_is_a_line_a_column():
    placed = usual("said", KINDS).placed("said", KINDS, WHOSE)
    text = placed.render({"question": "Why?", "price": "3"}, None)
    assert divided(text) == [("", "photo"), ("\nquestion: Why?\nprice: 3\nsaid:\n", "")]


def test_tokens_of_media_are_placed_row_by_row():
    """Any batch, any padding, a medium named twice: each row is what it is alone."""
    own = task("{photo} and again {photo}: {question}")
    writer, given = head(own), fused()
    whole = writer.prompt(given)
    for row in range(3):
        alone = writer.prompt(some(given, [row]))
        torch.testing.assert_close(whole.vectors[row, whole.mask[row]], alone.vectors[0])
    values = given.tokens["photo"].values
    expected = writer.project(values[0]) + writer.whose[0]
    torch.testing.assert_close(whole.vectors[0, whole.mask[0]][:3], expected)


def test_a_batch_is_written_and_weighed_as_its_rows_are():
    own = task()
    writer, given = head(own), fused()
    target = prepared(own, ["a red cross", "no", "a blue square"]).gather(np.arange(3))
    whole = writer(given, target).output
    for row in range(3):
        part = Field(target.data[[row]], target.mask[[row]], target.present[[row]])
        alone = writer(some(given, [row]), part).output
        torch.testing.assert_close(alone["nats"][0], whole["nats"][row])
        assert alone["written"][0].ids == whole["written"][row].ids


def test_what_is_read_changes_what_is_written_and_its_loss_is_not_counted():
    own = task()
    writer, given = head(own), fused()
    target = prepared(own, ["a red cross"] * 3).gather(np.arange(3))
    before = writer(given, target).output
    other = fused()
    other.own["question"].spelled[0, 0] = ord("X")
    after = writer(other, target).output
    moved = (before["nats"] - after["nats"]).abs() > 1e-4
    assert moved.tolist() == [True, False, False]
    assert before["places"].tolist() == [len(own.tokens.numbers("a red cross"))] * 3


def test_a_long_row_loses_words_and_never_tokens_of_media():
    own = task()
    reader = own.reader(dict.fromkeys(["photo", "question", "table"]), 40)
    given = fused((20, 1, 1))
    long = spelled(["beginning " + "word " * 200 + "end?", "Why?", "Why?"])
    given.own["question"] = Tokens(torch.zeros(3, 1, WIDTH), torch.ones(3, 1) > 0, long)
    rows = reader.read(given)
    assert len(rows[0]) <= 40 and (rows[0][:, 0] < 0).sum() == 20
    assert "end?" in read(own, rows[0]) and "beginning" not in read(own, rows[0])
    with pytest.raises(UserError, match="never cut"):
        own.reader(dict.fromkeys(["photo", "question", "table"]), 12).read(given)


def test_long_prompts_and_unread_columns_are_remarked():
    found = task("{photo} {question}")
    assert [text for _, text in found.remarks()] == [
        "The template of 'said' does not name price: what is written does not depend on it"
    ]
    small = task(decoder={**SMALL, "context": 22})
    assert any("than there is room for" in text for _, text in small.remarks())


def test_templates_come_back_from_json():
    own = task()
    again = lookup.build(
        "tasks",
        {"name": "generate", "decoder": SMALL, "template": TEMPLATE, "vocabulary": 300},
        "said",
    )
    again.state = json.loads(json.dumps(own.state))
    assert again.placed == own.placed and again.asks == own.asks
    assert again.asks == {"question": ("spells",), "table": ("spells",)}


def test_a_row_is_shown_with_what_is_learned():
    shown = task().sample({"question": "Why?", "price": 2.0}, "no")
    assert shown == "《photo》 Question: Why? (2) Answer:⟦no[SEP]⟧"


# -- conversations ------------------------------------------------------------------------------

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}


def talks(folder: Path, count: int, seed: int = 0) -> Path:
    """Somebody shows a picture and asks its colour, then asks for the same in capitals."""
    draw = random.Random(seed)
    folder.mkdir(exist_ok=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (16, 16), colour).save(folder / f"{name}.png")
    lines = []
    for i in range(count):
        name = draw.choice(list(COLOURS))
        content: list[Any] = [
            {"type": "text", "text": f"Look {i % 7}: "},
            {"type": "image", "path": f"{name}.png"},
        ]
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": content},
            {"role": "assistant", "content": name},
            {"role": "user", "content": "Louder!"},
            {"role": "assistant", "content": [{"type": "text", "text": name.upper()}]},
        ]
        lines.append(json.dumps({"messages": messages}))
    path = folder / f"talks-{seed}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def recipe(**more: Any) -> Recipe:
    pictures = {"encoder": {"name": "patch"}, "form": {"size": 16}}
    model = {
        "name": "talk",
        "modalities": {"image": pictures, "messages": {}},
        "fusion": "sum",
        "width": 16,
        "training": TRAINING,
    }
    spec = {"name": "generate", "decoder": SMALL, "vocabulary": 400}
    return Recipe.model_validate({"targets": {"answer": spec}, "models": [model], **more})


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talk")
    run = pm.fit(talks(folder, 60), recipe=recipe(), out=folder / "run")
    return pm.load(run.folder), folder


@pytest.mark.whole
def test_conversations_are_answered_from_their_pictures(talk):
    run, folder = talk
    found = pm.evaluate(run, talks(folder, 20, seed=1), explain=1)
    assert found.targets["answer"]["exact_match"]["value"] == 1
    assert run.schema.group == "conversation"
    shown = {"role": "user", "content": [{"type": "image", "path": str(folder / "blue.png")}]}
    first = run.chat([shown])
    assert (first.text, first.finish) == ("blue", "stop")
    messages = [shown, {"role": "assistant", "content": "blue"}]
    messages.append({"role": "user", "content": "Louder!"})
    assert run.chat(messages).text == "BLUE"
    assert "".join(run.stream({"messages": messages})) == "BLUE"
    pictures = [np.asarray(Image.open(folder / f"{name}.png")) for name in COLOURS]
    asked = [{"role": "user", "content": [{"type": "image", "image": one}]} for one in pictures]
    assert [own[0].text for own in run.write([{"messages": [one]} for one in asked])] == [*COLOURS]


@pytest.mark.whole
@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "list of messages"),
        ("hello", "list of messages"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "ends with"),
        ([{"role": "tool", "content": "a"}], "role 'tool'"),
        ([{"role": "user", "content": [{"type": "smell"}]}], "unknown type"),
        ([{"role": "user", "content": [{"type": "image"}]}], "says no file"),
        ([{"role": "user", "content": [{"type": "audio", "path": "a.wav"}]}], "never seen"),
    ],
)
def test_conversations_that_cannot_be_answered_are_errors(talk, messages, message):
    with pytest.raises(UserError, match=message):
        talk[0].chat(messages)


@pytest.mark.whole
def test_check_shows_a_conversation_as_it_is_read(tmp_path, capsys):
    path = talks(tmp_path / "talk", 12)
    hello = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]
    path.write_text(json.dumps({"messages": hello}) + "\n" + path.read_text())
    (tmp_path / "talk.yaml").write_text(
        f"train: {path}\n"
        "targets: {answer: {name: generate, decoder: {name: llama, hidden: 32, depth: 1}}}\n"
    )
    assert polymodal("check", str(tmp_path / "talk.yaml")) == 0
    out = capsys.readouterr().out
    assert "system: Be brief.\nuser: Look 0: 《image》\nassistant: ⟦" in out
    (tmp_path / "bad.yaml").write_text(
        f"train: {path}\ntargets: {{answer: {{name: generate, template: '{{imge}}: '}}}}\n"
    )
    assert polymodal("check", str(tmp_path / "bad.yaml")) == 2
    shown = "".join(capsys.readouterr())
    assert "names 'imge'" in one_error(shown, "fit of this table would fail")


@pytest.mark.whole
def test_answers_are_texts_though_nobody_says_so(tmp_path, capsys):
    path = talks(tmp_path / "talk", 12)
    assert polymodal("check", str(path), "--target", "answer") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "answer │ target │ text" in shown and "group" in shown


def test_a_decoders_own_way_to_write_conversations_is_used():
    class Own:
        mark = end = 0
        sign = picture = ""

        def spoken(self, messages):
            return "".join(f"<{one['role']}>{one['content']}" for one in messages) + "<assistant>"

    kinds = {"messages": "chat", "image": "image"}
    placed = usual("answer", kinds).placed("answer", kinds, dict.fromkeys(kinds, "x"))
    cell = chat.row([{"role": "user", "content": ["hello \ue000", {"type": "image", "path": "x"}]}])
    text = placed.render(cell, Own())
    assert divided(text) == [("<user>hello ", "image"), ("<assistant>", "")]


def test_media_are_read_though_their_conversation_is_hidden():
    """What a picture alone tells of an answer, a rival of it has to see."""
    kinds = {"messages": "chat", "image": "image", "image 2": "image", "price": "number"}
    placed = usual("answer", kinds).placed("answer", kinds, dict.fromkeys(kinds, "x"))
    words = divided(placed.render({}, None))
    assert words == [("user: ", "image"), ("", "image 2"), ("\nassistant: ", "")]
    named = parsed("{image 2} {messages}").placed("answer", kinds, dict.fromkeys(kinds, "x"))
    assert [name for _, name in divided(named.render({}, None))] == ["image 2", "image", ""]
