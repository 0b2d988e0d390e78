"""The settings of `rewrite`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pairaug.settings import StageSettings


class RewriteSettings(StageSettings):
    """How reports are rewritten; defaults are the paper's where it gives one."""

    backend: Literal["rules", "openai"] = Field(
        default="rules",
        description="What rewrites: rules (offline, private), or a server with OpenAI's interface.",
    )
    branches: tuple[Literal["inter", "intra"], ...] = Field(
        default=("inter", "intra"),
        description="inter: new patients. intra: the same patient, changed.",
    )
    variants: int = Field(
        default=1, ge=1, description="Texts per report and branch; the paper's is 1."
    )
    max_words: int = Field(
        default=50,
        ge=10,
        description="Word limit of a rewrite. The paper states 50 and does not enforce it.",
    )
    min_words: int = Field(
        default=3, ge=1, description="Shorter reports are dropped, as in the paper's code."
    )
    attempts: int = Field(
        default=3, ge=1, description="Tries per text, each told what was wrong with the one before."
    )
    base_url: str = Field(
        default="http://127.0.0.1:8000/v1",
        description="openai: where the server is; the default is vLLM's.",
    )
    model: str | None = Field(default=None, description="openai: the model's name on the server.")
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        description="openai: the environment variable that holds the key; keys are never settings.",
    )
    temperature: float = Field(default=0.5, ge=0, le=2, description="openai: the paper's 0.5.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="openai: the paper's 1.")
    max_tokens: int = Field(
        default=300, ge=1, description="openai: longest answer; the paper's 300."
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="openai: longest wait for one answer."
    )
    retries: int = Field(
        default=5,
        ge=0,
        description="openai: repeats of a request after 429, 5xx, timeouts and broken answers.",
    )
    concurrency: int = Field(default=8, ge=1, description="openai: requests in flight at once.")
    cache: Path | None = Field(
        default=None,
        description="openai: file of answers that are already paid for; by default "
        "pairaug/answers.sqlite in the user's cache folder (XDG_CACHE_HOME).",
    )
    instructions: Path | None = Field(
        default=None,
        description="openai: a folder with inter.txt and intra.txt in place of the packaged ones.",
    )
    allow_remote: bool = Field(
        default=False,
        description="openai: let report text leave this machine; needs data_policy too.",
    )
    data_policy: Literal["public", "zero-retention", "credentialed"] | None = Field(
        default=None,
        description="openai: the terms under which text may leave: the reports are public, or the "
        "server keeps nothing. Credentialed data never leaves.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> RewriteSettings:
        if self.backend == "openai" and not self.model:
            raise ValueError("backend openai needs rewrite.model, the model's name on the server")
        if len(set(self.branches)) != len(self.branches):
            raise ValueError("rewrite.branches names a branch twice")
        return self
