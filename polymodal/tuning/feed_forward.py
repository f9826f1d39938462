"""Feed-forward: of pretrained blocks the feed-forward layers learn."""

from __future__ import annotations

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor
from polymodal.tuning._parts import Chosen, blocks, feed_forward


class FeedForward(Chosen):
    """The feed-forward layers of a pretrained model's blocks learn, and what is new.

    They hold two thirds of a Transformer's weights outside of its tables; attention, norms and
    tables stay as they are. At `training.pretrained_lr`.

    Args:
        names: of which modalities; none: of all that are pretrained.
    """

    def __init__(self, *, names: list[str] | None = None) -> None:
        self.names = names or []

    def choose(self, model: Predictor, batch: Batch) -> None:
        for name, stem in self.stems(model).items():
            found = [block.get_submodule(n) for block in blocks(stem) for n in feed_forward(block)]
            if not found:
                raise UserError(
                    f"The pretrained model of '{name}' has no feed-forward layers to tune",
                    expected="a Transformer, whose blocks have layers to another width and back",
                    got=type(stem).__name__,
                    do="use tuning: full, encoder or lora",
                )
            for layer in found:
                layer.requires_grad_(True)
