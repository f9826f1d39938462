"""Recipes from elsewhere: a recipe or one clear error, soon, whatever the file holds."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.contract.resolve import load

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = {
    "a billion laughs": LAUGHS + "targets: *i\n",
    "laughs in mappings": LAUGHS.replace("[", "{k: [").replace("]", "]}"),
    "merged": "a: &a {x: 1}\n" + "".join(f"k{i}: {{<<: [*a, *a]}}\n" for i in range(9)),
    "itself": "models: &a [*a]\n",
    "itself in a key": "&a ? *a\n: 1\n",
    "deep": "targets: " + "[" * 5000,
    "deep and closed": "targets: " + "[" * 900 + "]" * 900,
    "deep mappings": "targets: " + "{a: " * 3000 + "1" + "}" * 3000,
    "a key of lists": "[1, 2]: 3\n",
    "a key of mappings": "{a: 1}: 3\n",
    "5000 digits": "seed: " + "9" * 5000,
    "no date": "train: 2020-99-99\n",
    "a class": "train: !!python/object/apply:os.system ['touch executed']\n",
    "a tag": "train: !x 1\n",
    "two documents": "train: a.csv\n---\ntrain: b.csv\n",
    "a NUL": "train: \0\n",
    "numbers for names": "1: 2\n",
    "null": "null\n",
    "empty": "",
    "nan": "budget: .nan\n",
    "infinite": "seed: .inf\n",
    "a number of a target": "targets: {1: classify}\n",
    "half a character": 'train: "\\ud800"\nx: 1\n',
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_hostile_recipe_is_one_clear_error(what: str, tmp_path: Path) -> None:
    path, start = tmp_path / "r.yaml", time.process_time()
    path.write_text(TEXTS[what])
    with pytest.raises(UserError) as found:
        load(path)
    assert len(str(found.value)) < 4000 and time.process_time() - start < 3
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"x" * (17 * 2**20), None])
def test_what_is_no_text_file_is_no_recipe(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load(path)


def test_aliases_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "target: y\nmodels:\n- {name: a, training: &t {epochs: 3}}\n- {name: b, training: *t}\n"
    )
    assert [model.training.epochs for model in load(path).models or [] if model.training] == [3, 3]


KEYS = st.sampled_from(
    ["train", "targets", "target", "data", "models", "fusion", "modalities", "training", "name"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(described=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_mapping_is_a_recipe_or_an_error(described: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(described))
    with contextlib.suppress(UserError):
        load(path)
