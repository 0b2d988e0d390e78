"""Headings as systems mark them, whole reports in a column, and text that cannot be a path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pairaug.errors import DataError
from pairaug.pair import Pair, Report
from pairaug.readers import ReadSettings, open_reader
from pairaug.readers.identifiers import patient_key
from pairaug.readers.plain import report_of_plain, report_of_sections
from pairaug.readers.text import report_text
from pairaug.stage import RunContext
from support.layout_trees import csv, image, tar, write

_SETTINGS: TypeAdapter[Any] = TypeAdapter(ReadSettings)
BOTH = Report("The lungs look clear.", "Normal chest.")


def _read(**settings: Any) -> list[Pair]:
    source = _SETTINGS.validate_python({"access": "public", "license": "none", **settings})
    return list(open_reader(source, RunContext(seed=0, num_workers=1)))


def _said(pairs: list[Pair]) -> list[str]:
    return [pair.drop.reason if pair.drop else pair.report.text for pair in pairs]


@pytest.mark.parametrize(
    "form",
    [
        "{}; {}", "{} = {}", "{} -> {}", "({}) {}", "<{}> {}", "[{}] {}", "{} | {}", "| {} | {} |",
        "{} - {}", "{}. {}", "#{}\n{}", "<{0}>\n{1}\n</{0}>", "<b>{}:</b> {}<br>", "A. {}: {}",
        "{} (PORTABLE CHEST): {}",
    ],
)  # fmt: skip
def test_heading_with_any_separator(form: str) -> None:
    texts = ("FINDINGS", BOTH.findings), ("IMPRESSION", BOTH.impression)
    assert report_of_plain("\n".join(form.format(*each) for each in texts), "findings") == BOTH


def test_heading_spaced_or_lower_case_within_line() -> None:
    spaced = "F I N D I N G S :\nThe lungs look clear.\nI M P R E S S I O N :\nNormal chest."
    assert report_of_plain(spaced, "findings") == BOTH
    small = "findings: The lungs look clear. impression: Normal chest."
    assert report_of_plain(small, "findings") == BOTH


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("Lungs clear.\nIMPRESSION: Normal chest.", "Lungs clear."),
        ("Small left effusion\nIMPRESSION: Normal chest.", "Small left effusion"),
        ("Portable chest\nIMPRESSION: Normal chest.", ""),
        ("WET READ: Small left effusion.", "Small left effusion."),
        ("ADDENDUM: Small left effusion.", "Small left effusion."),
    ],
)
def test_finding_is_not_a_title(text: str, findings: str) -> None:
    assert report_of_plain(text, "findings").findings == findings


@pytest.mark.parametrize(
    "text",
    ["A nodule of <5 mm.", "Width > 3 cm; stable.", "Lungs - clear. Heart; large.", "No edema (?)"],
)
def test_other_signs_are_kept(text: str) -> None:
    assert report_of_plain(text, "findings") == Report(text, "")


WHOLE = "EXAM: Chest.\nFINDINGS: The lungs look clear.\nIMPRESSION: Normal chest."


@pytest.mark.parametrize(
    ("cells", "report"),
    [
        (Report(WHOLE, ""), BOTH),
        (Report("", WHOLE), BOTH),
        (Report(WHOLE, WHOLE), BOTH),
        (Report(WHOLE, "Own words."), Report(BOTH.findings, "Own words.")),
        (Report("FINDINGS: The lungs look clear.", "IMPRESSION: Normal chest."), BOTH),
        (Report("Lungs: unremarkable.\nIMPRESSION: Normal chest.", ""),
         Report("Lungs: unremarkable.", "Normal chest.")),
        (Report("LUNGS: Clear.\nHEART: Large.", ""), Report("LUNGS: Clear.\nHEART: Large.", "")),
        (Report("Clear.\n\nNo effusion.", "Normal."), Report("Clear.\n\nNo effusion.", "Normal.")),
    ],
)  # fmt: skip
def test_whole_report_in_column_is_split(cells: Report, report: Report) -> None:
    assert report_of_sections(cells) == report


def test_whole_report_in_column_of_every_source(tmp_path: Path) -> None:
    from pyarrow import parquet, table

    write(tmp_path / "a.png", image())
    one_column = {"findings": "report", "impression": None}
    rows = csv(tmp_path / "t.csv", "id,file,report", ("1", "a.png", WHOLE))
    data = {"image": [image()], "report": [WHOLE]}
    parquet.write_table(table(data), tmp_path / "t.parquet")
    record = json.dumps({"findings": WHOLE}).encode()
    shard = tar(tmp_path / "t.tar", ("1.png", image()), ("1.json", record))
    for settings in (
        {"layout": "table", "table": rows, "columns": one_column},
        {"layout": "huggingface", "path": tmp_path / "t.parquet", "columns": one_column},
        {"layout": "webdataset", "shards": shard or tmp_path / "t.tar"},
    ):
        assert [pair.report for pair in _read(**settings)] == [BOTH], settings["layout"]


def test_escaped_line_ends() -> None:
    written = r"FINDINGS: Clear.\r\nIMPRESSION: Normal."
    assert report_text(written) == "FINDINGS: Clear.\nIMPRESSION: Normal."
    assert report_text("a\\n\nb") == "a\\n\nb"


def test_invalid_path_is_dropped_without_quoting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.png", image())
    secret = "Große Verschattung rechts. " * 50
    rows = csv(tmp_path / "t.csv", "id,file", ("1", secret), ("2", f"x/{secret}/é.png"))
    columns = {"file": "file", "findings": "file", "impression": None}
    pairs = _read(layout="table", table=rows, columns=columns)
    assert {pair.drop.stage for pair in pairs if pair.drop} == {"read"}
    assert all(pair.drop for pair in pairs)
    assert not any("Verschattung" in str(pair.drop) for pair in pairs)
    assert "Verschattung" not in caplog.text


def test_oversized_report_is_dropped(tmp_path: Path) -> None:
    long = "The lungs look clear. " * 5000
    rows = csv(tmp_path / "t.csv", "id,findings", ("1", long), ("2", "The lungs look clear."))
    columns = {"file": None, "impression": None}
    first, second = _read(layout="table", table=rows, columns=columns)
    assert first.drop
    assert (first.drop.reason, first.report.text) == ("oversized_report", "")
    assert second.drop is None


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json"])
@pytest.mark.parametrize("indent", [None, 1])
def test_json_array_as_table(tmp_path: Path, name: str, indent: int | None) -> None:
    rows = [{"id": n, "findings": f"Clear {n}."} for n in range(3)]
    write(tmp_path / name, "\n" + json.dumps(rows, indent=indent))
    columns = {"file": None, "impression": None}
    pairs = _read(layout="table", table=tmp_path / name, columns=columns)
    assert _said(pairs) == ["Clear 0.", "Clear 1.", "Clear 2."]
    for broken in ('[{"id": 1}', '[{"id": "Verschattung"}, 5]'):
        write(tmp_path / name, broken)
        with pytest.raises(DataError, match="JSON array") as error:
            _read(layout="table", table=tmp_path / name, columns=columns)
        assert "Verschattung" not in str(error.value)


def test_notations_of_patient_ids() -> None:
    same = [
        "10000032,0",
        '="10000032"',
        "'10000032",
        "\uff11\uff10\uff10\uff10\uff10\uff10\uff13\uff12",
    ]
    assert {patient_key(text) for text in same} == {"10000032"}
    assert patient_key("10,5") == "10,5"


def test_folder_of_every_image_format(tmp_path: Path) -> None:
    pydicom_data = pytest.importorskip("pydicom.data")
    dicom = Path(pydicom_data.get_testdata_file("CT_small.dcm"))
    for name, kind in [("1.bmp", "BMP"), ("2.webp", "WEBP"), ("3.gif", "GIF"), ("4.jpe", "JPEG")]:
        write(tmp_path / name, image(int(name[0]), kind))
        write(tmp_path / f"{name[0]}.txt", f"Clear {name[0]}.")
    for name in ("1.2.840.5", "IM0001", "x.ima", "DICOMDIR"):
        shutil.copy(dicom, tmp_path / name)
    write(tmp_path / "1.2.840.5.txt", "Clear uid.")
    write(tmp_path / "IM0001.txt", "Clear im.")
    write(tmp_path / "x.txt", "Clear ima.")
    write(tmp_path / "5.png", image(5))
    write(tmp_path / "5.png.txt", "Clear 5.")
    write(tmp_path / "README", "No image.")
    pairs = _read(layout="cxr-folder", root=tmp_path)
    assert sorted(_said(pairs)) == sorted(
        [*(f"Clear {n}." for n in range(1, 6)), "Clear uid.", "Clear im.", "Clear ima."]
    )
    assert {pair.id.partition("/")[2] for pair in pairs} >= {"1.2.840.5", "IM0001", "x", "5"}


def test_tar_of_every_image_format(tmp_path: Path) -> None:
    kinds = [("webp", "WEBP"), ("gif", "GIF"), ("bmp", "BMP"), ("TIF", "TIFF")]
    members = []
    for number, (suffix, kind) in enumerate(kinds):
        members += [(f"{number}.{suffix}", image(number, kind)), (f"{number}.txt", b"Clear lungs.")]
    tar(tmp_path / "a.tar", *members)
    assert _said(_read(layout="webdataset", shards=tmp_path / "a.tar")) == ["Clear lungs."] * 4


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["1.2", "1.3"], ["1", "1"]),
        (["cxr.v1.0001", "cxr.v1.0002"], ["cxr.v1.0001", "cxr.v1.0002"]),
        (["study_7.5mm", "study_8.5mm"], ["study_7", "study_8"]),
    ],
)
@pytest.mark.parametrize("ending", ["txt", "json"])
def test_text_with_dotted_image_name(
    tmp_path: Path, names: list[str], patients: list[str], ending: str
) -> None:
    members = []
    for number, name in enumerate(names):
        text = f"Clear {number}."
        content = json.dumps({"report": text}) if ending == "json" else text
        members += [(f"{name}.png", image(number)), (f"{name}.{ending}", content.encode())]
    tar(tmp_path / "a.tar", *members)
    pairs = _read(layout="webdataset", shards=tmp_path / "a.tar", name="t")
    assert [pair.id for pair in pairs] == [f"t/{name}" for name in names]
    assert [pair.report.text for pair in pairs] == ["Clear 0.", "Clear 1."]
    assert [pair.patient_id for pair in pairs] == patients


def test_caption_suffixes_and_upper_case_keys(tmp_path: Path) -> None:
    tar(
        tmp_path / "a.tar",
        ("1.image.png", image(1)),
        ("1.report.txt", b"Clear 1."),
        ("2.png", image(2)),
        ("2.json", b'{"Findings": "Clear 2.", "Patient_ID": 7}'),
    )
    pairs = _read(layout="webdataset", shards=tmp_path / "a.tar")
    assert _said(pairs) == ["Clear 1.", "Clear 2."]
    assert pairs[1].patient_id == "7"
