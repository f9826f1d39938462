"""Hugging Face models: the one place that opens them, from a folder, a package or the hub.

`checkpoint` finds their files, `processors` opens what prepares cells for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.nn.checkpoint import CONFIG, check_weights, folder, read
from polymodal.nn.processors import explained
from polymodal.nn.reader import Last, Reader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What is random in training without asking torch's generator, or hides parts of an input at any
# time, has no place in a backbone; and a layer that is left out learns nothing.
STILL = {
    "apply_spec_augment": False,
    "do_mask_input": False,
    "encoder_layerdrop": 0.0,
    "layerdrop": 0.0,
}


@dataclass(frozen=True)
class Half:
    """What a kind of modality uses of a model, which may have another half for another kind.

    Attributes:
        kind: what it reads, in words.
        inputs: what its main input may be called.
        part: where a model of two kinds, such as CLIP, keeps it.
        frames: whether it may read several pictures at once, as models of video do.
    """

    kind: str
    inputs: tuple[str, ...]
    part: str
    frames: bool = False


def load(path: str, half: Half, *, weights: bool = True, **settings: Any) -> PreTrainedModel:
    """A model's backbone in float32, in evaluation mode.

    An encoder-decoder gives its encoder, a model of pictures and texts (CLIP) the half in question;
    a pooler is left out, since pooling is done elsewhere.

    Args:
        path: folder, package of weights or hub id.
        half: what is wanted of it; it is called with its inputs.
        weights: False builds the configured architecture with random weights.
        settings: of its configuration, instead of what that says.

    Raises:
        UserError: as `checkpoint.folder`; no whole safetensors weights, weights of another
            architecture, or a model of another kind.
    """
    found, config = folder(path), _config(path)
    opener, encodes = _opener(config)
    if weights:
        check_weights(path)
    for name, value in (STILL | settings).items():
        if hasattr(config, name):
            setattr(config, name, value)
    with explained(f"The model in '{path}' cannot be loaded", "try transformers.AutoModel"):
        if weights:
            options = {"use_safetensors": True, "trust_remote_code": False, "dtype": "float32"}
            model, info = opener.from_pretrained(
                found, config=config, output_loading_info=True, **options
            )
            _check_missing(path, sorted(info["missing_keys"]))
        else:
            model = opener.from_config(config)
    if encodes:
        model = model.get_encoder()
    # CLIP's own halves have no part of that name since transformers 5.6; before, they had.
    model = getattr(model, half.part, model)
    _check_kind(path, half, model)
    pooler = getattr(model, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        model.pooler = None
    return cast("PreTrainedModel", model.float().eval())


def reader(
    path: str, half: Half, names: tuple[str, ...], *, ragged: bool = False, **settings: Any
) -> Reader:
    """A model that is not trained on: arrays in, its last hidden state out.

    Args:
        names: of its inputs.
        ragged: whether their second axis varies from call to call.
        settings: as of `load`.
    """
    return Reader(Last(load(path, half, **settings), names), names, ragged=ragged)


def width(path: str, half: Half) -> int:
    """The width of what `load` puts out."""
    if (found := told(path, half, "hidden_size")) is not None:
        return found
    config = _half(_config(path), half)
    sizes = getattr(config, "hidden_sizes", None)
    if found := sizes[-1] if sizes else getattr(config, "hidden_dim", None):
        return int(found)
    raise UserError(
        f"'{path}' does not say how wide its outputs are",
        expected=f"hidden_size, hidden_sizes or hidden_dim in {CONFIG}",
        got=f"a model of the type {config.model_type}",
    )


def told(path: str, half: Half, setting: str) -> int | None:
    """A number, or whether, of a model's configuration; None if it has none of that name."""
    described = read(folder(path) / CONFIG)
    own = described.get(half.part.replace("model", "config"), described)
    found = own.get(setting) if isinstance(own, dict) else None
    # Only what its file leaves out takes transformers, which takes seconds to import.
    found = found if isinstance(found, int) else getattr(_half(_config(path), half), setting, None)
    return found if isinstance(found, int) else None


def check_frames(path: str, half: Half) -> None:
    """UserError if a model reads several pictures at once, and `half` does not."""
    if not half.frames and told(path, half, "num_frames"):
        raise _other_kind(path, half, _config(path).model_type, "several frames")


def positions(path: str, half: Half) -> int:
    """How many pieces a text model takes at most; a very large number where it sets no limit."""
    file = folder(path) / "tokenizer_config.json"
    # RoBERTa's configuration counts positions that it cannot use; its tokenizer knows better.
    of_tokenizer = read(file).get("model_max_length") if file.is_file() else None
    of_model = told(path, half, "max_position_embeddings")
    return int(min(of_tokenizer or 2**31, of_model or 2**31))


def hidden(model: nn.Module, **inputs: Tensor) -> Tensor:
    """A loaded model's last hidden state, `(batch, positions, width)`; maps are flattened."""
    values: Tensor = model(**inputs).last_hidden_state
    return values if values.dim() == 3 else values.flatten(2).transpose(1, 2)


def _opener(config: Any) -> tuple[Any, bool]:
    """The class that opens an architecture, and whether the model's encoder is all that is used.

    Of T5 and its like that is the encoder's own class: many folders hold nothing else.
    """
    from transformers import AutoModel, AutoModelForTextEncoding
    from transformers.models.auto import modeling_auto

    name = modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(config.model_type, "")
    alone = name.endswith("T5EncoderModel")
    return AutoModelForTextEncoding if alone else AutoModel, alone or config.is_encoder_decoder


def _config(path: str) -> Any:
    from transformers import AutoConfig

    found = folder(path)
    with explained(f"The architecture in '{path}' is unknown", "upgrade transformers"):
        return AutoConfig.from_pretrained(found, trust_remote_code=False)


def _half(config: Any, half: Half) -> Any:
    """The configuration of what `load` returns."""
    return getattr(config, half.part.replace("model", "config"), config)


def _check_kind(path: str, half: Half, model: Any) -> None:
    check_frames(path, half)
    if model.main_input_name not in half.inputs:
        raise _other_kind(path, half, model.config.model_type, model.main_input_name)


def _other_kind(path: str, half: Half, model_type: str, reads: str) -> UserError:
    return UserError(
        f"'{path}' is not a model of {half.kind}",
        expected=f"a model that reads {' or '.join(half.inputs)}",
        got=f"a model of the type {model_type}, which reads {reads}",
        do=f"choose a model of {half.kind}, or give this one to a column of its own kind",
    )


def _check_missing(path: str, missing: list[str]) -> None:
    """A pooler may be missing: it is not used."""
    missing = [name for name in missing if "pooler" not in name]
    if missing:
        raise UserError(
            f"The weights in '{path}' do not fit its {CONFIG}",
            expected="a value for every parameter of the architecture",
            got=f"none for {len(missing)}, such as {missing[0]}",
            do="save the model and its configuration again, together",
        )
