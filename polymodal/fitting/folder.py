"""The folder of a fit: claimed, marked with what is fitted in it, resumed, cleared.

fit.json                the request, its budget and the members planned, until the fit is done
checkpoints/<member>/   what is done of a member, by a digest of its part of the recipe
run.json and the rest   the finished run (`run/saved.py`)

Only what fit.json or run.json claim is ever replaced or removed; a folder with anything else in it
and neither of them is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polymodal.base import brought, sealed
from polymodal.base.claims import LOCK, holds, locked
from polymodal.base.errors import UserError
from polymodal.base.files import read_json
from polymodal.contract.recipe import Member

# What a run's folder may hold; of a folder the names of what is ours in it.
FILES = ("run.json", "fit.json", "check.json", "recipe.yaml", "model.safetensors")
FOLDERS = {
    "checkpoints": re.compile(r"[0-9a-f]{16}"),
    "logs": re.compile(r".*", re.DOTALL),
    brought.FOLDER: brought.COPY,
}
BACKBONE = re.compile(r"pretrained-[0-9a-f]{12}")
FIT, RUN = {"request", "budget", "members"}, {"format", "schema", "forms", "members", "weights"}


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
    except OSError as error:
        raise _unwritable(out, error) from error
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(out))
        except OSError as error:
            raise _unwritable(out, error) from error
        stack.enter_context(_left(out, is_new, temporary))
        refuse_finished(out, overwrite)
        refuse_others(out)
        yield


@contextmanager
def _left(out: Path, is_new: bool, temporary: bool) -> Iterator[None]:
    """Afterwards nothing is left that a fit made for nothing."""
    try:
        yield
    finally:
        if temporary:
            shutil.rmtree(out, ignore_errors=True)
        elif not (out / "checkpoints").exists():  # nothing to resume
            if holds(out / "fit.json", FIT):
                (out / "fit.json").unlink(missing_ok=True)
            if is_new and {path.name for path in out.iterdir()} <= {LOCK}:
                (out / LOCK).unlink(missing_ok=True)
                out.rmdir()


def refuse_others(out: Path) -> None:
    """UserError if a folder holds files that polymodal did not make, where a fit would write."""
    claims = _claims(out)
    there = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    if claims is not None:
        mine = (name for name in there if name in {*FILES, *FOLDERS} or BACKBONE.fullmatch(name))
        there = [name for name in mine if name not in claims]
    if there:
        more = f" and {len(there) - 5:,} more" if len(there) > 5 else ""
        raise UserError(
            f"'{out}' holds files that polymodal did not make",
            expected="a new or empty folder, or that of a run",
            got=", ".join(there[:5]) + more,
            do="give another `out`, such as a folder inside this one",
        )


def _claims(out: Path) -> set[str] | None:
    """What in a folder an interrupted fit or a run says is its own; None if there is neither."""
    found: set[str] = set()
    if holds(out / "fit.json", FIT):
        # It was empty of these names, or they were a run's, when that fit began.
        found |= {*FILES, *FOLDERS, *(p.name for p in out.glob("pretrained-*"))}
    if holds(out / "run.json", RUN):
        described = read_json(out / "run.json")
        named = [*(described.get("files") or ()), *(described.get("claims") or ())]
        found |= {"run.json", *(str(name).partition("/")[0] for name in named)}
        if "files" not in described:  # as the versions before 0.2 wrote it
            found |= {*FILES, "logs", brought.FOLDER, *(p.name for p in out.glob("pretrained-*"))}
            found -= {"fit.json"}
    return found or None


def resumed(
    out: Path, request: Mapping[str, Any], budget: float | None, overwrite: bool
) -> list[Member] | None:
    """The members of an interrupted fit of this request by this budget; None if there is none.

    A plan measures as it goes, so that it would not come out the same a second time.

    Raises:
        UserError: the fit interrupted there is of something else, and not to be replaced.
    """
    try:
        kept = _interrupted(out, request)
    except UserError:
        if not overwrite:
            raise
        return None  # What cannot be read is replaced, as it was asked.
    if kept is None and not overwrite and (out / "fit.json").exists():
        raise UserError(
            f"'{out}' holds an interrupted fit of something else",
            expected="the same data and settings, to resume it",
            do="give another `out`, or `overwrite` to start anew there",
        )
    if kept is None or kept["budget"] != budget:
        return None
    return [Member.model_validate(member) for member in kept["members"]]


def spent(out: Path, request: Mapping[str, Any], budget: float | None) -> float:
    """Seconds of this budget that an interrupted fit of this request has taken."""
    kept = _interrupted(out, request)
    return float(kept.get("spent", 0.0)) if kept is not None and kept["budget"] == budget else 0.0


def spend(out: Path, seconds: float) -> None:
    """Note what the fit that is marked here has taken so far, for one that goes on with it."""
    path = out / "fit.json"
    if path.exists():
        with contextlib.suppress(UserError):  # a full disk must not hide why the fit ended
            sealed.write(path, {**sealed.read(path), "spent": seconds})


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
    claims = (_claims(out) or set()) if kept is None and overwrite else set()
    if kept is not None and kept["budget"] != budget:
        for plan in list((out / "checkpoints").rglob("plan.json")):
            shutil.rmtree(plan.parent)
    described = [member.model_dump() for member in members]
    fitted = {"request": request, "budget": budget, "members": described}
    # First what claims the folder, then what makes it a run: an error on the way leaves none that
    # is half old, and nothing that is nobody's.
    sealed.write(out / "fit.json", fitted)
    _clear(out, claims - {"fit.json"}, keep=request["code"])


def checkpoints(out: Path, member: Member) -> Path:
    """Where a member's checkpoints lie: the same for the same description, and for no other."""
    described = json.dumps(member.model_dump(), sort_keys=True).encode()
    return out / "checkpoints" / hashlib.blake2b(described, digest_size=8).hexdigest()


def unmark(out: Path) -> None:
    """The run is saved: what only a resume needs goes."""
    _empty(out / "checkpoints")
    (out / "fit.json").unlink(missing_ok=True)


def _interrupted(out: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `mark` wrote for this request, if that fit was not finished."""
    path = out / "fit.json"
    if not path.exists() or (out / "run.json").exists():
        return None
    kept = sealed.read(path)
    return kept if kept["request"] == json.loads(json.dumps(request)) else None


def _clear(out: Path, claims: Collection[str], keep: Collection[str]) -> None:
    """Remove what is claimed of a run or an interrupted fit, and nothing else that lies beside it.

    Args:
        keep: files of components that the next fit needs, which may be the run's own.
    """
    try:
        for name in FILES:
            if name in claims:
                (out / name).unlink(missing_ok=True)
        for name in claims:
            if name in FOLDERS and name != brought.FOLDER:
                _empty(out / name)
            elif BACKBONE.fullmatch(name) and not (out / name).is_symlink():
                shutil.rmtree(out / name, ignore_errors=True)
        if brought.FOLDER in claims:
            brought.clear(out, keep)
    except OSError as error:
        raise _unwritable(out, error) from error


def _empty(folder: Path) -> None:
    """Remove what is ours in a folder of FOLDERS, and the folder if nothing else is in it."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for inner in folder.iterdir():
        if not FOLDERS[folder.name].fullmatch(inner.name):
            continue
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner, ignore_errors=True)
        else:
            inner.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _unwritable(out: Path, error: OSError) -> UserError:
    return UserError(
        f"The folder '{out}' cannot be written",
        expected="a folder that can be made and written to, on a disk with room",
        got=error.strerror or str(error),
        do="give another `out`",
    )
