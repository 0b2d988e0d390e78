"""The documentation says what the code says: commands, settings, drop reasons, names and links."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])


def _load_generator() -> ModuleType:
    path = DOCS / "reference" / "generate.py"
    spec = importlib.util.spec_from_file_location("reference_generator", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _load_generator()


@pytest.mark.parametrize("name", ["commands.md", "settings.md", "drop-reasons.md"])
def test_reference_is_what_the_code_says(name: str):
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    expected = GENERATOR.pages()[name].rstrip() + "\n"
    assert written == expected, "run docs/reference/generate.py"


def test_every_command_and_option_has_help():
    for path, command in GENERATOR.commands():
        assert command.help, f"pairaug {path}"
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"pairaug {path} {parameter.name}"


def test_every_setting_has_a_description():
    from pairaug.config import Settings

    def undescribed(model: type, prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            if not field.description:
                yield f"{prefix}{name}"
            for inner in GENERATOR._models(field.annotation):
                yield from undescribed(inner, f"{prefix}{name}.")

    assert not list(undescribed(Settings, ""))


def _reasons_in(tree: ast.AST) -> Iterator[str]:
    """The reasons that a module's calls of `dropped` give as plain text."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(attr="dropped"), [_, ast.Constant(str() as reason), *_]):
                yield reason


def test_every_drop_reason_in_the_code_is_documented():
    documented = {name for reasons in GENERATOR.drop_reasons().values() for name in reasons}
    used: dict[str, str] = {}
    for module in GENERATOR.stage_modules():
        source = Path(module.__file__).read_text(encoding="utf-8")
        used.update(dict.fromkeys(_reasons_in(ast.parse(source)), module.__name__))
    assert used, "no call of `dropped` was found: this test looks in the wrong place"
    assert {reason: name for reason, name in used.items() if reason not in documented} == {}


def test_names_in_the_paper_map_exist():
    from pairaug.config import Settings

    text = (DOCS / "paper-map.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:[a-z_]+\.)+[A-Za-z_]+)`", text))
    known = set(GENERATOR.setting_names(Settings))
    assert len(names) > 20
    for name in sorted(names):
        module, _, attribute = name.rpartition(".")
        assert name in known or hasattr(importlib.import_module(f"pairaug.{module}"), attribute), (
            f"paper-map.md names {name}, which is neither in the code nor a setting"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path = (page.parent / target.partition("#")[0]).resolve()
        if path.parent == DOCS / "notebooks":  # written when the documentation is built
            path = ROOT / "examples" / path.name
        assert path.exists(), f"{page.name} links to {target}"


def _models_of_commands() -> dict[str, type]:
    """The settings of each command that has a file of its own."""
    return {
        command: getattr(importlib.import_module(f"pairaug.{module}"), name)
        for command, (module, name) in GENERATOR._OTHER_SETTINGS.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_and_commands_shown_exist(page: Path):
    from pairaug.config import Settings

    known = set(GENERATOR.setting_names(Settings))
    for model in _models_of_commands().values():
        known |= set(GENERATOR.setting_names(model))
    commands = {path for path, _ in GENERATOR.commands()}
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"--set ([a-z_.]+)=", text):
        if name not in ("a.b", "section.name"):
            assert name in known, f"{page.name} sets {name}"
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for words in re.findall(r"^\s*pairaug ([a-z-]+)(?: ([a-z-]+))?", block, flags=re.MULTILINE):
            assert words[0] in commands or " ".join(words) in commands, f"{page.name}: {words}"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, block in enumerate(
            re.findall(
                r"^ *```yaml\n(.*?)^ *```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
            )
        )
    ],
)
def test_settings_files_shown_are_valid(block: str, tmp_path: Path):
    from pairaug.config import load_model, load_settings

    path = tmp_path / "shown.yaml"
    path.write_text(block, encoding="utf-8")
    # A file of another command says so in its first line.
    command = re.match(r"# pairaug (.+)\n", block)
    if command:
        load_model(_models_of_commands()[command[1]], path)
        return
    # A piece of a file need not say where pairs come from.
    load_settings(path, () if "read" in yaml.safe_load(block) else ("read.layout=phantom",))


def test_the_changelog_has_a_place_for_what_comes_next():
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
