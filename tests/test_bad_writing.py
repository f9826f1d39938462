"""Bad templates, conversations, decoders and rules of texts through the command line.

Each is one clear error, exit code 2, no traceback, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typed import files, one_error, polymodal

pytestmark = pytest.mark.whole

Make = Callable[[Path], None]
FIT = ["fit", "r.yaml", "--out", "new"]
ROWS = [f"{i}.png,is it {i}?,{i},{['yes', 'no'][i % 2]} it is" for i in range(24)]
GOOD = "\n".join(["photo,note,size,said", *ROWS, ""])
SMALL = "{name: llama, hidden: 16, depth: 1, heads: 2, groups: 1, context: 64}"
REST = """
data: {kinds: {said: text, note: text}, valid: 0.25}
models:
  - name: one
    modalities: {photo: {encoder: patch, form: {size: 32}}, note: {}}
    fusion: sum
    width: 8
    training: {epochs: 1, precision: fp32, attention: plain, memory_format: contiguous, threads: 1}
"""


def recipe(keys: str, decoder: str = SMALL, rows: str = GOOD, rest: str = REST) -> Make:
    """A fit of texts, its task with some keys more."""

    def make(folder: Path) -> None:
        for i in range(24):
            Image.new("RGB", (32, 32), (10 * i, 0, 0)).save(folder / f"{i}.png")
        (folder / "t.csv").write_text(rows)
        task = f"{{name: generate, decoder: {decoder}, {keys}}}"
        (folder / "r.yaml").write_text(f"train: t.csv\ntargets:\n  said: {task}{rest}")

    return make


def pretrained(**spoilt: Any) -> Make:
    """A decoder of a folder, with a tokenizer of words."""

    def make(folder: Path) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        size |= {"vocab_size": spoilt.get("pieces", 16), "intermediate_size": 16}
        LlamaForCausalLM(LlamaConfig(**size)).save_pretrained(folder / "model")
        words = ["<unk>", "</s>", "yes", "no", "it", "is", "said", "note", ":", "?"]
        known = {word: i for i, word in enumerate(words)}
        raw = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.Whitespace()
        marks = {"unk_token": "<unk>", **spoilt.get("marks", {"eos_token": "</s>"})}
        made = PreTrainedTokenizerFast(tokenizer_object=raw, **marks)
        made.chat_template = spoilt.get("chat")
        made.save_pretrained(folder / "model")
        recipe("vocabulary: 300", "{name: pretrained, path: ./model}")(folder)

    return make


def broken_gguf(folder: Path) -> None:
    recipe("vocabulary: 300", "{name: pretrained, path: ./model.gguf}")(folder)
    (folder / "model.gguf").write_bytes(b"half a download")


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def part(**keys: Any) -> list[dict[str, Any]]:
    return [message("user", [keys]), message("assistant", "yes")]


def talks(messages: Any, good: int = 12) -> Make:
    """A file of conversations, the last of which is spoilt."""

    def make(folder: Path) -> None:
        lines = []
        for i in range(good):
            pair = [message("user", f"is it {i}?"), message("assistant", f"no {i}")]
            lines.append(json.dumps({"messages": pair}))
        lines.append(messages if isinstance(messages, str) else json.dumps({"messages": messages}))
        (folder / "t.jsonl").write_text("\n".join(lines) + "\n")

    return make


CHAT = ["fit", "t.jsonl", "--target", "answer", "--budget", "20s", "--out", "new"]
NUMBERS = [" ".join(str(7919 * (i + j)) for j in range(60)) for i in range(6)]
LONG = "".join(f"{i}.png,why,1,{numbers}\n" for i, numbers in enumerate(NUMBERS))

CASES: dict[str, tuple[Make, list[str], str]] = {
    "a template without a column": (
        recipe("template: 'what is it?'"),
        FIT,
        "names no column",
    ),
    "a template with a nameless column": (recipe("template: 'a {} b'"), FIT, "names no column"),
    "a template whose brace stays open": (recipe("template: '{note'"), FIT, "is broken"),
    "a template of an unknown column": (
        recipe("template: '{phto} {note}'"),
        FIT,
        "names 'phto', which is no input column",
    ),
    "a template of its own target": (
        recipe("template: '{note} {said}'"),
        FIT,
        "names 'said', which is to be written",
    ),
    "a template that is read by attention": (
        recipe("template: '{note}', reading: attention", "gpt2"),
        FIT,
        "has a template, and reads by attention",
    ),
    "a projector that there is not": (recipe("projector: linear"), FIT, "projector: normed or"),
    "media beyond the context": (
        recipe("template: '{photo} {note}'", SMALL.replace("64", "14")),
        FIT,
        "for media, which are never cut",
    ),
    "a text as long as the context": (
        recipe("template: '{note}'", SMALL, GOOD + LONG),
        FIT,
        "no place before the longest text",
    ),
    "empty answers": (
        recipe("vocabulary: 300", rows="photo,note,size,said\n" + "0.png,a b,1,\n" * 20),
        FIT,
        "said",
    ),
    "a schema that no text satisfies": (
        recipe("decoding: {schema: {type: integer, minimum: 3, maximum: 2}}"),
        FIT,
        "no text can keep to",
    ),
    "a pattern that is none": (
        recipe("decoding: {pattern: '(a'}"),
        FIT,
        "the pattern '(a' is invalid",
    ),
    "a tokenizer without an end": (
        pretrained(marks={}),
        FIT,
        "has no piece that ends a text",
    ),
    "a tokenizer of more pieces than the model": (
        pretrained(pieces=5),
        FIT,
        "knows pieces that its model does not",
    ),
    "a broken gguf file": (broken_gguf, FIT, "is no GGUF file"),
    "no messages": (talks([]), CHAT, "row 12: there are no messages"),
    "messages that are none": (talks(["hello"]), CHAT, "row 12, message 0: this is no message"),
    "an unknown role": (
        talks([message("narrator", "once"), message("assistant", "upon")]),
        CHAT,
        "nobody has the role 'narrator'",
    ),
    "a message without content": (talks([{"role": "user"}]), CHAT, "there is no content"),
    "a part of an unknown type": (talks(part(type="scent", path="x")), CHAT, "of an unknown type"),
    "a part without a file": (talks(part(type="image")), CHAT, "says no file"),
    "a file that is not there": (
        talks(part(type="image", path="gone.png")),
        CHAT,
        "gone.png",
    ),
    "a picture that the assistant shows": (
        talks([message("user", "show"), message("assistant", [{"type": "image", "path": "x"}])]),
        CHAT,
        "the assistant's turn holds a medium",
    ),
    "a line that is no JSON": (talks('{"messages": [}'), CHAT, "line 13: broken JSON"),
    "nobody answers": (talks([message("user", "anybody?")], good=0), CHAT, "answer"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_writing_is_one_clear_error(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    make, command, says = CASES[name]
    make(tmp_path)
    before = files(tmp_path)
    capsys.readouterr()
    assert polymodal(*command) == 2
    one_error("".join(capsys.readouterr()), says)
    assert files(tmp_path) == before


def test_a_run_that_writes_nothing_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    lines = [f"the {['red', 'blue'][i % 2]} one {i},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["note,label", *lines, ""]))
    rest = REST.partition("models:")[2].replace("photo: {encoder: patch, form: {size: 32}}, ", "")
    data = "train: t.csv\ntarget: label\ndata: {valid: 0.25}\n"
    (tmp_path / "r.yaml").write_text(f"{data}models:{rest}")
    assert polymodal(*FIT) == 0
    capsys.readouterr()
    assert polymodal("export", "new", "--to", "transformers", "--out", "hf") == 2
    one_error("".join(capsys.readouterr()), "no shape that transformers knows")
    assert not (tmp_path / "hf").exists()
