"""A language model's server is checked before reading, without sending it any text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pairaug.config import load_settings
from pairaug.errors import BackendError, SettingsError
from pairaug.rewrite import RewriteSettings
from pairaug.rewrite.reachable import look
from pairaug.run import RunFolder, run
from pairaug.run.doctor import diagnose
from pairaug.run.stages import check_allowed
from support.chat import ChatServer, Reply

AWAY = "http://127.0.0.1:9/v1"


def asked(url: str) -> RewriteSettings:
    return RewriteSettings(backend="openai", model="m", base_url=url)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(body=b'{"data": [{"id": "m"}, {"id": "n"}]}'), "127.0.0.1 answers, and has m"),
        (Reply(body=b'{"data": [{"id": "n"}]}'), "m is not among the 1 models that it lists"),
        (Reply(body=b"[" * 5000), "its list of models cannot be read"),
        (Reply(body=b"<html>"), "its list of models cannot be read"),
        (Reply(status=404, body=b""), r"without a list of models \(status 404\)"),
        (Reply(status=403, body=b""), r"without a list of models \(status 403\)"),
        (Reply(status=501, body=b""), r"without a list of models \(status 501\)"),
    ],
)
def test_a_server_that_answers_is_reachable(chat_server: ChatServer, reply: Reply, words: str):
    chat_server.listed = reply
    assert re.search(words, look(asked(chat_server.url)))
    assert chat_server.requests == []


def test_an_unreachable_server_or_a_wrong_key_is_an_error(chat_server: ChatServer):
    with pytest.raises(BackendError, match=r"127\.0\.0\.1 does not answer; start the language"):
        look(asked(AWAY))
    chat_server.listed = Reply(status=401, body=b"quokka")
    with pytest.raises(BackendError, match="the key is wrong"):
        look(asked(chat_server.url))


def settings_for(url: str, *more: str) -> list[str]:
    return [
        "device=cpu", "read.num_patients=3", "read.size=32", "rewrite.backend=openai",
        "rewrite.model=m", f"rewrite.base_url={url}", *more,
    ]  # fmt: skip


def test_a_run_checks_the_server_before_reading(tmp_path: Path):
    settings = load_settings(preset="demo", overrides=settings_for(AWAY))
    with pytest.raises(BackendError, match="does not answer"):
        run(settings, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run" / "read").exists()


def test_the_doctor_checks_the_server_and_the_policy(chat_server: ChatServer, tmp_path: Path):
    def found(*overrides: str) -> tuple[bool, str]:
        checks = diagnose(None, overrides)
        return next((c.is_ok, c.message) for c in checks if c.name == "language model")

    chat_server.listed = Reply(body=b'{"data": [{"id": "m"}]}')
    assert found(*settings_for(chat_server.url)) == (True, "127.0.0.1 answers, and has m")
    assert found(*settings_for(AWAY))[0] is False
    is_ok, words = found(*settings_for("https://api.example.org/v1"))
    assert not is_ok
    assert "would send report text to api.example.org" in words


def test_the_doctor_does_not_check_an_unused_server():
    assert "language model" not in [check.name for check in diagnose(None, ["device=cpu"])]


@pytest.mark.parametrize("access", ["public", "private", "credentialed"])
@pytest.mark.parametrize("more", [[], ["rewrite.allow_remote=true"]])
def test_the_proposed_policy_works(access: str, more: list[str]):
    overrides = [
        "read.layout=table", "read.table=/nowhere.csv", f"read.access={access}",
        "rewrite.backend=openai", "rewrite.model=m",
        "rewrite.base_url=https://api.example.org/v1", *more,
    ]  # fmt: skip
    with pytest.raises(SettingsError) as caught:
        check_allowed(load_settings(preset="default", overrides=overrides))
    (proposed,) = re.findall(r"rewrite\.data_policy: ([\w-]+)", str(caught.value))
    assert proposed == ("public" if access == "public" else "zero-retention")
    allowed = [*overrides, "rewrite.allow_remote=true", f"rewrite.data_policy={proposed}"]
    check_allowed(load_settings(preset="default", overrides=allowed))
