"""GPT-2, trained from scratch."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.encoders._numbered import by_word, numbers
from polymodal.modalities.text.forms.pieces import CLS, SEP, Pieces
from polymodal.nn.architecture import Architecture, check_sizes


class Gpt(Encoder):
    """`transformers.GPT2Model` over the form's pieces: a state knows its piece and those before.

    Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": causal attention,
    the norm first, learned positions. [CLS] begins a text and [SEP] ends it, where GPT-2 has one
    mark for both. A fusion that takes the mean over the tokens reads what was known on the way. Of
    GPT-2's small size it is with hidden 768, depth 12, heads 12.

    Args:
        form: Pieces; its `limit` is the number of positions.
        width: of the tokens.
        words: exactly one token a word, the mean over its pieces, as labelling words needs; else
            one a piece, [CLS] and [SEP] included, so that an empty text has some too.
        hidden: width of the layers, a multiple of `heads`; the feed-forward ones are four times as
            wide.
        depth: layers.
        heads: attention heads.
        dropout: of the embeddings, of attention and of what each layer adds.
    """

    kind = "text"
    form = "pieces"
    words = True
    steps: ClassVar[bool] = True
    causal: ClassVar[bool] = True

    def __init__(
        self,
        form: Form,
        width: int,
        *,
        words: bool = False,
        hidden: int = 128,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        assert isinstance(form, Pieces)
        check_sizes(hidden, heads, depth)
        config = GPT2Config(
            vocab_size=form.count,
            n_positions=form.limit,
            n_embd=hidden,
            n_layer=depth,
            n_head=heads,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            bos_token_id=CLS,
            eos_token_id=SEP,
            use_cache=False,
        )
        self.backbone = Architecture(GPT2Model(config))
        self.project = nn.Linear(hidden, width)
        self.words = words

    def forward(self, field: Field) -> Tokens:
        """`(batch, pieces, 2)` int -> Tokens, one a piece or one a word."""
        assert field.mask is not None
        # No mask: what is padded comes last, where nothing real sees it, and is [PAD] elsewhere.
        values, mask = self.backbone(input_ids=numbers(field)), field.mask
        if self.words:
            values, mask = by_word(values, field)
        return Tokens(self.project(values), mask)
