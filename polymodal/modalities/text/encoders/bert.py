"""BERT, trained from scratch."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.encoders._numbered import by_word, numbers
from polymodal.modalities.text.forms.pieces import PAD, SEP, Pieces
from polymodal.nn.architecture import Architecture, check_sizes


class Bert(Encoder):
    """`transformers.BertModel` over the form's pieces; a token is the last state of its piece.

    Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding": attention both ways, the norm last, learned positions. What stands behind a
    first [SEP] is of the second segment. Of BERT's size it is with hidden 768, depth 12, heads 12.

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
        from transformers import BertConfig, BertModel

        super().__init__()
        assert isinstance(form, Pieces)
        check_sizes(hidden, heads, depth)
        config = BertConfig(
            vocab_size=form.count,
            hidden_size=hidden,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            max_position_embeddings=form.limit,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            pad_token_id=PAD,
        )
        self.backbone = Architecture(BertModel(config, add_pooling_layer=False))
        self.project = nn.Linear(hidden, width)
        self.words = words

    def forward(self, field: Field) -> Tokens:
        """`(batch, pieces, 2)` int -> Tokens, one a piece or one a word."""
        assert field.mask is not None
        ids = numbers(field)
        ends = (ids == SEP).long()
        # Softmax over nothing is not a number: a row without a piece attends to its padding.
        attended = field.mask | ~field.mask.any(1, keepdim=True)
        values = self.backbone(
            input_ids=ids,
            attention_mask=attended.long(),
            token_type_ids=(ends.cumsum(1) - ends).clamp(max=1),
        )
        mask = field.mask
        if self.words:
            values, mask = by_word(values, field)
        return Tokens(self.project(values), mask)
