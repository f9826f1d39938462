"""What a text may say: a regular expression, or JSON of some schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
        UserError: the rule is invalid, or no text keeps it.
    """

    def __init__(self, tokenizer: Any, grammar: str, what: str) -> None:
        self._matcher = _matcher(tokenizer, grammar)
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
    return _kept(tokenizer, lead, manner)


def borrowed(tokenizer: Any, count: int, end: int, manner: Manner) -> Grammar | None:
    """The same, in the pieces of a tokenizer of transformers."""
    if not manner.pattern and manner.schema is None:
        return None
    known = _llguidance().LLTokenizer(
        tokenizer.backend_tokenizer.to_str(), n_vocab=count, eos_token=end
    )
    return _kept(known, "", manner)


def _kept(tokenizer: Any, lead: str, manner: Manner) -> Grammar:
    if manner.schema is None:
        _refuse_pattern(tokenizer, str(manner.pattern))
    else:
        _refuse_schema(tokenizer, manner.schema)
    return Grammar(tokenizer, *_asked(lead, manner))


def _matcher(tokenizer: Any, grammar: str) -> Any:
    found = _llguidance().LLMatcher(tokenizer, grammar, log_level=0)
    if not found.is_error():
        found.compute_bitmask()
    return found


def _refuse_pattern(tokenizer: Any, pattern: str) -> None:
    """UserError if it is no regular expression, or looks around or back."""
    found = _matcher(tokenizer, f"start: /{_escaped(pattern)}/")
    said = found.get_error() if found.is_error() else ""
    broken = pattern.endswith("\\") and "lexer error" in said
    if not broken and "invalid regex" not in said:
        return
    lines = said.splitlines()
    why = next((one.partition("error:")[2] for one in lines if one.startswith("error:")), "")
    # Below the pattern, which stands four letters in, arrows show the place.
    arrows = next((one for one in lines if one.strip() and not one.strip(" ^")), "")
    place = f", at letter {arrows.index('^') - 3}" if arrows else ""
    raise UserError(
        f"The pattern {pattern!r} is invalid",
        expected="a regular expression, without look-around or back-references",
        got=f"{why.strip() or 'nothing after the last backslash'}{place}",
    )


def _refuse_schema(tokenizer: Any, schema: Any) -> None:
    """UserError if it is no JSON schema; one that nothing satisfies may be."""
    why = _fault(tokenizer, schema)
    if why is None or "nsatisfiable" in why:
        return
    raise UserError(
        f"The schema {json.dumps(schema)[:80]} is invalid",
        expected="a JSON schema; types: string, number, integer, boolean, object, array, null",
        got=f"{why}, at {_place(tokenizer, schema, why) or 'its top'}",
    )


def _fault(tokenizer: Any, schema: Any) -> str | None:
    """What is wrong with a schema, in a line."""
    found = _matcher(tokenizer, f"start: %json {json.dumps(schema)}")
    if not found.is_error():
        return None
    return str(found.get_error().splitlines()[0].rpartition("JSON schema: ")[2])


def _place(tokenizer: Any, schema: Any, why: str) -> str | None:
    """The keys to the innermost part of a schema that has the fault by itself."""
    if not isinstance(schema, Mapping | list):
        return None
    for key, inner in schema.items() if isinstance(schema, Mapping) else enumerate(schema):
        deeper = _place(tokenizer, inner, why)
        if deeper is not None:
            return f"{key}.{deeper}".rstrip(".")
    alone = isinstance(schema, Mapping) and _fault(tokenizer, schema) == why
    return "" if alone else None


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
        return (
            f"{start}\ntext: /{_escaped(str(manner.pattern))}/",
            f"the pattern {manner.pattern!r}",
        )
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
