"""Opens the backend in the settings, and keeps models and indices for the next part."""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairaug.errors import MissingExtraError
from pairaug.rewrite.backends import Backend
from pairaug.rewrite.cache import default_cache_path
from pairaug.rewrite.privacy import refuse_if_remote
from pairaug.rewrite.rules import RulesBackend
from pairaug.rewrite.settings import CHAT_MODELS, SERVERS, RewriteSettings
from pairaug.rewrite.templates import instructions_of
from pairaug.stage import RunContext

if TYPE_CHECKING:
    from pairaug.rewrite.causal_model import CausalModel
    from pairaug.rewrite.known import KnownServer
    from pairaug.rewrite.replay import Recording


def check_backend(settings: RewriteSettings) -> None:
    """Raises if the backend cannot be opened, as far as can be checked without opening it."""
    if settings.backend in CHAT_MODELS:
        instructions_of(settings)
    if settings.backend in SERVERS:
        refuse_if_remote(settings)
        if find_spec("openai") is None:
            what = f"rewriting with backend {settings.backend}"
            raise MissingExtraError(what, "openai", "llm")


def hashes_of(settings: RewriteSettings) -> dict[str, str]:
    """Name → hash of the instructions, weights or recording that determine answers."""
    hashes: dict[str, str] = {}
    if settings.backend in CHAT_MODELS:
        instructions = instructions_of(settings)
        for branch in ("inter", "intra"):
            hashes[f"instructions/{branch}"] = instructions.sha256(branch)
    if settings.backend == "transformers":
        from pairaug.rewrite.causal_model import language_model_folder, weights_sha256

        own = settings.transformers
        assert own.model is not None
        folder = language_model_folder(own.model, own.revision)
        hashes[own.model] = weights_sha256(folder)
    if settings.backend == "replay":
        from pairaug.rewrite.replay import Recording

        assert settings.recording is not None
        hashes["recording"] = Recording(settings.recording).sha256
    if settings.tokenizer is not None:
        from pairaug.rewrite.window import tokenizer_sha256

        hashes[f"tokenizer of {settings.tokenizer}"] = tokenizer_sha256(settings.tokenizer)
    return hashes


class Opener:
    """Opens the backend again for each part, with the models and indices of the previous one."""

    def __init__(self, settings: RewriteSettings, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._loaded: tuple[CausalModel, str] | None = None
        self._recording: Recording | None = None
        self._known: KnownServer | None = None
        self._access = ""

    def open(self, access: str = "") -> Backend:
        """The backend for reports under a source's terms of access; the caller closes it."""
        self._access = access
        match self._settings.backend:
            case "rules":
                return RulesBackend()
            case "replay":
                return self._replay()
            case "transformers":
                return self._chat(self._local_model())
            case _:
                from pairaug.rewrite.openai_backend import Server

                return self._chat(Server(self._settings))

    def _replay(self) -> Backend:
        from pairaug.rewrite.replay import Recording, Replay

        if self._recording is None:
            assert self._settings.recording is not None
            self._recording = Recording(self._settings.recording)
        return Replay(self._recording, self._settings.target_findings)

    def _local_model(self) -> Any:
        from pairaug.rewrite.causal_model import (
            CausalModel,
            language_model_folder,
            weights_sha256,
        )
        from pairaug.rewrite.local_model import LocalModel

        own = self._settings.transformers
        assert own.model is not None
        if self._loaded is None:
            folder = language_model_folder(own.model, own.revision)
            model = CausalModel(folder, self._context.device, self._context.dtype)
            self._loaded = model, weights_sha256(folder)
        model, sha256_of_weights = self._loaded
        return LocalModel(model, own.model, sha256_of_weights, own.batch_size)

    def _chat(self, model: Any) -> Backend:
        from pairaug.rewrite.chat import ChatBackend, Kept
        from pairaug.rewrite.known import KnownServer

        self._known = self._known or KnownServer()
        kept = Kept(self._run_name(), self._audit_path(), self._cache_path())
        return ChatBackend(self._settings, model, kept, self._known)

    def _cache_path(self) -> Path | None:
        """The file of answers: in the run's folder if the text is not public.

        None without a run's folder, unless the settings name a file.
        """
        if self._settings.cache is not None:
            return self._settings.cache
        if self._access in ("", "public"):
            return default_cache_path()
        folder = self._context.folder
        return folder / "answers.sqlite" if folder else None

    def _run_name(self) -> str:
        """The name under which spending is recorded: the run's folder, or a hash of settings."""
        folder = self._context.folder
        if folder is not None:
            return str(folder.absolute())
        text = f"{self._context.seed}\0{self._settings.model_dump_json(exclude={'budget'})}"
        return sha256(text.encode()).hexdigest()

    def _audit_path(self) -> Path | None:
        folder = self._context.folder
        return self._settings.audit or (folder / "audit.jsonl" if folder else None)
