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
from pairaug.notices import of_phantom_models
from pairaug.pair import Pair
from pairaug.record import RECORD_NAME, read_record
from pairaug.rewrite.cleaning import source_report
from pairaug.run.device import with_device
from pairaug.run.plan import nearest_folder
from pairaug.run.stages import (
    MODEL_STAGES,
    STAGES,
    check_models,
    look_at_server,
    open_source,
    phantom_model,
    weights_of,
)
from pairaug.stage import RunContext

_NUM_TRIED = 20
"""Pairs that are read to see that reading works."""

_FEW_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    is_fine: bool
    found: str
    is_warning: bool = False
    """It keeps no run from starting, and should be known before."""


def diagnose(
    config: Path | None, overrides: Sequence[str] = (), out: Path | None = None
) -> Iterator[Check]:
    """The checks, one after another; after settings that cannot be read there are no others.

    `out` is the folder that the run will go to, whose disk is looked at.
    """
    try:
        settings = load_settings(config, overrides, preset=None if config else "demo")
    except PairAugError as error:
        yield Check("settings", False, str(error))
        return
    yield Check("settings", True, str(config or "the demo preset"))
    if config is not None and (run := _tried("run", lambda: _run(config.parent))).found:
        yield run
    pairs: list[Pair] = []
    yield _tried("device", lambda: _device(settings))
    yield _tried("data", lambda: _data(settings, pairs))
    if pairs:
        yield _language(pairs)
    for stage in STAGES:
        yield from _models(stage, settings)
    yield from _phantom_models(settings)
    server = _tried("language model", lambda: look_at_server(settings))
    if server.found:
        yield server
    yield _tried("token window", lambda: _token_window(settings, pairs))
    yield _disk(out or Path.cwd())


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except PairAugError as error:
        return Check(name, False, str(error))


def _run(folder: Path) -> str:
    """The fate of the run whose settings these are; empty where there is none."""
    path = folder / RECORD_NAME
    return f"{folder} goes on where it is" if read_record(path) is not None else ""


def _device(settings: Settings) -> str:
    settings = with_device(settings)
    found = f"{settings.device}, {settings.dtype}"
    from pairaug.hub.inference import has_native_bfloat16

    if settings.device == "cpu" and settings.score.dtype == "auto" and has_native_bfloat16():
        found += "; this CPU multiplies bfloat16 natively: score.dtype: bfloat16 scores faster"
    return found


def _data(settings: Settings, pairs: list[Pair]) -> str:
    """What the source is, and how the first pairs read; they are added to `pairs`."""
    reader = open_source(settings, RunContext(settings.seed))
    source = reader.describe()
    tried = list(islice(reader, _NUM_TRIED))
    if not tried:
        raise DataError(f"the source {source.name} has no pairs")
    pairs += [pair for pair in tried if pair.drop is None]
    if not pairs:
        raise DataError(f"none of the first {len(tried)} pairs can be used: {_why_not(tried)}")
    why = f" ({_why_not(tried)})" if len(pairs) < len(tried) else ""
    return (
        f"{source.name}, access {source.access}, license {source.license}; "
        f"{len(pairs)} of the first {len(tried)} pairs can be used{why}"
    )


def _why_not(tried: Sequence[Pair]) -> str:
    """The number of dropped pairs for each reason, with the first one's detail."""
    drops = [pair.drop for pair in tried if pair.drop]
    counts = Counter(drop.reason for drop in drops)
    first = {drop.reason: drop.detail for drop in reversed(drops)}
    return "; ".join(
        f"{reason} {count}, first {first[reason]}" if first[reason] else f"{reason} {count}"
        for reason, count in counts.most_common()
    )


def _language(pairs: Sequence[Pair]) -> Check:
    num_others = sum(not is_english(pair.report.text) for pair in pairs)
    if not num_others:
        return Check("language", True, f"{len(pairs)} of {len(pairs)} reports are in English")
    return Check("language", num_others < len(pairs), not_english(num_others, len(pairs)))


def not_english(number: int, num_reports: int) -> str:
    """The line that says how many reports are in another language, and what that means."""
    return (
        f"{number:,} of {num_reports:,} reports are not in English: no findings are read from "
        "them, only labels that the source states are used, and rewriting drops their children as "
        "report_not_english"
    )


def _models(stage: str, settings: Settings) -> Iterator[Check]:
    try:
        check_models(stage, settings)
        for model, sha256 in weights_of(stage, settings).items():
            yield Check(f"model of {stage}", True, f"{model}, SHA-256 {sha256[:12]}")
    except PairAugError as error:
        yield Check(f"model of {stage}", False, str(error))


def _phantom_models(settings: Settings) -> Iterator[Check]:
    """A warning where models that have only seen phantoms are to meet real images."""
    models: dict[str, str] = {}
    for stage in MODEL_STAGES:
        with suppress(PairAugError):  # said where the model was looked at
            model = phantom_model(stage, settings)
            models |= {stage: model} if model is not None else {}
    source: dict[str, object] = {"layout": settings.read.layout}
    with suppress(PairAugError):
        source = asdict(open_source(settings, RunContext(settings.seed)).describe())
    told = of_phantom_models({"source": source, "phantom_models": models})
    if told:
        yield Check("real images", True, told, is_warning=True)


def _token_window(settings: Settings, pairs: Sequence[Pair]) -> str:
    from transformers import CLIPTokenizer

    from pairaug.candidates.generator import generator_folder
    from pairaug.hub.tokenizers import open_tokenizer

    folder = generator_folder(settings.generate)
    tokenizer = open_tokenizer(CLIPTokenizer, folder / "tokenizer")
    window = int(tokenizer.model_max_length)
    # As they are prompted: cleaned and cut, which their children's lengths go by.
    texts = [source_report(pair.report.text, settings.rewrite.max_words) for pair in pairs]
    lengths = [len(tokenizer(text, verbose=False).input_ids) for text in texts]
    num_longer = sum(length > window for length in lengths)
    return f"{window} tokens; {num_longer} of {len(lengths)} reports tried are longer once cleaned"


def _disk(out: Path) -> Check:
    free = shutil.disk_usage(nearest_folder(out)).free
    return Check("disk", free > _FEW_BYTES, f"{free / 1024**3:.1f} GB free for {out}")
