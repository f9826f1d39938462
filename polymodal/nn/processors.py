"""What prepares cells for a pretrained model, as its folder says: tokenizer, pictures, sounds."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.nn.checkpoint import (
    CONFIG,
    PREPROCESSOR,
    PROCESSOR,
    VOCABULARY,
    folder,
    matching,
    opened,
)

# What a tokenizer is kept in where transformers is not there.
TOKENIZER = "tokenizer.json"
# How much transformers prints is one setting of the process.
_LOCK = threading.RLock()
# The command that mends a package that is missing.
_INSTALL = re.compile(r"pip install (?:-\S+ )*(['\"]?)\w[\w.\[\],=<>~-]*\1")
# What transformers and its settings raise at files that they do not understand.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def tokenizer(path: str) -> Any:
    """The model's tokenizer, of the kind that reports character offsets; UserError if none is."""
    from transformers import AutoTokenizer

    found, named = opened(path)
    if not named and not matching(found, VOCABULARY):
        if (found / PREPROCESSOR).is_file():
            raise UserError(
                f"'{path}' is no model of texts: it holds no tokenizer",
                expected=f"one of {', '.join(VOCABULARY)} beside {CONFIG}",
                got=f"{PREPROCESSOR}, as models of pictures and sounds have",
                do="choose a model of texts, or give this one to a column of its own kind",
            )
        raise UserError(
            f"'{path}' holds no tokenizer",
            expected=f"one of {', '.join(VOCABULARY)} beside {CONFIG}",
            do="save it there with tokenizer.save_pretrained(...)",
        )
    with explained(f"The tokenizer in '{path}' cannot be loaded", "save it again"):
        loaded = AutoTokenizer.from_pretrained(found, trust_remote_code=False, **named)
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
    with explained(f"The image processor in '{path}' cannot be loaded", "save it again"):
        return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            found, backend="pil", trust_remote_code=False
        )


def vision_language(path: str) -> Any:
    """What makes a prompt and its pictures the inputs of a vision-language model.

    What would prepare clips is left out: it needs packages that pictures do not.

    Raises:
        UserError: its files are missing, or it is of another kind.
    """
    from transformers import AutoConfig, AutoImageProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    found = folder(path)
    if not any((found / name).is_file() for name in (PROCESSOR, PREPROCESSOR)):
        raise UserError(
            f"'{path}' does not say how its prompts and pictures are to be prepared",
            expected=f"{PROCESSOR} or {PREPROCESSOR} beside {CONFIG}",
            do="save it there with processor.save_pretrained(...)",
        )
    own = tokenizer(path)
    with explained(f"The processor in '{path}' cannot be loaded", "save it again"):
        config: Any = AutoConfig.from_pretrained(found, trust_remote_code=False)
        known: Any = PROCESSOR_MAPPING[type(config)]
        pictures = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            found, backend="pil", trust_remote_code=False
        )

        class Still(known):  # type: ignore[misc]
            def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
                known_ = super().check_argument_for_proper_class
                return None if argument is None else known_(name, argument)

        parts = {"tokenizer": own, "image_processor": pictures}
        settings, _ = known.get_processor_dict(found)
        made = Still.from_args_and_dict([parts.get(n) for n in known.get_attributes()], settings)
        if getattr(made, "image_token", None) is None:
            raise ValueError(f"{known.__name__} has no piece that stands for a picture")
    return made


def normalisation(path: str) -> tuple[list[float], list[float]]:
    """What brings a picture's bytes to the model's scale: `(bytes - first) * second` a channel.

    Some processors do more than their settings say, so it is seen from a black and a white picture.
    """
    from PIL import Image

    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("black", "white")]
    with explained(f"The image processor in '{path}' takes no picture", "save it again"):
        made = image_processor(path)(pictures, return_tensors="np")["pixel_values"]
    made = np.asarray(made, np.float64).reshape(2, -1, *np.shape(made)[-3:])[:, 0]
    middle = made[..., made.shape[-2] // 2, made.shape[-1] // 2]
    scale = (middle[1] - middle[0]) / 255
    return (-middle[0] / scale).tolist(), scale.tolist()


def spelled(processor: Any, path: str) -> dict[str, Any]:
    """What an image processor does, JSON-able: "resize", "crop" and "scale", each None where it
    does no such thing.

    Raises:
        UserError: it does something else.
    """
    from transformers.image_processing_backends import PilBackend

    known = ("_preprocess", "preprocess", "resize", "center_crop", "rescale", "normalize", "pad")
    other = [
        name for name in known if getattr(type(processor), name) is not getattr(PilBackend, name)
    ]
    size = {name: value for name, value in dict(processor.size).items() if value}
    if set(size) not in ({"height", "width"}, {"shortest_edge"}):
        other.append("size")
    if other or processor.do_pad:
        raise UserError(
            f"The pictures of '{path}' can be prepared by transformers alone",
            expected="a processor that resizes, crops the middle and normalises",
            got=f"{type(processor).__name__} with its own {', '.join(other) or 'padding'}",
            do="choose another model, or serve the run itself",
        )
    first, second = normalisation(path)
    return {
        "resize": [size, int(processor.resample)] if processor.do_resize else None,
        "crop": dict(processor.crop_size) if processor.do_center_crop else None,
        "scale": [first, second] if processor.do_rescale or processor.do_normalize else None,
    }


def side(processor: Any) -> int:
    """The longest side in pixels that an image processor asks for."""
    return int(max(value for value in dict(processor.size).values() if value))


def stretches(processor: Any) -> bool:
    """Whether an image processor shows the whole of a picture, as a square."""
    size = dict(processor.size)
    square = size.get("height") and size.get("height") == size.get("width")
    return bool(square) and not getattr(processor, "do_center_crop", False)


def feature_extractor(path: str) -> Any:
    """What turns samples of sound into a model's input; UserError if its file is missing."""
    from transformers import AutoFeatureExtractor

    found = folder(path)
    if not (found / PREPROCESSOR).is_file():
        raise UserError(
            f"'{path}' does not say how its sounds are to be prepared",
            expected=f"{PREPROCESSOR} beside {CONFIG}",
            do="save it there with feature_extractor.save_pretrained(...)",
        )
    what = f"The feature extractor in '{path}' cannot be loaded"
    with explained(what, "save it again"), warnings.catch_warnings():
        # AST's own filters, the lowest of which lie between two frequencies.
        warnings.filterwarnings("ignore", message="At least one mel filter")
        loaded = AutoFeatureExtractor.from_pretrained(  # type: ignore[no-untyped-call]
            found, trust_remote_code=False
        )
        if not hasattr(loaded, "sampling_rate"):
            raise ValueError(f"{type(loaded).__name__} reads no sound")
        return loaded


@contextmanager
def explained(what: str, do: str) -> Iterator[None]:
    """Turn what transformers raises into a UserError, and keep it from printing the rest."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils import logging

    with _LOCK:
        bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            yield
        except UserError:
            raise
        except (StrictDataclassError, *_FAULTS) as error:
            said = next((line for line in str(error).split("\n") if line.strip()), "")
            # Of a package that is missing transformers says how it is had.
            lacks = _INSTALL.search(str(error)) if isinstance(error, ImportError) else None
            do = lacks[0] if lacks else do
            raise UserError(what, got=said.strip() or type(error).__name__, do=do) from error
        finally:
            logging.set_verbosity(verbosity)
            if bar:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]
