"""Checks before a long run: settings, data, models, token window, disk and device."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from pairaug.config import Settings, load_settings
from pairaug.errors import DataError, PairAugError
from pairaug.findings import is_english
from pairaug.notices import phantom_model_warning
from pairaug.pair import Pair
from pairaug.record import RECORD_NAME, read_record
from pairaug.rewrite.cleaning import source_report
from pairaug.run.device import with_device
from pairaug.run.plan import nearest_folder
from pairaug.run.stages import (
    MODEL_STAGES,
    STAGES,
    check_models,
    check_server,
    open_source,
    phantom_model,
    weights_of,
)
from pairaug.stage import RunContext

_NUM_TRIED = 20
"""Pairs that are read as a test."""

_FEW_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    is_ok: bool
    message: str
    is_warning: bool = False
    """True: the run can start, but read this before."""


def diagnose(
    config: Path | None, overrides: Sequence[str] = (), out: Path | None = None
) -> Iterator[Check]:
    """Runs the checks one by one; stops after settings that cannot be read.

    `out` is the run folder whose free disk space is checked.
    """
    try:
        settings = load_settings(config, overrides, preset=None if config else "demo")
    except PairAugError as error:
        yield Check("settings", False, str(error))
        return
    yield Check("settings", True, str(config or "the demo preset"))
    if config is not None and (run := _check("run", lambda: _existing_run(config.parent))).message:
        yield run
    pairs: list[Pair] = []
    yield _check("device", lambda: _device(settings))
    yield _check("data", lambda: _data(settings, pairs))
    if pairs:
        yield _language(pairs)
    for stage in STAGES:
        yield from _models(stage, settings)
    yield from _phantom_models(settings)
    server = _check("language model", lambda: check_server(settings))
    if server.message:
        yield server
    yield _check("token window", lambda: _token_window(settings, pairs))
    yield _disk(out or Path.cwd())


def _check(name: str, run_check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, run_check())
    except PairAugError as error:
        return Check(name, False, str(error))


def _existing_run(folder: Path) -> str:
    """A message if `folder` has a run already; else empty."""
    path = folder / RECORD_NAME
    return f"{folder} has a run, which will be resumed" if read_record(path) is not None else ""


def _device(settings: Settings) -> str:
    settings = with_device(settings)
    message = f"{settings.device}, {settings.dtype}"
    from pairaug.hub.inference import has_native_bfloat16

    if settings.device == "cpu" and settings.score.dtype == "auto" and has_native_bfloat16():
        message += "; this CPU supports bfloat16: set score.dtype to bfloat16 to score faster"
    return message


def _data(settings: Settings, pairs: list[Pair]) -> str:
    """Name and terms of the source, and the result of reading its first pairs into `pairs`."""
    reader = open_source(settings, RunContext(settings.seed))
    source = reader.describe()
    first = list(islice(reader, _NUM_TRIED))
    if not first:
        raise DataError(f"the source {source.name} has no pairs")
    pairs += [pair for pair in first if pair.drop is None]
    if not pairs:
        raise DataError(f"none of the first {len(first)} pairs can be used: {_format_drops(first)}")
    why = f" ({_format_drops(first)})" if len(pairs) < len(first) else ""
    return (
        f"{source.name}, access {source.access}, license {source.license}; "
        f"{len(pairs)} of the first {len(first)} pairs can be used{why}"
    )


def _format_drops(pairs: Sequence[Pair]) -> str:
    """Number of dropped pairs for each reason, with the detail of the first one."""
    drops = [pair.drop for pair in pairs if pair.drop]
    counts = Counter(drop.reason for drop in drops)
    first = {drop.reason: drop.detail for drop in reversed(drops)}
    return "; ".join(
        f"{reason} {count}, the first: {first[reason]}" if first[reason] else f"{reason} {count}"
        for reason, count in counts.most_common()
    )


def _language(pairs: Sequence[Pair]) -> Check:
    num_others = sum(not is_english(pair.report.text) for pair in pairs)
    if not num_others:
        return Check("language", True, f"{len(pairs)} of {len(pairs)} reports are in English")
    return Check("language", num_others < len(pairs), not_english_message(num_others, len(pairs)))


def not_english_message(number: int, num_reports: int) -> str:
    """A message with the number of reports that are not in English, and the consequences."""
    return (
        f"{number:,} of {num_reports:,} reports are not in English: their findings come only from "
        "labels of the source, and they are not rewritten (drop reason report_not_english)"
    )


def _models(stage: str, settings: Settings) -> Iterator[Check]:
    try:
        check_models(stage, settings)
        for model, sha256 in weights_of(stage, settings).items():
            yield Check(f"model of {stage}", True, f"{model}, SHA-256 {sha256[:12]}")
    except PairAugError as error:
        yield Check(f"model of {stage}", False, str(error))


def _phantom_models(settings: Settings) -> Iterator[Check]:
    """A warning if models trained on phantoms only are used on real images."""
    models: dict[str, str] = {}
    for stage in MODEL_STAGES:
        with suppress(PairAugError):  # reported by the check of the model
            model = phantom_model(stage, settings)
            models |= {stage: model} if model is not None else {}
    source: dict[str, object] = {"layout": settings.read.layout}
    with suppress(PairAugError):
        source = asdict(open_source(settings, RunContext(settings.seed)).describe())
    warning = phantom_model_warning({"source": source, "phantom_models": models})
    if warning:
        yield Check("real images", True, warning, is_warning=True)


def _token_window(settings: Settings, pairs: Sequence[Pair]) -> str:
    from transformers import CLIPTokenizer

    from pairaug.candidates.generator import generator_folder
    from pairaug.hub.tokenizers import open_tokenizer

    folder = generator_folder(settings.generate)
    tokenizer = open_tokenizer(CLIPTokenizer, folder / "tokenizer")
    window = int(tokenizer.model_max_length)
    # Cleaned and cut as prompts are: rewritten reports have about the same length.
    texts = [source_report(pair.report.text, settings.rewrite.max_words) for pair in pairs]
    lengths = [len(tokenizer(text, verbose=False).input_ids) for text in texts]
    num_longer = sum(length > window for length in lengths)
    return f"{window} tokens; {num_longer} of {len(lengths)} cleaned reports are longer"


def _disk(out: Path) -> Check:
    free = shutil.disk_usage(nearest_folder(out)).free
    return Check("disk", free > _FEW_BYTES, f"{free / 1024**3:.1f} GB free for {out}")
