"""Keys, tokens and passwords in settings are rejected, and are never written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from pairaug.config import load_settings
from pairaug.errors import SettingsError
from pairaug.pair import Pair
from pairaug.rewrite import RewriteSettings
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("base_url=http://user:quokka@127.0.0.1:8000/v1", "must not contain a user, password, key"),
        ("base_url=http://quokka@127.0.0.1:8000/v1", "must not contain a user, password, key"),
        ("base_url=quokka:quokka@127.0.0.1:8000/v1", "must not contain a user, password, key"),
        (
            "base_url=http://127.0.0.1:8000/v1?api_key=quokka",
            "must not contain a user, password, key",
        ),
        ("base_url=http://127.0.0.1:8000/v1?", "must not contain a user, password, key"),
        ("base_url=http://127.0.0.1:8000/v1#quokka", "must not contain a user, password, key"),
        ("base_url=http://127.0.0.1:8000/v1;key=quokka", "must not contain a user, password, key"),
        (
            "base_url=http://quokka%3Aquokka%40127.0.0.1/v1",
            "must not contain a user, password, key",
        ),
        (
            "base_url=http://quokka%253Aquokka%2540127.0.0.1/v1",
            "must not contain a user, password, key",
        ),
        (
            "base_url=http://127.0.0.1:8000/token=quokka/v1",
            "must not contain a user, password, key",
        ),
        (
            "base_url=http://127.0.0.1:8000/v1%3Fapi_key=quokka",
            "must not contain a user, password, key",
        ),
        ("base_url=http://127.0.0.1:8000/sk-quokkaquokkaquokka/v1", "looks like a key"),
        ("azure.endpoint=https://name.openai.azure.com/?api-key=quokka", "must not contain a user"),
        ("azure.endpoint=https://quokka:quokka@name.openai.azure.com", "must not contain a user"),
        ("azure.deployment=0123456789abcdef0123456789abcdef", "looks like a key"),
        ("api_key_env=sk-proj-quokkaquokkaquokka", "name of an environment variable"),
        ("api_key_env=AIzaSyQuokkaQuokka12Quokka", "name of an environment variable"),
        ("azure.token_env=eyJquokkaquokka.quokka.quokka", "name of an environment variable"),
        ("api_key_file=sk-quokkaquokkaquokka", "looks like a key"),
        ("model=sk-quokkaquokkaquokka", "looks like a key"),
        ("model=[sk-quokka", "not YAML"),
    ],
)
def test_a_key_in_a_setting_is_refused_and_not_repeated(tmp_path: Path, setting: str, message: str):
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(None, [f"rewrite.{setting}"], preset="demo")
    assert "quokka" not in str(caught.value).lower()
    name, _, value = setting.partition("=")
    values = {name: value} if "." not in name else {"azure": {name.partition(".")[2]: value}}
    if message != "not YAML":
        with pytest.raises(ValidationError, match=message) as directly:
            RewriteSettings.model_validate(values)
        assert "quokka" not in str(directly.value).lower()


@pytest.mark.parametrize(
    "setting",
    [
        "base_url=https://api.example.com:8443/some/path/v1",
        "base_url=https://key-gateway.example.com/openai/tokens/v1",
        "api_key_env=MY_KEY_2",
        "api_key_env=OPENAI_API_KEY_OF_THE_SECOND_PROJECT_1",
        "api_key_file=/run/secrets/0123456789abcdef0123456789abcdef",
        "model=meta-llama/Llama-3.1-8B-Instruct-20240723",
        "model=gpt-4o-mini-2024-07-18",
        "tokenizer=/hub/snapshots/0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_values_that_are_not_keys_are_accepted(setting: str):
    load_settings(None, [f"rewrite.{setting}"], preset="demo")


def test_files_of_a_run_contain_no_key(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setenv("MY_KEY", "key-quokka")
    chat_server.answer = lambda request, number: Reply("No pleural effusion. Large pneumothorax.")
    pair = make_pair("Small left pleural effusion. No pneumothorax.")
    rewrite([pair], folder=tmp_path / "run", api_key_env="MY_KEY", record=tmp_path / "r.jsonl")
    assert chat_server.authorizations[0] == "Bearer key-quokka"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"audit.jsonl", "r.jsonl", "answers.sqlite"}
    assert not any(b"quokka" in path.read_bytes() for path in written)
    assert json.loads((tmp_path / "run" / "audit.jsonl").read_text().splitlines()[0])["to"]


@pytest.mark.parametrize("value", ["{url: http://u:quokka@h/v1}", "[http://u:quokka@h/v1]"])
@pytest.mark.parametrize("name", ["rewrite", "rewrite.base_url", "rewrite.api_key_env"])
def test_a_key_in_the_wrong_setting_is_not_quoted(name: str, value: str):
    with pytest.raises(SettingsError) as caught:
        load_settings(None, [f"{name}={value}"], preset="demo")
    assert "quokka" not in str(caught.value)
