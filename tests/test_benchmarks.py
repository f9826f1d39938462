"""Benchmarks keep up with what they measure: each is imported, and its types are those of today."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
# What runs in an environment of the other tool's.
RIVALS = ("rival_keras.py", "rival_ludwig.py")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_is_imported(path: Path) -> None:
    if path.name in RIVALS:
        compile(path.read_text(encoding="utf-8"), path, "exec")
        return
    assert callable(runpy.run_path(str(path), run_name="benchmark")["main"])


MUTANTS = runpy.run_path(str(FOLDER / "mutants.py"), run_name="benchmark")["mutants"]()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_changes_code_of_today(mutant: Any) -> None:
    assert (FOLDER.parent / "polymodal" / mutant.file).read_text("utf-8").count(mutant.find) == 1
    assert mutant.put != mutant.find
    assert all((FOLDER.parent / test).exists() for test in mutant.tests)
