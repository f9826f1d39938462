"""What is said in a sound is written down along it: speech recognition."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.base.words import words
from polymodal.contract.along import Along
from polymodal.contract.batch import Fused
from polymodal.contract.form import Form
from polymodal.contract.kind import of, spoken, worded
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.writing import Part, Said
from polymodal.metrics import captions, summed
from polymodal.metrics.texts import texts
from polymodal.modalities.text.forms.pieces import Pieces
from polymodal.nn import ctc
from polymodal.nn.manner import Manner
from polymodal.table import references
from polymodal.tasks import _heard, _labels
from polymodal.tasks._usual import commonest, ordered

# What the encoder of speech declares.
TIMED = "timed"
# Units of a text at most, where they are pieces.
LIMIT = 4096
UNITS = AUTO, LETTERS, PIECES = ("auto", "letters", "pieces")
# Where words come back so often on average, each of them is heard often enough as a piece.
OFTEN = 10
# The likeliest way alone is silent long after a network hears, and more beams find little more.
BEAMS = 4
# Where an answer has: what the text costs, what the target costs, and what that would by how often
# its units come; the text's units follow.
SAID, NATS, USUAL, HEAD = range(4)
# Nats a unit of a text for which there is no room: its probability is 0.
NEVER = float(-np.log(np.finfo(np.float64).eps))


class Transcribe(Along):
    """Connectionist temporal classification of texts along a sound's tokens (Graves et al. 2006).

    Every token says a unit of the text, or nothing: no decoder, and no order but that of the sound.
    Texts are learned and written in lower case without punctuation, unless `normal` is false.
    Neighbours: `generate`, whose decoder may say what no sound does.

    Args:
        name: the target's column.
        modality: whose tokens are heard; None: the one that there is.
        units: "letters", "pieces" of the training texts, or "auto": pieces where a word comes back
            ten times or more on average, as in commands, and letters else.
        vocabulary: pieces that are learned at most.
        normal: see above; False: texts stay as they stand.
        decoding: how texts are written: `beams`, the texts that are kept at every token (BEAMS; 1:
            the likeliest way is the text), and `choices`, of which the likeliest is written.
    """

    reads: ClassVar[tuple[str, ...]] = (worded(),)
    alone: ClassVar[tuple[str, str] | None] = (spoken(), worded())
    averaged: ClassVar[bool] = False
    told: ClassVar[bool] = True
    supports = "how much of it is heard again"
    chooses = "nats a unit"

    def __init__(
        self,
        name: str,
        *,
        modality: str | None = None,
        units: str = AUTO,
        vocabulary: int = 512,
        normal: bool = True,
        decoding: Mapping[str, Any] | None = None,
    ) -> None:
        if units not in UNITS:
            what = f"The task '{name}' cannot write {units!r}"
            raise UserError(what, expected=f"units: {' or '.join(UNITS)}")
        self.name, self.given, self.units = name, modality, units
        self.vocabulary, self.normal, self.decoding = vocabulary, normal, decoding
        Pieces(vocabulary=vocabulary, limit=LIMIT)
        self.manner({})

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> None:
        return None

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> bool:
        """Nobody says several texts at once: of a sound they are captions."""
        return all(len(references.texts([cell]) or []) < 2 for cell in cells)

    # -- what it hears and writes --------------------------------------------------------------

    def introduce(
        self, modalities: Mapping[str, Mapping[str, str]], cells: Callable[[str], Sequence[Any]]
    ) -> None:
        """Find the modality that is heard.

        Raises:
            UserError: there is none, or several.
        """
        able = [n for n, own in modalities.items() if all(of(kind).speaks for kind in own.values())]
        if self.given is not None and self.given not in able:
            what = f"The task '{self.name}' cannot hear '{self.given}'"
            raise lookup.unknown(what, self.given, able, "name a column of sounds (`modality`)")
        if self.given is None and len(able) != 1:
            raise UserError(
                f"The task '{self.name}' writes down one column of sounds",
                expected="one column of sounds, or the name of one (`modality`)",
                got=f"{', '.join(able) or 'none'} of the inputs {', '.join(modalities)}",
                do="name the one that is heard, or write with `name: generate`",
            )
        self.modality = self.given or able[0]

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Learn the units.

        Raises:
            UserError: all texts are one, or there is none; or a cell has several.
        """
        present = [cell for cell in cells if not is_missing(cell)]
        every = [self._read(cell) for cell in present]
        silent, every = every.count(""), [text for text in every if text]
        if len(set(every)) < 2:
            raise _labels.nothing_to_learn(self.name, repr(every[0]) if every else "no text at all")
        units: _heard.Units = _heard.Letters.of(every)
        said = [word for text in every for word in text.split()]
        come_back = len(said) >= OFTEN * len(set(said))
        if self.units == PIECES or (self.units == AUTO and come_back):
            units = _heard.Merged.of(every, self.vocabulary, LIMIT)
        common, *often = commonest(every)
        self.state = {
            "modality": self.modality,
            "units": units.state,
            "usual": _heard.usual([units.numbers(text) for text in every], units.count),
            "common": common,
            "often": often,
            "silent": silent,
        }

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state, self.modality = dict(state), str(state["modality"])
        self.tokens = _heard.restored(state["units"], self.vocabulary, LIMIT)
        self.form: _heard.Transcript = _heard.Transcript(self.tokens, self._read)
        self.primary = "wer"
        self._usual = np.array(state["usual"])
        self.__dict__.pop("_constant", None)  # that of the state before

    def remarks(self) -> list[tuple[str, str]]:
        """How texts are learned, and how many say nothing."""
        found = []
        if silent := self._state["silent"]:
            what = f"{silent:,} texts of '{self.name}' have no letter"
            found.append(("warning", f"{what}: nothing is learned from them"))
        return found

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return {self.modality: (TIMED,)}

    def _read(self, cell: Any) -> str:
        """A present cell's text; "" where it has no letter."""
        found = references.texts([cell]) or [""]
        if len(found) > 1:
            raise UserError(
                f"A cell of '{self.name}' has several texts",
                expected="one text a sound",
                got=repr(cell)[:80],
                do="keep one of them, or write texts with `name: generate`",
            )
        return _heard.spoken(found[0]) if self.normal else _heard.written(found[0])

    def is_known(self, cell: Any) -> bool:
        return not is_missing(cell) and bool(self._read(cell))

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and self.tokens.strange(self._read(cell)) is not None

    def room(self, target: Array) -> int:
        return ctc.room(target)

    # -- learning ------------------------------------------------------------------------------

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        if self.modality not in forms:
            raise UserError(
                f"A model of '{self.name}' does not read '{self.modality}', which says it",
                expected=f"'{self.modality}' among its modalities",
                got=", ".join(forms),
            )
        return _heard.Ear(width, self.modality, self.tokens.count, dropout)

    def planned(self) -> None:
        return None

    def loss(self, done: Pass) -> Tensor:
        """Nats a unit of the texts for which there is room; 0 (with gradient) if there is none."""
        found, able, lengths = self._costs(done)
        return found.sum() / (lengths * able).sum().clamp(min=1)

    def likelihood(self, done: Pass) -> Tensor:
        with torch.no_grad():
            found, able, lengths = self._costs(done)
            return torch.where(able, torch.exp(-found / lengths.clamp(min=1)), 0)

    def _costs(self, done: Pass) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row the nats of its text, whether it is there with room, how many units it has;
        nothing of rows without a text."""
        target = done.target
        assert target is not None and target.mask is not None
        real = target.mask & target.present.unsqueeze(1)
        logs, lengths = done.output["logs"], real.sum(1)
        found, able = _heard.costs(logs, done.output["counts"], target.data, lengths)
        able = able & target.present
        return torch.where(able, found, 0), able, lengths

    # -- answers -------------------------------------------------------------------------------

    def manner(self, how: Mapping[str, Any]) -> Manner:
        """How texts are written.

        Raises:
            UserError: texts along a sound cannot be written so.
        """
        given = {**(self.decoding or {}), **how}
        lookup.check_options(Manner, "decoding", given)
        able, plain = ("beams", "choices", "samples"), Manner()
        wrong = [key for key in given if key not in able and given[key] != getattr(plain, key)]
        if wrong:
            raise UserError(
                f"A text that is written along a sound takes no {', '.join(wrong)}",
                expected=f"{', '.join(able)}",
                do="leave it out, or write with `name: generate`",
            )
        return Manner(**{"beams": BEAMS, **{key: given[key] for key in able if key in given}})

    def _texts(self, output: Mapping[str, Tensor], how: Mapping[str, Any]) -> list[list[_Text]]:
        """Each row's texts with their log-likelihoods, the best first."""
        manner, logs, counts = self.manner(how), output["logs"], output["counts"].tolist()
        some = [self.form.encode(choice).tolist() for choice in manner.choices or ()]
        if some or "silent" in output:
            every = [some or [[]]] * len(logs)
        else:
            own = [row[:n].detach().cpu().numpy() for row, n in zip(logs, counts, strict=True)]
            every = [ctc.texts(one, manner.beams) for one in own]
        found = []
        for row, mine in enumerate(every):
            ids, lengths = ctc.padded(mine, logs.device)
            same = logs[row : row + 1].expand(len(mine), -1, -1)
            cost, able = _heard.costs(same, output["counts"][row].expand(len(mine)), ids, lengths)
            # Of a sound that is not there, or too short, only nothing is sure.
            cost = torch.where(able, cost, NEVER * lengths)
            texts = [(text, -c) for text, c in zip(mine, cost.tolist(), strict=True)]
            texts.sort(key=lambda one: -one[1])
            found.append(texts if manner.choices else texts[: manner.samples])
        return found

    @torch.no_grad()
    def write(self, head: nn.Module, fused: Fused, how: Mapping[str, Any]) -> list[list[Said]]:
        output, choices = head(fused).output, self.manner(how).choices
        every = zip(self._texts(output, how), output["counts"].tolist(), strict=True)
        return [self._told(own, read, choices) for own, read in every]

    def _told(self, own: Sequence[_Text], read: int, choices: Sequence[str] | None) -> list[Said]:
        """Texts as they are told; of choices the first, as it was given, with all of their logs."""
        said = [self._said(text, log, read) for text, log in own]
        if not choices:
            return said
        given = {tuple(self.form.encode(one).tolist()): one for one in reversed(choices)}
        logs = {given[tuple(units)]: (log, log / max(1, len(units))) for units, log in own}
        return [replace(said[0], text=next(iter(logs)), choices=logs)]

    def stream(self, head: nn.Module, fused: Fused, how: Mapping[str, Any]) -> Iterator[str]:
        """The whole text: before the end of a sound nothing of it is sure."""
        yield self.write(head, fused, how)[0][0].text

    def parts(
        self,
        head: nn.Module,
        fused: Fused,
        how: Mapping[str, Any],
        seeds: Sequence[int] = (),
        left: Collection[int] = (),
    ) -> Iterator[list[Part]]:
        for i, own in enumerate(self.write(head, fused, how)):
            yield [Part(i, j, one.text, one) for j, one in enumerate(own)]

    def blank(self, how: Mapping[str, Any]) -> list[Said]:
        manner = self.manner(how)
        own = [(units.tolist(), -self._usually(units)) for units in self._constants(manner)]
        found = self._told(own, 0, manner.choices)
        return [found[i % len(found)] for i in range(manner.samples)]

    @cached_property
    def _constant(self) -> Array:
        return self._constants(self.manner({}))[0]

    def _constants(self, manner: Manner) -> list[Array]:
        """Units of the commonest texts; of choices all, the commonest first, then the likeliest."""
        texts = [self._state["common"], *self._state.get("often", ())]
        if manner.choices:
            read = map(self._read, manner.choices)
            texts = ordered(read, texts, lambda text: self._usually(self.form.encode(text)))
        return [self.tokens.numbers(text) for text in texts]

    def _said(self, units: Sequence[int], log: float, read: int) -> Said:
        return Said(self.tokens.text(units), log, "stop", pieces=len(units), read=read)

    def sample(self, row: Mapping[str, Any], cell: Any) -> str | None:
        return None

    def _usually(self, units: Array) -> float:
        """Nats of a text by how often units come, its end included."""
        return -float(self._usual[units].sum() + self._usual[ctc.BLANK])

    @torch.no_grad()
    def answer(self, done: Pass) -> list[Array]:
        """Each row's `(HEAD + units,)`."""
        found = [np.array([log, 0, 0, *text]) for ((text, log), *_) in self._texts(done.output, {})]
        if done.target is not None and done.target.mask is not None:
            cost, able, lengths = (one.cpu().numpy() for one in self._costs(done))
            ids = done.target.data.cpu().numpy()
            for i in np.flatnonzero(lengths):
                never = NEVER * int(lengths[i])
                found[i][NATS] = cost[i] if able[i] else never
                found[i][USUAL] = self._usually(ids[i, : lengths[i]])
        return found

    def constant(self, like: Answers) -> list[Array]:
        """The commonest text, or the one most like all; units are as likely as they come often."""
        units, log = self._constant, -self._usually(self._constant)
        return [np.array([log, own[USUAL], own[USUAL], *units]) for own in like]

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Beside the text its log-likelihood, over all ways in which the sound may say it."""
        return {
            self.name: self._plain(answers),
            f"{self.name}.log_likelihood": [float(answer[SAID]) for answer in answers],
        }

    def _plain(self, answers: Answers) -> list[str]:
        return [self.tokens.text([int(unit) for unit in answer[HEAD:]]) for answer in answers]

    # -- measuring -----------------------------------------------------------------------------

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Errors of words and of letters, and the share of texts without one: `metrics.texts`."""
        if not len(targets):
            return {}
        found = texts(self._plain(answers), [[self.truth(target)] for target in targets])
        right = self._right(answers, targets).astype(float)
        share = replace(summed.mean(right, np.ones(len(right))), share=True)
        return {"wer": found["wer"], "cer": found["cer"], "exact_match": share}

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """Nats a unit of the targets."""
        nats = sum(float(answer[NATS]) for answer in answers)
        return nats / max(1, sum(len(target) for target in targets))

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A text is right if it has the target's words."""
        told = np.array([zlib.crc32(text.encode()) for text in self._plain(answers)], float)
        each = [a[NATS] / max(1, len(t)) for a, t in zip(answers, targets, strict=True)]
        return Judged(told, self._right(answers, targets), np.array(each, float))

    def _right(self, answers: Answers, targets: Answers) -> Array:
        """`(rows,)` bool: which texts have the target's words."""
        pairs = zip(self._plain(answers), map(self.truth, targets), strict=True)
        return np.array([words(text) == words(true) for text, true in pairs], bool)

    def support(self, answer: Array, answered: Array) -> float:
        mine, other = (one[HEAD:].astype(int).tolist() for one in (answer, answered))
        total = len(mine) + len(other)
        return 2 * captions.common_words(mine, other) / total if total else 1.0


# Units, and the log-likelihood of what they say.
_Text = tuple[list[int], float]
