"""The list of stages, the branches that each works on, and functions that open and check them.

Stages are imported when they are opened, so that pruning needs no model and no tensor library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairaug.config import Settings
from pairaug.pair import Branch
from pairaug.stage import RunContext, Stage

if TYPE_CHECKING:
    from pairaug.readers import Reader

STAGES = ("read", "rewrite", "generate", "edit", "score", "prune")
"""Stages that write parts, in order; each reads the parts of the stage before."""

AFTER_PARTS = ("export", "summary")
"""Steps that are made from all parts of `prune`."""

MODEL_STAGES = ("generate", "edit", "score")
"""Stages whose results depend on the device and on model weights."""

GENERATOR_STAGES = ("generate", "edit")
"""Stages that use a latent diffusion model."""

_WORK = {
    "read": (Branch.REAL,),
    "rewrite": (Branch.REAL,),
    "generate": (Branch.INTER,),
    "edit": (Branch.INTRA,),
    "score": tuple(Branch),
    "prune": (Branch.INTER, Branch.INTRA),
}


def is_work(stage: str, branch: Branch) -> bool:
    """True if a stage works on pairs of this branch; it passes others through."""
    return branch in _WORK[stage]


def open_source(settings: Settings, context: RunContext) -> Reader:
    """The reader of the real pairs."""
    from pairaug.readers import open_reader

    return open_reader(settings.read, context)


def open_stage(stage: str, settings: Settings, context: RunContext) -> Stage:
    """A stage that works part by part; its models are loaded at first use."""
    match stage:
        case "rewrite":
            from pairaug.rewrite import Rewrite

            return Rewrite(settings.rewrite, context)
        case "generate":
            from pairaug.generate import Generate

            return Generate(settings.generate, context)
        case "edit":
            from pairaug.edit import Edit

            return Edit(settings.edit, context)
        case "score":
            from pairaug.score import Score

            return Score(settings.score, context)
        case _:
            raise ValueError(f"{stage} is not a stage that works part by part")


def check_installed(settings: Settings) -> None:
    """Raises `MissingExtraError` if the export needs a library that is not installed."""
    from pairaug.export import check_installed as check_export

    check_export(settings.export)


def check_allowed(settings: Settings) -> None:
    """Raises `SettingsError` if the terms of the source forbid sending its reports to the backend.

    Called before anything is read.
    """
    from pairaug.rewrite.privacy import refuse_if_remote, refuse_source

    refuse_if_remote(settings.rewrite, settings.read.access)
    refuse_source(settings.rewrite, settings.read.access)


def check_server(settings: Settings) -> str:
    """A message from the language model's server, before any text is sent; empty without a server.

    Raises if the server cannot be reached, rejects the key, or may not receive this source's text.
    """
    from pairaug.rewrite.settings import SERVERS

    check_allowed(settings)
    if settings.rewrite.backend not in SERVERS:
        return ""
    from pairaug.rewrite.reachable import look

    return look(settings.rewrite)


def check_models(stage: str, settings: Settings) -> None:
    """Raises `ModelError` unless every model of a stage is complete. Most checks load no weights.

    Loading the model raises the same error, but possibly hours later.
    """
    match stage:
        case "rewrite" if settings.rewrite.backend == "transformers":
            from pairaug.rewrite.causal_model import check_language_model, language_model_folder

            own = settings.rewrite.transformers
            check_language_model(language_model_folder(str(own.model), own.revision))
        case "generate" | "edit":
            from pairaug.candidates.generator import generator_folder
            from pairaug.diffusion.checks import check_generator

            chosen = getattr(settings, stage)
            check_generator(generator_folder(chosen), chosen.allow_pickle)
            if chosen.chooses:
                _check_scorer(chosen.accept)
        case "score":
            for scorer in (settings.score, settings.score.audit):
                if scorer is not None:
                    _check_scorer(scorer)
        case _:
            pass


def _check_scorer(settings: Any) -> None:
    from pairaug.clip.encoders import check_scorer
    from pairaug.clip.folder import scorer_folder

    folder = scorer_folder(settings.model, settings.revision, settings.allow_pickle)
    check_scorer(folder, settings.allow_pickle)


def weights_of(stage: str, settings: Settings) -> dict[str, str]:
    """Model → SHA-256 of its weights, for every model that a stage uses.

    Raises `ModelError` if one is missing.
    """
    match stage:
        case "rewrite":
            from pairaug.rewrite import Rewrite

            return Rewrite.weights(settings.rewrite)
        case "generate":
            from pairaug.generate import Generate

            return Generate.weights(settings.generate)
        case "edit":
            from pairaug.edit import Edit

            return Edit.weights(settings.edit)
        case "score":
            from pairaug.score import Score

            return Score.weights(settings.score)
        case _:
            return {}


def phantom_model(stage: str, settings: Settings) -> str | None:
    """The stage's model if it was trained on phantoms only, else None."""
    if stage not in MODEL_STAGES:
        return None
    from pairaug.hub.provenance import saw_phantoms_only

    if stage == "score":
        from pairaug.score.settings import folder_of

        model, folder = settings.score.model, folder_of(settings.score)
    else:
        from pairaug.candidates.generator import generator_folder

        own = settings.generate if stage == "generate" else settings.edit
        model, folder = own.model, generator_folder(own)
    return model if saw_phantoms_only(folder) else None
