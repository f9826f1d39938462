"""A causal language model that goes on from any vectors: what is read, then what is written."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from polymodal.base.errors import UserError
from polymodal.nn.architecture import Architecture
from polymodal.nn.held import Held
from polymodal.nn.packing import pack
from polymodal.nn.sharing import Shared, share
from polymodal.nn.tokens import Look, Tokens

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
        positions: `(batch, length, axes)` of the real places, where they lie along several axes;
            None: one after another.
        deep: `(batch, length, layers * width)`: what is added to the states after the first layers,
            of models whose pictures reach these too; None without.
    """

    vectors: Tensor
    mask: Tensor
    memory: Tensor | None = None
    seen: Tensor | None = None
    positions: Tensor | None = None
    deep: Tensor | None = None

    def places(self) -> list[int]:
        """How many real places each row has, those of the memory among them."""
        count = self.mask.sum(1)
        return (count if self.seen is None else count + self.seen.sum(1)).tolist()

    def take(self, rows: Tensor) -> Prompt:
        """Some rows `(n,)`, in that order, as often as they are named."""
        more = (self.memory, self.seen, self.positions, self.deep)
        taken = (None if one is None else one[rows] for one in more)
        return Prompt(self.vectors[rows], self.mask[rows], *taken)

    def then(self, vectors: Tensor, mask: Tensor) -> Prompt:
        """The same with more behind it: `(batch, more, width)` and `(batch, more)` bool."""
        positions, deep = self.positions, self.deep
        if positions is not None:
            # What is read goes on after the farthest place, along every axis.
            far = positions.masked_fill(~self.mask.unsqueeze(-1), -1).amax((1, 2), keepdim=True)
            steps = mask.long().cumsum(1).clamp(min=1).unsqueeze(-1)
            positions = torch.cat([positions, (far + steps).expand(-1, -1, positions.shape[2])], 1)
        if deep is not None:
            deep = F.pad(deep, (0, 0, 0, vectors.shape[1]))
        return replace(
            self,
            vectors=torch.cat([self.vectors, vectors], 1),
            mask=torch.cat([self.mask, mask], 1),
            positions=positions,
            deep=deep,
        )


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
        model: without its output layer.

    Attributes:
        width: of its vectors.
        vocabulary: pieces that it tells apart.
        context: places that it has positions for.
        able: whether it can have cross-attention.
        packs: whether rows stand side by side in one sequence where that is less to compute.
        work: what it has computed in training.
        knows: whether it has learned words before.
        sees: whether it looks at pictures by itself: see `seen`.
        output: its output layer; None: its embedding of pieces, transposed.
    """

    able: ClassVar[bool] = False
    knows: ClassVar[bool] = False
    sees: ClassVar[bool] = False
    packs: bool = True

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.backbone: nn.Module = Architecture(model)
        self.width = int(model.config.hidden_size)
        self.vocabulary = int(model.config.vocab_size)
        self.context = int(model.config.max_position_embeddings)
        self.work = Work()
        self.output: nn.Module | None = None

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

    @classmethod
    def looker(cls, options: Mapping[str, Any]) -> str | None:
        """The path of the model that sees pictures for it, where that is held as it is: they can be
        looked at before; None: it learns to see them, or sees none."""
        return None

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
        layer: Any = self.output.inner if isinstance(self.output, Held) else self.output
        weight, bias = (self.pieces, None) if layer is None else (layer.weight, layer.bias)
        return F.linear(states, weight, bias).float()

    def seen(self, looks: Sequence[Look]) -> list[Tensor]:
        """Pictures to vectors: of each `(tokens, width)`, or wider, as `Prompt.deep` goes on."""
        raise NotImplementedError(f"{type(self).__name__} sees no pictures")

    def placed(self, ids: Tensor, looks: Sequence[Look]) -> Tensor | None:
        """Where a row's pieces `(length,)` stand, `(length, axes)`; None: one after another.

        Args:
            looks: the pictures whose tokens are among them, in order.
        """
        return None

    def states(self, prompt: Prompt, cache: Any = None) -> Tensor:
        """The last layer's states `(batch, length, width)` of a prompt without what `cache` holds.

        Args:
            prompt: `vectors` of what is new, `mask` of all from the beginning.

        Raises:
            UserError: it is longer than the context.
        """
        length = prompt.mask.shape[1]
        if length > self.context:
            raise self._no_room(length)
        places = (prompt.mask.long().cumsum(1) - 1).clamp(min=0)
        if prompt.positions is not None:
            places = prompt.positions.permute(2, 0, 1)
        more: dict[str, Any] = {}
        if prompt.deep is not None:
            layers = torch.split(prompt.deep, self.width, -1)
            more = {
                "visual_pos_masks": torch.ones_like(prompt.mask),
                "deepstack_visual_embeds": [layer.flatten(0, 1) for layer in layers],
            }
        if prompt.memory is not None:
            more = {"encoder_hidden_states": prompt.memory, "encoder_attention_mask": prompt.seen}
        found: Tensor = self.model(
            inputs_embeds=prompt.vectors,
            attention_mask=prompt.mask,
            position_ids=places[..., length - prompt.vectors.shape[1] :],
            past_key_values=cache,
            use_cache=cache is not None,
            **more,
        ).last_hidden_state
        return found

    def _no_room(self, length: int) -> UserError:
        return UserError(
            f"A row needs {length:,} places, and the decoder has {self.context:,}",
            expected="the tokens of all modalities and the text within its context",
            do="raise `context` of the decoder, or let it read by attention (reads: attention)",
        )

    def taught(
        self, prompt: Prompt, ids: Tensor, mask: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """Log-probabilities `(texts, length)` of a text's pieces, each told by those before it.

        Args:
            ids, mask: `(texts, length)`: the text, padded on the right. Zeros where it is.
            rows: `(texts,)`: whose prompt each goes on from; None: a text a row. Texts of one row
                stand behind its prompt together where that is less to compute.
        """
        if not len(ids):
            return ids.float() + prompt.vectors.sum() * 0
        shared = None
        # A mask of one's own takes the place of windows that a model's layers see.
        windows = getattr(self.model.config, "sliding_window", None)
        if rows is not None and not windows and self._is_plain(prompt):
            shared = share(prompt.mask, mask, rows)
        if shared is not None:
            chosen, true = self._sharing(prompt, shared, ids, mask), ids[mask]
        else:
            prompt = prompt if rows is None else prompt.take(rows)
            # A text's last piece tells nothing.
            whole = prompt.then(self.embed(ids[:, :-1]), mask[:, 1:])
            # The prompt's last place tells the first piece.
            states = self._together(whole)[:, prompt.vectors.shape[1] - 1 :]
            chosen, true = states[mask], ids[mask]
        size = max(1, MOST // self.vocabulary)
        parts = list(zip(torch.split(chosen, size), torch.split(true, size), strict=True))
        if len(parts) == 1 or not torch.is_grad_enabled():
            told = [self._told(*part) for part in parts]
        else:
            told = [checkpoint(self._told, *part, use_reentrant=False) for part in parts]
        found = torch.zeros(mask.shape, device=chosen.device)
        return found.masked_scatter(mask, torch.cat(told))

    def _together(self, whole: Prompt) -> Tensor:
        """`states` of rows of which nothing is kept: several side by side where that is less."""
        real = int(whole.mask.sum())
        packed = None
        if self._is_plain(whole) and whole.mask.shape[1] <= self.context:
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

    def _sharing(self, prompt: Prompt, shared: Shared, ids: Tensor, mask: Tensor) -> Tensor:
        """The states that tell each real piece `(pieces, width)` of texts that share prompts."""
        if int(shared.positions.max()) >= self.context:
            raise self._no_room(int(shared.positions.max()) + 1)
        read = prompt.take(shared.rows)
        texts = self.embed(ids[:, :-1])[mask[:, 1:]]
        behind = texts.new_zeros(len(shared.rows) * shared.size, texts.shape[1])
        behind = behind.index_copy(0, shared.seats, texts).view(len(shared.rows), shared.size, -1)
        vectors = torch.cat([read.vectors, behind], 1)
        if self.training:
            self.work.note(int(read.mask.sum()) + len(shared.seats), shared.positions)
        found: Tensor = self.model(
            inputs_embeds=vectors,
            attention_mask=shared.mask.to(vectors.dtype),
            position_ids=shared.positions,
            use_cache=False,
        ).last_hidden_state
        return found.flatten(0, 1)[shared.told]

    def _is_plain(self, prompt: Prompt) -> bool:
        """Whether places may be ordered in another way: nothing but vectors and a mask is read."""
        more = (prompt.memory, prompt.positions, prompt.deep)
        return self.packs and all(one is None for one in more)

    def _told(self, states: Tensor, true: Tensor) -> Tensor:
        return -F.cross_entropy(self.logits(states), true, reduction="none")


class Running:
    """Rows that are being written, with the keys and values of what they have read.

    Attributes:
        logits: `(rows, vocabulary)` of the next piece.
        prompt: whatever lies where, without the vectors that are read.
    """

    logits: Tensor
    prompt: Prompt

    def __init__(self, decoder: Decoder, prompt: Prompt) -> None:
        from polymodal.nn.caching import cache

        self.decoder = decoder
        self.cache = cache(decoder.model.config, prompt.memory is not None)
        self._read(prompt)

    def write(self, ids: Tensor) -> None:
        """Go on by a piece a row `(rows,)`."""
        vectors = self.decoder.embed(ids).unsqueeze(1)
        self._read(self.prompt.then(vectors, torch.ones_like(self.prompt.mask[:, :1])))

    def take(self, rows: Tensor) -> None:
        """Go on with some of the rows `(n,)`, in that order."""
        self.prompt = self.prompt.take(rows)
        self.cache.batch_select_indices(rows)
        self.logits = self.logits[rows]

    def _read(self, prompt: Prompt) -> None:
        self.logits = self.decoder.logits(self.decoder.states(prompt, self.cache)[:, -1])
        # What was read is in the cache.
        self.prompt = replace(prompt, vectors=prompt.vectors[:, :0], deep=None)
