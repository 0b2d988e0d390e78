"""Settings: presets, files and `--set`, and one clear line for all that is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pairaug.config import PRESETS, Settings, as_yaml, change_settings, flatten, load_settings
from pairaug.config.introspect import setting_names
from pairaug.errors import SettingsError


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes demo.yaml in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str) -> Path:
        Path("demo.yaml").write_text(text, encoding="utf-8")
        return Path("demo.yaml")

    return write_file


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_says_its_name(preset: str) -> None:
    source = () if preset == "demo" else ("read.layout=phantom",)
    assert load_settings(overrides=source, preset=preset).preset == preset


def test_the_paper_is_the_papers() -> None:
    settings = load_settings(overrides=["read.layout=phantom"], preset="paper")
    assert (settings.generate.num_inference_steps, settings.generate.guidance_scale) == (50, 4.0)
    assert (settings.edit.num_inference_steps, settings.edit.guidance_scale) == (75, 4.0)
    assert (settings.edit.method, settings.edit.alignment) == ("regenerate", "refine")
    prune = settings.prune.model_dump()
    assert (prune["inter"]["rule"], prune["inter"]["threshold"]) == ("threshold", 0.3)
    assert (prune["intra"]["rule"], prune["intra"]["margin"]) == ("mean-margin", 0.003)


def test_set_is_on_top_of_the_file_and_the_file_on_top_of_the_preset(write) -> None:
    path = write("preset: demo\nseed: 3\ngenerate: {num_inference_steps: 7}\n")
    settings = load_settings(path, ["generate.num_inference_steps=9"])
    assert (settings.preset, settings.seed) == ("demo", 3)
    assert settings.generate.num_inference_steps == 9
    assert settings.read.layout == "phantom"
    assert load_settings(path).generate.num_inference_steps == 7


def test_the_preset_may_be_set_too(write) -> None:
    path = write("preset: demo\nread: {layout: phantom}\n")
    assert load_settings(path, ["preset=paper"]).edit.num_inference_steps == 75


def test_values_of_set_have_yaml_types() -> None:
    settings = load_settings(
        overrides=[
            "limit=12",
            "read.views=[PA, AP]",
            "read.columns.view=v",
            "read.table=t.csv",
            "read.layout=table",
            "prune.intra.margin=1e-3",
        ]
    )
    assert settings.limit == 12
    assert settings.read.views == ("PA", "AP")  # type: ignore[union-attr]
    assert settings.prune.intra.margin == 0.001  # type: ignore[union-attr]


def test_another_kind_of_rule_forgets_what_the_first_one_was_told(write) -> None:
    path = write("read: {layout: phantom}\nprune: {inter: {rule: threshold, threshold: 0.5}}\n")
    settings = load_settings(path, ["prune.inter.rule=mean-margin", "prune.inter.margin=0.1"])
    assert settings.prune.inter.model_dump()["margin"] == 0.1


def test_another_backend_keeps_what_all_backends_fraction(write) -> None:
    path = write("read: {layout: phantom}\nrewrite: {max_words: 33}\n")
    settings = load_settings(path, ["rewrite.backend=openai", "rewrite.model=m"])
    assert (settings.rewrite.backend, settings.rewrite.max_words) == ("openai", 33)


def test_a_section_without_content_is_no_error(write) -> None:
    assert load_settings(write("preset: demo\nread:\nedit:\n")).read.layout == "phantom"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "edit: {guidence_scale: 4}",
            r"unknown setting edit\.guidence_scale in demo\.yaml; did you mean "
            r"edit\.guidance_scale\?",
        ),
        ("guidance_scale: 4", r"unknown setting guidance_scale in demo\.yaml; did you mean "),
        ("scroe: {}", r"unknown setting scroe in demo\.yaml; did you mean score\?"),
        (
            "edit: {wholly_unlike: 1}",
            r"unknown setting edit\.wholly_unlike .*; edit has: .*num_inference_steps",
        ),
        ("prune: {inter: {treshold: 1}}", r"did you mean prune\.inter\.threshold\?"),
        ("edit: {num_steps: 3}", r"did you mean edit\.num_inference_steps\?"),
        ("edit: {drift: false}", r"did you mean edit\.correct_drift\?"),
        ("generate: {tries: 2}", r"unknown setting generate\.tries in demo\.yaml; generate has: "),
        (
            "prune: {intra: {rule: threshold, scores: [directional]}}",
            r"unknown setting prune\.intra\.scores in demo\.yaml; 'threshold' has no such setting",
        ),
        (
            "edit: {alignment: refin}",
            r"edit\.alignment in demo\.yaml is 'refin'; choose one of: .*'refine'",
        ),
        (
            "read: {source: table}",
            r"unknown setting read\.source in demo\.yaml; read\.layout is needed",
        ),
        ("prune: {inter: []}", r"prune\.inter in demo\.yaml is \[\]; it needs at least 1 entry"),
        (
            "export: {formats: webdataset}",
            r"export\.formats in demo\.yaml is 'webdataset'; it should be a list",
        ),
        (
            "read: {layout: phantom, split: validate}",
            r"read\.split in demo\.yaml is 'validate'; it should be a section",
        ),
        ("read: {layout: tabel}", r"read in demo\.yaml is .*; choose one of: 'phantom', 'table'"),
        (
            "edit: {num_inference_steps: -3}",
            r"edit\.num_inference_steps in demo\.yaml is -3; it should be greater than",
        ),
        (
            "edit: {num_inference_steps: many}",
            r"edit\.num_inference_steps in demo\.yaml is 'many'; it should be a valid integer",
        ),
        ("seed: .nan", r"seed in demo\.yaml is nan; "),
        ("engine: ray", r"engine in demo\.yaml is 'ray'; choose one of: 'local'"),
        (
            "preset: papre",
            r"preset in demo\.yaml is 'papre'; choose one of: paper, default, fast, demo",
        ),
        ("read: {layout: table}", r"read\.table is not set in demo\.yaml and has no default"),
        (
            "read: {layout: table, table: t.csv, columns: {labels: {oedema: c}}}",
            r"read\.columns in demo\.yaml: unknown finding 'oedema'; the names are: no finding",
        ),
        ("read: {num_patients: 3}", r"read\.layout is not set in demo\.yaml and has no default"),
        ("edit: 4", r"edit in demo\.yaml is 4; "),
        ("seed: 1\nseed: 2", r"demo\.yaml is not YAML: line 3, column 1: seed is given twice"),
        ("seed: [1", r"demo\.yaml is not YAML: line "),
        ("- seed", r"demo\.yaml is not a settings file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write, text: str, message: str) -> None:
    start = (
        "" if text.startswith(("read", "preset", "-", "seed: [")) else "read: {layout: phantom}\n"
    )
    with pytest.raises(SettingsError, match=message) as raised:
        load_settings(write(start + text))
    assert "\n" not in str(raised.value)


LAUGHS = "l0: &l0 [x, x]\n" + "".join(
    f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 2001-99-99", r"seed in demo\.yaml is '2001-99-99'; it should be a valid integer"),
        ("seed: 2001-01-01", r"seed in demo\.yaml is '2001-01-01'; it should be"),
        ("seed: !!timestamp x", r"line 1, column 7: could not determine a constructor for the tag"),
        ("seed: !!timestamp 2001-01-01", r"demo\.yaml is not YAML: line 1, column 7"),
        ("seed: !!python/object/apply:os.getcwd []", r"is not YAML: line 1, column 7"),
        ("seed: !!binary AAAA", r"is not YAML: line 1, column 7"),
        ("seed: !!set {a, b}", r"is not YAML: line 1, column 7"),
        ("seed: !!int x", r"line 1, column 7: no whole number"),
        ("seed: !!float x", r"line 1, column 7: no number"),
        ("seed: !!bool x", r"line 1, column 7: neither true nor false"),
        ("seed: !!map x", r"line 1, column 7: no `name: value` lines"),
        ("seed: " + "9" * 5000, r"line 1, column 7: a number has too many digits"),
        ("seed: 1e999", r"seed in demo\.yaml is inf; "),
        ("seed: .inf", r"seed in demo\.yaml is inf; "),
        ("seed: -1", r"seed in demo\.yaml is -1; it should be greater than or equal to 0"),
        ("seed: 99999999999999999999999", r"seed in demo\.yaml is 9+; it should be less than"),
        ("seed: 010", r"line 1, column 7: 010 has a leading zero: leave it out, or quote"),
        ("seed: 0o10", r"seed in demo\.yaml is '0o10'; it should be a valid integer"),
        ("seed: 12:30", r"seed in demo\.yaml is '12:30'; it should be a valid integer"),
        ("seed: true", r"settings in demo\.yaml: seed should be a number, not true"),
        ("limit: false", r"settings in demo\.yaml: limit should be a number, not false"),
        ("seed: yes", r"seed in demo\.yaml is 'yes'; it should be a valid integer"),
        ("seed: " + "[" * 900, r"demo\.yaml is nested more than 32 deep|is not YAML: line"),
        ("seed: " + "[" * 900 + "]" * 900, r"demo\.yaml is nested more than 32 deep"),
        ("seed: " + "[" * 40 + "]" * 40, r"demo\.yaml is nested more than 32 deep"),
        ("seed: {" + "a: {" * 40 + "}" * 41, r"demo\.yaml is nested more than 32 deep"),
        ("? [a]\n: b", r"line 1, column 3: this cannot be a name"),
        ("? {a: b}\n: b", r"line 1, column 3: this cannot be a name"),
        ("? null\n: b", r"line 1, column 3: this cannot be a name"),
        ("preset: demo\n1: b", r"unknown setting 1 in demo\.yaml"),
        ("seed: 1\n'seed': 2", r"line 2, column 1: seed is given twice"),
        (
            "edit: {num_inference_steps: 1, num_inference_steps: 2}",
            r"num_inference_steps is given twice",
        ),
        ("seed: &a [*a]", r"line 1, column 7: found unconstructable recursive node"),
        ("seed: &a {b: *a}", r"line 1, column 7: found unconstructable recursive node"),
        (LAUGHS, r"demo\.yaml has more than 20,000 values"),
        ("seed: *nobody", r"demo\.yaml is not YAML: line 1, column 7: found undefined alias"),
        ('read: {layout: table, table: "a\\0b"}', r"read\.table holds a character that no file"),
        ('edit: {model: "a\\ud800"}', r"edit\.model holds a character that no file can hold"),
        ('"a\\0b": 1', r"a name holds a character that no file can hold"),
        ('"a\\nb": 1', r"unknown setting a\\nb in demo\.yaml"),
        ('seed: "a\\nb"', r"seed in demo\.yaml is 'a\\nb'; "),
        ("seed: " + "x" * 5000, r"seed in demo\.yaml is 'x{60,99}…; it should be a valid integer"),
        ("read: {layout: table, table: ~nosuchuser/t.csv}", r"'~nosuchuser/t\.csv': there is no"),
        (
            "preset: demo\nedit: {model: ~nosuchuser/m}",
            r"'~nosuchuser/m': there is no such user",
        ),
        ("read: {layout: table, table: " + "x" * 300 + "}", r"'x+…? is too long for a path"),
        (
            "seed:\t1\n\tedit: 2",
            r"demo\.yaml is not YAML: line 1, column 6: .* cannot start any token",
        ),
        ("[]", r"demo\.yaml is not a settings file"),
        ("3", r"demo\.yaml is not a settings file"),
        ("seed: 1\n---\nseed: 2", r"expected a single document|line 2"),
        ("seed: \x07", r"demo\.yaml is not YAML: "),
        ("preset: [demo]", r"preset in demo\.yaml is \['demo'\]; choose one of"),
        ("preset: {a: 1}", r"preset in demo\.yaml is .*; choose one of"),
    ],
)
def test_what_no_settings_can_be_is_said_in_one_line(write, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        load_settings(write(text))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed: \xff", "is not UTF-8 text"),
        ("seed: 1".encode("utf-16"), "is not UTF-8 text"),
        (b"seed: 1\n" * (1 << 18), "is larger than 1 MB"),
    ],
)
def test_what_is_no_settings_text_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"x\.yaml {message}"):
        load_settings(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file/x.yaml", r"file/x\.yaml cannot be read: Not a directory"),
        ("folder", r"folder is a folder without run\.yaml; give a settings file"),
        ("x" * 300, r"cannot be read: File name too long"),
        ("a\0b", r"a\\x00b' is no path"),
        ("loop", r"loop cannot be read: Too many levels"),
        ("none.yaml", r"there is no settings file"),
    ],
)
def test_a_path_that_is_no_file_is_said(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SettingsError, match=message):
        load_settings(tmp_path / name)


def test_words_are_words_and_a_byte_order_mark_is_none(write) -> None:
    path = write("\ufeffread: {layout: table, table: t.csv, columns: {view: v}}\n")
    settings = load_settings(path, ["compile=yes", "read.views=[NO, no, on, 2001-01-01]"])
    assert settings.read.views == ("NO", "no", "on", "2001-01-01")  # type: ignore[union-attr]
    assert settings.compile is True


@pytest.mark.parametrize(
    "value", ["1e5", "no", "12:30", "010", "2001-01-01", "0x1f", "~", "null", "<<", "1_0", ".5", ""]
)
def test_text_that_looks_like_something_else_reads_back_as_text(tmp_path: Path, value: str) -> None:
    start = ["read.layout=table", "read.table=t.csv", "read.columns.view=v"]
    settings = load_settings(overrides=[*start, f"read.views=['{value}']"])
    (tmp_path / "run.yaml").write_text(as_yaml(settings), encoding="utf-8")
    assert load_settings(tmp_path / "run.yaml") == settings


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", r"--set takes name=value, .*; got 'seed'"),
        ("=1", r"--set takes name=value, .*; got ''"),
        (".".join(["a"] * 1000) + "=1", r"--set takes name=value"),
        ("read.views.0=PA", r"read\.views in --set is .*; it should be a list"),
        ("seed=[", r"the value of --set seed is not YAML: line 1"),
        ("edit.model=a\0b", r"the value of --set edit\.model"),
        ("seed=" + "9" * 5000, r"the value of --set seed is not YAML: .* too many digits"),
        ("read.table=caf\udce9.csv", r"--set read\.table"),
    ],
)
def test_what_set_cannot_take_is_said_in_one_line(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        load_settings(overrides=["read.layout=table", "read.table=t.csv", override])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("edit.guidence_scale=4", r"unknown setting edit\.guidence_scale in --set; did you mean"),
        ("seed", r"--set takes name=value, for example --set seed=1; got 'seed'"),
        ("edit.=1", "--set takes name=value"),
        ("seed=[1", r"the value of --set seed is not YAML"),
        ("seed=-1", r"seed in --set is -1; it should be greater than or equal to 0"),
    ],
)
def test_what_is_wrong_with_set_is_said_in_one_line(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(overrides=[override], preset="demo")


def test_a_source_that_nobody_named_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="read is not set"):
        load_settings()


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no settings file .*nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml")
    with pytest.raises(SettingsError, match=r"is a folder without run\.yaml; give a settings file"):
        load_settings(tmp_path)


def test_resolved_settings_read_back_to_the_same(tmp_path: Path) -> None:
    settings = load_settings(overrides=["seed=5", "edit.num_inference_steps=3"], preset="demo")
    path = tmp_path / "run.yaml"
    path.write_text(as_yaml(settings), encoding="utf-8")
    assert load_settings(path) == settings


def test_resolved_settings_name_every_setting() -> None:
    settings = load_settings(preset="demo")
    sections = {name for name in setting_names(Settings) if "." not in name}
    assert set(yaml.safe_load(as_yaml(settings))) == sections


def test_paths_and_local_models_mean_the_same_from_any_folder(write) -> None:
    Path("weights").mkdir()
    path = write("read: {layout: table, table: images/t.csv}\nscore: {model: weights}\n")
    settings = load_settings(path, ["generate.model=someone/on-the-hub", "rewrite.model=weights"])
    here = Path.cwd()
    assert settings.read.model_dump()["table"] == here / "images/t.csv"
    assert settings.score.model == str(here / "weights")
    assert settings.generate.model == "someone/on-the-hub"
    # A language model's name on a server, which happens to be a folder's name here.
    assert settings.rewrite.model == "weights"


def test_the_bundled_model_is_never_a_folder_of_that_name(write) -> None:
    Path("bundled").mkdir()
    settings = load_settings(write("read: {layout: phantom}\nscore: {model: bundled}\n"))
    assert settings.score.model == "bundled"


def test_changed_settings_keep_the_rest() -> None:
    before = load_settings(overrides=["seed=5"], preset="demo")
    after = change_settings(before, ["edit.num_inference_steps=3"])
    changed = {
        name
        for name, value in flatten(after.model_dump(mode="json")).items()
        if flatten(before.model_dump(mode="json"))[name] != value
    }
    assert changed == {"edit.num_inference_steps"}


def test_an_optional_section_is_taken_back_by_null() -> None:
    before = load_settings(
        overrides=["prune.memorised.quantile=0.9", "score.audit.model=bundled"], preset="demo"
    )
    assert before.prune.memorised is not None
    after = change_settings(before, ["prune.memorised=null", "score.audit=null"])
    assert after.prune.memorised is None
    assert after.score.audit is None
    # A section that cannot be null is only named.
    assert change_settings(before, ["score=null"]) == before


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("[{rule: threshold, threshold: 14}]", r"prune\.intra\[0\]\.threshold in --set is 14; it "),
        (
            "[{rule: threshold}, {rule: quantile, quantil: 0.5}]",
            r"unknown setting prune\.intra\[1\]\.quantil in --set; did you mean "
            r"prune\.intra\.quantile\?",
        ),
        (
            "[{rule: threshold}, {rule: quantile, margin: 1}]",
            r"unknown setting prune\.intra\[1\]\.margin in --set; 'quantile' has no such setting",
        ),
        ("[{rule: treshold}]", r"prune\.intra\[0\] in --set is .*; choose one of: 'threshold', "),
        ("[{threshold: 1}]", r"prune\.intra\[0\]\.rule is not set in --set and has no default"),
        ("[[{rule: threshold}]]", r"prune\.intra\[0\] in --set is \[.*; it should be "),
        ("[]", r"prune\.intra in --set is \[\]; .* at least 1 entry"),
        ("3", r"prune\.intra in --set is 3; it should be "),
        ("{rule: treshold}", r"prune\.intra in --set is .*; choose one of: 'threshold', "),
    ],
)
def test_errors_in_rules_are_named(rules: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}") as raised:
        load_settings(overrides=[f"prune.intra={rules}"], preset="demo")
    assert "\n" not in str(raised.value)


def test_a_list_of_rules_is_kept_and_replaced_as_a_whole(write, tmp_path: Path) -> None:
    rules = "[{rule: threshold, threshold: 0.3}, {rule: quantile, quantile: 0.5}]"
    path = write(f"read: {{layout: phantom}}\nprune: {{inter: {rules}}}\n")
    settings = load_settings(path)
    assert [rule.rule for rule in settings.prune.inter] == ["threshold", "quantile"]  # type: ignore[union-attr]
    (tmp_path / "run.yaml").write_text(as_yaml(settings), encoding="utf-8")
    assert load_settings(tmp_path / "run.yaml") == settings
    one = change_settings(settings, ["prune.inter={rule: quantile, quantile: 0.9}"])
    assert one.prune.inter.model_dump()["quantile"] == 0.9  # type: ignore[union-attr]
    one = change_settings(one, ["prune.inter.quantile=0.8"])
    assert one.prune.inter.model_dump()["quantile"] == 0.8  # type: ignore[union-attr]
    assert change_settings(one, [f"prune.inter={rules}"]).prune.inter == settings.prune.inter
    whole = r"prune\.inter\.quantile in --set: prune\.inter is a list; give the whole list, such as"
    for overrides in (["prune.inter.quantile=0.9"], ["prune={inter: {quantile: 0.9}}"]):
        with pytest.raises(SettingsError, match=f"^{whole}"):
            change_settings(settings, overrides)
    with pytest.raises(SettingsError, match=f"^{whole}"):
        load_settings(overrides=[f"prune.inter={rules}", "prune.inter.quantile=1"], preset="demo")


PARTS_OF_VALUES = ["[", "]", "{", "}", ":", "-", ",", "&a", "*a", "!!", "|", "<<", "?", "~", "\\"]
NAMES = ["seed", "read", "source", "phantom", "edit", "preset", "model", "prune", "2001-99-99"]


@given(text=st.lists(st.sampled_from([*PARTS_OF_VALUES, *NAMES, " ", "\n", "\n  "])).map("".join))
def test_any_text_is_settings_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(text, encoding="utf-8")
    for load in (lambda: load_settings(path), lambda: load_settings(overrides=[f"edit={text}"])):
        said = ""
        try:
            load()
        except SettingsError as error:
            said = str(error)
        assert "\n" not in said


@pytest.mark.parametrize("override", ["0\n0=00", "a\rb=1", "a\x00=1", "a\u2028b={"])
def test_a_name_of_several_lines_is_one_line(override: str) -> None:
    with pytest.raises(SettingsError, match=r"^--set takes name=value") as raised:
        load_settings(preset="demo", overrides=[override])
    assert len(str(raised.value).splitlines()) == 1
