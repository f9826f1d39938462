"""Patterns and schemas: what may come next, and that nothing else comes."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.nn.decoding import write
from polymodal.nn.manner import Manner
from polymodal.nn.rules import learned

# Five marks, of which the fourth ends a text, all bytes, and some longer pieces.
LONGER = [b" red", b"blue", b'{"a":', b"true", b"12"]
BYTES = [b""] * 5 + [bytes([i]) for i in range(256)] + LONGER
END = 3


def divided(text: str) -> list[int]:
    """The longest piece that comes next, and so on."""
    rest, found = text.encode(), []
    while rest:
        found.append(max((p for p in BYTES if p and rest.startswith(p)), key=len))
        rest = rest[len(found[-1]) :]
    return [BYTES.index(one) for one in found]


def pattern(lead: str, given: str):
    return learned(BYTES, divided, END, lead, Manner(pattern=given))


def schema(given):
    return learned(BYTES, divided, END, "", Manner(schema=given))


def said(ids) -> str:
    return b"".join(BYTES[i] for i in ids).decode()


def drawn(rule, prompt, **options) -> list[str]:
    """Texts of a decoder that has learned nothing."""
    torch.manual_seed(0)
    spec = {"name": "gpt2", "hidden": 16, "depth": 1}
    decoder = lookup.build("nn/decoders", spec, len(BYTES), False)
    manner = Manner(longest=60, **options)
    texts = [text for own in write(decoder.eval(), prompt(4, 5), END, manner, rule) for text in own]
    assert all(text.ended for text in texts)
    return [said(text.ids) for text in texts]


@pytest.mark.parametrize("how", [{}, {"temperature": 5.0, "samples": 10}, {"beams": 3}])
@pytest.mark.parametrize(
    "given",
    ["(red|blue)( [0-9]{1,3})?", "a/b|[0-9]{4}-[0-9][0-9]", 'say "(yes|no)"', "[äöü]{1,4}€?"],
)
def test_every_text_matches(given, how, prompt):
    texts = drawn(pattern("", given), prompt, **how)
    assert all(re.fullmatch(given, text) for text in texts), texts
    assert "samples" not in how or len(set(texts)) > 1


def test_every_text_is_json_of_the_schema(prompt):
    given = {
        "type": "object",
        "properties": {
            "a": {"type": "boolean"},
            "b": {"enum": ["red", "blue"]},
            "c": {"type": "integer", "minimum": 3, "maximum": 17},
        },
        "required": ["a", "b", "c"],
        "additionalProperties": False,
    }
    texts = drawn(schema(given), prompt, temperature=5.0, samples=10)
    for text in texts:
        found = json.loads(text)
        assert list(found) == ["a", "b", "c"] and isinstance(found["a"], bool)
        assert found["b"] in ("red", "blue") and 3 <= found["c"] <= 17
    assert len(set(texts)) > 5


def test_what_stands_before_every_text_comes_first(prompt):
    assert set(drawn(pattern(" ", "red"), prompt)) == {" red"}


def test_what_has_to_come_comes_in_the_pieces_that_were_learned():
    text = "a red blue é"
    for given in (text, f"{text}[0-9]", f"(x|{text})"):
        rule = pattern("", given)
        state, (first, *rest) = rule.start(), divided(text)
        assert rule.allowed(state)[first]
        for piece in rest[:-1]:
            state = rule.then(state, first)
            assert rule.allowed(state)[piece], (given, BYTES[piece])
            first = piece


def test_a_state_is_never_changed():
    rule = pattern("", "ab|ac")
    start = rule.start()
    after = rule.then(start, BYTES.index(b"a"))
    assert rule.allowed(start).nonzero()[:, 0].tolist() == [BYTES.index(b"a")]
    allowed = rule.allowed(after).nonzero()[:, 0].tolist()
    assert allowed == [BYTES.index(b"b"), BYTES.index(b"c")]
    assert rule.allowed(rule.then(after, allowed[0])).nonzero()[:, 0].tolist() == [END]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("ab(", "unclosed group, at letter 3"),
        ("[z-a]", "start must be <= the end, at letter 2"),
        ("(?=a)", "look-around, .* is not supported, at letter 1"),
        ("a\\", "nothing after the last backslash"),
    ],
)
def test_what_is_no_pattern_is_an_error_that_says_where(given, why):
    with pytest.raises(UserError, match=f"is invalid[^$]*{why}"):
        pattern("", given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"type": "strin"}, "Invalid type: strin, at its top"),
        (
            {"properties": {"a": {"type": "array", "items": {"type": "integr"}}}},
            "Invalid type: integr, at properties.a.items",
        ),
    ],
)
def test_what_is_no_schema_is_an_error_that_says_where(given, why):
    with pytest.raises(UserError, match=f"is invalid[^$]*{why}"):
        schema(given)


def test_what_nothing_satisfies_is_an_error():
    with pytest.raises(UserError, match="No text can keep to the schema"):
        schema({"type": "integer", "minimum": 3, "maximum": 2})
    with pytest.raises(UserError, match="No text can keep to the pattern"):
        pattern("", r"[^\s\S]")


@pytest.mark.parametrize("how", [{"choices": []}, {"pattern": ""}])
def test_what_keeps_to_nothing_is_not_asked_for(how):
    with pytest.raises(UserError, match="is out of range"):
        Manner(**how)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UserError, match="constrained"):
        pattern("", "a")
