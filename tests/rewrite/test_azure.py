"""Azure OpenAI: its address, its key or token, and its filter, as the test server sees them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pairaug.errors import BackendError, SettingsError
from pairaug.pair import Pair
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.stage import RunContext
from support.chat import ChatServer, Reply, completion

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."


@pytest.fixture
def azure(rewrite, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch):
    for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    chat_server.answer = lambda request, number: Reply(REVERSED)
    endpoint = chat_server.url.removesuffix("/v1")

    def rewritten(pairs: list[Pair], azure: dict[str, Any] | None = None, **more: Any):
        own = {"endpoint": endpoint, "deployment": "our-model", **(azure or {})}
        return rewrite(pairs, backend="azure", azure=own, branches=["inter"], **more)

    return rewritten


def test_a_key_from_the_environment(
    azure, chat_server: ChatServer, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a-key")
    (inter,) = azure([make_pair(SOURCE)], {"api_version": "2024-10-21"})
    assert inter.drop is None
    assert chat_server.paths == [
        "/openai/deployments/our-model/chat/completions?api-version=2024-10-21"
    ]
    assert chat_server.headers[0]["api-key"] == "a-key"
    assert chat_server.requests[0]["model"] == "our-model"
    assert inter.trace["rewrite"]["backend"] == "azure"


def test_a_key_from_a_file(azure, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path):
    (tmp_path / "key").write_text("from-a-file\n")
    azure([make_pair(SOURCE)], api_key_file=tmp_path / "key")
    assert chat_server.headers[0]["api-key"] == "from-a-file"


@pytest.mark.parametrize("content", ["", "two words", None])
def test_a_file_without_a_key_is_not_sent(
    azure, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path, content: str | None
):
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(
        BackendError, match=r"rewrite\.api_key_file names .*key, which does not contain a key"
    ):
        azure([make_pair(SOURCE)], api_key_file=tmp_path / "key")
    assert chat_server.requests == []


def test_an_entra_token_comes_before_a_key(
    azure, chat_server: ChatServer, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "a-token")
    azure([make_pair(SOURCE)])
    assert chat_server.authorizations == ["Bearer a-token"]
    assert chat_server.headers[0].get("api-key") != "a-key"


def test_a_token_that_is_renewed_during_the_run(
    azure, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    path = tmp_path / "token"
    path.write_text("first")

    def answer(request: dict[str, Any], number: int) -> Reply:
        path.write_text("second")
        return Reply(REVERSED)

    chat_server.answer = answer
    pairs = [make_pair(SOURCE), make_pair("Mild cardiomegaly. No edema.", "b")]
    azure(pairs, {"token_file": path}, concurrency=1)
    assert chat_server.authorizations[0] == "Bearer first"
    assert chat_server.authorizations[-1] == "Bearer second"


def test_without_key_or_token_both_are_named(azure, make_pair: MakePair):
    with pytest.raises(
        BackendError, match=r"AZURE_OPENAI_API_KEY is not set.*AZURE_OPENAI_AD_TOKEN"
    ):
        azure([make_pair(SOURCE)])


@pytest.mark.parametrize(
    "reply",
    [
        Reply(
            status=400,
            body=json.dumps({"error": {"code": "content_filter", "message": SOURCE}}).encode(),
        ),
        Reply(body=completion("", "content_filter")),
    ],
)
def test_a_filtered_report_is_one_drop(
    azure, chat_server: ChatServer, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
):  # fmt: skip
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a-key")
    chat_server.answer = lambda request, number: reply if number == 1 else Reply(REVERSED)
    pairs = [make_pair(SOURCE), make_pair("Left pleural effusion. No edema.", "b")]
    first, second = azure(pairs, concurrency=1)
    assert first.drop is not None
    assert (first.drop.reason, first.drop.detail) == (
        "content_filter",
        "the server's content filter refuses it",
    )
    assert second.drop is None
    assert len(chat_server.requests) == 2


def test_another_tenants_machine_is_remote():
    settings = {
        "backend": "azure",
        "azure": {"endpoint": "https://us.openai.azure.com", "deployment": "m"},
    }
    with pytest.raises(SettingsError, match=r"rewrite\.azure\.endpoint would send report text to"):
        Rewrite(RewriteSettings.model_validate(settings), RunContext(seed=0))


def test_endpoint_and_deployment_are_needed():
    with pytest.raises(ValidationError, match=r"needs rewrite\.azure\.endpoint"):
        RewriteSettings(backend="azure")
    with pytest.raises(ValidationError, match=r"needs rewrite\.azure\.deployment"):
        RewriteSettings.model_validate({"backend": "azure", "azure": {"endpoint": "https://a.b"}})


def test_no_text_key_or_token_in_any_log(
    azure, chat_server: ChatServer, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "token-quetzal")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key-quetzal")
    for name in ["", *logging.root.manager.loggerDict]:
        caplog.set_level(logging.DEBUG, logger=name)
    replies = [
        Reply(status=429, body=b"axolotl", headers={"Retry-After": "0"}),
        Reply(status=500, body=b"axolotl"),
        Reply(text="Axolotl.", cuts_off=True),
    ]
    chat_server.answer = lambda request, number: (
        replies[number - 1] if number <= 3 else Reply(REVERSED + " Axolotl is seen.")
    )
    (inter,) = azure([make_pair("Small left pangolin effusion. No pneumothorax.")])
    assert inter.drop is None
    assert "retrying in" in caplog.text
    for planted in ("pangolin", "axolotl", "quetzal", "patient-a"):
        assert planted not in caplog.text.lower()
