"""Writes a dataset of simulated images and reports: an image folder with a CSV table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from pairaug.errors import DataError, SettingsError
from pairaug.phantom.render import SIZE
from pairaug.phantom.study import Study, sample_study
from pairaug.phantom.truth import true_labels
from pairaug.system.atomic import write_file
from pairaug.system.workers import open_workers

# CheXpert's columns, in its order and spelling. Findings that phantoms do not model stay blank.
LABEL_COLUMNS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
COLUMNS = (
    "id",
    "file",
    "patient_id",
    "study_id",
    "view",
    "split",
    "findings",
    "impression",
    *LABEL_COLUMNS,
)
# Fractions of the patients.
VALIDATION_FRACTION, TEST_FRACTION = 0.1, 0.1
_CHUNK = 16  # studies per task of a process


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """Settings of a phantom dataset: number of patients and studies, seed, image size."""

    num_patients: int
    seed: int = 0
    size: int = SIZE
    num_studies: int = 1
    """Studies per patient: same anatomy, findings sampled for each study."""

    def __post_init__(self) -> None:
        for name, least in (("num_patients", 1), ("seed", 0), ("size", 32), ("num_studies", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least {least}")


def write_dataset(
    out: Path,
    dataset: DatasetSize,
    masks: bool = False,
    num_processes: int = 2,
    report_progress: Callable[[int], None] = lambda num_studies: None,
) -> Path:
    """Writes the dataset to the folder `out` and returns the path of its `reports.csv`.

    Other files: `images/*.png` (8 bit), `findings.jsonl` (the exact truth), `README.md`, and with
    `masks` one PNG per structure and image. The same arguments give the same bytes.
    `report_progress` is called with the number of studies just written.
    """
    _claim(out, masks)
    chunks = list(_chunks(dataset))
    write = partial(_write_images, out, dataset, masks)
    truths: list[str] = []
    rows: list[list[str]] = []
    with _map(num_processes) as run:
        for chunk, done in zip(chunks, run(write, chunks), strict=True):
            for truth, row in done:
                truths.append(truth)
                rows.append(row)
            report_progress(len(chunk))
    write_file(out / "findings.jsonl", "".join(truths).encode())
    write_file(out / "README.md", _card(dataset, masks).encode())
    # Written last: its presence means that the dataset is complete.
    write_file(out / "reports.csv", _csv(rows).encode())
    return out / "reports.csv"


def split_of(patient_id: str) -> str:
    """The patient's split, by a hash of the id, so that it is the same in a larger dataset."""
    digest = blake2b(patient_id.encode(), digest_size=8).digest()
    position = int.from_bytes(digest, "big") / 2**64
    if position < TEST_FRACTION:
        return "test"
    return "validation" if position < TEST_FRACTION + VALIDATION_FRACTION else "train"


def _claim(out: Path, masks: bool) -> None:
    """Makes the folder, which must be new or empty."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"{out} is not an empty folder; pass another --out, or empty it first")
        (out / "images").mkdir(parents=True)
        if masks:
            (out / "masks").mkdir()
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error


def _chunks(dataset: DatasetSize) -> Iterator[list[tuple[int, int]]]:
    """(patient, visit) in order, in chunks."""
    total = dataset.num_patients * dataset.num_studies
    for start in range(0, total, _CHUNK):
        indices = range(start, min(start + _CHUNK, total))
        yield [divmod(index, dataset.num_studies) for index in indices]


@contextmanager
def _map(num_processes: int) -> Iterator[Callable[..., Iterable]]:
    """A `map` in this process, or over several spawned processes."""
    if num_processes <= 1:
        yield map
        return
    with open_workers(num_processes) as pool:
        yield pool.map


def _write_images(
    out: Path, dataset: DatasetSize, masks: bool, visits: list[tuple[int, int]]
) -> list[tuple[str, list[str]]]:
    """Writes the images of some studies and returns their lines of truth and rows of reports."""
    done: list[tuple[str, list[str]]] = []
    for index, visit in visits:
        study = sample_study(dataset.seed, index, visit)
        image = study.render(dataset.size)
        name = _study_id(study)
        write_file(
            out / "images" / f"{name}.png", _png(np.rint(image.image * 255).astype(np.uint8))
        )
        if masks:
            folder = out / "masks" / name
            folder.mkdir()
            for structure, mask in image.masks.items():
                pixels = mask.astype(np.uint8) * np.uint8(255)
                write_file(folder / f"{structure.replace(' ', '-')}.png", _png(pixels))
        done.append((_truth(study), _row(study)))
    return done


def _study_id(study: Study) -> str:
    return f"{study.patient_id}-{study.visit}"


def _truth(study: Study) -> str:
    """One line of JSON: the parameters to render this image again, and its findings."""
    record = {
        "id": _study_id(study),
        "patient_id": study.patient_id,
        "seed": study.seed,
        "index": study.index,
        "visit": study.visit,
        "anatomy": asdict(study.anatomy),
        "findings": [asdict(finding) for finding in study.findings],
    }
    return json.dumps(record) + "\n"


def _row(study: Study) -> list[str]:
    labels = {name.title(): str(int(is_so)) for name, is_so in true_labels(study.findings).items()}
    name = _study_id(study)
    return [
        name,
        f"images/{name}.png",
        study.patient_id,
        name,
        "PA",
        split_of(study.patient_id),
        study.findings_text,
        study.impression_text,
        *(labels.get(column, "") for column in LABEL_COLUMNS),
    ]


def _csv(rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG", compress_level=6)
    return encoded.getvalue()


def _card(dataset: DatasetSize, masks: bool) -> str:
    command = (
        f"pairaug phantom --out DIR --num-patients {dataset.num_patients} --seed {dataset.seed}"
    )
    num = dataset.num_patients * dataset.num_studies
    masks_line = "- `masks/STUDY/*.png`: each structure and finding, 255 inside\n" if masks else ""
    return f"""---
license: apache-2.0
language: en
tags: [synthetic, chest-radiograph, simulated]
---

# Phantom chest radiographs

**Simulated. Not clinical data: no patient, hospital or radiologist is behind any image or report.**
Use phantoms to test software: the findings on each image are known exactly. Results on phantoms do
not transfer to real patients, and must not be used to make or support a diagnosis.

{num} studies of {dataset.num_patients} simulated patients, images of
{dataset.size} x {dataset.size} pixels, generated by PairAug with seed {dataset.seed}: `{command}`.

- `images/*.png`: images, 8 bit grey; the patient's left is at the right of the image
- `reports.csv`: one line per study, with the report's sections, a split by patient, and labels with
  CheXpert's names (1 present, 0 absent, blank for what is not simulated)
- `findings.jsonl`: the exact truth: anatomy, and findings with side, zone and severity
{masks_line}"""
