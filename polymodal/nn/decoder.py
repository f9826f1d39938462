"""A causal language model that goes on from any vectors: what is read, then what is written."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from polymodal.base.errors import UserError
from polymodal.nn.architecture import Architecture
from polymodal.nn.held import Held
from polymodal.nn.packing import pack
from polymodal.nn.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Logits at a time: more are computed in parts, and once more for their gradients.
MOST = 2**24


@dataclass
class Prompt:
    """What a text goes on from.

    Attributes:
        vectors: `(batch, length, width)`: the sequence before the text; its last place is real.
        mask: `(batch, length)` bool, True where a place is real. Others may stand anywhere but last
            and change nothing.
        memory: `(batch, places, width)` that every layer reads by cross-attention; None without.
        seen: `(batch, places)` bool, of the memory.
    """

    vectors: Tensor
    mask: Tensor
    memory: Tensor | None = None
    seen: Tensor | None = None

    def places(self) -> list[int]:
        """How many real places each row has, those of the memory among them."""
        count = self.mask.sum(1)
        return (count if self.seen is None else count + self.seen.sum(1)).tolist()

    def take(self, rows: Tensor) -> Prompt:
        """Some rows `(n,)`, in that order, as often as they are named."""
        memory = None if self.memory is None else self.memory[rows]
        seen = None if self.seen is None else self.seen[rows]
        return Prompt(self.vectors[rows], self.mask[rows], memory, seen)


@dataclass
class Work:
    """Places that were computed since it was last asked.

    Attributes:
        real: those of rows; others are padding.
        places: all.
        pairs: places times the length of the sequence that each stands in.
    """

    real: int = 0
    places: int = 0
    pairs: int = 0

    def note(self, real: int, computed: Tensor) -> None:
        """Add a pass.

        Args:
            computed: anything `(rows, length)`.
        """
        rows, length = computed.shape
        self.real, self.places = self.real + real, self.places + rows * length
        self.pairs += rows * length * length


class Decoder(nn.Module, ABC):
    """A language model of one of transformers' architectures, with its output layer.

    Constructor: `(vocabulary: int, crosses: bool, *, options...)`: how many pieces it tells apart,
    and whether its layers read a memory by cross-attention.

    Args:
        model: without an output layer: that is its embedding of pieces, transposed.

    Attributes:
        width: of its vectors.
        vocabulary: pieces that it tells apart.
        context: places that it has positions for.
        able: whether it can have cross-attention.
        packs: whether rows stand side by side in one sequence where that is less to compute.
        work: what it has computed in training.
        knows: whether it has learned words before.
    """

    able: ClassVar[bool] = False
    knows: ClassVar[bool] = False
    packs: bool = True

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.backbone: nn.Module = Architecture(model)
        self.width = int(model.config.hidden_size)
        self.vocabulary = int(model.config.vocab_size)
        self.context = int(model.config.max_position_embeddings)
        self.work = Work()

    @classmethod
    def tokens(cls, limit: int, options: Mapping[str, Any]) -> Tokens | None:
        """The tokenizer that it was trained with; None: one is to be trained.

        Args:
            limit: of a text's pieces.
            options: as it is to be built with.
        """
        return None

    @classmethod
    def digest(cls, options: Mapping[str, Any]) -> str:
        """A hash of what it reads from elsewhere whenever it is built; "" where that is nothing."""
        return ""

    @property
    def model(self) -> Any:
        """Transformers' model."""
        inner = self.backbone.inner if isinstance(self.backbone, Held) else self.backbone
        assert isinstance(inner, Architecture)
        return inner.model

    def embed(self, ids: Tensor) -> Tensor:
        """Pieces `(...)` to vectors `(..., width)`."""
        return F.embedding(ids, self.pieces)

    @property
    def pieces(self) -> Tensor:
        """The vectors of all pieces, `(vocabulary, width)`."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    def logits(self, states: Tensor) -> Tensor:
        """States `(..., width)` to scores of the next piece `(..., vocabulary)`, in float32."""
        return F.linear(states, self.pieces).float()

    def states(self, prompt: Prompt, cache: Any = None) -> Tensor:
        """The last layer's states `(batch, length, width)` of a prompt without what `cache` holds.

        Args:
            prompt: `vectors` of what is new, `mask` of all from the beginning.

        Raises:
            UserError: it is longer than the context.
        """
        length = prompt.mask.shape[1]
        if length > self.context:
            raise UserError(
                f"A row needs {length:,} places, and the decoder has {self.context:,}",
                expected="the tokens of all modalities and the text within its context",
                do="raise `context` of the decoder, or let it read by attention (reads: attention)",
            )
        places = (prompt.mask.long().cumsum(1) - 1).clamp(min=0)
        more: dict[str, Any] = {}
        if prompt.memory is not None:
            more = {"encoder_hidden_states": prompt.memory, "encoder_attention_mask": prompt.seen}
        found: Tensor = self.model(
            inputs_embeds=prompt.vectors,
            attention_mask=prompt.mask,
            position_ids=places[:, length - prompt.vectors.shape[1] :],
            past_key_values=cache,
            use_cache=cache is not None,
            **more,
        ).last_hidden_state
        return found

    def taught(self, prompt: Prompt, ids: Tensor, mask: Tensor) -> Tensor:
        """Log-probabilities `(batch, length)` of a text's pieces, each told by those before it.

        Args:
            ids, mask: `(batch, length)`: the text, padded on the right. Zeros where it is.
        """
        if not len(ids):
            return ids.float() + prompt.vectors.sum() * 0
        before = self.embed(ids[:, :-1])
        whole = Prompt(
            torch.cat([prompt.vectors, before], 1),
            # A text's last piece tells nothing.
            torch.cat([prompt.mask, mask[:, 1:]], 1),
            prompt.memory,
            prompt.seen,
        )
        # The prompt's last place tells the first piece.
        states = self._together(whole)[:, prompt.vectors.shape[1] - 1 :]
        chosen, true = states[mask], ids[mask]
        size = max(1, MOST // self.vocabulary)
        parts = list(zip(torch.split(chosen, size), torch.split(true, size), strict=True))
        if len(parts) == 1 or not torch.is_grad_enabled():
            told = [self._told(*part) for part in parts]
        else:
            told = [checkpoint(self._told, *part, use_reentrant=False) for part in parts]
        found = torch.zeros(mask.shape, device=states.device)
        return found.masked_scatter(mask, torch.cat(told))

    def _together(self, whole: Prompt) -> Tensor:
        """`states` of rows of which nothing is kept: several side by side where that is less."""
        real = int(whole.mask.sum())
        packed = None
        if self.packs and whole.memory is None and whole.mask.shape[1] <= self.context:
            packed = pack(whole.vectors, whole.mask, 0)
        if self.training:
            self.work.note(real, whole.mask if packed is None else packed.positions)
        if packed is None:
            return self.states(whole)
        found: Tensor = self.model(
            inputs_embeds=packed.vectors, position_ids=packed.positions, use_cache=False
        ).last_hidden_state
        states = torch.zeros_like(whole.vectors, dtype=found.dtype)
        return states.masked_scatter(whole.mask.unsqueeze(-1), found.flatten(0, 1)[packed.seats])

    def _told(self, states: Tensor, true: Tensor) -> Tensor:
        return -F.cross_entropy(self.logits(states), true, reduction="none")


class Running:
    """Rows that are being written, with the keys and values of what they have read.

    Attributes:
        logits: `(rows, vocabulary)` of the next piece.
    """

    logits: Tensor

    def __init__(self, decoder: Decoder, prompt: Prompt) -> None:
        from polymodal.nn.caching import cache

        self.decoder = decoder
        self.cache = cache(decoder.model.config, prompt.memory is not None)
        self.prompt = prompt
        self._read(prompt.vectors)

    def write(self, ids: Tensor) -> None:
        """Go on by a piece a row `(rows,)`."""
        before = self.prompt
        mask = torch.cat([before.mask, torch.ones_like(before.mask[:, :1])], 1)
        vectors = self.decoder.embed(ids).unsqueeze(1)
        self.prompt = Prompt(vectors, mask, before.memory, before.seen)
        self._read(vectors)

    def take(self, rows: Tensor) -> None:
        """Go on with some of the rows `(n,)`, in that order."""
        self.prompt = self.prompt.take(rows)
        self.cache.batch_select_indices(rows)
        self.logits = self.logits[rows]

    def _read(self, vectors: Tensor) -> None:
        prompt = Prompt(vectors, self.prompt.mask, self.prompt.memory, self.prompt.seen)
        self.logits = self.decoder.logits(self.decoder.states(prompt, self.cache)[:, -1])
