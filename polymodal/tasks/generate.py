"""A text is written, piece by piece, by a decoder that has read the other columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.words import words
from polymodal.contract.batch import Fused
from polymodal.contract.form import Form
from polymodal.contract.kind import worded
from polymodal.contract.recipe import Spec, name_of, options_of
from polymodal.contract.task import Answers, Array, Pass
from polymodal.contract.writing import Part, Said
from polymodal.metrics.texts import SHORT
from polymodal.modalities.text.forms.pieces import Pieces
from polymodal.nn.decoder import Decoder
from polymodal.nn.letters import CONTROLS
from polymodal.nn.manner import Manner, Text
from polymodal.nn.tokens import Tokens
from polymodal.table import chat, references
from polymodal.tasks import _labels
from polymodal.tasks._growing import finished, growing, together, weighed
from polymodal.tasks._hidden import Hidden
from polymodal.tasks._template import Template
from polymodal.tasks._templated import Templated
from polymodal.tasks._textual import Textual
from polymodal.tasks._usual import Usual, commonest
from polymodal.tasks._written import (
    PLACES,
    USUAL,
    Trained,
    Writer,
    Written,
    answered,
)

# Pieces of a text at most; what is longer is cut in training.
LIMIT = 1024
# Pieces at least that a text may have which has to keep to a rule.
RULED = 256
READS, PROJECTORS = ("prefix", "attention"), ("normed", "plain")


class Generate(Hidden, Textual, Templated):
    """Cross-entropy of each piece of the answer, told by those before it and by the modalities.

    The pieces are those of a tokenizer that is trained on the training rows' targets (the form
    `pieces` of texts), the end among them. Every modality's tokens are projected and stand before
    the text in the decoder's sequence, in the manner of "Visual Instruction Tuning" (Liu et al.
    2023, arXiv 2304.08485), or are read by cross-attention. A cell may hold several texts (a list,
    or one in JSON): all are learned, and the best counts. A text has no mean: the best model writes
    alone. Neighbours: `classify` where answers are few.

    Args:
        name: the target's column, or of the task, with `column`.
        column: whose texts are written, where other tasks may read them; hidden from this one.
        decoder: a file of `nn/decoders`, with its options.
        reading: "prefix" or "attention" (of decoders that have it: gpt2).
        vocabulary: pieces that the tokenizer knows at most.
        template: what is read before the text: words, and columns in braces ("{photo} {question}");
            by default a line a column, for decoders that know words, or a conversation; else every
            modality's tokens.
        projector: of tokens into the decoder: "normed", for any encoder, or "plain", as LLaVA has.
        decoding: how texts are written: `longest`, `beams`, `penalty`, `temperature`, `top_k`,
            `top_p`, `seed`, and what they have to keep to: `choices`, `pattern` or `schema`
            (`nn.manner.Manner`); by default the likeliest piece always, and as many of them as
            the longest training text has.
    """

    kind: ClassVar[str | None] = worded()
    reads: ClassVar[tuple[str, ...]] = (worded(),)
    supports = "how much of it is written again"
    chooses = "nats a piece"
    gathers: ClassVar[bool] = True
    writer: ClassVar[type[Writer]] = Writer
    # At the usual rate networks learned what is coarse in pictures, colours, and never shapes.
    lr: ClassVar[float | None] = 5e-4

    def __init__(
        self,
        name: str,
        *,
        column: str | None = None,
        decoder: Spec = "gpt2",
        reading: str = "prefix",
        vocabulary: int = 4096,
        template: str | None = None,
        projector: str = "normed",
        decoding: Mapping[str, Any] | None = None,
    ) -> None:
        for key, said, known in (("reading", reading, READS), ("projector", projector, PROJECTORS)):
            if said not in known:
                what = f"The task '{name}' cannot read by '{said}'"
                raise UserError(what, expected=f"{key}: {' or '.join(known)}")
        super().__init__(name, template)
        self.column = column
        self.decoder, self.reading, self.vocabulary = decoder, reading, vocabulary
        self.decoding, self.projector = decoding, projector
        found, options = self._kind()
        lookup.check_options(found, name_of(decoder), options)
        self.sees, self.seen_by = found.sees, found.looker(options)
        if self.crosses and not found.able:
            able = [n for n in lookup.names("nn/decoders") if lookup.find("nn/decoders", n).able]
            what = f"The decoder '{name_of(decoder)}' has no cross-attention"
            do = "name one of them (`decoder`), or let it read otherwise (reading: prefix)"
            raise UserError(what, expected=f"one that has: {', '.join(able)}", do=do)
        if template is not None and self.crosses:
            what = f"The task '{name}' has a template, and reads by attention"
            raise UserError(what, expected="a template with reading: prefix, or none")
        lookup.check_options(Manner, "decoding", decoding or {})
        if "stop" in (decoding or {}):
            raise UserError(f"`stop` of '{name}' is asked of `write`, not in decoding")
        self._manner(1)

    @property
    def crosses(self) -> bool:
        return self.reading == READS[1]

    def wants_template(self, kinds: Collection[str]) -> bool:
        return not self.crosses and (self._kind()[0].knows or chat.KIND in kinds)

    def readable(
        self, modalities: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, Mapping[str, str]]:
        self.hide(modalities)
        return {name: own for name, own in modalities.items() if name != self.hidden}

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> None:
        return None

    # -- what is written -----------------------------------------------------------------------

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Train the tokenizer; learn how long texts are, and how often pieces come.

        Raises:
            UserError: all texts are one, or there is none; or none can keep to the decoding's rule.
        """
        given = [references.texts([cell]) or [] for cell in cells]
        every = [text for own in given for text in own]
        if len(set(every)) < 2:
            raise _labels.nothing_to_learn(self.name, repr(every[0]) if every else "no text at all")
        pieces = Pieces(vocabulary=self.vocabulary, limit=LIMIT)
        decoder, options = self._kind()
        tokens = decoder.tokens(LIMIT, options)
        if tokens is None:
            pieces.fit(every + self.prompts())
            tokens = Trained(pieces)
        encoded = [tokens.numbers(text) for text in every]
        common, *often = commonest(every)
        ids, counts = np.unique(np.concatenate(encoded), return_counts=True)
        self.state = {
            "merges": pieces.state["merges"],
            "digest": decoder.digest(options),
            "counts": [ids.tolist(), counts.tolist()],
            "common": common,
            "often": often,
            "longest": max(len(own) for own in encoded),
            "words": float(np.median([len(words(text)) for text in every])),
            "cut": sum(int(own[-1]) != tokens.end for own in encoded),
            "controls": "".join(sorted(set(CONTROLS) & set().union(*every))),
            "hidden": self.hidden,
            "template": None if self.placed is None else self.placed.to_json(),
        }
        self._state["long"] = self.longer(self._room())
        self.tokens.rule(self._manner(self._state["longest"]))

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state, self.hidden = dict(state), state.get("hidden")
        decoder, options = self._kind()
        tokens = decoder.tokens(LIMIT, options)
        if tokens is None:
            pieces = Pieces(vocabulary=self.vocabulary, limit=LIMIT)
            pieces.state = {"merges": state["merges"]}
            tokens = Trained(pieces, state.get("controls", CONTROLS))
        self.tokens: Tokens = tokens
        self.placed = None if (it := state.get("template")) is None else Template.from_json(it)
        self.form: Written = self._formed(tokens)
        self.primary = "exact_match" if state["words"] <= SHORT else "cider_d"
        self.exact = state["words"] <= SHORT
        self._usual = Usual(tokens, state["counts"])
        self.__dict__.pop("_suiting", None)  # those of the state before

    def _formed(self, tokens: Tokens) -> Written:
        return Written(tokens)

    def _kind(self) -> tuple[type[Decoder], dict[str, Any]]:
        """The decoder's class and options."""
        return lookup.find("nn/decoders", name_of(self.decoder)), options_of(self.decoder)

    def remarks(self) -> list[tuple[str, str]]:
        """Of texts that are cut, and of a rule that no constant keeps."""
        found = []
        if cut := self._state["cut"]:
            what = f"{cut:,} texts of '{self.name}' have more than {LIMIT:,} pieces"
            found.append(("warning", f"{what}: their ends are not learned"))
        if not self.constant_serves:
            what = f"No text that comes often in '{self.name}' keeps to what its decoding asks for"
            found.append(("info", f"{what}: the model also writes of rows that lack all it reads"))
        return found + self.read_remarks(self._state["long"])

    def is_known(self, cell: Any) -> bool:
        return references.texts([cell]) is not None

    def _manner(self, longest: int, how: Mapping[str, Any] | None = None) -> Manner:
        given = {**(self.decoding or {}), **(how or {})}
        # What a rule asks for may be longer than any training text.
        ruled = given.get("pattern") or given.get("schema") is not None
        return Manner(**{"longest": max(longest, RULED) if ruled else longest, **given})

    @torch.no_grad()
    def write(self, head: nn.Module, fused: Fused, how: Mapping[str, Any]) -> list[list[Said]]:
        assert isinstance(head, Writer)
        manner = self._asked(how)
        if manner.stop:
            return together(self.parts(head, fused, how))
        prompt = head.prompt(fused)
        found = zip(head.write(prompt, manner), prompt.places(), strict=True)
        if manner.choices:
            return [[weighed(self.tokens, own, read)] for own, read in found]
        return [[finished(self.tokens, text, read) for text in own] for own, read in found]

    def stream(self, head: nn.Module, fused: Fused, how: Mapping[str, Any]) -> Iterator[str]:
        manner = self._asked(how)
        if manner.choices or manner.beams > 1 or manner.samples > 1:
            one = "one text, written piece by piece: no choices, beams or samples"
            what = "Such a text is known as a whole only"
            raise UserError(what, expected=one, do="ask for it with `write`")
        for step in self.parts(head, fused, how):
            yield from (part.text for part in step if part.text)

    @torch.no_grad()
    def parts(
        self,
        head: nn.Module,
        fused: Fused,
        how: Mapping[str, Any],
        seeds: Sequence[int] = (),
        left: Collection[int] = (),
    ) -> Iterator[list[Part]]:
        assert isinstance(head, Writer)
        manner = self._asked(how)
        if manner.choices or manner.beams > 1:
            for i, own in enumerate(self.write(head, fused, how)):
                yield [Part(i, j, one.text, one) for j, one in enumerate(own)]
            return
        yield from growing(head, head.prompt(fused), manner, seeds, left)

    def blank(self, how: Mapping[str, Any]) -> list[Said]:
        manner = self._asked(how)
        return self._usual.said(self._common(manner), manner)

    def _asked(self, how: Mapping[str, Any]) -> Manner:
        lookup.check_options(Manner, "write", how, "give `{key}` as is expected")
        return self._manner(self._state["longest"], how)

    @property
    def constant_serves(self) -> bool:
        return bool(self._suiting)

    @cached_property  # who only loads a run need not have what compiles its rule
    def _suiting(self) -> list[Text]:
        """The commonest texts that keep to `decoding`."""
        manner = self._asked({})
        return self._usual.suiting(self._common(manner), manner)

    def _common(self, manner: Manner) -> list[str]:
        """Texts as they are written in a manner, the commonest first."""
        return [self._state["common"], *self._state.get("often", ())]

    # -- learning ------------------------------------------------------------------------------

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        decoder, options = self._kind()
        if decoder.digest(options) != self._state["digest"]:
            raise UserError(
                f"The decoder of '{self.name}' is another than it was learned with",
                expected=f"the same files as then at {options.get('path')}",
                do="put them back there, or fit again",
            )
        return self.writer(
            self._decoder(self.tokens.count),
            width,
            len(forms),
            dropout,
            crosses=self.crosses,
            tokens=self.tokens,
            manner=self._manner(self._state["longest"]),
            reader=self.reader(forms, self._room()),
            normed=self.projector == PROJECTORS[0],
        )

    def _room(self) -> int:
        """Places that a row may have before its text."""
        decoder = self.planned()
        assert isinstance(decoder, Decoder)
        return decoder.context - int(self._state["longest"])

    def planned(self) -> nn.Module:
        with torch.device("meta"):
            return self._decoder(self.tokens.count if hasattr(self, "tokens") else self.vocabulary)

    def _decoder(self, pieces: int) -> Decoder:
        found = lookup.build("nn/decoders", self.decoder, pieces, self.crosses)
        assert isinstance(found, Decoder)
        return found

    # -- answers -------------------------------------------------------------------------------

    def answer(self, done: Pass) -> list[Array]:
        """Each row's text, `(1 + pieces, 4)` as `_written.answered` has it."""
        written: Sequence[Text] = done.output["written"]
        if done.target is None:
            return [answered(text, self.tokens.end) for text in written]
        nats, places = (each.tolist() for each in self.costs(done))
        data = done.target.data.cpu().numpy()
        known = (done.target.present.unsqueeze(1) & (done.target.data >= 0)).cpu().numpy()
        if done.target.mask is not None:
            known &= done.target.mask.cpu().numpy()
        usual = [self._usual.nats(ids[own]) for ids, own in zip(data, known, strict=True)]
        found = zip(written, nats, places, usual, strict=True)
        return [answered(text, self.tokens.end, cost, int(n), u) for text, cost, n, u in found]

    def constant(self, like: Answers) -> list[Array]:
        """The commonest text that keeps to `decoding`, or the commonest of all."""
        plain = replace(manner := self._asked({}), pattern=None, schema=None)
        text, *_ = self._suiting or self._usual.suiting(self._common(manner), plain)
        end = self.tokens.end
        heads = [answer[0] for answer in like]
        return [answered(text, end, head[USUAL], int(head[PLACES]), head[USUAL]) for head in heads]
