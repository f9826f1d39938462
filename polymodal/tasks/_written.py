"""Texts to be written, as pieces, and the network that writes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form
from polymodal.contract.writing import Speaker
from polymodal.modalities.text.forms.pieces import MARKS, PAD, SEP, Pieces
from polymodal.nn import rules
from polymodal.nn.decoder import Decoder, Prompt
from polymodal.nn.decoding import pieces, write
from polymodal.nn.letters import Letters
from polymodal.nn.manner import Manner, Rule, Text, mean
from polymodal.nn.tokens import Look, Tokens
from polymodal.table import references
from polymodal.tasks._prompt import Reader, medium

Array = np.ndarray[Any, Any]

# What stands before each text of a row; no piece has this number.
START = -1
# Columns of an answer: of its first line, and of one for each piece.
ENDED, NATS, PLACES, USUAL = range(4)
ID, LOG = range(2)
# Random vectors that tell how loud a projector is.
TRIED = 256


class Trained(Tokens):
    """A tokenizer that is trained on texts, as `text/pieces` has it.

    Args:
        pieces: fitted.
        controls: the control characters of the texts: no others are written.
    """

    end, mark = SEP, MARKS[SEP]

    def __init__(self, pieces: Pieces, controls: str = "") -> None:
        self.pieces, self.count, self.controls = pieces, pieces.count, controls

    def numbers(self, text: str) -> Array:
        found = self.pieces.encode(text)[1:, 0].astype(np.int64)
        return found[:-1] if self.pieces.was_truncated(text) else found

    def prompt(self, text: str, begins: bool) -> Array:
        return np.array(self._divided(text), np.int64)

    def text(self, numbers: Sequence[int] | Array) -> str:
        return self.pieces.decode(np.asarray(numbers, np.int64))

    def rule(self, manner: Manner) -> Rule | None:
        # The tokenizer puts a blank before every text.
        return rules.learned(self.pieces.bytes(), self._divided, self.end, " ", manner)

    def letters(self, manner: Manner) -> Rule:
        return self._letters.within(manner.longest)

    @cached_property
    def _letters(self) -> Letters:
        return Letters(self.pieces.bytes(), self.end, self.controls)

    def _divided(self, text: str) -> list[int]:
        found: list[int] = self.pieces.tokenizer.encode(text).ids
        return found


class Written(Form):
    """A row's texts as `(pieces,)`: START before each, the end behind it.

    A text that is longer than the tokenizer's limit is cut and has no end, so that nothing is
    learned of where it ends.

    Args:
        tokens: the tokenizer.
    """

    kind, dtype, ragged = "target", "int64", True
    beyond = "has more pieces than are learned: its end is not learned"

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def encode(self, cell: Any) -> Array:
        parts = [np.zeros(0, np.int64)]
        for text in references.texts([cell]) or []:
            parts += [np.array([START]), self.tokens.numbers(text)]
        return np.concatenate(parts).astype(np.int64)

    def was_truncated(self, cell: Any) -> bool:
        array = self.encode(cell)
        # What stands before the next text's start, and last of all, is an end.
        last = np.append(np.flatnonzero(array == START)[1:], len(array)) - 1
        return bool(len(array)) and bool((array[last] != self.tokens.end).any())

    def decode(self, array: Array) -> str | list[str]:
        """The text, or all of them where there are several."""
        found = self.texts(array)
        return found[0] if len(found) == 1 else found

    def texts(self, array: Array) -> list[str]:
        parts = np.split(array, np.flatnonzero(array == START))[1:]
        return [self.tokens.text(part[1:]) for part in parts]


def unpacked(target: Field) -> tuple[Tensor, Tensor, Tensor]:
    """Each text of a batch's targets: pieces and mask `(texts, longest)`, and its row `(texts,)`.

    Texts of rows whose target is missing have no real place.
    """
    assert target.mask is not None
    known = target.mask & target.present.unsqueeze(1)
    begins = known & (target.data == START)
    number = begins.flatten().long().cumsum(0).view_as(begins) - 1
    rows = begins.nonzero()[:, 0]
    real = known & ~begins
    texts = number[real]
    # Pieces of a text follow one another: its first is where the count of all before it ends.
    counts = torch.bincount(texts, minlength=len(rows))
    first = counts.cumsum(0) - counts
    places = torch.arange(len(texts), device=texts.device) - first[texts]
    longest = int(counts.max()) if len(counts) else 0
    ids = torch.full((len(rows), max(1, longest)), PAD, device=texts.device)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    ids[texts, places] = target.data[real]
    mask[texts, places] = True
    return ids, mask, rows


class Projected(Speaker):
    """The modalities' tokens, projected, before a decoder that goes on from them, piece by piece.

    The prompt is every token of every modality, as the fusion leaves it, in the order of the
    modalities, and last the fused vector, which is there in every row. `crosses`: the prompt is the
    fused vector alone, and all layers read the tokens by cross-attention.

    Args:
        decoder: what goes on.
        width: of tokens and fused vector.
        count: modalities.
        crosses: see above.
        manner: how it goes on where nothing else is asked.
        normed: whether tokens are normalised first.
    """

    def __init__(
        self,
        decoder: Decoder,
        width: int,
        count: int,
        dropout: float,
        *,
        crosses: bool,
        manner: Manner,
        normed: bool = True,
    ) -> None:
        super().__init__()
        self.decoder, self.crosses, self.manner = decoder, crosses, manner
        self.dropout = nn.Dropout(dropout)
        # Encoders' tokens are of any scale, and one that is loud would drown all others.
        self.project = nn.Sequential(
            nn.LayerNorm(width) if normed else nn.Identity(),
            nn.Linear(width, decoder.width),
            nn.GELU(),
            nn.Linear(decoder.width, decoder.width),
        )
        self.whose = nn.Parameter(0.02 * torch.randn(count + 1, decoder.width))
        if decoder.knows:
            as_loud(self.project, decoder.pieces)

    @abstractmethod
    def told(self, target: Field) -> tuple[Tensor, Tensor, Tensor]:
        """What a batch's known targets say: pieces and mask `(texts, longest)`, and each's row."""

    @abstractmethod
    def write(self, prompt: Prompt, manner: Manner) -> list[list[Text]]:
        """Texts for every row, the best first."""

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        """In training what the targets cost; else texts, and what known targets would cost.

        Returns:
            "nats" `(texts,)` and "places" of each target, and its "row"; beside them, but for
            training, "written": what of each row is `kept`.
        """
        prompt = self.prompt(fused)
        found: dict[str, Any] = {}
        if target is not None:
            ids, mask, rows = self.told(target)
            # Of ten people most say the same: what a row has several times is read once.
            told = torch.cat([rows.unsqueeze(1), ids.masked_fill(~mask, START)], 1)
            once, which = torch.unique(told, dim=0, return_inverse=True)
            first = torch.zeros(len(once), dtype=torch.long, device=ids.device)
            first[which] = torch.arange(len(ids), device=ids.device)
            logs = self.decoder.taught(prompt, ids[first], mask[first], rows[first])
            found = {"nats": -logs.sum(1)[which], "places": mask.sum(1), "row": rows}
        if self.silent and target is not None:
            found["written"] = [self.kept([Text()])] * len(target.present)
        elif not self.training:
            texts = self.write(prompt, self.manner)
            found["written"] = [self.kept(ranked(own, self.manner)) for own in texts]
        return Decided(found)

    def kept(self, texts: list[Text]) -> Text | list[Text]:
        """What of a row's texts, the likeliest first, is its answer."""
        return texts[0]

    def prompt(self, fused: Fused) -> Prompt:
        values = [tokens.values for tokens in fused.tokens.values()]
        masks = [tokens.mask for tokens in fused.tokens.values()]
        parts = [*values, fused.pooled.unsqueeze(1)]
        vectors = torch.cat(
            [
                self.project(self.dropout(part)) + own
                for part, own in zip(parts, self.whose, strict=True)
            ],
            1,
        )
        mask = torch.cat(masks, 1)
        always = torch.ones_like(mask[:, :1])
        if not self.crosses:
            return Prompt(vectors, torch.cat([mask, always], 1))
        # Some place has to be real: the fused vector is one of those that are read.
        seen = torch.cat([mask, always], 1)
        return Prompt(vectors[:, -1:], always, vectors, seen)


class Writer(Projected):
    """A decoder that goes on from the modalities' tokens with texts.

    With a `reader` the prompt is what that makes of the row: words, cells, and tokens of media
    where a template names them.

    Args:
        decoder, width, count, dropout, crosses, manner, normed: as of `Projected`.
        tokens: of texts.
        reader: of a template; None: there is none.
    """

    def __init__(
        self,
        decoder: Decoder,
        width: int,
        count: int,
        dropout: float,
        *,
        crosses: bool,
        tokens: Tokens,
        manner: Manner,
        reader: Reader | None = None,
        normed: bool = True,
    ) -> None:
        super().__init__(
            decoder, width, count, dropout, crosses=crosses, manner=manner, normed=normed
        )
        self.reader, self.tokens = reader, tokens

    def told(self, target: Field) -> tuple[Tensor, Tensor, Tensor]:
        return unpacked(target)

    def write(self, prompt: Prompt, manner: Manner) -> list[list[Text]]:
        """Texts for every row: as they were drawn, else the best first; of choices all."""
        if manner.choices:
            return self._weighed(prompt, manner.choices)
        rule = self.tokens.rule(manner) or self.tokens.letters(manner)
        return write(self.decoder, prompt, self.tokens.end, manner, rule)

    def pieces(
        self,
        prompt: Prompt,
        manner: Manner,
        seeds: Sequence[int] = (),
        left: Collection[int] = (),
    ) -> Iterator[tuple[list[int], list[int], list[float]]]:
        """As of `decoding.pieces`."""
        rule = self.tokens.rule(manner) or self.tokens.letters(manner)
        return pieces(self.decoder, prompt, self.tokens.end, manner, rule, seeds, left)

    @torch.no_grad()
    def _weighed(self, prompt: Prompt, choices: Sequence[str]) -> list[list[Text]]:
        """Each row's choices with their log-probabilities, the likeliest a piece first."""
        numbers = [torch.from_numpy(self.tokens.numbers(choice)) for choice in choices]
        ids = nn.utils.rnn.pad_sequence(numbers, batch_first=True, padding_value=PAD)
        lengths = torch.tensor([len(one) for one in numbers])
        mask = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)
        ids, mask = ids.to(prompt.mask.device), mask.to(prompt.mask.device)
        found: list[list[Text]] = []
        for row in range(len(prompt.mask)):
            same = torch.full((len(choices),), row, device=ids.device)
            logs = self.decoder.taught(prompt.take(same), ids, mask)
            own = [
                Text(piece[real][:-1].tolist(), log[real].tolist(), True)
                for piece, real, log in zip(ids, mask, logs, strict=True)
            ]
            found.append(sorted(own, key=mean, reverse=True))
        return found

    def prompt(self, fused: Fused) -> Prompt:
        if self.reader is not None:
            return self._templated(self.reader, fused)
        return super().prompt(fused)

    def _templated(self, reader: Reader, fused: Fused) -> Prompt:
        """Rows as the template says them, padded on the left."""
        looks, place = reader.looks(fused), fused.pooled.device
        rows = reader.read(fused, looks)
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        mask = (torch.arange(longest) >= longest - lengths.unsqueeze(1)).to(place)
        whose = torch.arange(len(rows)).repeat_interleave(lengths).to(place)
        ids, which = torch.from_numpy(np.concatenate(rows)).to(place).unbind(1)
        found = self.decoder.embed(ids.clamp(min=0))
        for number, (name, tokens) in enumerate(fused.tokens.items()):
            if any(looks.get(name, ())):
                values, counts = self._seen(looks[name])
            elif name in reader.media and tokens.mask.any():
                values = self.project(self.dropout(tokens.values[tokens.mask])) + self.whose[number]
                counts = tokens.mask.sum(1)
            else:
                continue
            seats = (ids == medium(number)).nonzero()[:, 0]
            taken = values[(counts.cumsum(0) - counts)[whose[seats]] + which[seats]]
            wide = max(found.shape[1], taken.shape[1])
            found, taken = (F.pad(one, (0, wide - one.shape[1])) for one in (found, taken))
            found = found.index_put((seats,), taken.to(found.dtype))
        if torch.is_grad_enabled() and not found.requires_grad:
            # Where all is frozen nothing learns, and a step goes backwards to what is read.
            found.requires_grad_()
        empty = found.new_zeros(*mask.shape, found.shape[1])
        vectors = empty.masked_scatter(mask.unsqueeze(-1), found)
        deep = vectors[..., self.decoder.width :] if found.shape[1] > self.decoder.width else None
        positions = self._placed(reader, rows, looks)
        if positions is not None:
            positions = positions.to(place)
        return Prompt(vectors[..., : self.decoder.width], mask, positions=positions, deep=deep)

    def _seen(self, looks: Sequence[Look | None]) -> tuple[Tensor, Tensor]:
        """What the decoder sees in rows' pictures, one after another, and how much in each row."""
        there = torch.tensor([look is not None for look in looks])
        seen = self.decoder.seen([look for look in looks if look is not None])
        counts = there.long()
        counts[there] = torch.tensor([len(one) for one in seen])
        return torch.cat(seen), counts.to(seen[0].device)

    def _placed(
        self, reader: Reader, rows: Sequence[Array], looks: Mapping[str, Sequence[Look | None]]
    ) -> Tensor | None:
        """Where rows' pieces stand `(rows, longest, axes)`, padded on the left."""
        found = []
        for i, row in enumerate(rows):
            ids, names = reader.shown(row)
            own = [look for name in names if (look := looks[name][i]) is not None]
            if (places := self.decoder.placed(torch.from_numpy(ids), own)) is None:
                return None
            found.append(places)
        return nn.utils.rnn.pad_sequence(found, batch_first=True, padding_side="left")


@torch.no_grad()
def as_loud(project: nn.Sequential, like: Tensor) -> None:
    """Let what a projector says begin at the scale of vectors `(n, width)` that a decoder knows."""
    first, last = project[1], project[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    if last.weight.is_meta:
        return
    said = project(torch.randn(TRIED, first.in_features))
    scale = float(like.float().square().mean().sqrt()) / float(said.square().mean().sqrt())
    last.weight.mul_(scale)
    last.bias.mul_(scale)


def ranked(texts: Sequence[Text], manner: Manner) -> list[Text]:
    """Several drawn ones, the likeliest a piece first; beams as they come, the best first."""
    return sorted(texts, key=mean, reverse=True) if manner.temperature > 0 else list(texts)


def answered(text: Text, end: int, nats: float = 0.0, places: int = 0, usual: float = 0.0) -> Array:
    """A text as an answer `(1 + pieces, 4)`, with what the target would have cost.

    Args:
        end: the piece that ends a text.
        nats: of the target's pieces together.
        places: how many these are; 0: it is not known.
        usual: the nats of these by how often pieces come.
    """
    found = np.zeros((1 + len(text.logs), 4))
    found[0] = text.ended, nats, places, usual
    ends = [end] * (len(text.logs) - len(text.ids))
    found[1:, ID], found[1:, LOG] = [*text.ids, *ends], text.logs
    return found
