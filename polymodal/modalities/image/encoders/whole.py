"""A picture for a decoder that looks at pictures by itself."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from polymodal.contract.form import Form
from polymodal.modalities._spelling import SpellingEncoder
from polymodal.modalities.image.forms.whole import COUNTS


@final
class Whole(SpellingEncoder):
    """The picture itself beside one token: the mean of its pixels' vectors, by brightness.

    It is for pictures that a vision-language model is given. Neighbours: all others, where a model
    of pictures of its own sees them.

    Args:
        form: image/whole.
        width: of the token.
    """

    kind = "image"
    form = "whole"

    def __init__(self, form: Form, width: int) -> None:
        super().__init__(form, width)
        self.seen = form.seen_by is not None

    def counted(self, spelled: Tensor, mask: Tensor) -> Tensor:
        """As they are kept before what was seen, where pixels are not."""
        if not self.seen:
            return super().counted(spelled, mask)
        # A batch of missing pictures alone has a single place.
        ahead = F.pad(spelled[:, :COUNTS], (0, COUNTS - min(COUNTS, spelled.shape[1])))
        return ahead.contiguous().view(torch.float32)
