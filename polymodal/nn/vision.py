"""Pretrained vision-language models: taken apart into what sees pictures and what writes."""

from __future__ import annotations

import inspect
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.devices import seeded
from polymodal.base.errors import UserError
from polymodal.nn import causal, checkpoint
from polymodal.nn.borrowed import Sighted
from polymodal.nn.processors import explained
from polymodal.nn.tokens import Look

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The side of the picture that is looked at, to see that a model is computed as transformers does.
SIDE = 32


class Sight(nn.Module):
    """What makes pictures a language model's vectors: the vision tower and its projector.

    Args:
        model: transformers' model of both, without its output layer.
        name: of its language model, which is left out here.
    """

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        super().__init__()
        delattr(model, name)
        self.model = model

    def forward(self, looks: Sequence[Look]) -> list[Tensor]:
        """Each picture's `(tokens, width)`; or `(tokens, (1 + layers) * width)`, where vectors are
        added to the states after the first layers too."""
        alike: dict[Any, list[int]] = {}
        found: dict[int, Tensor] = {}
        for i, look in enumerate(looks):
            if look.seen is not None:
                found[i] = look.seen.to(self.place)
                continue
            shapes = ((name, value.shape[1:]) for name, value in look.inputs.items())
            alike.setdefault(tuple(shapes), []).append(i)
        for own in alike.values():
            made: Any = self.model.get_image_features(  # type: ignore[operator]
                **self._joined([looks[i] for i in own]), return_dict=True
            )
            deep = getattr(made, "deepstack_features", None) or []
            for n, i in enumerate(own):
                found[i] = torch.cat([made.pooler_output[n], *(layer[n] for layer in deep)], -1)
        return [found[i] for i in range(len(looks))]

    def placed(self, ids: Tensor, looks: Sequence[Look]) -> Tensor | None:
        """As of `Decoder.placed`: for models whose positions have several axes."""
        index: Any = getattr(self.model, "get_rope_index", None)
        if index is None:
            return None
        whole = ids.unsqueeze(0)
        seats = whole == self.model.config.image_token_id
        takes = self.places
        given = {"input_ids": whole, "mm_token_type_ids": seats.int()}
        given = {k: v for k, v in given.items() if k in takes} | self._joined(looks, takes)
        positions: Tensor = index(**given)[0]
        return positions[:, 0].T

    @property
    def places(self) -> Container[str]:
        """The inputs that `placed` asks for: where a picture's tokens stand its pixels do not
        say."""
        index: Any = getattr(self.model, "get_rope_index", None)
        return () if index is None else inspect.signature(index).parameters

    @property
    def place(self) -> torch.device:
        return next(self.parameters()).device

    def _joined(
        self, looks: Sequence[Look], wanted: Container[str] | None = None
    ) -> dict[str, Tensor]:
        """Pictures' inputs as those of one batch; only those that are wanted."""
        names = [n for n in (looks[0].inputs if looks else ()) if wanted is None or n in wanted]
        return {n: torch.cat([look.inputs[n] for look in looks]).to(self.place) for n in names}


@dataclass(frozen=True)
class Parts:
    """A model taken apart.

    Attributes:
        language: the language model without its output layer.
        output: that layer; None: its embedding of pieces, transposed.
        sight: what sees pictures.
    """

    language: PreTrainedModel
    output: nn.Module | None
    sight: Sight


def opened(path: str, *, weights: bool) -> Parts:
    """A vision-language model in float32.

    Args:
        path: a folder or hub id.
        weights: False builds the configured architecture with random weights.

    Raises:
        UserError: as `checkpoint.folder`, no whole safetensors weights, a model of another kind, or
            one that does more than its parts do, one after another.
    """
    from transformers import AutoModelForImageTextToText

    config = _settings(path)
    opener: Any = AutoModelForImageTextToText
    # Who opens it again, or finds it open, draws the same afterwards.
    with explained(f"The model in '{path}' cannot be loaded", "choose another model"), seeded(0):
        if weights:
            checkpoint.check_weights(path)
            model = opener.from_pretrained(
                checkpoint.folder(path),
                config=config,
                dtype="float32",
                use_safetensors=True,
                trust_remote_code=False,
            ).eval()
        else:
            model = opener.from_config(config)
    with explained(f"The model in '{path}' cannot be taken apart", "choose another model"):
        wanted = _whole(path, model) if weights else None
        body, output = model.base_model, model.get_output_embeddings()
        language = body.get_decoder()
        name = next(name for name, one in body.named_children() if one is language)
        tied = output.weight is language.get_input_embeddings().weight and output.bias is None
        parts = Parts(language, None if tied else output, Sight(body, name))
        if wanted is not None:
            _check(path, parts, output, *wanted)
    return parts


# Those that somebody holds, by path and digest.
_SIGHTS: WeakValueDictionary[tuple[str, str], Sight] = WeakValueDictionary()


@lru_cache(maxsize=2)
def shared(path: str, digest: str) -> Parts:
    """The same with its weights, opened once for all that hold it.

    Args:
        digest: of its files.
    """
    parts = opened(path, weights=True)
    return replace(parts, sight=_SIGHTS.setdefault((path, digest), parts.sight))


def held(path: str, digest: str) -> Sight:
    """What sees pictures alone, with its weights, the same one for all that hold it.

    Args:
        digest: of its files.
    """
    found = _SIGHTS.get((path, digest))
    if found is None:
        found = _SIGHTS.setdefault((path, digest), opened(path, weights=True).sight)
    return found


@torch.no_grad()
def _whole(path: str, model: Any) -> tuple[Tensor, Look, Tensor]:
    """A prompt's pieces `(1, length)`, its picture, and what the model makes of them by itself."""
    tokens = tokenised(path, 1)
    draw = np.random.default_rng(0)
    look = tokens.look(draw.integers(0, 256, (SIDE, 2 * SIDE, 3), np.uint8))
    ids = torch.from_numpy(tokens.prompt(f"a{look.text}a", True)).unsqueeze(0)
    kinds = {"mm_token_type_ids": (ids == tokens.seat).int()}
    takes = inspect.signature(model.forward).parameters
    more = {name: value for name, value in kinds.items() if name in takes}
    return ids, look, model(input_ids=ids, **look.inputs, **more).logits


@torch.no_grad()
def _check(path: str, parts: Parts, output: Any, ids: Tensor, look: Look, wanted: Tensor) -> None:
    """UserError unless the parts, one after another, are the model."""
    language: Any = parts.language
    vectors = F.embedding(ids, language.get_input_embeddings().weight)
    (seen,) = parts.sight([look])
    seats = ids == parts.sight.model.config.image_token_id
    width = vectors.shape[-1]
    vectors[seats] = seen[:, :width]
    places = parts.sight.placed(ids[0], [look])
    more = {}
    if seen.shape[1] > width:
        layers = seen[:, width:].split(width, -1)
        more = {"visual_pos_masks": seats, "deepstack_visual_embeds": list(layers)}
    made = language(
        inputs_embeds=vectors,
        position_ids=None if places is None else places.T.unsqueeze(1),
        **more,
    )
    if not causal.told(output, made.last_hidden_state, wanted):
        raise UserError(
            f"The model in '{path}' does more than its parts say, one after another",
            expected="a vision tower and a projector whose vectors a plain language model reads",
            got=f"a model of the type {parts.sight.model.config.model_type}",
            do="choose one of the kinds of LLaVA, SmolVLM or Qwen-VL",
        )


def tokenised(path: str, limit: int) -> Sighted:
    """A model's tokenizer with what prepares its pictures.

    Args:
        limit: of a text's pieces.
    """
    return Sighted(path, int(_settings(path).get_text_config().vocab_size), limit)


def _settings(path: str) -> Any:
    """A vision-language model's configuration; a UserError for any other model's."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    config = causal.settings(path)
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise UserError(
            f"'{path}' is no vision-language model",
            expected="a model of pictures and texts that writes, such as SmolVLM, LLaVA or Qwen-VL",
            got=f"a model of the type {config.model_type}",
            do="choose another, or name a language model by `decoder: {name: pretrained}`",
        )
    return config
