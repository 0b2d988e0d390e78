from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pairaug.errors import DataError
from pairaug.pair import Pair, Report
from pairaug.readers import MimicCxrSource, open_reader
from pairaug.readers.labels import pack, unpack
from pairaug.readers.lookup import Lookup
from pairaug.stage import RunContext
from support.layout_trees import CHEXPERT, csv, mimic, write


def _pairs(settings: Mapping[str, Any]) -> dict[str, Pair]:
    reader = open_reader(MimicCxrSource.model_validate(settings), RunContext(seed=0))
    return {pair.id.removeprefix("mimic-cxr/"): pair for pair in reader}


def _split_report(root: Path) -> Path:
    return csv(
        root / "mimic_cxr_sectioned.csv",
        "study,impression,findings,last_paragraph,comparison",
        ("s50000006", "No acute process.", "Lungs are clear.", "", ""),
        ("s50000002", "Small left pleural effusion.", "The heart is normal in size.", "", "None."),
        (
            "s50000001",
            "Small left pleural effusion.\n ",
            "The heart is normal in size.  There is a small\n left pleural effusion.",
            "",
            "None.",
        ),
        ("s50000011", "", "", "The lungs are clear.", ""),
        ("s50000007", "Edema.", "nan", "", ""),
    )


def test_image_metadata(tmp_path: Path) -> None:
    first = _pairs(mimic(tmp_path))["s50000001/aa01"]
    assert first.patient_id == "10000001"
    assert first.split == "train"
    assert first.labels == {"atelectasis": None, "cardiomegaly": False, "pleural effusion": True}
    assert first.image is not None
    assert first.image.path == str(tmp_path / "files/p10/p10000001/s50000001/aa01.jpg")
    assert first.trace["read"] == {
        "layout": "mimic-cxr",
        "row": 2,
        "study": "s50000001",
        "sections": "findings+impression",
        "view": "PA",
    }


def test_labeler_setting(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    assert _pairs({**settings, "labels": "negbio"})["s50000001/aa01"].labels["atelectasis"] is True
    (tmp_path / "mimic-cxr-2.0.0-chexpert.csv").unlink()
    assert _pairs({**settings, "labels": "none"})["s50000001/aa01"].labels == {}


def test_sectioned_table_equals_tree(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    from_tree = _pairs(settings)
    from_table = _pairs({**settings, "reports": _split_report(tmp_path)})
    same = ("s50000001/aa01", "s50000006/aa07", "s50000007/aa08")
    assert [from_table[key].report for key in same] == [from_tree[key].report for key in same]
    assert from_table["s50000011/aa12"].report.findings == "The lungs are clear."
    assert from_table["s50000011/aa12"].trace["read"]["sections"] == "last_paragraph"
    drop = from_table["s50000005/aa06"].drop
    assert drop is not None
    assert drop.reason == "missing_report"
    # It is preferred where it lies in the root.
    assert _pairs(settings)["s50000011/aa12"] == from_table["s50000011/aa12"]


def test_reports_beside_images(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    before = _pairs(settings)
    tree = tmp_path / "mimic-cxr-reports" / "files"
    for report in list(tree.rglob("*.txt")):
        write(tmp_path / "files" / report.relative_to(tree), report.read_bytes())
    tree.parent.rename(tmp_path / "gone")
    after = _pairs(settings)
    # Where a folder of images holds reports alone, the drop names the other part that is missing.
    missing = "s50000004/aa05"
    drops = [pairs.pop(missing).drop for pairs in (before, after)]
    assert [drop.reason for drop in drops if drop] == ["missing_image"] * 2
    assert after == before
    with pytest.raises(DataError, match=r"is an archive; unpack it"):
        _pairs({**settings, "reports": write(tmp_path / "mimic-cxr-reports.zip", b"")})


def test_image_root_and_format(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    for path in list((tmp_path / "files").rglob("*.jpg")):
        path.rename(path.with_suffix(".dcm"))
    (tmp_path / "files").rename(tmp_path / "dicom")
    (tmp_path / "other").mkdir()
    (tmp_path / "dicom").rename(tmp_path / "other" / "files")
    pairs = _pairs({**settings, "image_root": tmp_path / "other", "image_suffix": ".dcm"})
    image = pairs["s50000001/aa01"].image
    assert image is not None
    assert image.path is not None
    assert image.path.endswith("other/files/p10/p10000001/s50000001/aa01.dcm")


def test_sections_and_views_are_chosen(tmp_path: Path) -> None:
    pairs = _pairs({**mimic(tmp_path), "text": "impression", "views": []})
    assert pairs["s50000001/aa02"].report == Report("", "Small left pleural effusion.")
    assert pairs["s50000003/aa04"].drop is None
    drop = pairs["s50000011/aa12"].drop  # its reading has no heading, and stands for findings
    assert drop is not None
    assert drop.reason == "empty_report"


def test_studies_with_special_rules(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    studies = {
        "58235663": " FINDINGS:  This report has no reading at all.\n",
        "51491012": " REPORT\n HISTORY:  The lungs are clear.\n IMPRESSION:  See above.\n",
        "50196495": "x" * 59 + "The reading." + " " * 400,
    }
    csv(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,ViewPosition",
        *[(f"f{study}", "10000001", study, "PA") for study in studies],
    )
    for study, text in studies.items():
        folder = tmp_path / "mimic-cxr-reports/files/p10/p10000001"
        write(folder / f"s{study}.txt", text)
    pairs = _pairs(settings)
    reports = [pair.report for pair in pairs.values()]
    assert reports == [Report(), Report("The lungs are clear."), Report("The reading.")]
    rules = [pair.trace["read"]["sections"] for pair in pairs.values()]
    assert rules == ["authors' place", "authors' section", "authors' place"]


def test_inconsistent_tables_raise_with_row(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    header = "dicom_id,study_id,subject_id,split"
    split = tmp_path / "mimic-cxr-2.0.0-split.csv.gz"
    rows = [("a", "1", "10000001", "train"), ("b", "1", "10000001", "test")]
    csv(split, header, *rows, ("c", "2", "10000002", "test"))
    with pytest.raises(DataError, match="the patient of row 3 is in two splits") as error:
        _pairs(settings)
    assert "10000001" not in str(error.value)
    csv(split, header, rows[0])
    with pytest.raises(DataError, match="lacks the patient of row 5"):
        _pairs(settings)
    csv(split, header, ("a", "1", "10000001", "fold 1"))
    with pytest.raises(DataError, match="row 2 needs a subject_id and one of the splits"):
        _pairs(settings)
    mimic_again = tmp_path / "again"
    settings = mimic(mimic_again)
    csv(
        mimic_again / "mimic-cxr-2.0.0-chexpert.csv",
        f"subject_id,study_id,{CHEXPERT}",
        ("10000001", "50000001", "perhaps", *[""] * 13),
    )
    with pytest.raises(DataError, match="row 2, column 'Atelectasis', has a word of 7 char"):
        _pairs(settings)


def test_latest_table_version(tmp_path: Path) -> None:
    settings = mimic(tmp_path)
    csv(
        tmp_path / "mimic-cxr-2.1.0-metadata.csv",
        "dicom_id,subject_id,study_id,ViewPosition",
        ("aa01", "10000001", "50000001", "PA"),
    )
    assert list(_pairs(settings)) == ["s50000001/aa01"]


def test_lookup_is_lazy() -> None:
    read: list[int] = []

    def rows() -> Any:
        for number in range(10):
            read.append(number)
            yield number // 2, number

    lookup = Lookup(rows())
    assert (lookup.get(1), lookup.get(0)) == (2, 0)
    assert read == [0, 1, 2]
    assert lookup.get(99) is None
    assert lookup.get(4) == 8


def test_pack_round_trip() -> None:
    labels = {"no finding": True, "edema": False, "support devices": None}
    assert unpack(pack(labels)) == labels
    assert unpack(0) == {}


_MEASURE = """
import sys, time
from itertools import islice
from pathlib import Path
from pairaug.readers import MimicCxrSource, open_reader
from pairaug.stage import RunContext
start = time.process_time()
reader = open_reader(MimicCxrSource(root=Path(sys.argv[1])), RunContext(seed=0))
listed = reader.records()
next(listed)
first = time.process_time() - start
num = 1 + sum(1 for _ in listed)
# Not getrusage, whose maximum a process takes over from the one that starts it.
status = Path("/proc/self/status").read_text()
print(num, first, time.process_time() - start, status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_full_size_metadata_is_streamed(tmp_path: Path) -> None:
    num_studies, images = 227_835, 377_110
    header = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition"
    rows = [
        (f"{number:08x}-{'0' * 35}", str(10_000_000 + study // 4), str(50_000_000 + study))
        for number, study in enumerate(number * num_studies // images for number in range(images))
    ]
    csv(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz",
        header,
        *[(*row, "CHEST (PA AND LAT)", "PA" if number % 2 else "LATERAL")
          for number, row in enumerate(rows)],
    )  # fmt: skip
    csv(
        tmp_path / "mimic-cxr-2.0.0-split.csv.gz",
        "dicom_id,subject_id,study_id,split",
        *[(*row, "train") for row in rows],
    )
    studies = dict.fromkeys((patient, study) for _, patient, study in rows)
    csv(
        tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz",
        f"subject_id,study_id,{CHEXPERT}",
        *[(*study, "1.0", "0.0", *[""] * 12) for study in studies],
    )
    # As varied as text can be: what is packed in memory must not be smaller than real reports are.
    words = [f"{number * 7919 % 10**9:09x}"[-7:] for number in range(60)]
    csv(
        tmp_path / "mimic_cxr_sectioned.csv",
        "study,impression,findings,last_paragraph,comparison",
        *[
            (f"s{study}", "No acute process.", " ".join([*words[int(study) % 7 :], study]), "", "")
            for _, study in studies
        ],
    )
    printed = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout.split()
    num, first_seconds, _, kilobytes = int(printed[0]), *map(float, printed[1:])
    assert num == images
    assert first_seconds < 2
    assert kilobytes < 500 * 1024
    sys.stdout.write(" ".join(printed) + "\n")
