"""GPT-2."""

from __future__ import annotations

from typing import ClassVar

from polymodal.nn.architecture import check_sizes
from polymodal.nn.decoder import Decoder
from polymodal.nn.initial import deviation


class Gpt2(Decoder):
    """Learned positions, the norm first; optionally cross-attention in every layer.

    Paper: "Language Models are Unsupervised Multitask Learners" (Radford et al. 2019). Its small
    size is hidden 768, depth 12, heads 12, of 50 257 pieces.

    Args:
        vocabulary, crosses: as of `Decoder`.
        hidden: width, a multiple of `heads`; feed-forward layers are four times as wide.
        depth: layers.
        heads: attention heads.
        context: places at most, what is read and what is written together.
        dropout: of embeddings, attention and what each layer adds.
    """

    able: ClassVar[bool] = True

    def __init__(
        self,
        vocabulary: int,
        crosses: bool,
        *,
        hidden: int = 128,
        depth: int = 3,
        heads: int = 4,
        context: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        from transformers import GPT2Config, GPT2Model

        check_sizes(hidden, heads, depth)
        config = GPT2Config(
            vocab_size=vocabulary,
            n_positions=context,
            n_embd=hidden,
            n_layer=depth,
            n_head=heads,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            bos_token_id=None,
            eos_token_id=None,
            add_cross_attention=crosses,
            initializer_range=deviation(hidden),
        )
        super().__init__(GPT2Model(config))
