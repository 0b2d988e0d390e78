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
    """Settings with a server's address; none of them may contain a key."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _holds_no_key(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str | Path):
            refuse_key(str(value), str(info.field_name))
        return value


class WorkedExample(StageSettings):
    """A worked example, sent to the language model before the report."""

    branch: Literal["inter", "intra"] = Field(
        description="Branch of the instruction it belongs to."
    )
    report: str = Field(min_length=1, description="Source report of the example.")
    answer: str = Field(min_length=1, description="Expected rewrite.")

    @model_validator(mode="after")
    def _has_no_marks(self) -> WorkedExample:
        if DE_IDENTIFIED.search(self.report) or DE_IDENTIFIED.search(self.answer):
            raise ValueError("an example contains a de-identification mark; remove it")
        return self


class AzureSettings(ServerSettings):
    """An Azure OpenAI deployment; set `rewrite.model` too, for prices and traces."""

    endpoint: str | None = Field(
        default=None,
        description="Endpoint without a path, for example https://NAME.openai.azure.com.",
    )
    deployment: str | None = Field(default=None, description="Name of the deployment.")
    api_version: str = Field(default="2024-10-21", description="API version.")
    token_env: str = Field(
        default="AZURE_OPENAI_AD_TOKEN",
        description="Environment variable with an Entra token, used instead of a key.",
    )
    token_file: Path | None = Field(
        default=None,
        description="File with an Entra token, read at every request, so that another program "
        "can renew the token during a long run.",
    )


class TransformersSettings(StageSettings):
    """A causal language model with a chat template, run in this process."""

    model: str | None = Field(default=None, description="Hub id or folder of the model.")
    revision: str | None = Field(default=None, description="Revision of a hub model.")
    batch_size: int = Field(default=16, ge=1, description="Reports per batch.")


class BudgetSettings(StageSettings):
    """A run's budget; the run stops before exceeding it, and keeps paid answers."""

    price_input: float | None = Field(
        default=None, ge=0, description="Price of a million input tokens."
    )
    price_output: float | None = Field(
        default=None, ge=0, description="Price of a million output tokens."
    )
    currency: str = Field(default="USD", description="Currency of the prices and of `max_cost`.")
    seconds_per_answer: float = Field(
        default=2.0, gt=0, description="Seconds per answer, for the estimate of a dry run."
    )
    max_cost: float | None = Field(default=None, gt=0, description="Maximum cost of a run.")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of a run, input and output together.",
    )

    @model_validator(mode="after")
    def _has_prices(self) -> BudgetSettings:
        if self.max_cost is not None and None in (self.price_input, self.price_output):
            raise ValueError("max_cost needs price_input and price_output")
        return self


class RewriteSettings(ServerSettings):
    """Settings of rewriting; defaults are the paper's values where it states them."""

    backend: Literal["rules", "openai", "azure", "transformers", "replay"] = Field(
        default="rules",
        description="Backend that rewrites: rules (offline, private), a server with OpenAI's "
        "interface, Azure OpenAI, a transformers model in this process, or a recording.",
    )
    fallback: Literal["none", "rules"] = Field(
        default="none",
        description="Backend used if no attempt is accepted: the rules, or none, so that the pair "
        "is dropped.",
    )
    branches: tuple[Literal["inter", "intra"], ...] = Field(
        default=("inter", "intra"),
        description="Branches: inter for new patients, intra for changes in the same patient.",
    )
    variants: int = Field(
        default=1, ge=1, description="Rewrites per report and branch; 1 in the paper."
    )
    targets: Literal["free", "balanced"] = Field(
        default="free",
        description="free: the backend chooses the changes. balanced: a finding is sampled for "
        "each text, rare ones more often, and the text must state it (inter) or change it (intra).",
    )
    target_findings: tuple[str, ...] = Field(
        default=_TARGETS,
        min_length=1,
        description="Findings from which balanced targets are sampled.",
    )
    max_words: int = Field(
        default=50,
        ge=10,
        description="Most words in a rewrite. The paper states 50 but does not enforce it.",
    )
    min_words: int = Field(
        default=3,
        ge=1,
        description="Fewest words in a report, as in the paper's code; shorter ones are dropped.",
    )
    attempts: int = Field(
        default=3,
        ge=1,
        description="Attempts per text; each gets the reason why the previous answer was rejected.",
    )
    tokenizer: str | None = Field(
        default=None,
        description="Generator whose tokenizer counts each rewrite's tokens: bundled, a hub id or "
        "a folder. Rewrites longer than its window are marked in the trace.",
    )
    base_url: str = Field(
        default="http://127.0.0.1:8000/v1",
        description="Backend openai: address of the server; the default is vLLM's.",
    )
    model: str | None = Field(default=None, description="Servers: name of the model.")
    transformers: TransformersSettings = Field(
        default_factory=TransformersSettings, description="Backend transformers: the model."
    )
    azure: AzureSettings = Field(
        default_factory=AzureSettings, description="Backend azure: the deployment."
    )
    recording: Path | None = Field(
        default=None, description="Backend replay: file of answers recorded by another run."
    )
    record: Path | None = Field(
        default=None,
        description="File to which every answer is appended, for replay. It contains report text.",
    )
    api_key_env: str | None = Field(
        default=None,
        description="Environment variable with the key; the default is OPENAI_API_KEY or "
        "AZURE_OPENAI_API_KEY. Do not put the key itself into the settings.",
    )
    api_key_file: Path | None = Field(
        default=None, description="File with the key, instead of the variable."
    )
    answer_format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="Language models: json requests JSON by a schema, text the report alone, auto "
        "JSON unless the server does not support schemas. Backend transformers has no schemas.",
    )
    temperature: float = Field(
        default=0.5, ge=0, le=2, description="Sampling temperature; 0.5 in the paper."
    )
    top_p: float = Field(default=1.0, gt=0, le=1, description="Nucleus sampling; 1 in the paper.")
    max_tokens: int = Field(
        default=300, ge=1, description="Maximum number of tokens of an answer; 300 in the paper."
    )
    instructions: Path | None = Field(
        default=None,
        description="Folder with your inter.txt and intra.txt, instead of the packaged ones.",
    )
    examples: tuple[WorkedExample, ...] = Field(
        default=(), description="Worked examples, sent to the language model before the report."
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="Servers: timeout of one answer."
    )
    retries: int = Field(
        default=5,
        ge=0,
        description="Servers: retries after status 429, 5xx, timeouts and incomplete answers.",
    )
    concurrency: int = Field(default=8, ge=1, description="Servers: requests in flight at once.")
    cache: Path | None = Field(
        default=None,
        description="Language models: file that caches answers. Default: pairaug/answers.sqlite in "
        "the user's cache folder (XDG_CACHE_HOME) for public sources, answers.sqlite in the run's "
        "folder for all others.",
    )
    budget: BudgetSettings = Field(
        default_factory=BudgetSettings, description="Servers: prices and budget."
    )
    audit: Path | None = Field(
        default=None,
        description="Servers: file that logs times, hosts and numbers of reports sent, without any "
        "text; by default audit.jsonl in the run's folder.",
    )
    allow_remote: bool = Field(
        default=False,
        description="Servers: allow report text to leave this machine; set data_policy too.",
    )
    local_hosts: tuple[str, ...] = Field(
        default=("localhost", "127.0.0.0/8", "::1"),
        description="Servers that count as local: addresses, networks or names of this machine or "
        "of a private network. Names are resolved before anything is sent, and must have such an "
        "address.",
    )
    data_policy: Literal["public", "zero-retention", "credentialed"] | None = Field(
        default=None,
        description="Servers: terms under which text may leave this machine: the reports are "
        "public, or the server keeps nothing (zero-retention). Credentialed data never leaves.",
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
            raise ValueError("rewrite.branches contains a duplicate")
        unknown = sorted(set(self.target_findings) - set(_TARGETS))
        if unknown:
            raise ValueError(
                f"rewrite.target_findings names {unknown[0]!r}; "
                f"the names are: {', '.join(_TARGETS)}"
            )
        return self
