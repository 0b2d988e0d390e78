"""Report text leaves this machine only if two settings allow it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from pairaug.errors import BackendError, MissingExtraError, SettingsError
from pairaug.pair import Pair
from pairaug.rewrite import Rewrite, RewriteSettings, opening
from pairaug.rewrite.privacy import is_local, refuse_if_remote, refuse_source
from pairaug.stage import RunContext

REMOTE = "https://api.example.com/v1"


def opened(**settings: object) -> Rewrite:
    values = {"backend": "openai", "model": "m", **settings}
    return Rewrite(RewriteSettings.model_validate(values), RunContext(seed=0))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://localhost:1234", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.5:8000/v1", False),
        ("https://localhost.example.com/v1", False),
        ("https://127.0.0.1.example.com/v1", False),
        ("http://0.0.0.0:8000/v1", False),
    ],
)
def test_addresses_of_this_machine(url: str, expected: bool):
    assert is_local(RewriteSettings(backend="openai", model="m", base_url=url)) is expected


@pytest.mark.parametrize(
    ("listed", "url", "expected"),
    [
        ("10.0.0.5", "http://10.0.0.5:8000/v1", True),
        ("10.0.0.5", "http://10.0.0.6:8000/v1", False),
        ("10.0.0.0/8", "http://10.200.0.6:8000/v1", True),
        ("192.168.1.0/24", "http://192.168.1.9/v1", True),
        ("fd00::/8", "http://[fd00::1]:8000/v1", True),
        ("gpu-01", "http://gpu-01:8000/v1", True),
        ("llm.internal", "http://LLM.internal:8000/v1", True),
        ("llm.internal", "http://other.internal/v1", False),
        ("10.0.0.5", "http://127.0.0.1:8000/v1", False),  # only listed servers
    ],
)
def test_listed_servers_of_a_private_network_are_local(listed: str, url: str, expected: bool):
    settings = RewriteSettings(backend="openai", model="m", base_url=url, local_hosts=(listed,))
    assert is_local(settings) is expected


@pytest.mark.parametrize("listed", ["8.8.8.8", "8.0.0.0/8", "0.0.0.0/0", "api.openai.com"])
def test_public_addresses_cannot_be_listed_as_local(listed: str):
    with pytest.raises(SettingsError, match=r"rewrite\.local_hosts names"):
        opened(base_url="https://api.openai.com/v1", local_hosts=[listed])


def test_text_in_this_process_needs_no_policy():
    settings = RewriteSettings(data_policy="credentialed")
    refuse_if_remote(settings)
    refuse_source(settings, "credentialed")


def test_a_remote_server_is_refused_by_default():
    with pytest.raises(SettingsError, match=r"send report text to api\.example\.com.*allow_remote"):
        opened(base_url=REMOTE)


def test_a_remote_server_needs_a_policy():
    with pytest.raises(SettingsError, match=r"data_policy is not set.*PhysioNet"):
        opened(base_url=REMOTE, allow_remote=True)


def test_credentialed_text_never_goes_to_a_remote_server():
    with pytest.raises(SettingsError, match=r"credentialed: PhysioNet's data use agreement"):
        opened(base_url=REMOTE, allow_remote=True, data_policy="credentialed")
    opened(data_policy="credentialed")  # a server on this machine


@pytest.mark.parametrize("policy", ["public", "zero-retention"])
def test_a_remote_server_with_both_is_accepted(policy: str):
    opened(base_url=REMOTE, allow_remote=True, data_policy=policy)


def test_a_credentialed_source_is_an_error_before_sending(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    stage = opened(base_url=REMOTE, allow_remote=True, data_policy="public")
    pair = make_pair("Small left effusion.").with_trace("read", access="credentialed")
    with pytest.raises(SettingsError, match=r"read\.access is credentialed.*PhysioNet"):
        list(stage([pair]))


def test_a_remote_server_needs_a_key(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MY_KEY", raising=False)
    stage = opened(base_url=REMOTE, allow_remote=True, data_policy="public", api_key_env="MY_KEY")
    with pytest.raises(BackendError, match="variable MY_KEY is not set"):
        list(stage([make_pair("Small left effusion.")]))


def test_an_invalid_address_is_an_error():
    with pytest.raises(SettingsError, match=r"rewrite\.base_url is 'api\.example\.com'"):
        opened(base_url="api.example.com")


def test_the_model_must_be_named():
    with pytest.raises(ValidationError, match=r"needs rewrite\.model"):
        RewriteSettings(backend="openai")


def test_keys_are_not_settings():
    with pytest.raises(ValidationError, match="api_key"):
        RewriteSettings.model_validate({"api_key": "secret"})


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "pairaug\[llm\]"'):
        opened()


def test_a_folder_of_instructions_must_hold_both(tmp_path):
    (tmp_path / "inter.txt").write_text("Write another.")
    with pytest.raises(SettingsError, match=r"intra\.txt cannot be read"):
        opened(instructions=tmp_path)
    (tmp_path / "intra.txt").write_text(" ")
    with pytest.raises(SettingsError, match=r"intra\.txt is empty"):
        opened(instructions=tmp_path)
