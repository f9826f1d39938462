"""Whether the tests mind: each mutant of `mutants.toml` is applied to a copy and must fail them.

    python benchmarks/mutants.py [--only WORDS]

A mutant is killed where one of its tests fails, and lives where all pass; a run that cannot even
collect its tests is no kill and is told as an error. The exit code is 1 unless all are killed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).parent / "mutants.toml"
# Exit codes of pytest: https://docs.pytest.org/en/stable/reference/exit-codes.html
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Mutant:
    """One change: `find`, which stands once in `file` of the package, becomes `put`."""

    what: str
    file: str
    find: str
    put: str
    tests: list[str]


def mutants() -> list[Mutant]:
    return [Mutant(**one) for one in tomllib.loads(LIST.read_text("utf-8"))["mutant"]]


def tried(mutant: Mutant, folder: Path) -> str:
    """ "killed", "lives" or "error"."""
    file = folder / "polymodal" / mutant.file
    plain = file.read_text("utf-8")
    file.write_text(plain.replace(mutant.find, mutant.put), "utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, *mutant.tests],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
    finally:
        file.write_text(plain, "utf-8")
    return {PASSED: "lives", FAILED: "killed"}.get(done.returncode, "error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--only", default="", help="mutants whose words hold these")
    only = parser.parse_args().only
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for part in ("polymodal", "tests", "pyproject.toml", "benchmarks", "docs", "README.md"):
            source, copy = ROOT / part, Path(folder) / part
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
        for mutant in mutants():
            if only not in mutant.what:
                continue
            start = time.perf_counter()
            outcomes.append(tried(mutant, Path(folder)))
            print(
                f"{outcomes[-1]:<7}{time.perf_counter() - start:6.1f} s  {mutant.what}", flush=True
            )
    killed = outcomes.count("killed")
    print(f"{killed} of {len(outcomes)} killed")
    sys.exit(killed < len(outcomes))


if __name__ == "__main__":
    main()
