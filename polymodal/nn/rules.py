"""What a text may say: a regular expression, or JSON of some schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from polymodal.base.errors import MissingExtra, UserError
from polymodal.nn.manner import Manner


class Grammar:
    """A rule (`nn.manner.Rule`) that llguidance keeps: which pieces can still become such a text.

    Args:
        tokenizer: llguidance's.
        grammar: in Lark's form.
        what: the rule in words, for errors.

    Raises:
        UserError: there is no such rule, or no text keeps it.
    """

    def __init__(self, tokenizer: Any, grammar: str, what: str) -> None:
        self._matcher = _llguidance().LLMatcher(tokenizer, grammar, log_level=0)
        if not self._matcher.is_error():
            self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise UserError(
                f"No text can keep to {what}",
                expected="a regular expression, or a JSON schema that some value satisfies",
                got=" ".join(self._matcher.get_error().split())[:200],
            )

    def start(self) -> Any:
        return self._matcher.deep_copy()

    def allowed(self, state: Any) -> Tensor:
        return torch.frombuffer(bytearray(state.compute_logit_bias()), dtype=torch.uint8) > 0

    def then(self, state: Any, piece: int) -> Any:
        found = state.deep_copy()
        assert found.consume_token(piece), found.get_error()
        return found


def learned(
    pieces: Sequence[bytes],
    divide: Callable[[str], Sequence[int]],
    end: int,
    lead: str,
    manner: Manner,
) -> Grammar | None:
    """What a manner asks for, in pieces that stand for bytes; None if it asks for nothing.

    Args:
        pieces: the bytes of each; b"" of marks, which stand in no text.
        divide: a text into pieces, as they were learned.
        end: the mark that ends a text.
        lead: what stands before every text.

    Raises:
        MissingExtra: llguidance is not installed.
        UserError: as `Grammar`.
    """
    if not manner.pattern and manner.schema is None:
        return None
    known = _llguidance()
    tokenizer = known.LLTokenizer(known.TokenizerWrapper(_Pieces(pieces, divide, end)))
    return Grammar(tokenizer, *_asked(lead, manner))


def borrowed(tokenizer: Any, count: int, end: int, manner: Manner) -> Grammar | None:
    """The same, in the pieces of a tokenizer of transformers."""
    if not manner.pattern and manner.schema is None:
        return None
    known = _llguidance().LLTokenizer(
        tokenizer.backend_tokenizer.to_str(), n_vocab=count, eos_token=end
    )
    return Grammar(known, *_asked("", manner))


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtra("llguidance", "constrained", "texts that keep a rule") from error
    return llguidance


def _asked(lead: str, manner: Manner) -> tuple[str, str]:
    """A grammar in Lark's form, and what it is in words."""
    start = f"start: {json.dumps(lead)} text" if lead else "start: text"
    if manner.schema is None:
        return f"{start}\ntext: /{_escaped(manner.pattern)}/", f"the pattern {manner.pattern!r}"
    # Blanks that mean nothing would only fill the room.
    plain = {"x-guidance": {"whitespace_flexible": False}, **manner.schema}
    given = json.dumps(plain)
    return f"{start}\ntext: %json {given}", f"the schema {json.dumps(manner.schema)[:80]}"


class _Pieces:
    """Pieces as llguidance asks for them."""

    bos_token_id = None

    def __init__(
        self, pieces: Sequence[bytes], divide: Callable[[str], Sequence[int]], end: int
    ) -> None:
        self.tokens = [piece or b"<mark %d>" % i for i, piece in enumerate(pieces)]
        self.special_token_ids = [i for i, piece in enumerate(pieces) if not piece]
        self.eos_token_id = end
        self._divide = divide
        self._bytes = {piece: i for i, piece in enumerate(pieces) if len(piece) == 1}

    def __call__(self, text: bytes) -> list[int]:
        # What has to come next comes in this division alone: in another one than was learned the
        # model would take it, and what follows, for unlikely.
        try:
            return list(self._divide(text.decode()))
        except UnicodeDecodeError:
            # A letter that has begun.
            return [self._bytes[bytes([one])] for one in text]


def _escaped(given: str) -> str:
    """A regular expression between slashes."""
    found, escaped = "", False
    for character in given:
        found += "\\/" if character == "/" and not escaped else character
        escaped = character == "\\" and not escaped
    return found
