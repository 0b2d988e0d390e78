"""A small tree of every layout with an unmistakable mark in each field that says something.

Every word of a report begins with `zqxj`, and so do ids wherever they may be words; ids that must
be numbers are those of `PATIENTS`. What prints, logs or notes either of them has told on somebody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support.dicom_images import dataset_of, saved
from support.layout_trees import CHEXPERT, csv, image, openi_xml, tar, write

MARK = re.compile(r"zqxj\w*|1977777\d|5977777\d", re.IGNORECASE)
TEXT = "Zqxjmild zqxjedema. Zqxjno zqxjeffusion."
FREE = (
    f"INDICATION: Zqxjhistory of zqxjcough.\nFINDINGS: {TEXT}\nIMPRESSION: Zqxjclear zqxjlungs.\n"
)
FINAL = (
    "                                 FINAL REPORT\n INDICATION:  Zqxjhistory of zqxjcough.\n \n "
    f"FINDINGS:  {TEXT}\n \n IMPRESSION:  Zqxjclear zqxjlungs.\n"
)
PATIENTS = ("19777771", "19777772")


def dicom(number: int = 0) -> bytes:
    """A DICOM file that names its patient in every way."""
    names = ("PatientName", "PatientID", "AccessionNumber", "InstitutionName", "ImageComments",
             "ReferringPhysicianName", "StudyDescription")  # fmt: skip
    words = {name: f"zqxj{place}n{number}" for place, name in enumerate(names)}
    return saved(dataset_of(**words, PatientBirthDate="19481112"))


def mimic(root: Path) -> dict[str, Any]:
    rows = [("zqxjfilm0", PATIENTS[0], "59777771"), ("zqxjfilm1", PATIENTS[1], "59777772")]
    csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", "dicom_id,subject_id,study_id,ViewPosition",
        *[(*row, "PA") for row in rows])  # fmt: skip
    csv(root / "mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split",
        *[(row[0], row[2], row[1], "train") for row in rows])  # fmt: skip
    csv(root / "mimic-cxr-2.0.0-chexpert.csv", f"subject_id,study_id,{CHEXPERT}",
        (PATIENTS[0], "59777771", "1.0", *[""] * 13))  # fmt: skip
    for number, (name, patient, study) in enumerate(rows):
        folder = Path(f"p{patient[:2]}", f"p{patient}", f"s{study}")
        write(root / "files" / folder / f"{name}.jpg", image(number, "JPEG"))
        write(root / "mimic-cxr-reports" / "files" / folder.with_suffix(".txt"), FINAL)
    return {"layout": "mimic-cxr", "root": root}


def openi(root: Path) -> dict[str, Any]:
    for number in (1, 2):
        sections = {"indication": "Zqxjhistory.", "findings": TEXT, "impression": "Zqxjclear."}
        images = [f"zqxjfilm{number}"]
        text = openi_xml(f"CXR{PATIENTS[number - 1]}", images, ["Zqxjmesh/left"], **sections)
        write(root / "ecgen-radiology" / f"{PATIENTS[number - 1]}.xml", text)
        write(root / "images" / f"zqxjfilm{number}.png", image(number))
    return {"layout": "openi", "root": root, "image_root": root / "images"}


def chexpert_plus(root: Path) -> dict[str, Any]:
    paths = [f"train/patient{one}/study1/view1_frontal.jpg" for one in PATIENTS]
    csv(root / "df_chexpert_plus_240401.csv",
        "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,section_findings,"
        "section_impression,split",
        *[(path, path, "Frontal", "AP", f"patient{one}", TEXT, "Zqxjclear.", "train")
          for path, one in zip(paths, PATIENTS, strict=True)])  # fmt: skip
    for number, path in enumerate(paths):
        write(root / "PNG" / Path(path).with_suffix(".png"), image(number))
    labels = [json.dumps({"path_to_image": path, "Edema": 1.0}) + "\n" for path in paths]
    write(root / "chexbert_labels" / "report_fixed.json", "".join(labels))
    return {"layout": "chexpert-plus", "root": root}


def padchest(root: Path) -> dict[str, Any]:
    csv(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",
        ",ImageID,ImageDir,StudyID,PatientID,Projection,Report,Labels",
        *[(str(n), f"zqxjfilm{n}.png", "0", f"zqxjstudy{n}", f"zqxjpatient{n}", "PA",
           "zqxjcorazon .", "['cardiomegaly', 'zqxjlabel']") for n in range(2)])  # fmt: skip
    for number in range(2):
        write(root / "0" / f"zqxjfilm{number}.png", image(number))
    return {"layout": "padchest", "root": root}


def cxr_folder(root: Path) -> dict[str, Any]:
    for number, content in enumerate([image(1), dicom()]):
        suffix = "dcm" if number else "png"
        write(root / f"zqxjpatient{number}" / f"zqxjfilm{number}.{suffix}", content)
        write(root / f"zqxjpatient{number}" / f"zqxjfilm{number}.txt", FREE)
    return {"layout": "cxr-folder", "root": root}


def webdataset(root: Path) -> dict[str, Any]:
    record = {"findings": TEXT, "impression": "Zqxjclear.", "patient_id": "zqxjpatient",
              "labels": {"edema": 1}, "zqxjother": "zqxjvalue"}  # fmt: skip
    tar(root / "shard-000000.tar",
        ("zqxjkey1.png", image(1)), ("zqxjkey1.txt", FREE.encode()), ("zqxjkey1.cls", b"0"),
        ("zqxjkey2.dcm", dicom()), ("zqxjkey2.json", json.dumps(record).encode()))  # fmt: skip
    return {"layout": "webdataset", "shards": [root / "shard-000000.tar"],
            "classes": {"0": "no finding"}}  # fmt: skip


def huggingface(root: Path) -> dict[str, Any]:
    rows = [{"image": {"bytes": image(n), "path": f"zqxjfilm{n}.png"}, "text": FREE,
             "patient_id": f"zqxjpatient{n}", "view": "PA"} for n in range(2)]  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    texts = {name: {"dtype": "string", "_type": "Value"} for name in (*rows[0],) if name != "image"}
    features = {"image": {"_type": "Image"}, **texts}
    schema = pa.Table.from_pylist(rows).schema.with_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), root / "rows.parquet")
    return {"layout": "huggingface", "path": root / "rows.parquet",
            "columns": {"patient_id": "patient_id", "view": "view"}}  # fmt: skip


def chexzero(root: Path) -> dict[str, Any]:
    root.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(3).integers(0, 256, (2, 16, 16)).astype(np.float32)
    with h5py.File(root / "cxr.h5", "w") as file:
        file["cxr"] = levels
    csv(root / "impressions.csv", "filename,impression",
        ("s59777771.txt", TEXT), ("s59777772.txt", "Zqxjclear zqxjlungs."))  # fmt: skip
    csv(root / "paths.csv", "Path",
        *[(f"files/p19/p{one}/s59777{one[-3:]}/zqxjfilm.jpg",) for one in PATIENTS])  # fmt: skip
    return {"layout": "chexzero", "images": root / "cxr.h5", "name": "c",
            "table": root / "impressions.csv", "paths": root / "paths.csv"}  # fmt: skip


ROWS: list[dict[str, Any]] = [
    {"id": f"zqxjrow{number}", "file": f"zqxjpatient{number}/zqxjfilm.{suffix}", "findings": TEXT,
     "impression": "Zqxjclear zqxjlungs.", "patient": f"zqxjpatient{number}",
     "study": f"zqxjstudy{number}", "view": "PA", "split": "train", "edema": 1}
    for number, suffix in enumerate(("png", "dcm"))
]  # fmt: skip


def table(root: Path, suffix: str, **cells: Any) -> dict[str, Any]:
    """A table of `suffix`; `cells` stand in every row in place of what is there."""
    path, rows = root / f"reports.{suffix}", [{**row, **cells} for row in ROWS]
    for number, row in enumerate(ROWS):
        write(root / row["file"], dicom() if number else image(number))
    match suffix:
        case "jsonl":
            write(path, "".join(json.dumps(row) + "\n" for row in rows))
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case _:
            sign = "\t" if suffix == "tsv" else ","
            lines = [
                sign.join(str(cell) for cell in row.values())
                for row in [{n: n for n in rows[0]}, *rows]
            ]
            write(path, "\n".join(lines) + "\n")
    columns = {"id": "id", "file": "file", "findings": "findings", "impression": "impression",
               "patient_id": "patient", "study": "study", "view": "view", "split": "split",
               "labels": {"edema": "edema"}}  # fmt: skip
    return {"layout": "table", "table": path, "columns": columns}


PLANTED: dict[str, Callable[[Path], dict[str, Any]]] = {
    "mimic-cxr": mimic,
    "openi": openi,
    "chexpert-plus": chexpert_plus,
    "padchest": padchest,
    "cxr-folder": cxr_folder,
    "webdataset": webdataset,
    "huggingface": huggingface,
    "chexzero": chexzero,
    "table": lambda root: table(root, "csv"),
    "table-tsv": lambda root: table(root, "tsv"),
    "table-jsonl": lambda root: table(root, "jsonl"),
    "table-parquet": lambda root: table(root, "parquet"),
}
"""Layout, and for tables a format → what writes its tree and returns the settings of `read`."""


def files_of(root: Path) -> list[Path]:
    """All files of a tree, in order."""
    return [path for path in sorted(root.rglob("*")) if path.is_file()]


def breakages(path: Path) -> list[tuple[str, bytes]]:
    """(kind, content) of the ways in which a file of a tree may be broken."""
    content = path.read_bytes()
    middle = len(content) // 2
    found = [
        ("cut", content[: len(content) * 2 // 3]),
        ("bytes", content[:middle] + b"\xff\xfe\x80" + content[middle:]),
        ("empty", b""),
        ("text", f'{FREE}"{TEXT}'.encode()),
    ]
    if b"\0" not in content:
        lines = content.split(b"\n")
        found += [
            ("no header", b"\n".join(lines[1:])),
            ("wide", b"\n".join([*lines[:-2], lines[-2] + b",zqxjmore,zqxjcells", b""])),
            ("quote", content.replace(b"Zqxjmild", b'"Zqxjmild')),
            ("deep", content + b'{"zqxjdeep": ' + b"[" * 3000),
            ("ids", content.replace(b"zqxjrow0", b"zqxjrow1").replace(b"9777771", b'977777"')),
            ("types", re.sub(rb"\b(1\.0|PA|train|Frontal|1)\b", b"zqxjwrong", content)),
            ("utf-16", content.decode("utf-8", "replace").encode("utf-16")),
            ("surrogate", content.replace(b"Zqxjmild", b"\\ud800Zqxjmild")),
        ]
    return found


@contextmanager
def broken(path: Path, content: bytes) -> Iterator[None]:
    """Has `content` in the file, and afterwards what was there."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)
