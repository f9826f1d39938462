"""The folder of a fit: claimed, marked with what is fitted in it, resumed, cleared.

fit.json                the request, its budget and the members planned, until the fit is done
checkpoints/<member>/   what is done of a member, by a digest of its part of the recipe
run.json and the rest   the finished run (`run/saved.py`)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polymodal.base import brought
from polymodal.base.errors import UserError
from polymodal.base.files import read_json, write_json
from polymodal.contract.recipe import Member


def refuse_finished(out: Path, overwrite: bool) -> None:
    """UserError if `out` holds a finished run that is not to be replaced."""
    if (out / "run.json").exists() and not overwrite:
        raise UserError(
            f"'{out}' already holds a finished run",
            expected="a new folder, or one with an interrupted fit",
            do="give another `out`, or `overwrite` to replace it",
        )


@contextmanager
def claimed(out: Path, overwrite: bool, temporary: bool) -> Iterator[None]:
    """Make sure that `out` can be written, and hold nothing that would be lost.

    A folder made for nothing, because the input was at fault, is removed again; so is a temporary
    one.
    """
    if out.exists() and not out.is_dir():
        raise UserError(
            f"'{out}' is a file",
            expected="a folder to write the run to",
            do="give another `out`",
        )
    refuse_finished(out, overwrite)
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        yield
    finally:
        if temporary:
            shutil.rmtree(out, ignore_errors=True)
        elif not (out / "checkpoints").exists():  # nothing to resume
            (out / "fit.json").unlink(missing_ok=True)
            if is_new and not any(out.iterdir()):
                out.rmdir()


def resumed(
    out: Path, request: Mapping[str, Any], budget: float | None, overwrite: bool
) -> list[Member] | None:
    """The members of an interrupted fit of this request by this budget; None if there is none.

    A plan measures as it goes, so that it would not come out the same a second time.

    Raises:
        UserError: the fit interrupted there is of something else, and not to be replaced.
    """
    kept = _interrupted(out, request)
    if kept is None and not overwrite and (out / "fit.json").exists():
        raise UserError(
            f"'{out}' holds an interrupted fit of something else",
            expected="the same data and settings, to resume it",
            do="give another `out`, or `overwrite` to start anew there",
        )
    if kept is None or kept["budget"] != budget:
        return None
    return [Member.model_validate(member) for member in kept["members"]]


def mark(
    out: Path,
    request: Mapping[str, Any],
    budget: float | None,
    members: Sequence[Member],
    overwrite: bool,
) -> None:
    """Mark the folder with what is fitted there; keep what an interrupted fit of it has done.

    By another budget, networks start anew, whose steps the budget decides; experts need what they
    need.
    """
    kept = _interrupted(out, request)
    if kept is None and overwrite:
        _clear(out, keep=request["code"])
    elif kept is not None and kept["budget"] != budget:
        for plan in list((out / "checkpoints").rglob("plan.json")):
            shutil.rmtree(plan.parent)
    described = [member.model_dump() for member in members]
    fitted = {"request": request, "budget": budget, "members": described}
    write_json(out / "fit.json", fitted)


def checkpoints(out: Path, member: Member) -> Path:
    """Where a member's checkpoints lie: the same for the same description, and for no other."""
    described = json.dumps(member.model_dump(), sort_keys=True).encode()
    return out / "checkpoints" / hashlib.blake2b(described, digest_size=8).hexdigest()


def unmark(out: Path) -> None:
    """The run is saved: what only a resume needs goes."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    (out / "fit.json").unlink(missing_ok=True)


def _interrupted(out: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `mark` wrote for this request, if that fit was not finished."""
    path = out / "fit.json"
    if not path.exists() or (out / "run.json").exists():
        return None
    kept: dict[str, Any] = read_json(path)
    return kept if kept["request"] == json.loads(json.dumps(request)) else None


def _clear(out: Path, keep: Collection[str]) -> None:
    """Remove a run or an interrupted fit, and nothing else that lies beside it.

    Args:
        keep: files of components that the next fit needs, which may be the run's own.
    """
    # First what makes it a run: an error on the way leaves none that is half old.
    own = ["run.json", "fit.json", "check.json", "recipe.yaml", "model.safetensors"]
    try:
        for name in own:
            (out / name).unlink(missing_ok=True)
        for folder in (out / "checkpoints", out / "logs", *out.glob("pretrained-*")):
            if folder.exists():
                shutil.rmtree(folder)
        brought.clear(out, keep)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> UserError:
    return UserError(
        f"The folder '{out}' cannot be written",
        expected="a folder that can be made and written to, on a disk with room",
        got=error.strerror or str(error),
        do="give another `out`",
    )
