"""Bad checkpoints: one clear error each, and nothing of them executed."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from polymodal.base.errors import UserError
from polymodal.contract.kind import Kind, kinds
from polymodal.modalities.image.forms.pretrained import IMAGE
from polymodal.modalities.text.forms.pretrained import TEXT
from polymodal.nn import checkpoint as files
from polymodal.nn import pretrained, processors

OWN = Kind.installed  # before any test runs


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.fixture
def model(bert_path: str, tmp_path: Path) -> Path:
    """A copy of a model that may be spoilt."""
    shutil.copytree(bert_path, tmp_path / "model")
    return tmp_path / "model"


def sharded(folder: Path) -> None:
    from transformers import BertModel

    model = BertModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")


def refused(folder: Path, what: str) -> UserError:
    with pytest.raises(UserError, match=what) as caught:
        pretrained.load(str(folder), TEXT)
    assert caught.value.do
    return caught.value


def test_shards_are_opened_together(model: Path) -> None:
    sharded(model)
    assert len(list(model.glob("model-*.safetensors"))) > 1
    pretrained.load(str(model), TEXT)


def test_a_missing_shard(model: Path) -> None:
    sharded(model)
    gone = sorted(model.glob("model-*.safetensors"))[1]
    gone.unlink()
    assert gone.name in refused(model, "only a part of its weights").got


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": 3}'])
def test_an_index_of_nothing(model: Path, index: str) -> None:
    (model / files.INDEX).write_text(index)
    refused(model, "only a part of its weights")


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_file_that_breaks_off(model: Path, size: int) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    assert f"{file.stat().st_size:,} bytes" in refused(model, "is damaged").got


def test_a_pickle_runs_no_code(model: Path, tmp_path: Path) -> None:
    evil = pickle.dumps(Evil(tmp_path / "ran"))
    (model / "model.safetensors").write_bytes(evil)
    refused(model, "is damaged")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    refused(model, "no weights in safetensors format")
    assert not (tmp_path / "ran").exists()


def test_a_packages_pickle_runs_no_code(tmp_path: Path) -> None:
    from polymodal.modalities._package import unpickled

    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(UserError, match="holds no plain tensors"):
        unpickled(tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()


def test_weights_of_other_sizes(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": 77}))
    refused(model, "cannot be loaded")


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_size": "wide"},
        {"hidden_size": 15},
        {"num_attention_heads": 0},
        {"model_type": 3},
        {"model_type": "no such"},
    ],
)
def test_settings_that_make_no_model(model: Path, changed: dict[str, object]) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | changed))
    refused(model, ".")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\0"])
def test_settings_that_are_none(model: Path, text: str) -> None:
    (model / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        pretrained.load(str(model), TEXT)


def test_a_processor_that_is_none(
    checkpoint: Callable[[str], str], vit_path: str, tmp_path: Path
) -> None:
    shutil.copytree(vit_path, tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text('{"image_processor_type": "No"}')
    with pytest.raises(UserError, match="image processor in"):
        processors.image_processor(str(tmp_path / "vit"))
    with pytest.raises(UserError, match="feature extractor in"):
        processors.feature_extractor(vit_path)
    with pytest.raises(UserError, match="how its sounds are to be prepared"):
        processors.feature_extractor(checkpoint("patchtst"))


def test_normalisation_is_seen_from_what_the_processor_does(
    checkpoint: Callable[[str], str],
) -> None:
    for name in ("vit", "clip", "siglip", "dinov2", "videomae"):
        path = checkpoint(name)
        processor = processors.image_processor(path)
        shift, scale = processors.normalisation(path)
        for mean, std, one, other in zip(
            processor.image_mean, processor.image_std, shift, scale, strict=True
        ):
            assert one == pytest.approx(255 * mean, abs=1e-3)
            assert other == pytest.approx(1 / (255 * std), rel=1e-4)


def test_names_of_packages_come_before_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = files.packages()
    assert {"minilm", "efficientnet_lite0", "speech_embedding", "speaker"} <= set(names)
    monkeypatch.chdir(tmp_path)
    for name in names:
        (tmp_path / name).mkdir()
        assert files._packaged(f"./{name}") is None


def test_every_package_says_what_it_is_and_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    offered = [one for room in kinds().values() for one in room.offered()]
    assert {one.path for one in offered} == {""} and len(offered) >= 4
    assert all(one.name and one.package and one.licence and one.knows for one in offered)
    assert not [one for room in kinds().values() for one in OWN(room)]
    for name in files.packages():
        with pytest.raises(UserError, match="is not installed") as caught:
            files.folder(name)
        assert caught.value.do.startswith("pip install")


@pytest.mark.parametrize(
    "command",
    ["pip install timm", "pip install -U accelerate", "pip install 'a[b]>=1.2'", 'pip install "a"'],
)
def test_what_transformers_lacks_is_had_by_its_own_command(command: str) -> None:
    with (
        pytest.raises(UserError) as caught,
        processors.explained("It cannot be loaded", "save it again"),
    ):
        raise ImportError(f"It needs a package.\nRun `{command}`. Then start again.")
    assert caught.value.do == command


def test_a_model_of_pictures_half_of_two(checkpoint: Callable[[str], str]) -> None:
    """A half of CLIP saved alone, whose class changed in transformers 5.6."""
    from transformers import CLIPModel, CLIPTextModel, CLIPVisionModel

    whole = CLIPModel.from_pretrained(checkpoint("clip"))
    for half, cls, source in (
        (IMAGE, CLIPVisionModel, whole.vision_model),
        (TEXT, CLIPTextModel, whole.text_model),
    ):
        alone = Path(checkpoint("clip")).parent / f"{cls.__name__}"
        model = cls(getattr(whole.config, half.part.replace("model", "config")))
        inner = getattr(model, half.part, model)
        inner.load_state_dict(source.state_dict())
        model.save_pretrained(alone)
        ours = pretrained.load(str(alone), half).state_dict()
        theirs = pretrained.load(checkpoint("clip"), half).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(ours[name].equal(theirs[name]) for name in ours)
        assert pretrained.width(str(alone), half) == 16
