"""`pairaug rewrite RUN` on phantoms, and on real images if present, with the test server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pairaug.config import Settings, as_yaml, load_settings
from pairaug.errors import RunError, SettingsError
from pairaug.manifest import part_paths, read_pairs
from pairaug.pair import Pair
from pairaug.rewrite.budget import BudgetSpentError
from pairaug.run import RunFolder, make_plan, run_stage
from support.chat import ChatServer
from support.moody import Moody

DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def started(path: Path, *overrides: str) -> RunFolder:
    """A run with a few phantoms read, with the demo's settings and `overrides`."""
    settings = load_settings(
        preset="demo",
        overrides=[
            "device=cpu", "part_size=4", "read.num_patients=10", "read.size=32", *overrides
        ],
    )  # fmt: skip
    path.mkdir()
    folder = RunFolder(path)
    folder.write_settings(as_yaml(settings))
    run_stage("read", folder)
    return folder


def settings_of(folder: RunFolder) -> Settings:
    return load_settings(folder.settings_path)


def children_in(folder: RunFolder) -> dict[str, Pair]:
    pairs = read_pairs(folder.stage("rewrite"))
    return {pair.id: pair for pair in pairs if pair.parent_id}


def bytes_in(folder: RunFolder) -> list[bytes]:
    return [path.read_bytes() for path in part_paths(folder.stage("rewrite"))]


@pytest.fixture
def server(chat_server: ChatServer, tmp_path: Path, quick_retries: None) -> list[str]:
    """Settings that use the misbehaving test server."""
    chat_server.answer = Moody()
    asked: dict[str, Any] = {
        "backend": "openai",
        "model": "m",
        "base_url": chat_server.url,
        "cache": tmp_path / "answers.sqlite",
        "timeout_seconds": 1.0,
        "attempts": 2,
    }
    return [f"rewrite.{name}={value}" for name, value in asked.items()]


def test_phantoms_by_rules(tmp_path: Path):
    folder = started(tmp_path / "run")
    run_stage("rewrite", folder)
    children = children_in(folder)
    assert len(children) == 20
    assert all(child.drop is None for child in children.values())
    # The demo's generator counts their tokens.
    for child in children.values():
        assert child.trace["rewrite"]["num_tokens"] > 10
        assert child.trace["rewrite"]["fits_window"] in (True, False)
    assert not (folder.path / "audit.jsonl").exists()


@pytest.mark.parametrize("part_size", [1, 3])
def test_balanced_targets_do_not_depend_on_parts(tmp_path: Path, part_size: int):
    found = []
    for name, size in (("one", 10), ("many", part_size)):
        folder = started(tmp_path / name, "rewrite.targets=balanced", f"part_size={size}")
        run_stage("rewrite", folder)
        found.append(
            {
                name: (child.trace["rewrite"].get("target"), child.report.text)
                for name, child in children_in(folder).items()
            }
        )
    assert found[0] == found[1]
    assert len({target for target, _ in found[0].values()}) > 4


def test_resuming_gives_the_same_bytes_and_an_audit_without_text(
    server: list[str], tmp_path: Path, chat_server: ChatServer
):
    folder = started(tmp_path / "run", *server)
    run_stage("rewrite", folder)
    whole = bytes_in(folder)
    part_paths(folder.stage("rewrite"))[1].unlink()
    (folder.stage("rewrite") / "part-00002.parquet").unlink()
    num_asked = len(chat_server.requests)
    run_stage("rewrite", folder)
    assert bytes_in(folder) == whole
    assert len(chat_server.requests) == num_asked  # all of it was cached
    text = (folder.path / "audit.jsonl").read_text()
    events = [json.loads(line) for line in text.splitlines()]
    assert sum(event.get("answers", 0) for event in events) == answers_of(chat_server)
    for child in children_in(folder).values():
        assert child.report.text not in text
        assert child.patient_id not in text


def answers_of(chat_server: ChatServer) -> int:
    moody = chat_server.answer
    assert isinstance(moody, Moody)
    return moody.num_answers.total()


def test_a_spent_budget_keeps_complete_parts_and_can_be_resumed(server: list[str], tmp_path: Path):
    undisturbed = started(tmp_path / "undisturbed", *server)
    run_stage("rewrite", undisturbed)
    own_cache = f"rewrite.cache={tmp_path / 'other.sqlite'}"
    folder = started(tmp_path / "run", *server, own_cache, "rewrite.budget.max_tokens=2800")
    with pytest.raises(BudgetSpentError, match=r"rewrite\.budget\.max_tokens"):
        run_stage("rewrite", folder)
    num_parts = len(part_paths(folder.stage("rewrite")))
    assert num_parts < 3
    run_stage("rewrite", folder, ["rewrite.budget.max_tokens=1000000"])
    assert {name: pair.report for name, pair in children_in(folder).items()} == {
        name: pair.report for name, pair in children_in(undisturbed).items()
    }


def test_other_instructions_are_another_run(server: list[str], tmp_path: Path):
    folder = started(tmp_path / "run", *server)
    run_stage("rewrite", folder)
    with pytest.raises(RunError, match=r"rewrite\.temperature: 0\.5 → 0\.7"):
        run_stage("rewrite", folder, ["rewrite.temperature=0.7"])
    run_stage("rewrite", folder, ["rewrite.concurrency=3", "rewrite.budget.price_input=1.0"])


def test_a_dry_run_estimates_rewriting(server: list[str], tmp_path: Path):
    folder = started(
        tmp_path / "run", *server, "rewrite.budget.price_input=1", "rewrite.budget.price_output=2"
    )
    plan = make_plan(settings_of(folder), folder)
    assert plan.problems == ()
    assert plan.rewriting.startswith("10 reports, 20 texts by openai; 20 requests")
    assert "USD" in plan.rewriting


def test_a_credentialed_source_is_refused_before_reading(tmp_path: Path):
    (tmp_path / "t.csv").write_text("id,file,findings,impression\n1,a.png,No edema.,\n")
    settings = load_settings(
        overrides=[
            "read.layout=table", f"read.table={tmp_path / 't.csv'}", "read.access=credentialed",
            "rewrite.backend=azure", "rewrite.azure.endpoint=https://us.openai.azure.com",
            "rewrite.azure.deployment=m", "rewrite.allow_remote=true",
            "rewrite.data_policy=public",
        ]
    )  # fmt: skip
    from pairaug.run import run

    with pytest.raises(SettingsError, match=r"credentialed.*PhysioNet.*vLLM.*rules"):
        run(settings, RunFolder(tmp_path / "run"))


@pytest.mark.dataset
def test_real_images_by_rules_and_by_the_server(server: list[str], tmp_path: Path):
    table = DATA / "covid_cxr_pairs" / "reports.csv"
    if not table.exists():
        pytest.skip(f"{table} is not here")
    read = ["read.layout=table", f"read.table={table}", "read.columns.id=image_id", "limit=40"]
    for name, more in (("rules", []), ("server", server)):
        settings = load_settings(overrides=["device=cpu", *read, *more])
        (tmp_path / name).mkdir()
        folder = RunFolder(tmp_path / name)
        folder.write_settings(as_yaml(settings))
        run_stage("read", folder)
        run_stage("rewrite", folder)
        counts = folder.load_record().counts["rewrite"]
        assert counts["in"] == 40
        assert counts["created"] == 80
        assert sum(counts["living"].values()) + sum(counts["dropped"].values()) == 120
