"""What may come of bytes: whole letters alone, held against Python's own UTF-8."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.nn.letters import CONTROLS, Letters

END = 0
BYTES = [b"", b"", *(bytes([n]) for n in range(256))]


def follows(rule: Letters, pieces: list[int]) -> bool:
    """Whether pieces may come one after another, and a text may end behind them."""
    state = rule.start()
    for piece in pieces:
        if not rule.allowed(state)[piece]:
            return False
        state = rule.then(state, piece)
    return bool(rule.allowed(state)[END])


def decodes(text: bytes) -> bool:
    try:
        return not set(text.decode()) & set(CONTROLS) - {"\n"}
    except UnicodeDecodeError:
        return False


def test_a_text_may_be_what_python_decodes_and_nothing_else():
    rule = Letters(BYTES, END, "\n", 20)
    edges = [0x0A, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBD, 0xBF, 0xC0, 0xC2, 0xC3, 0xDF]
    edges += [0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF]
    some = [bytes([n]) for n in range(256)]
    some += [bytes(both) for n in (2, 3) for both in itertools.product(edges, repeat=n)]
    some += [bytes([0xF0, 0x90, n, 0x80]) for n in edges] + ["é€😀\n".encode()]
    for text in some:
        assert follows(rule, [n + 2 for n in text]) == decodes(text), text
    assert not follows(rule, [1]) and follows(rule, [])


def test_pieces_of_several_bytes_may_hold_parts_of_letters():
    rule = Letters([b"", b"\x80", b"a\xe2\x82", b"\xac b", b"\x1b["], END, "", 9)
    assert follows(rule, [2, 3]) and follows(rule, [2, 1])
    assert not follows(rule, [3]) and not follows(rule, [2]) and not follows(rule, [4])
    assert follows(Letters([b"", b"\x1b["], END, "\x1b", 9), [1])


@pytest.mark.parametrize("longest", [1, 2, 3, 7])
def test_no_letter_is_begun_for_which_there_is_no_room(longest):
    draw = np.random.default_rng(longest)
    rule = Letters(BYTES, END, "", longest)
    for _ in range(30):
        state, text = rule.start(), b""
        for _ in range(longest):
            # A model that knows nothing likes what begins long letters.
            likes = draw.random(len(BYTES)) + np.r_[0, 0, np.arange(256) >= 0xE0]
            piece = int(np.where(rule.allowed(state), likes, -1).argmax())
            text, state = text + BYTES[piece], rule.then(state, piece)
        text.decode()
