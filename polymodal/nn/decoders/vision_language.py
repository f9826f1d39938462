"""A vision-language model that others trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from polymodal.nn import checkpoint, vision
from polymodal.nn.decoder import Decoder
from polymodal.nn.held import Held, settle
from polymodal.nn.tokens import Look, Tokens


class VisionLanguage(Decoder):
    """A folder's or a hub id's model of pictures and texts, whole: it looks at pictures by itself.

    Pictures that the template names come as its own processor prepares them, pass its vision tower
    and projector, and stand where its own prompts have them; all else is as for other decoders.
    What it writes is what transformers writes of the same prompt: models of which that is not so
    are refused. Neighbour: `pretrained`, a language model beside encoders of its own.

    What sees pictures and does not learn looks at each once: see `image/whole`.

    Papers: "Visual Instruction Tuning" (Liu et al. 2023, arXiv 2304.08485); "SmolVLM" (Marafioti et
    al. 2025, arXiv 2504.05299); "Qwen2-VL" (Wang et al. 2024, arXiv 2409.12191).

    Args:
        vocabulary, crosses: as of `Decoder`; but its pieces are its own.
        path: a folder with config.json, safetensors, tokenizer and processor, or a hub id.
        learns: which of its own numbers learn too, at `training.pretrained_lr`: all ("true"), or
            those of its "language" model alone; a model's `tuning` may choose among these. What
            learns is kept with the run. What does not is held as it is: the run names it, and its
            files must be the same wherever the run is used.
    """

    knows: ClassVar[bool] = True
    sees: ClassVar[bool] = True

    def __init__(
        self,
        vocabulary: int,
        crosses: bool,
        *,
        path: str,
        learns: bool | Literal["language"] = False,
    ) -> None:
        planned = torch.get_default_device().type == "meta"
        if planned or learns:
            parts = vision.opened(path, weights=not planned)
        else:
            parts = vision.shared(path, checkpoint.digest(path, weights=True))
        super().__init__(parts.language)
        self.output, self.sight = parts.output, parts.sight
        if learns == "language" and not planned:
            self.sight = vision.held(path, checkpoint.digest(path, weights=True))
        if not planned:
            settle(self, ("backbone", "output"), bool(learns))
            settle(self, ("sight",), learns is True)

    @classmethod
    def tokens(cls, limit: int, options: Mapping[str, Any]) -> Tokens:
        return vision.tokenised(str(options["path"]), limit)

    @classmethod
    def digest(cls, options: Mapping[str, Any]) -> str:
        path = cls.looker(options)
        return "" if path is None else checkpoint.digest(path, weights=True)

    @classmethod
    def looker(cls, options: Mapping[str, Any]) -> str | None:
        return None if options.get("learns") is True else options.get("path")

    def seen(self, looks: Sequence[Look]) -> list[Tensor]:
        found: list[Tensor] = self.sight(looks)
        return found

    def placed(self, ids: Tensor, looks: Sequence[Look]) -> Tensor | None:
        sight: Any = self.sight.inner if isinstance(self.sight, Held) else self.sight
        found: Tensor | None = sight.placed(ids, looks)
        return found
