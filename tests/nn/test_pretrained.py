"""The door to Hugging Face models: what it loads, copies, and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms.pretrained import IMAGE
from polymodal.modalities.text.forms.pretrained import TEXT
from polymodal.nn import checkpoint, pretrained, processors


def put(folder: Path, **config: object) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def copied(path: str, folder: Path) -> Path:
    shutil.copytree(path, folder)
    return folder


def test_load_gives_the_models_own_outputs(bert_path: str) -> None:
    from transformers import BertModel

    inputs = {"input_ids": torch.tensor([[2, 7, 8, 3]]), "attention_mask": torch.ones(1, 4).long()}
    with torch.no_grad():
        ours = pretrained.hidden(pretrained.load(bert_path, TEXT), **inputs)
        theirs = BertModel.from_pretrained(bert_path).eval()(**inputs).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_load_without_weights_builds_the_same_architecture(bert_path: str) -> None:
    trained = pretrained.load(bert_path, TEXT).state_dict()
    built = pretrained.load(bert_path, TEXT, weights=False).state_dict()
    assert {k: v.shape for k, v in built.items()} == {k: v.shape for k, v in trained.items()}
    name = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(built[name], trained[name])


def test_half_precision_weights_become_float32(bert_path: str, tmp_path: Path) -> None:
    from transformers import BertModel

    BertModel.from_pretrained(bert_path).half().save_pretrained(tmp_path)
    loaded = pretrained.load(str(tmp_path), TEXT)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_pooler_is_left_out(bert_path: str, vit_path: str) -> None:
    for path, half in ((bert_path, TEXT), (vit_path, IMAGE)):
        loaded = pretrained.load(path, half)
        assert not [name for name, _ in loaded.named_parameters() if "pooler" in name]


def test_encoder_of_an_encoder_decoder(tmp_path: Path) -> None:
    from transformers import T5Config, T5Model

    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0
    )
    T5Model(config).save_pretrained(tmp_path)
    path = str(tmp_path)
    ids, mask = torch.tensor([[4, 5]]), torch.ones(1, 2).long()
    loaded = pretrained.load(path, TEXT)
    hidden = pretrained.hidden(loaded, input_ids=ids, attention_mask=mask)
    assert hidden.shape == (1, 2, pretrained.width(path, TEXT))


def test_an_encoder_that_was_saved_alone_is_the_same(tmp_path: Path) -> None:
    from transformers import T5Config, T5EncoderModel, T5Model

    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0
    )
    T5Model(config).save_pretrained(tmp_path / "whole")
    T5EncoderModel.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "alone")
    ids, mask = torch.tensor([[4, 5]]), torch.ones(1, 2).long()
    whole, alone = (pretrained.load(str(tmp_path / n), TEXT) for n in ("whole", "alone"))
    assert list(whole.state_dict()) == list(alone.state_dict())
    hidden = [
        pretrained.hidden(one, input_ids=ids, attention_mask=mask).detach()
        for one in (whole, alone)
    ]
    assert torch.equal(*hidden)


def test_halves_of_a_model_of_pictures_and_texts(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    text = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "max_position_embeddings": 12, "eos_token_id": 2}
    image = {"hidden_size": 24, "intermediate_size": 16, "num_hidden_layers": 1}
    image |= {"num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=image)).save_pretrained(tmp_path)
    path = str(tmp_path)
    assert pretrained.width(path, TEXT) == 16
    assert pretrained.width(path, IMAGE) == 24
    assert pretrained.positions(path, TEXT) == 12
    of_text = pretrained.load(path, TEXT)
    ids = torch.tensor([[4, 5, 2]])
    assert pretrained.hidden(of_text, input_ids=ids).shape == (1, 3, 16)
    of_image = pretrained.load(path, IMAGE)
    pixels = torch.zeros(1, 3, 16, 16)
    assert pretrained.hidden(of_image, pixel_values=pixels).shape == (1, 5, 24)


def test_feature_maps_are_flattened(resnet_path: str) -> None:
    loaded = pretrained.load(resnet_path, IMAGE)
    pixels = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        raw = loaded(pixel_values=pixels).last_hidden_state
        flat = pretrained.hidden(loaded, pixel_values=pixels)
    assert flat.shape == (2, raw.shape[2] * raw.shape[3], 16)
    assert pretrained.width(resnet_path, IMAGE) == 16
    torch.testing.assert_close(flat.mean(1), raw.mean((2, 3)))


def test_normalisation_is_the_processors(vit_path: str) -> None:
    from PIL import Image

    picture = Image.effect_noise((16, 16), 80).convert("RGB")
    shift, scale = (torch.tensor(v) for v in processors.normalisation(vit_path))
    raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(16, 16, 3)
    ours = ((raw.float() - shift) * scale).permute(2, 0, 1)
    theirs = processors.image_processor(vit_path)(picture, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("weights", [True, False])
def test_copy_stands_alone_and_hashes_alike(bert_path: str, tmp_path: Path, weights: bool) -> None:
    checkpoint.copy(bert_path, tmp_path / "run" / "model", weights=weights)
    path = str(tmp_path / "run" / "model")
    assert checkpoint.has_weights(path) is weights
    assert checkpoint.digest(path, weights=weights) == checkpoint.digest(bert_path, weights=weights)
    text = "the quick fox"
    assert (
        processors.tokenizer(path)(text)["input_ids"]
        == processors.tokenizer(bert_path)(text)["input_ids"]
    )
    pretrained.load(path, TEXT, weights=weights)


def test_digest_tells_weights_apart_but_not_places(bert_path: str, tmp_path: Path) -> None:
    from transformers import BertModel

    other = copied(bert_path, tmp_path / "other")
    same = checkpoint.digest(bert_path, weights=True)
    assert checkpoint.digest(str(other), weights=True) == same
    model = BertModel.from_pretrained(other)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5, 0] += 1
    model.save_pretrained(other)
    assert checkpoint.digest(str(other), weights=True) != same


def test_refuses_code_that_comes_with_a_model(bert_path: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        folder = copied(bert_path, tmp_path / name)
        config = json.loads((folder / name).read_text())
        config["auto_map"] = {"AutoModel": "evil.Model"}
        (folder / name).write_text(json.dumps(config))
        with pytest.raises(UserError, match="never executed") as caught:
            pretrained.load(str(folder), TEXT)
        assert name in caught.value.got


def test_refuses_pickled_weights(bert_path: str, tmp_path: Path) -> None:
    folder = copied(bert_path, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors") as caught:
        pretrained.load(str(folder), TEXT)
    assert "pytorch_model.bin" in caught.value.got


def test_refuses_weights_of_another_architecture(bert_path: str, tmp_path: Path) -> None:
    folder = copied(bert_path, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"do not fit its config\.json"):
        pretrained.load(str(folder), TEXT)
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 24}))
    with pytest.raises(UserError, match="cannot be loaded"):
        pretrained.load(str(folder), TEXT)


def test_errors_say_what_is_wrong(bert_path: str, vit_path: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(UserError, match="no folder"):
        checkpoint.folder(missing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no Hugging Face model"):
        checkpoint.folder(str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"architecture in .* is unknown"):
        pretrained.width(put(tmp_path / "new", model_type="gpt9"), TEXT)
    with pytest.raises(UserError, match="not a model of text"):
        pretrained.load(vit_path, TEXT)
    with pytest.raises(UserError, match="not a model of image"):
        pretrained.load(bert_path, IMAGE)
    with pytest.raises(UserError, match="no weights in safetensors format"):
        pretrained.load(put(tmp_path / "bare", model_type="bert"), TEXT)
    with pytest.raises(UserError, match="is no model of texts"):
        processors.tokenizer(vit_path)
    silent = put(tmp_path / "silent", model_type="bert")
    with pytest.raises(UserError, match="holds no tokenizer") as caught:
        processors.tokenizer(silent)
    assert "no model of texts" not in str(caught.value)
    with pytest.raises(UserError, match="how its pictures are to be prepared"):
        processors.image_processor(bert_path)
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        checkpoint.folder(str(tmp_path / "empty"))


def test_a_hub_id_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="no such model could be had") as caught:
        checkpoint.folder("nobody/nothing")
    assert "offline" in caught.value.do
    with pytest.raises(UserError) as caught:
        checkpoint.folder("mini-lm")
    assert "did you mean 'minilm'" in caught.value.do
