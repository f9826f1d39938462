"""Qwen3."""

from __future__ import annotations

from polymodal.nn.architecture import check_groups, check_sizes
from polymodal.nn.decoder import Decoder
from polymodal.nn.initial import deviation


class Qwen3(Decoder):
    """As `llama`, with queries and keys normalised a head.

    Paper: "Qwen3 Technical Report" (Yang et al. 2025, arXiv 2505.09388). Output and input
    embeddings are one, as in its small sizes.

    Args:
        vocabulary, crosses: as of `Decoder`.
        hidden: width, a multiple of `heads`.
        depth: layers.
        heads: attention heads.
        groups: of keys and values; they divide `heads`.
        feed: width of the feed-forward layers; 0: three times `hidden`.
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
        groups: int = 2,
        feed: int = 0,
        context: int = 2048,
    ) -> None:
        from transformers import Qwen3Config, Qwen3Model

        check_sizes(hidden, heads, depth)
        check_groups(hidden, heads, groups)
        config = Qwen3Config(
            vocab_size=vocabulary,
            max_position_embeddings=context,
            hidden_size=hidden,
            intermediate_size=feed or 3 * hidden,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            num_key_value_heads=groups,
            head_dim=hidden // heads,
            bos_token_id=None,
            eos_token_id=None,
            initializer_range=deviation(hidden),
        )
        super().__init__(Qwen3Model(config))
