"""What the command line asks of the functions behind it."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.base.say import say
from polymodal.builtin import scenes
from polymodal.cli import info, options
from polymodal.cli import main as cli
from polymodal.contract.resolve import overruled
from polymodal.fitting import fit as fitting
from polymodal.report.console import Show
from polymodal.table.readers import columnar
from polymodal.train.interrupt import Interrupted


def call(*words: str) -> None:
    CliRunner().invoke(cli.app, words, catch_exceptions=False, standalone_mode=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that `fit` was called with, which then has nothing to tell of."""
    seen: dict[str, Any] = {}

    def fit(**given: Any) -> SimpleNamespace:
        seen.update(given)
        return SimpleNamespace(tasks={})

    monkeypatch.setattr(fitting, "fit", fit)
    return seen


@pytest.mark.parametrize(
    ("described", "flags", "seconds"),
    [
        ("", [], 300),
        ("budget: 3600", [], 3600),
        ("budget: 3600", ["--budget", "90s"], 90),
        ("", ["--budget", "2h"], 7200),
    ],
)
def test_the_budget_is_the_flags_else_the_recipes_else_five_minutes(
    described: str, flags: list[str], seconds: float, asked: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"train: t.csv\ntarget: y\n{described}\n")
    call("fit", str(path), *flags)
    assert overruled(asked["recipe"], budget=asked["budget"]).budget == seconds


@pytest.mark.parametrize(
    ("flag", "split", "time"), [("random", "random", None), ("time:then", "time", "then")]
)
def test_another_split_leaves_the_recipes_time(
    flag: str, split: str, time: str | None, asked: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("train: t.csv\ntarget: y\ndata: {split: time, time: when}\n")
    call("fit", str(path), "--split", flag)
    data = overruled(asked["recipe"], split=asked["split"]).data
    assert (data.split, data.time) == (split, time)


def test_only_a_split_by_time_takes_a_column() -> None:
    with pytest.raises(UserError, match="'time' goes with 'split: time'"):
        call("fit", "t.csv", "--target", "y", "--split", "random:when")


@pytest.mark.parametrize("flags", [["--out", "p.csv"], ["--max-bad-rows", "1"]])
def test_one_row_goes_to_no_file_and_is_not_skipped(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polymodal.run.saved.load", lambda _: pytest.fail("was predicted"))
    with pytest.raises(UserError, match=f"{flags[0]} is for tables"):
        call("predict", "run", *flags, "--note", "calm")


def test_a_finished_quickstart_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    monkeypatch.setattr(scenes, "write", lambda *_, **__: pytest.fail("was rendered anew"))
    with pytest.raises(UserError, match="already holds a finished run"):
        call("quickstart", "--out", str(tmp_path))


def test_the_preflight_unpacks_media_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(columnar, "SPOOL_BYTES", 0)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    table = {"picture": [stream.getvalue()] * 20, "y": ["a", "b"] * 10}
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    unpacked: list[Path] = []
    original = columnar._spool
    monkeypatch.setattr(
        columnar, "_spool", lambda *given: unpacked.append(given[2]) or original(*given)
    )
    call("check", str(tmp_path / "t.parquet"), "--target", "y", "--test", f"{tmp_path}/t.parquet")
    assert unpacked == [tmp_path / "cache"] * 2


def test_everything_that_a_recipe_can_name_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    info.list_components(None)
    listed = capsys.readouterr().out.splitlines()
    root = Path(pm.__file__).parent
    parts = ["modalities/*/forms", "modalities/*/encoders", "modalities/*/corruptions"]
    folders = [*parts, "align", "fusion", "tasks", "nn/decoders", "models/experts"]
    folders += ["tuning", "train/balance", "reason/strategies"]
    files = [f for folder in folders for f in root.glob(f"{folder}/*.py") if f.stem[0] != "_"]
    files += root.glob("modalities/*/augment.py")
    assert sorted(line.split(maxsplit=2)[:2] for line in listed) == sorted(
        [f"{f.parent.relative_to(root)}:", f.stem] for f in files
    )
    assert any(
        line.split()
        == ["modalities/image/forms:", "pretrained", "path,", "tune=False,", "grid=None"]
        for line in listed
    )


def test_the_cache_is_measured_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path))
    (tmp_path / "kernels.json").write_bytes(bytes(2**21))
    info.cache()
    assert capsys.readouterr().out == f"{tmp_path}: 2.0 MB in 1 files\n"
    info.cache(clear=True)
    assert "deleted" in capsys.readouterr().out and not list(tmp_path.iterdir())


def ended(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> int:
    """The exit code of the command line where it does this."""
    monkeypatch.setattr(cli, "app", lambda **_: act())
    with warnings.catch_warnings(), pytest.raises(SystemExit) as found:
        cli.main()
    return int(found.value.code or 0)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_goes_to_a_stream_of_any_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    assert ended(monkeypatch, lambda: say("größer 😀 \ud800 \x1b[31m")) == 0
    assert b"gr" in written.getvalue() and b"\x1b" not in written.getvalue()


def test_a_closed_stream_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert ended(monkeypatch, lambda: say("lost")) == 0
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.parametrize("where", ["a pipe that nobody reads", "a full disk"])
def test_output_that_cannot_be_written_is_no_traceback(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if where == "a full disk":
        stream = open("/dev/full", "w")  # noqa: SIM115
    else:
        reading, writing = os.pipe()
        os.close(reading)
        stream = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stdout", stream)
    assert ended(monkeypatch, lambda: say("x" * 100_000)) == 1
    monkeypatch.undo()
    assert "Traceback" not in capsys.readouterr().err
    stream.close()


def test_what_libraries_warn_of_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn() -> None:
        warnings.warn("a library's own business", UserWarning, stacklevel=1)
        logging.getLogger("a.library").warning("a library's own business")

    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    assert ended(monkeypatch, warn) == 0
    assert "business" not in capsys.readouterr().err


def test_an_error_of_ours_is_two_lines_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, lambda: {}["\x1b[31m"]) == 1
    found = capsys.readouterr().err
    assert "KeyError" in found and "Traceback" not in found and "\x1b" not in found
    monkeypatch.setenv("POLYMODAL_DEBUG", "1")
    monkeypatch.setattr(cli, "app", lambda **_: {}["a"])
    with pytest.raises(KeyError):
        cli.main()


def test_the_components_of_one_folder_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    info.list_components("fusion")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10 and all(line.startswith("fusion: ") for line in lines)
    info.list_components("text/encoders")
    assert "modalities/text/encoders: ngrams" in capsys.readouterr().out
    with pytest.raises(UserError, match="did you mean 'fusion'"):
        info.list_components("fusions")


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["list", "tasks"], 0)])
def test_what_there_is_is_said(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["polymodal", *words])
    assert cli._answered() == code
    assert re.match(r"polymodal \d+\.\d+|tasks: ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "takes"),
    [("check a.csv --recipe b.yaml", "TABLE|RECIPE.yaml"), ("export --out a", "run")],
)
def test_wrong_words_are_told_how_a_command_is_used(
    words: str,
    takes: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["polymodal", *words.split()])
    assert cli._answered() == 2
    command, told = words.split()[0], capsys.readouterr().err
    assert re.search(rf"usage: .*{command} \[OPTIONS\] \W?{re.escape(takes)}", told)
    assert f"{command} --help says more" in told


@pytest.mark.parametrize("option", ["--kind", "--decoding", "--match"])
def test_what_is_said_twice_of_a_key_is_an_error(option: str) -> None:
    read = {"--kind": options.pairs, "--decoding": options.manner}
    read["--match"] = lambda items: options.parented(Path("run"), items)
    with pytest.raises(UserError, match=f"{option} says more than one.*'a'") as found:
        read[option](["a=1", "b=2", "a=3"])
    assert "a=1 and a=3" in str(found.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "a.csv"], "Interrupted: run the same command again to go on."),
        (["evaluate", "run"], "Interrupted."),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted("stopped")])
def test_after_ctrl_c_it_is_said_how_to_go_on(
    words: list[str],
    said: str,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(**_: object) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["polymodal", *words])
    monkeypatch.setattr(cli, "app", stopped)
    assert cli._answered() == 130
    assert capsys.readouterr().err.strip() == said


def test_nothing_is_redrawn_over_an_error() -> None:
    show = Show(io.StringIO())
    show.console._force_terminal = True

    def fail() -> None:
        with show:
            show.step("net", 1, 9, 0.5)
            assert show.progress is not None
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        fail()
    assert show.progress is None


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "run", "--data", "t.csv", "--out", "./t.csv"],
        ["embed", "run", "--data", "t.csv", "--out", "link.csv"],
        ["evaluate", "run", "--data", "out/predictions.csv", "--out", "out"],
        ["compare", "run", "--data", "out/compare.json", "--out", "out"],
        ["score", "out/metrics.json", "--metric", "classify", "--out", "out"],
    ],
    ids=lambda words: words[0],
)
def test_no_command_writes_over_what_it_reads(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("polymodal.run.saved.load", lambda *_, **__: pytest.fail("went on"))
    Path("out").mkdir()
    files = [Path("t.csv"), *(Path("out") / f"{n}" for n in ("compare.json", "metrics.json"))]
    files.append(Path("out") / "predictions.csv")
    for path in files:
        path.write_text("mine")
    Path("link.csv").symlink_to("t.csv")
    with pytest.raises(UserError, match="is the table that is read"):
        call(*words)
    assert {path.read_text() for path in files} == {"mine"}


@pytest.mark.parametrize(
    ("command", "content", "goes_on"),
    [
        ("predict", "mine", False),
        ("predict", "rows,a\n1,2\n", False),
        ("predict", "row,label\n0,yes\n", True),
        ("predict", "", True),
        ("predict", None, True),
        ("embed", "row,label\n0,yes\n", False),
        ("embed", None, True),
    ],
)
def test_predictions_replace_none_but_predictions(
    command: str,
    content: str | None,
    goes_on: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class WentOn(Exception):
        pass

    def load(*_: Any, **__: Any) -> None:
        raise WentOn

    monkeypatch.setattr("polymodal.run.saved.load", load)
    path = tmp_path / "out.csv"
    if content is not None:
        path.write_text(content)
    words = [command, "run", "--data", "t.csv", "--out", str(path)]
    if goes_on:
        with pytest.raises(WentOn):
            call(*words)
    else:
        with pytest.raises(UserError, match="is there already"):
            call(*words)
        with pytest.raises(WentOn):
            call(*words, "--overwrite")
    assert content is None or path.read_text() == content


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv", "report.html"])
def test_results_of_others_are_not_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polymodal.run.saved.load", lambda *_, **__: pytest.fail("went on"))
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="would be replaced"):
        call("evaluate", "run", "--data", "t.csv", "--out", str(tmp_path))


def test_the_quickstart_renders_over_nothing_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "write", lambda *_, **__: pytest.fail("was rendered"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("mine")
    with pytest.raises(UserError, match="did not make"):
        call("quickstart", "--out", str(tmp_path))
