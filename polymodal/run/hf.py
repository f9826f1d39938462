"""A run as transformers has a model: `save_pretrained`, `from_pretrained`, `push_to_hub`.

The folder is a run's, which `polymodal.load` opens too, with config.json, by which Auto classes
know it, and README.md, the model card. There is no pickle in it, and no code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from polymodal.base import lookup
from polymodal.base.devices import device_of
from polymodal.base.errors import UserError
from polymodal.base.files import read_json, whole, write_text
from polymodal.contract import named
from polymodal.contract.recipe import Member
from polymodal.run.config import PolymodalConfig
from polymodal.run.digest import digest
from polymodal.run.run import Run
from polymodal.run.saved import load, save
from polymodal.run.scored import versions

CARD, METRICS = "README.md", "metrics.json"
# How Auto classes say that there is an adapter beside a model.
_ADAPTER = "_adapter_model_path"
# What of `from_pretrained` says where files come from.
HUB = ("cache_dir", "force_download", "local_files_only", "revision", "token")


class PolymodalModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A run, in the interface of a model of transformers.

    It answers as `run` does, which it holds; `forward` takes rows, not tensors.

    Args:
        config: as `described` makes it of the run.
        run: the trained models.
    """

    config_class = PolymodalConfig
    config: PolymodalConfig
    main_input_name = "rows"

    def __init__(self, config: PolymodalConfig, run: Run | None = None) -> None:
        if run is None:
            raise UserError(
                "A run cannot be built of its configuration alone",
                expected="trained models, whose number and parts a fit has chosen",
                do="use from_pretrained with its folder, or PolymodalModel.from_run",
            )
        super().__init__(config)
        self.run = run
        self.members = nn.ModuleList(one.module for one in run.members.values())
        self.train(False)

    @classmethod
    def from_run(cls, run: Run) -> PolymodalModel:
        """A run that was loaded or fitted here."""
        return cls(described(run), run)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: PolymodalConfig | None = None,
        subfolder: str = "",
        trust_remote_code: bool | None = None,
        adapter_kwargs: Mapping[str, Any] | None = None,
        **hub: Any,
    ) -> PolymodalModel:
        """A run in a folder or on the hub: one saved here, or any other run's folder.

        Args:
            trust_remote_code, adapter_kwargs: are given by Auto classes; no run needs them.
            hub: where files come from: `revision`, `token`, `cache_dir`, `local_files_only`,
                `force_download`.

        Raises:
            UserError: it is no run, is damaged, or brings code of its own; or an option that only
                other models have.
        """
        others = {name: value for name, value in hub.items() if name not in HUB}
        if others or _ADAPTER in (adapter_kwargs or {}):
            raise UserError(
                "A run is loaded as it was validated",
                expected=f"no options but subfolder, {', '.join(HUB)}",
                got=", ".join(others) or "an adapter of its weights",
                do="leave them out; a model is moved with `.to(device)`",
            )
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            given = {name: value for name, value in hub.items() if value is not None}
            try:
                folder = Path(snapshot_download(str(folder), **given))
            # The hub's errors (not found, no access, offline, not an id) are kinds of these two.
            except (OSError, ValueError) as error:
                raise UserError(
                    f"There is no folder '{folder}', and no such run could be had from the hub",
                    expected="the folder of a run, or its name on the hub",
                    got=str(error).strip().split("\n")[0],
                    do="check the spelling; offline, give a folder",
                ) from error
        run = load(folder / subfolder)
        return cls(config or described(run), run)

    @property
    def device(self) -> torch.device:
        """Of its first model; what a solver has fitted has buffers alone."""
        return device_of(self.members[0])

    @property
    def dtype(self) -> torch.dtype:
        """What it is computed in."""
        return torch.float32

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        # What `.to`, `.half` and their like all come to.
        made = fn(torch.zeros(1)).dtype
        if made != self.dtype:
            raise UserError(
                "A run answers as it was validated, in float32",
                expected="another device at most: `.to(device)`",
                got=str(made).removeprefix("torch."),
            )
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def forward(self, rows: Any, **options: Any) -> dict[str, Any]:
        """Predictions of rows, as `Run.predict` takes and gives them."""
        found: dict[str, Any] = self.run.predict(rows, **options)
        return found

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        *,
        metrics: str | Path | None = None,
        license: str | None = None,
    ) -> None:
        """Write the run with its configuration and its card.

        Args:
            save_directory: new, or empty.
            metrics: what `evaluate` wrote of it, metrics.json or the folder around it: the card
                shows its figures.
            license: of these weights, as the hub calls it, such as "apache-2.0".

        Raises:
            UserError: the folder holds something, the run brings code of its own, or the metrics
                are another run's.
        """
        folder = Path(save_directory)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(
                f"'{folder}' is there already",
                expected="a new or empty folder",
                do="give another, or remove it first",
            )
        _refuse_code(self.run)
        measured = None if metrics is None else _measured(self.run, Path(metrics))
        run = _abroad(self.run)
        card = lookup.find("report", "card")(run, measured, license).text()
        with whole(folder) as temporary:
            temporary.mkdir()
            save(run, temporary)
            self.config.save_pretrained(temporary)
            write_text(temporary / CARD, card)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        metrics: str | Path | None = None,
        license: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload a Polymodal run",
    ) -> str:
        """Save it on the hub, with its card, in a repository that is made where there is none.

        Args:
            metrics, license: as of `save_pretrained`.
            private, token, revision, create_pr, commit_message: as the hub's own upload has them.

        Returns:
            The commit's address.
        """
        from huggingface_hub import HfApi

        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "run"
            self.save_pretrained(folder, metrics=metrics, license=license)
            hub = HfApi(token=token)
            repo = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if revision is not None and not create_pr:
                hub.create_branch(repo, branch=revision, exist_ok=True)
            done = hub.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message=commit_message,
                revision=revision,
                create_pr=create_pr,
            )
        return str(done.commit_url)


def described(run: Run) -> PolymodalConfig:
    """What of a run its config.json tells."""
    schema = run.schema
    facts: dict[str, Any] = {
        "architectures": [PolymodalModel.__name__],
        "inputs": {column.name: column.kind for column in schema.inputs},
        "targets": {name: lookup.name_of(type(task)) for name, task in run.tasks.items()},
        "models": list(run.members),
        "parameters": sum(one.module.numbers() for one in run.members.values()),
        "polymodal_version": versions()["polymodal"],
    }
    return PolymodalConfig(**facts)


def register() -> None:
    """Let AutoModel open what PolymodalConfig describes."""
    from transformers import AutoModel

    AutoModel.register(PolymodalConfig, PolymodalModel, exist_ok=True)


def _short(path: str | None) -> str | None:
    """A path without the folders that it lies in; what is none as it is."""
    return PurePath(path).name if path is not None and PurePath(path).is_absolute() else path


def _abroad(run: Run) -> Run:
    """A copy that does not tell where tables, parents and models lie on this machine, nor what
    stands in cells that no model reads.

    The run itself stays at home where it is.
    """

    def shortened(member: Member) -> Member:
        read = {
            name: one.model_copy(update={"pretrained": _short(one.pretrained)})
            for name, one in member.modalities.items()
        }
        return member.model_copy(update={"modalities": read})

    recipe, origin = run.recipe, dict(run.origin)
    update: dict[str, Any] = {"train": _short(recipe.train), "valid": _short(recipe.valid)}
    update["models"] = [shortened(member) for member in recipe.models or []] or None
    if recipe.parent is not None:
        update["parent"] = recipe.parent.model_copy(update={"run": _short(recipe.parent.run)})
    if "source" in origin:
        origin["source"] = _short(origin["source"])
    if "parent" in origin:
        origin["parent"] = {**origin["parent"], "run": _short(origin["parent"]["run"])}
    origin["pretrained"] = [
        {**one, "name": _short(one["name"])} for one in origin.get("pretrained", ())
    ]
    members = {
        name: replace(one, spec=shortened(one.spec)) for name, one in run.pipeline.members.items()
    }
    pipeline = replace(run.pipeline, members=members, schema=run.schema.discreet())
    return replace(run, pipeline=pipeline, recipe=recipe.model_copy(update=update), origin=origin)


def _refuse_code(run: Run) -> None:
    names = [lookup.name_of(type(one)) for one in (*run.forms, *run.tasks.values())]
    names += [n for one in run.members.values() for n in named.names(one.spec.model_dump())]
    names += named.names(run.recipe.model_dump())
    own = [name for name in names if lookup.own(name) is not None]
    if own:
        raise UserError(
            "The run brings Python code of its own, which no model of transformers' may need",
            expected="built-in components only",
            got=", ".join(dict.fromkeys(own)),
            do="hand its own folder on: who trusts the code loads that with `trust`",
        )


def _measured(run: Run, path: Path) -> dict[str, Any]:
    """What `evaluate` wrote; UserError if it is of another run."""
    found = read_json(path / METRICS if path.is_dir() else path)
    try:
        same = found["origin"]["digest"] == digest(run) and set(found["targets"]) == set(run.tasks)
        same = same and found["rows"] >= 0
    except (KeyError, TypeError):
        same = False
    if not same:
        raise UserError(
            f"'{path}' is no evaluation of this run",
            expected=f"the {METRICS} that `evaluate` wrote of {run.folder or 'it'}",
            do="evaluate this run, or leave `metrics` out",
        )
    return dict(found)
