"""Pretrained language models: opened without their output layer, which is kept apart."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.nn import checkpoint
from polymodal.nn.processors import explained

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Pieces that are tried, to see that a model is computed as transformers does it.
TRIED = 8


def causal(path: str, *, weights: bool) -> tuple[PreTrainedModel, nn.Module | None]:
    """A language model in float32, and its output layer; None: its embedding, transposed.

    Args:
        path: a folder, package of weights, hub id or GGUF file.
        weights: False builds the configured architecture with random weights.

    Raises:
        UserError: as `checkpoint.folder`, no whole safetensors weights, or a model that is no plain
            language model.
    """
    from transformers import AutoModelForCausalLM

    (found, named), config = checkpoint.opened(path), settings(path)
    with explained(f"The language model in '{path}' cannot be loaded", "choose another model"):
        if not weights:
            model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        else:
            options: dict[str, Any] = {"trust_remote_code": False, **named}
            if not named:
                checkpoint.check_weights(path)
                options["use_safetensors"] = True
            model = AutoModelForCausalLM.from_pretrained(
                found, config=config, dtype="float32", **options
            )
    body, output = model.base_model, model.get_output_embeddings()
    if weights:
        _check(path, model.eval(), body, output)
    tied = output.weight is body.get_input_embeddings().weight and output.bias is None
    return body, None if tied else output


@lru_cache(maxsize=2)
def shared(path: str, digest: str) -> tuple[PreTrainedModel, nn.Module | None]:
    """The same with its weights, opened once for all that hold it.

    Args:
        digest: of its files.
    """
    return causal(path, weights=True)


def settings(path: str) -> Any:
    """A model's configuration."""
    from transformers import AutoConfig

    found, named = checkpoint.opened(path)
    with explained(f"The architecture in '{path}' is unknown", "upgrade transformers"):
        return AutoConfig.from_pretrained(found, trust_remote_code=False, **named)


@torch.no_grad()
def told(output: Any, states: Tensor, wanted: Tensor) -> bool:
    """Whether an output layer makes of a body's states what the whole model put out."""
    found = F.linear(states, output.weight, output.bias)
    return torch.allclose(found, wanted, atol=1e-3, rtol=1e-3)


def _check(path: str, model: Any, body: Any, output: Any) -> None:
    """UserError unless vectors of pieces through the body and the output layer are the model."""
    pieces = torch.arange(TRIED).unsqueeze(0) % model.config.vocab_size
    with (
        torch.no_grad(),
        explained(f"The model in '{path}' is no language model", "choose another"),
    ):
        wanted = model(input_ids=pieces).logits
        vectors = F.embedding(pieces, body.get_input_embeddings().weight)
        places = torch.arange(TRIED).unsqueeze(0)
        mask = torch.ones_like(pieces, dtype=torch.bool)
        made = body(inputs_embeds=vectors, attention_mask=mask, position_ids=places)
    if not told(output, made.last_hidden_state, wanted):
        raise UserError(
            f"The model in '{path}' does more than its layers and its output layer say",
            expected="a plain language model, such as those of Llama, Qwen or GPT-2",
            got=f"a model of the type {model.config.model_type}",
            do="choose another model",
        )
