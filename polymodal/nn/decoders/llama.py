"""Llama."""

from __future__ import annotations

from polymodal.nn.architecture import check_groups, check_sizes
from polymodal.nn.decoder import Decoder
from polymodal.nn.initial import deviation


class Llama(Decoder):
    """Rotary positions, RMS norms, gated feed-forward layers, grouped keys and values.

    Paper: "LLaMA: Open and Efficient Foundation Language Models" (Touvron et al. 2023, arXiv
    2302.13971), with the grouped-query attention of Llama 2 (arXiv 2307.09288). Output and input
    embeddings are one.

    Args:
        vocabulary, crosses: as of `Decoder`.
        hidden: width, a multiple of `heads`.
        depth: layers.
        heads: attention heads.
        groups: of keys and values; they divide `heads`.
        feed: width of the feed-forward layers; 0: 8/3 of `hidden`, to the next multiple of 32.
        context: places at most, what is read and what is written together.
    """

    def __init__(
        self,
        vocabulary: int,
        crosses: bool,
        *,
        hidden: int = 128,
        depth: int = 3,
        heads: int = 4,
        groups: int = 4,
        feed: int = 0,
        context: int = 2048,
    ) -> None:
        from transformers import LlamaConfig, LlamaModel

        check_sizes(hidden, heads, depth)
        check_groups(hidden, heads, groups)
        config = LlamaConfig(
            vocab_size=vocabulary,
            max_position_embeddings=context,
            hidden_size=hidden,
            intermediate_size=feed or -(-hidden * 8 // 3 // 32) * 32,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            num_key_value_heads=groups,
            bos_token_id=None,
            eos_token_id=None,
            initializer_range=deviation(hidden),
        )
        super().__init__(LlamaModel(config))
