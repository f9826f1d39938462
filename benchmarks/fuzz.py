"""Thousands of spoilt files, rows, recipes and run folders: each is answered, or one clear error.

    python benchmarks/fuzz.py --cases 5000

A small run of every kind of column is fitted. Then each case spoils something whole (bytes are
changed, cut, doubled or taken from another file, JSON is edited and sealed again as somebody would
who means harm) and uses it as anybody would: a table is read and its cells decoded, a row is
predicted, a recipe is loaded, a run is loaded and asked. Counted is what must never happen: an
error that is none of ours, a process that dies, code of the case that runs, a request to the
network, and more than 5 seconds or 1 GiB for one case. Cases are numbered: `--first N --cases 1`
repeats one and shows its traceback.

5 000 cases on two busy cores: eleven minutes, none of these. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.feather as feather
import yaml
from PIL import Image

import polymodal as pm
from polymodal.base import sealed
from polymodal.contract.recipe import Recipe
from polymodal.contract.resolve import load as load_recipe
from polymodal.report.console import Show
from polymodal.table.read import read

SECONDS, BYTES = 5.0, 2**30
# A case that takes so long is killed.
HANGS = 60
EVIL = "from pathlib import Path\nPath({marker!r}).touch()\nclass Evil: pass\n"
NAMES = ["code/evil.py:Evil", "code/evil.py:Évil", "code/evil.py:1", "code/evil.txt:Evil", "../x:Y"]
TEXTS = ["", "\0", "\ud800", "\x1b[31m", "9" * 5000, "[" * 5000, "x" * 10**6, "=1+1", "../../etc"]
ADDRESSES = ["http://127.0.0.1:9/a.png", "file:///etc/passwd", "ftp://h/a.wav", "//h/a.png"]
THINGS: list[Any] = [
    None, True, -1, 0, 2**63, 10**30, 1e308, float("nan"), float("inf"), b"", b"\x93NUMPY",
    [], {}, [[]], [None], {"bytes": b"x"}, {"path": "/etc/passwd"}, {"path": 3}, "1e999",
]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work is not None:
        _work(options.work, options.first, options.first + options.cases)
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["POLYMODAL_CACHE"] = str(work / "cache")
        _whole(work)
        found = _all(work, options.first, options.first + options.cases)
    print(f"{options.cases:,} cases: " + ", ".join(f"{found[key]} {key}" for key in COUNTED))
    print(f"answered {found['answered']:,}, one clear error {found['refused']:,}")
    sys.exit(any(found[key] for key in COUNTED))


COUNTED = ("tracebacks", "deaths", "code", "requests", "slow", "large")


def _all(work: Path, first: int, last: int) -> Counter[str]:
    """Cases in processes of their own, each of which goes on after the one that killed another."""
    found: Counter[str] = Counter()
    at = first
    while at < last:
        command = [sys.executable, __file__, "--work", str(work), "--first", str(at)]
        command += ["--cases", str(min(500, last - at))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                told = json.loads(line)
                at = told["case"] + 1
                found.update(told["counts"])
                if told["shown"]:
                    print(f"case {told['case']} ({told['what']}): {told['shown']}", flush=True)
        if process.returncode:
            print(f"case {at}: the process died ({process.returncode})", flush=True)
            found["deaths"] += 1
            at += 1
    return found


def _work(work: Path, first: int, last: int) -> None:
    requests: list[str] = []
    sys.addaudithook(lambda event, given: _heard(event, given, requests))
    signal.signal(signal.SIGALRM, lambda *_: os._exit(3))
    run, marker = pm.load(work / "run"), work / "executed"
    for case in range(first, last):
        rng = random.Random(case)
        what, use = rng.choice(CASES)
        place = work / f"case {case}"
        place.mkdir()
        requests.clear()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
        before, start = _memory("VmRSS"), time.perf_counter()
        signal.alarm(HANGS)
        counts, shown = Counter[str](), ""
        try:
            use(rng, work, place, run)
            counts["answered"] += 1
        except pm.UserError as error:
            counts["refused"] += 1
            shown = "" if len(str(error)) < 10_000 else "an error as long as a book"
            counts["tracebacks"] += bool(shown)
        except Exception as error:
            counts["tracebacks"] += 1
            shown = f"{type(error).__name__}: {error}"[:300]
            if last - first == 1:
                traceback.print_exc()
        signal.alarm(0)
        took, grew = time.perf_counter() - start, _memory("VmHWM") - before
        for key, bad in (
            ("code", marker.exists()),
            ("requests", bool(requests)),
            ("slow", took > SECONDS),
            ("large", grew > BYTES),
        ):
            if bad:
                counts[key] += 1
                shown += f" [{key}: {took:.1f} s, {grew / 2**20:.0f} MiB {requests[:1]}]"
        marker.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        print(json.dumps({"case": case, "what": what, "counts": counts, "shown": shown}))
        sys.stdout.flush()


def _heard(event: str, given: Any, requests: list[str]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        requests.append(repr(given)[:100])


def _memory(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


# -- what is whole -------------------------------------------------------------------------------


def _whole(work: Path) -> None:
    """A file of every format, and a run of every kind of column."""
    rng = np.random.default_rng(0)
    files = work / "whole"
    files.mkdir()
    picture = Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8))
    for suffix in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        picture.save(files / f"picture.{suffix}")
    with wave.open(str(files / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(rng.integers(-999, 999, 4000, np.int16).tobytes())
    np.save(files / "series.npy", rng.normal(size=(30, 2)))
    labels = ["yes", "no"] * 20
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=40),
            "note": [f"the {word} one {i}" for i, word in enumerate(labels)],
            "picture": "picture.png",
            "sound": "sound.wav",
            "series": "series.npy",
            "label": labels,
        }
    )
    frame.to_csv(files / "table.csv", index=False)
    frame.to_csv(files / "table.tsv", index=False, sep="\t")
    frame.to_json(files / "table.jsonl", orient="records", lines=True)
    frame.to_json(files / "table.json", orient="records")
    frame["blob"] = [(files / "picture.png").read_bytes()] * 40
    frame.to_parquet(files / "table.parquet")
    feather.write_feather(frame, files / "table.arrow", compression="uncompressed")
    subprocess.run(
        ["tar", "cf", "table.tar", "picture.png", "sound.wav", "series.npy"], cwd=files, check=True
    )
    kinds = {"number": "number", "note": "text", "picture": "image", "sound": "audio"}
    recipe = {
        "train": str(files / "table.csv"),
        "targets": {"label": "classify"},
        "models": [{"name": "all", "learner": "linear"}],
        "data": {"kinds": {**kinds, "series": "series"}, "valid": 0.3},
    }
    (files / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    pm.fit(recipe=Recipe.model_validate(recipe), out=work / "run", show=Show.silent())


# -- what is spoilt ------------------------------------------------------------------------------


def _spoilt(rng: random.Random, content: bytes, others: list[Path]) -> bytes:
    data = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        at, way = rng.randrange(len(data) + 1), rng.randrange(6)
        if way == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif way == 1:
            data[at : at + rng.randrange(64)] = b""
        elif way == 2:
            data[at:at] = rng.randbytes(rng.randrange(16))
        elif way == 3:
            data[at : at + 8] = rng.choice([b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7])
        elif way == 4:
            other = rng.choice(others).read_bytes()
            start = rng.randrange(len(other))
            data[at : at + 64] = other[start : start + 64]
        else:
            thing = rng.choice(TEXTS[:6] + ADDRESSES).encode("utf-8", "surrogatepass")
            data[at:at] = thing
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


def _table(rng: random.Random, work: Path, place: Path, run: pm.Run) -> None:
    whole = sorted((work / "whole").glob("*"))
    source = rng.choice([path for path in whole if path.stem == "table"])
    for path in whole:
        shutil.copy(path, place)
    spoilt = place / source.name
    spoilt.write_bytes(_spoilt(rng, source.read_bytes(), whole))
    table = read(spoilt)
    for name in table.names:
        table.cells(name)
    run.pipeline.predict(
        [
            {column.name: table.cells(column.name)[0] for column in run.schema.inputs}
            if all(column.name in table.names for column in run.schema.inputs)
            else {}
        ],
        max_bad_rows=9,
    )


def _media(rng: random.Random, work: Path, place: Path, run: pm.Run) -> None:
    whole = sorted((work / "whole").glob("*"))
    source = rng.choice([path for path in whole if path.stem in ("picture", "sound", "series")])
    spoilt = place / source.name
    spoilt.write_bytes(_spoilt(rng, source.read_bytes(), whole))
    cell: Any = str(spoilt) if rng.random() < 0.7 else spoilt.read_bytes()
    run.predict_row({source.stem: cell})


def _row(rng: random.Random, work: Path, place: Path, run: pm.Run) -> None:
    names = [column.name for column in run.schema.inputs]

    def thing(depth: int = 0) -> Any:
        way = rng.randrange(7 if depth < 4 else 4)
        if way < 2:
            return rng.choice(THINGS)
        if way == 2:
            return rng.choice(TEXTS + ADDRESSES)
        if way == 3:
            return rng.choice([rng.randbytes(9), np.zeros((0, 3)), np.array(["a"]), object()])
        if way == 4:
            return [thing(depth + 1) for _ in range(rng.randrange(4))]
        if way == 5:
            return {rng.choice(["bytes", "path", "array", "a"]): thing(depth + 1)}
        return np.full(rng.sample([0, 1, 2, 3, 50], 2), rng.choice([np.nan, np.inf, 1, 1e300]))

    row = {rng.choice(names): thing() for _ in range(rng.randint(1, 3))}
    if rng.random() < 0.5:
        run.predict_row(row)
    else:
        run.predict([dict.fromkeys(names) | row, row])


def _recipe(rng: random.Random, work: Path, place: Path, run: pm.Run) -> None:
    whole = sorted((work / "whole").glob("*"))
    spoilt = place / "recipe.yaml"
    spoilt.write_bytes(_spoilt(rng, (work / "whole" / "recipe.yaml").read_bytes(), whole))
    load_recipe(spoilt)


def _folder(rng: random.Random, work: Path, place: Path, run: pm.Run) -> None:
    """A run with spoilt bytes, or one edited by who seals it again and brings code."""
    folder = place / "run"
    shutil.copytree(work / "run", folder)
    (folder / "code").mkdir()
    for name in ("evil.py", "evil.txt", "evil.PY"):
        (folder / "code" / name).write_text(EVIL.format(marker=str(work / "executed")))
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if rng.random() < 0.4:
        spoilt = rng.choice(files)
        spoilt.write_bytes(_spoilt(rng, spoilt.read_bytes(), files))
    else:
        described = json.loads((folder / "run.json").read_text())
        described.pop("seal")
        for _ in range(rng.randint(1, 3)):
            _edit(rng, described)
        sealed.write(folder / "run.json", described)
    loaded = pm.load(folder)
    loaded.predict_row({"note": "the yes one", "number": 1.0})


def _edit(rng: random.Random, value: Any) -> None:
    """Something in a JSON document replaced, removed or doubled."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            value = inner
            continue
        way = rng.randrange(4)
        if way == 0:
            value.pop(key)
        elif way == 1:
            value[key] = rng.choice(NAMES)
        elif way == 2:
            value[key] = rng.choice(
                [None, -1, 1e308, "", [], {}, True, 10**12, "a", [[1]], 10**400]
            )
        elif isinstance(inner, int | float) and not isinstance(inner, bool):
            value[key] = inner * rng.choice([-1, 2, 0, 1000])
        return


Use = Callable[[random.Random, Path, Path, pm.Run], None]
CASES: list[tuple[str, Use]] = [
    ("table", _table),
    ("media", _media),
    ("row", _row),
    ("recipe", _recipe),
    ("run", _folder),
]

if __name__ == "__main__":
    main()
