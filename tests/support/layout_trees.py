"""A small tree of every layout, written with the traps that real ones have.

Each function writes its tree into a folder and returns the settings of `read` that read it.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CHEXPERT = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


def image(seed: int = 0, kind: str = "PNG") -> bytes:
    """An encoded image of 24 by 20 pixels of noise."""
    levels = np.random.default_rng(seed).integers(0, 256, (24, 20)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, content: bytes | str, encoding: str = "utf-8") -> Path:
    """Writes a file, and its folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def csv(path: Path, header: str, *rows: Sequence[str]) -> Path:
    """Writes a table whose cells may hold commas, quotes and line ends."""
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    text = "\n".join([header, *quoted]) + "\n"
    content = text.encode()
    return write(path, gzip.compress(content) if path.suffix == ".gz" else content)


REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 \n INDICATION:  Cough.
 \n COMPARISON:  None.
 \n FINDINGS: \n The heart is normal in size.  There is a small
 left pleural effusion.
 \n IMPRESSION: \n Small left pleural effusion.
"""
ONLY_IMPRESSION = "                                 FINAL REPORT\n IMPRESSION:  No pneumonia.\n"
TWO_IMPRESSIONS = """\
                                 WET READ
 IMPRESSION:  Wet read: clear.
 \n                                 FINAL REPORT
 FINDINGS:  Lungs are clear.
 \n IMPRESSION:  No acute process.
"""
EMPTY_FINDINGS = """\
                                 FINAL REPORT
 FINDINGS:
 IMPRESSION:  Edema.
"""
NO_HEADINGS = """\
                                 FINAL REPORT
 CLINICAL HISTORY:  Fever.
 \n The lungs are clear.
 No effusion.
"""


def mimic(root: Path) -> dict[str, Any]:
    """MIMIC-CXR-JPG with reports: 12 images, of which 6 are usable."""
    rows = [
        ("aa01", "10000001", "50000001", "PA"),
        ("aa02", "10000001", "50000001", "LATERAL"),
        ("aa03", "10000001", "50000002", "AP"),  # CRLF
        ("aa04", "10000002", "50000003", "LATERAL"),  # a study of laterals only
        ("aa05", "10000003", "50000004", "PA"),  # the image is missing
        ("aa06", "11000001", "50000005", "PA"),  # only an impression; its folder is a link
        ("aa07", "11000001", "50000006", "AP"),  # two impressions
        ("aa07", "11000001", "50000006", "AP"),  # listed twice
        ("aa08", "11000002", "50000007", "AP"),  # an empty section
        ("aa09", "11000002", "50000008", "AP"),  # Latin-1
        ("aa10", "11000003", "50000009", "nan"),  # NaN for a view
        ("../../../../../../aa11", "11000003", "50000010", "PA"),
        ("aa12", "11000003", "50000011", "PA"),  # no headings
        ("aa13", "11000003", "50000012", "PA"),  # no report
    ]
    reports = {
        "50000001": REPORT,
        "50000002": REPORT.replace("\n", "\r\n"),
        "50000003": REPORT,
        "50000004": REPORT,
        "50000005": ONLY_IMPRESSION,
        "50000006": TWO_IMPRESSIONS,
        "50000007": EMPTY_FINDINGS,
        "50000008": ONLY_IMPRESSION.replace("pneumonia", "épanchement"),
        "50000009": REPORT,
        "50000010": REPORT,
        "50000011": NO_HEADINGS,
    }
    header = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns"
    )
    csv(
        root / "mimic-cxr-2.0.0-metadata.csv.gz",
        header,
        *[(image_id, patient, study, "CHEST, PA", view, "1", "1") for image_id, patient, study, view
          in rows],
    )  # fmt: skip
    splits = {"10000001": "train", "10000002": "train", "10000003": "validate"}
    csv(
        root / "mimic-cxr-2.0.0-split.csv.gz",
        "dicom_id,study_id,subject_id,split",
        *[(row[0], row[2], row[1], splits.get(row[1], "test")) for row in rows],
    )
    for labeler in ("chexpert", "negbio"):
        cells = ["1.0" if labeler == "negbio" else "-1.0", "0.0", *[""] * 7, "1.0", *[""] * 4]
        csv(
            root / f"mimic-cxr-2.0.0-{labeler}.csv",
            f"subject_id,study_id,{CHEXPERT}",
            ("10000001", "50000001", *cells),
            ("11000001", "50000006", *[""] * 8, "1.0", *[""] * 5),
        )
    elsewhere = root.parent / f"{root.name} autre été"
    for number, (image_id, patient, study, _) in enumerate(rows):
        folder = Path(f"p{patient[:2]}", f"p{patient}", f"s{study}")
        if image_id not in ("aa05", "../../../../../../aa11"):
            base = elsewhere if study == "50000005" else root / "files"
            write(base / folder / f"{image_id}.jpg", image(number, "JPEG"))
        if study in reports:
            encoding = "latin-1" if study == "50000008" else "utf-8"
            report = root / "mimic-cxr-reports" / "files" / folder.with_suffix(".txt")
            write(report, reports[study], encoding)
    link = root / "files" / "p11" / "p11000001" / "s50000005"
    link.symlink_to(elsewhere / "p11" / "p11000001" / "s50000005", target_is_directory=True)
    return {"layout": "mimic-cxr", "root": root}


def openi_xml(study: str, images: Sequence[str], majors: Sequence[str], **sections: str) -> str:
    """A study as Open-i writes it, reduced to what matters."""
    texts = "".join(
        f'<AbstractText Label="{label.upper()}">{text}</AbstractText>'
        if text
        else f'<AbstractText Label="{label.upper()}"/>'
        for label, text in sections.items()
    )
    parents = "".join(f'<parentImage id="{name}"><panel/></parentImage>' for name in images)
    mesh = "".join(f"<major>{major}</major>" for major in majors)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<eCitation><uId id="{study}"/><MedlineCitation>'
        f"<Article><Abstract>{texts}</Abstract></Article></MedlineCitation><MeSH>{mesh}</MeSH>"
        f"{parents}</eCitation>"
    )


def openi(root: Path) -> dict[str, Any]:
    """Open-i with images and views: 9 studies."""
    studies = {
        "1": openi_xml(
            "CXR1",
            ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"],
            ["Cardiomegaly/borderline", "Opacity/lung/base/left", "Nodule/breast"],
            comparison="None.",
            indication="Pain",
            findings="Heart size borderline.\n   XXXX opacity at the left base.",
            impression="Left basilar opacity.",
        ),
        "2": openi_xml("CXR2", ["CXR2_IM-0002-1001"], ["normal"], findings="", impression="Clear."),
        "3": openi_xml("CXR3", ["CXR3_IM-0003-2001"], ["normal"], findings="Lateral only."),
        "4": openi_xml("CXR4", ["CXR4_IM-0004-1001"], [], findings="Image is missing."),
        "5": openi_xml("CXR5", [], [], findings="No image at all.", impression=""),
        "6": openi_xml("CXR6", ["../../CXR6_IM-0006-1001"], [], findings="Climbs."),
        "7": openi_xml("CXR2", ["CXR2_IM-0002-1001"], [], impression="The same study again."),
        "8": "<eCitation><uId id='CXR8'/><cut",
        "10": openi_xml("CXR10", ["CXR10_IM-0010-1001"], [], findings="", impression=""),
    }
    for name, text in studies.items():
        write(root / "ecgen-radiology" / f"{name}.xml", text.replace("\n", "\r\n"))
    folder = root / "images été"
    names = ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_IM-0002-1001",
             "CXR3_IM-0003-2001", "CXR10_IM-0010-1001"]  # fmt: skip
    for number, name in enumerate(names):
        write(folder / f"{name}.png", image(number))
    csv(
        root / "indiana_projections.csv",
        "uid,filename,projection",
        ("1", "1_IM-0001-3001.dcm.png", "Lateral"),
        ("1", "1_IM-0001-4001.dcm.png", "Frontal"),
        ("2", "IM-0002-1001.dcm.png", "Frontal"),
        ("3", "IM-0003-2001.dcm.png", "Lateral"),
        ("4", "IM-0004-1001.dcm.png", "Frontal"),
        ("5", "", "Frontal"),
        ("10", "IM-0010-1001.dcm.png", "Frontal"),
    )
    return {"layout": "openi", "root": root, "image_root": folder}


def chexpert_plus(root: Path) -> dict[str, Any]:
    """CheXpert Plus with PNG images and CheXbert's labels: 8 images."""
    header = (
        "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,"
        "section_findings,section_impression,split"
    )
    rows = [
        ("train/patient1/study1/view1_frontal.jpg", "Frontal", "AP", "patient1", "Clear\nlungs.",
         "1. No change.\r\n2. Normal.", "train"),
        ("train/patient1/study1/view2_lateral.jpg", "Lateral", "", "patient1", "Clear.", "",
         "train"),
        ("train/patient2/study1/view1_frontal.jpg", "Frontal", "PA", "patient2", "", "Edema.",
         "train"),
        ("train/patient2/study1/view1_frontal.jpg", "Frontal", "PA", "patient2", "", "Edema.",
         "train"),
        ("valid/patient3/study1/view1_frontal.jpg", "Frontal", "PA", "patient3", "nan", "NaN",
         "valid"),
        ("valid/patient4/study1/view1_frontal.jpg", "Frontal", "PA", "patient4", "Missing image.",
         "", "valid"),
        ("../../patient5.jpg", "Frontal", "AP", "patient5", "Climbs.", "", "train"),
        ("train/patient 6 é/study1/view1_frontal.jpg", "Frontal", "AP", "patient6", "Épanchement.",
         "", "train"),
    ]  # fmt: skip
    csv(
        root / "df_chexpert_plus_240401.csv",
        header,
        *[(row[0], row[0].replace("jpg", "dcm"), *row[1:]) for row in rows],
    )
    for number, row in enumerate(rows):
        if not row[4].startswith(("Missing", "Climbs")):
            write(root / "PNG" / Path(row[0]).with_suffix(".png"), image(number))
    labels = [
        {"path_to_image": rows[0][0], "No Finding": 1.0, "Edema": 0.0, "Pneumonia": None},
        {"path_to_image": rows[2][0], "Edema": -1.0, "Lung Opacity": 1.0},
    ]
    lines = "\n".join(json.dumps(label) for label in labels)
    write(root / "chexbert_labels" / "report_fixed.json", lines + "\n")
    return {"layout": "chexpert-plus", "root": root}


def padchest(root: Path) -> dict[str, Any]:
    """PadChest with numbered folders: 8 images."""
    header = ",ImageID,ImageDir,StudyID,PatientID,Projection,Report,Labels"
    rows = [
        ("1_a.png", "0", "s1", "p1", "PA", "corazon aumentado . sonda .",
         "['cardiomegaly', 'NSG tube', 'kyphosis', ' pleural effusion']"),
        ("1_b.png", "0.0", "s1", "p1", "L", "corazon aumentado .", "['cardiomegaly']"),
        ("2_a.png", "1", "s2", "p2", "AP_horizontal", "sin hallazgos .", "['normal']"),
        ("2_a.png", "1", "s2", "p2", "AP_horizontal", "sin hallazgos .", "['normal']"),
        ("3_a.png", "1", "s3", "p3", "AP", "nan", ""),
        ("4_a.png", "1", "s4", "p4", "PA", "falta la placa .", "nan"),
        ("../../5_a.png", "1", "s5", "p5", "PA", "fuera .", "['normal']"),
        ("6 é.png", "2", "s6", "p6", "PA", "neumonía\r\n bilateral .", "['pneumonia']"),
    ]  # fmt: skip
    csv(
        root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",
        header,
        *[(str(number), *row) for number, row in enumerate(rows)],
    )
    for number, row in enumerate(rows):
        if not row[5].startswith(("falta", "fuera")):
            write(root / row[1][0] / row[0], image(number))
    return {"layout": "padchest", "root": root}


def cxr_folder(root: Path) -> dict[str, Any]:
    """Images beside text files: 10 of them, in folders with spaces, accents and links."""
    reports: Mapping[str, tuple[str, str]] = {
        "Müller 1/café é": ("Findings: Clear lungs.\nImpression: Normal.\n", "utf-8"),
        "Müller 1/other": ("impression:\r\nEdema.\r\n", "utf-8"),
        "b/two": ("IMPRESSION: First. IMPRESSION: Second.", "utf-8"),
        "b/plain": ("The lungs are clear.\n\nNo effusion.\n", "utf-8"),
        "b/latin": ("Épanchement.", "latin-1"),
        "b/empty": ("\n", "utf-8"),
        "b/alone": ("A report without an image.", "utf-8"),
    }
    for number, (name, (text, encoding)) in enumerate(reports.items()):
        write(root / f"{name}.txt", text, encoding)
        if not name.endswith("alone"):
            write(root / f"{name}.png", image(number))
    write(root / "b" / "no report.jpg", image(20, "JPEG"))
    write(root / "b" / "two.jpg", image(21, "JPEG"))  # a second image of the same name
    elsewhere = root.parent / f"{root.name} elsewhere"
    write(elsewhere / "x.png", image(22))
    write(elsewhere / "x.txt", "No pneumothorax.")
    (root / "link").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "loop").symlink_to(root, target_is_directory=True)
    return {"layout": "cxr-folder", "root": root}


def tar(path: Path, *members: tuple[str, bytes]) -> Path:
    """Writes a tar with members of these names, whatever they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def webdataset(root: Path) -> dict[str, Any]:
    """Two shards of no export of ours: 9 keys."""
    record = json.dumps({"findings": "Épanchement.", "patient_id": 7, "labels": {"edema": 1}})
    tar(
        root / "cxr-000000.tar",
        ("a/1.png", image(1)),
        ("a/1.txt", b"FINDINGS: Clear. IMPRESSION: Normal."),
        ("a/1.cls", b"1"),
        ("a/2.jpg", image(2, "JPEG")),
        ("a/2.json", record.encode()),
        ("a/3.txt", b"The image is missing."),
        ("a/4.png", image(4)),
        ("a/4.txt", "Épanchement.".encode("latin-1")),
        ("a/5.png", image(5)),
        ("a/5.txt", b""),
    )
    tar(
        root / "cxr-000001.tar",
        ("/etc/6.png", image(6)),
        ("/etc/6.txt", b"An absolute path."),
        ("../7.png", image(7)),
        ("../7.txt", b"Climbs out."),
        ("a/1.png", image(8)),
        ("a/1.txt", b"The same key again."),
        ("a/9 \xc3\xa9.png".encode("latin-1").decode(), image(9)),
        ("a/9 \xc3\xa9.txt".encode("latin-1").decode(), b"IMPRESSION: Line one.\r\nLine two.\r\n"),
    )
    shards = root / "cxr-{000000..000001}.tar"
    return {"layout": "webdataset", "shards": [shards], "classes": {"1": "no finding"}}


def huggingface(root: Path) -> dict[str, Any]:
    """A Parquet file with images inside: 6 rows."""
    rows = [
        {
            "image": {"bytes": image(1), "path": None},
            "text": "FINDINGS: Clear. IMPRESSION: Normal.",
        },
        {"image": {"bytes": None, "path": None}, "text": "The image is missing."},
        {"image": {"bytes": b"no image", "path": None}, "text": "The image is damaged."},
        {"image": {"bytes": image(4, "JPEG"), "path": "x.jpg"}, "text": None},
        {"image": {"bytes": None, "path": "../outside.png"}, "text": "Climbs."},
        {"image": {"bytes": image(6), "path": "é.png"}, "text": "Épanchement.\r\nDeux lignes."},
    ]
    features = {"image": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}}
    schema = pa.schema(
        [
            pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            pa.field("text", pa.string()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    root.mkdir(parents=True, exist_ok=True)
    path = root / "images and reports.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return {"layout": "huggingface", "path": path}


TREES = {
    "mimic-cxr": mimic,
    "openi": openi,
    "chexpert-plus": chexpert_plus,
    "padchest": padchest,
    "cxr-folder": cxr_folder,
    "webdataset": webdataset,
    "huggingface": huggingface,
}
"""Layout → what writes its tree."""
