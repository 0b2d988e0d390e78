"""The settings of `rewrite`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pairaug.findings import FINDINGS
from pairaug.rewrite.cleaning_patterns import DE_IDENTIFIED
from pairaug.rewrite.keys import refuse_key
from pairaug.settings import StageSettings

SERVERS = ("openai", "azure")
"""Backends that send report text to a server."""

CHAT_MODELS = (*SERVERS, "transformers")
"""Backends that follow an instruction."""

_TARGETS = tuple(finding for finding in FINDINGS if finding != "no finding")


class ServerSettings(StageSettings):
    """Settings that say where a server is; none of them may hold a key."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _holds_no_key(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str | Path):
            refuse_key(str(value), str(info.field_name))
        return value


class WorkedExample(StageSettings):
    """A worked example that the language model is shown before the report."""

    branch: Literal["inter", "intra"] = Field(description="Which instruction it belongs to.")
    report: str = Field(min_length=1, description="A report, as it would be given.")
    answer: str = Field(min_length=1, description="The rewrite that is wanted of it.")

    @model_validator(mode="after")
    def _has_no_marks(self) -> WorkedExample:
        if DE_IDENTIFIED.search(self.report) or DE_IDENTIFIED.search(self.answer):
            raise ValueError("an example holds a de-identification mark; take it out")
        return self


class AzureSettings(ServerSettings):
    """Where an Azure OpenAI deployment is; the model is `rewrite.model`, for prices and traces."""

    endpoint: str | None = Field(
        default=None, description="Such as https://NAME.openai.azure.com, without a path."
    )
    deployment: str | None = Field(default=None, description="The deployment's name.")
    api_version: str = Field(default="2024-10-21", description="The version of Azure's interface.")
    token_env: str = Field(
        default="AZURE_OPENAI_AD_TOKEN",
        description="The environment variable that holds an Entra token, used in place of a key.",
    )
    token_file: Path | None = Field(
        default=None,
        description="A file that holds an Entra token. It is read for every request, so that "
        "another program can renew the token during a long run.",
    )


class TransformersSettings(StageSettings):
    """A causal language model with a chat template, run in this process."""

    model: str | None = Field(default=None, description="A hub id or a folder.")
    revision: str | None = Field(default=None, description="The revision of a model from the hub.")
    batch_size: int = Field(default=16, ge=1, description="Reports that are answered together.")


class BudgetSettings(StageSettings):
    """What a run may spend; it stops before it would spend more, and keeps what is paid for."""

    price_input: float | None = Field(
        default=None, ge=0, description="What a million tokens of instruction and report cost."
    )
    price_output: float | None = Field(
        default=None, ge=0, description="What a million tokens of answer cost."
    )
    currency: str = Field(default="USD", description="The currency of prices and of `max_cost`.")
    seconds_per_answer: float = Field(
        default=2.0, gt=0, description="What an answer takes, for the estimate of a dry run."
    )
    max_cost: float | None = Field(default=None, gt=0, description="The most a run may cost.")
    max_tokens: int | None = Field(
        default=None, ge=1, description="The most tokens a run may use, in and out together."
    )

    @model_validator(mode="after")
    def _has_prices(self) -> BudgetSettings:
        if self.max_cost is not None and None in (self.price_input, self.price_output):
            raise ValueError("max_cost needs price_input and price_output")
        return self


class RewriteSettings(ServerSettings):
    """How reports are rewritten; defaults are the paper's where it gives one."""

    backend: Literal["rules", "openai", "azure", "transformers", "replay"] = Field(
        default="rules",
        description="What rewrites: rules (offline, private), a server with OpenAI's interface, "
        "Azure OpenAI, a model of transformers in this process, or a recording.",
    )
    fallback: Literal["none", "rules"] = Field(
        default="none",
        description="What rewrites where no attempt was accepted: nothing, so that the pair is "
        "dropped, or the rules.",
    )
    branches: tuple[Literal["inter", "intra"], ...] = Field(
        default=("inter", "intra"),
        description="inter: new patients. intra: the same patient, changed.",
    )
    variants: int = Field(
        default=1, ge=1, description="Texts per report and branch; the paper's is 1."
    )
    targets: Literal["free", "balanced"] = Field(
        default="free",
        description="free: what changes is up to who rewrites. balanced: a finding is sampled for "
        "each text, rare ones more often, and the text must state it (inter) or change it (intra).",
    )
    target_findings: tuple[str, ...] = Field(
        default=_TARGETS,
        min_length=1,
        description="The findings that balanced targets are sampled from.",
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
        default=3,
        ge=1,
        description="Candidates per text, each told what was wrong with the one before.",
    )
    tokenizer: str | None = Field(
        default=None,
        description="The generator whose tokenizer counts each rewrite's tokens: bundled, a hub "
        "id or a folder. What exceeds its window is marked in the trace.",
    )
    base_url: str = Field(
        default="http://127.0.0.1:8000/v1",
        description="openai: where the server is; the default is vLLM's.",
    )
    model: str | None = Field(default=None, description="Servers: the model's name.")
    transformers: TransformersSettings = Field(
        default_factory=TransformersSettings, description="transformers: which model."
    )
    azure: AzureSettings = Field(
        default_factory=AzureSettings, description="azure: where the deployment is."
    )
    recording: Path | None = Field(
        default=None, description="replay: the file of answers that another run recorded."
    )
    record: Path | None = Field(
        default=None,
        description="A file to which every answer is added, for replay. It holds report text.",
    )
    api_key_env: str | None = Field(
        default=None,
        description="The environment variable that holds the key; without it, OPENAI_API_KEY or "
        "AZURE_OPENAI_API_KEY. Keys are never settings.",
    )
    api_key_file: Path | None = Field(
        default=None, description="A file that holds the key, in place of the variable."
    )
    answer_format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="Language models: json asks for JSON by a schema, text for the report alone, "
        "auto for JSON unless the server refuses schemas. In process there are no schemas.",
    )
    temperature: float = Field(default=0.5, ge=0, le=2, description="The paper's 0.5.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="The paper's 1.")
    max_tokens: int = Field(default=300, ge=1, description="Longest answer; the paper's 300.")
    instructions: Path | None = Field(
        default=None,
        description="A folder with inter.txt and intra.txt in place of the packaged ones.",
    )
    examples: tuple[WorkedExample, ...] = Field(
        default=(), description="Worked examples that the language model is shown."
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="Servers: longest wait for one answer."
    )
    retries: int = Field(
        default=5,
        ge=0,
        description="Servers: repeats of a request after 429, 5xx, timeouts and broken answers.",
    )
    concurrency: int = Field(default=8, ge=1, description="Servers: requests in flight at once.")
    cache: Path | None = Field(
        default=None,
        description="Language models: file of answers that are already paid for. By default, "
        "pairaug/answers.sqlite in the user's cache folder (XDG_CACHE_HOME) for public sources, "
        "answers.sqlite in the run's folder for all others.",
    )
    budget: BudgetSettings = Field(
        default_factory=BudgetSettings, description="Servers: prices, and the most to spend."
    )
    audit: Path | None = Field(
        default=None,
        description="Servers: file that notes when how many reports went where, and no text; by "
        "default audit.jsonl in the run's folder.",
    )
    allow_remote: bool = Field(
        default=False,
        description="Servers: let report text leave this machine; needs data_policy too.",
    )
    local_hosts: tuple[str, ...] = Field(
        default=("localhost", "127.0.0.0/8", "::1"),
        description="Servers that count as local: addresses, networks or names of the loopback "
        "interface or of a private network. A name must lead to such an address; it is looked up "
        "before anything is sent.",
    )
    data_policy: Literal["public", "zero-retention", "credentialed"] | None = Field(
        default=None,
        description="Servers: the terms under which text may leave: the reports are public, or "
        "the server keeps nothing. Credentialed data never leaves.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> RewriteSettings:
        needed = {
            "openai": {"model": self.model},
            "transformers": {"transformers.model": self.transformers.model},
            "azure": {
                "azure.endpoint": self.azure.endpoint,
                "azure.deployment": self.azure.deployment,
            },
            "replay": {"recording": self.recording},
        }
        for name, value in needed.get(self.backend, {}).items():
            if not value:
                raise ValueError(f"backend {self.backend} needs rewrite.{name}")
        if len(set(self.branches)) != len(self.branches):
            raise ValueError("rewrite.branches names a branch twice")
        unknown = sorted(set(self.target_findings) - set(_TARGETS))
        if unknown:
            raise ValueError(
                f"rewrite.target_findings names {unknown[0]!r}; "
                f"the names are: {', '.join(_TARGETS)}"
            )
        return self
