"""The intra branch: a patient's film is edited to what the changed report says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pairaug.diffusion.folder import BUNDLED, model_folder, weights_sha256
from pairaug.diffusion.prompts import LongReport, Prompt, ReportTooLongError
from pairaug.errors import DataError
from pairaug.images import Fit, fault, fit_square, load_image, png_ref
from pairaug.pair import Branch, Pair
from pairaug.settings import StageSettings
from pairaug.stage import Context, batched, seed_for

if TYPE_CHECKING:
    from pairaug.diffusion.bundle import Bundle
    from pairaug.diffusion.control import EditOptions
    from pairaug.diffusion.editing import EditedFilms

DROP_REASONS = {
    "source_missing": "the real pair that it was made from is not in the run any more",
    "empty_report": "nothing of the report, or of the source's, is left to prompt with",
    "report_too_long": "the report, or the source's, exceeds the text encoder's window, and "
    "`long_report` is `error`",
    "unreadable_image": "the source's film could not be decoded, or is no longer there",
    "inversion_error": "the model cannot hold the source's film well enough",
    "image_not_finite": "the edit ended in NaN or infinity",
    "image_constant": "the edit ended in one grey level",
    "image_saturated": "nearly all of the edit is pure black or white",
}


class EditSettings(StageSettings):
    """Which model edits, from what source, and how much of the source's attention it keeps."""

    model: str = Field(
        default=BUNDLED,
        min_length=1,
        description="`bundled`, or a latent diffusion model in diffusers layout: a local folder "
        "or a hub id. The paper's is RoentGen.",
    )
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub id.")
    allow_pickle: bool = Field(
        default=False,
        description="Load pickled weights, which can run code, where there are no others.",
    )
    source: Literal["invert", "regenerate"] = Field(
        default="invert",
        description="`invert` edits the real film, by way of its DDIM trajectory; `regenerate` "
        "draws the source anew from its report, as the paper does, and keeps nothing of the film.",
    )
    num_steps: int = Field(
        default=75, ge=1, description="Denoising steps. 75 in the authors' IntraAug_Step2_T2I.py."
    )
    guidance_scale: float = Field(
        default=4.0,
        ge=1.0,
        description="Weight of the changed report; 1 is no guidance. 4 in the authors' "
        "IntraAug_Step2_T2I.py.",
    )
    guidance_from: Literal["empty", "source-report"] = Field(
        default="empty",
        description="What guidance pushes away from: the empty text, or, for inverted films, the "
        "source's report.",
    )
    drift: bool = Field(
        default=True,
        description="Add to the edit what the guided steps miss on the inverted source, so that "
        "an unchanged report returns the film at any guidance.",
    )
    scheduler: Literal["folder", "ddim", "dpm++2m", "unipc", "pndm"] = Field(
        default="folder",
        description="The solver of `regenerate`; `folder` takes the one that the model comes "
        "with. Inverted films always go by ddim.",
    )
    alignment: Literal["refine", "substitute", "blend"] = Field(
        default="refine",
        description="`refine`: shared words take the source's attention, new ones keep their own "
        "(the authors' AttentionRefine); `substitute`: replaced words take the attention of those "
        "that they replace; `blend`: `refine`, with the change kept where the two reports make a "
        "difference to the model, and the source's film everywhere else.",
    )
    blend_by: Literal["difference", "attention"] = Field(
        default="difference",
        description="Where that is: `difference`, where the model's predictions for the film "
        "differ under the two reports; `attention`, where it attends to the words that only one "
        "of the reports has.",
    )
    blend_threshold: float = Field(
        default=0.35,
        gt=0.0,
        lt=1.0,
        description="Where the region of `blend` ends, as a share of the film's largest "
        "difference or attention. Lower lets more of the film change.",
    )
    cross_replace: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Share of the steps in which cross-attention is the source's; the paper's "
        "eta. 0.5 in the authors' IntraAug_Step2_T2I.py.",
    )
    self_replace: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Share of the steps in which self-attention is the source's. 0.2 in the "
        "authors' IntraAug_Step2_T2I.py.",
    )
    self_max_positions: int = Field(
        default=256,
        ge=0,
        description="Self-attention over more positions is never swapped. 16 x 16 in the "
        "authors' ptp_utils.",
    )
    tries: int = Field(
        default=1,
        ge=1,
        description="Films drawn per changed report, each a pair of its own. An inverted edit "
        "has no random draw, so more than one needs `source: regenerate`. The authors draw 10.",
    )
    max_inversion_error: float | None = Field(
        default=None,
        gt=0.0,
        description="Drop the edits of a film that the model regenerates worse than this: mean "
        "absolute difference on a scale of 0 to 1. Not set: none is dropped for it.",
    )
    fit: Fit = Field(
        default="crop",
        description="How a film becomes square: `crop` keeps the centre, as latent diffusion "
        "models are trained; `pad` keeps the whole film, on black.",
    )
    long_report: LongReport = Field(
        default="shorten",
        description="A report beyond the text encoder's window: `shorten` leaves out sentences "
        "that only deny findings, then sentences from the end; `chunk` encodes it whole, in "
        "several windows; `error` drops the pair. The source's report goes the same way.",
    )
    batch_size: int = Field(default=8, ge=1, description="Edits made at once.")

    @model_validator(mode="after")
    def _goes_together(self) -> EditSettings:
        if self.source == "invert" and self.scheduler not in ("folder", "ddim"):
            raise ValueError(
                f"scheduler {self.scheduler} needs source: regenerate; inverted films go by ddim"
            )
        if self.source == "invert" and self.tries > 1:
            raise ValueError(
                f"tries is {self.tries}, but every try of an inverted edit is the same film; "
                "set tries to 1 or source to regenerate"
            )
        if self.source == "regenerate" and self.guidance_from == "source-report":
            raise ValueError("guidance_from: source-report needs source: invert")
        return self


@dataclass(frozen=True, slots=True)
class _Job:
    """One edit to be made: the pair that wants a film, its source, and both prompts."""

    pair: Pair
    source: Pair
    source_prompt: Prompt
    prompt: Prompt


class Edit:
    """The stage: gives each intra pair an edit of its source's film; other pairs pass through.

    A pair's source must come before it in the stream. Each source's film is inverted once for all
    edits of it that stand together.
    """

    name = "edit"

    def __init__(self, settings: EditSettings, context: Context) -> None:
        self._settings = settings
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair in order: with its film, dropped, or as it came; further tries follow it."""
        sources: dict[str, Pair] = {}
        waiting: list[Pair] = []
        mine: list[Pair] = []
        for pair in pairs:
            if pair.branch is Branch.REAL:
                sources[pair.id] = pair
            elif _is_mine(pair):
                # The edits of one film stay together, so that it is inverted once.
                is_new_film = bool(mine) and mine[-1].parent_id != pair.parent_id
                if is_new_film and len(mine) * self._settings.tries >= self._settings.batch_size:
                    yield from self._edited(waiting, mine, sources)
                    waiting, mine = [], []
                mine.append(pair)
            waiting.append(pair)
        yield from self._edited(waiting, mine, sources)

    @staticmethod
    def weights(settings: EditSettings) -> dict[str, str]:
        """The generator and its SHA-256, for the fingerprint."""
        return {settings.model: weights_sha256(_folder(settings))}

    @cached_property
    def _bundle(self) -> Bundle:
        # Only now: tensor libraries and weights are loaded for the first film.
        from pairaug.diffusion.bundle import load_bundle

        return load_bundle(
            _folder(self._settings),
            device=self._context.device,
            dtype=self._context.dtype,
            allow_pickle=self._settings.allow_pickle,
        )

    @cached_property
    def _options(self) -> EditOptions:
        from pairaug.diffusion.control import EditOptions

        settings = self._settings
        return EditOptions(
            num_steps=settings.num_steps,
            guidance_scale=settings.guidance_scale,
            guidance_from=settings.guidance_from,
            drift=settings.drift,
            scheduler=settings.scheduler,
            alignment=settings.alignment,
            cross_replace=settings.cross_replace,
            self_replace=settings.self_replace,
            self_max_positions=settings.self_max_positions,
            blend_by=settings.blend_by,
            blend_threshold=settings.blend_threshold,
        )

    def _edited(
        self, waiting: Sequence[Pair], mine: Sequence[Pair], sources: dict[str, Pair]
    ) -> Iterator[Pair]:
        """The pairs that have been waiting, with the outcome of each edit in its pair's place."""
        outcomes: dict[str, list[Pair]] = {}
        jobs: list[_Job] = []
        for pair in mine:
            job = self._job(pair, sources)
            if isinstance(job, Pair):
                outcomes[pair.id] = [job]
            else:
                jobs.append(job)
        is_inverted = self._settings.source == "invert"
        made = self._from_films(jobs) if is_inverted else self._from_noise(jobs)
        for pair_id, pair in made:
            outcomes.setdefault(pair_id, []).append(pair)
        self._context.report_progress(len(mine))
        for pair in waiting:
            yield from outcomes.get(pair.id, [pair])

    def _job(self, pair: Pair, sources: dict[str, Pair]) -> _Job | Pair:
        """What is to be done for a pair, or the pair dropped."""
        source = sources.get(pair.parent_id or "")
        if source is None:
            return pair.dropped(self.name, "source_missing")
        prompts: list[Prompt] = []
        for side, report in (("source", source.report), ("edited", pair.report)):
            try:
                prompts.append(self._bundle.fit_prompt(report.text, self._settings.long_report))
            except ReportTooLongError as error:
                return pair.dropped(self.name, "report_too_long", f"{side}: {error}")
        if not all(prompt.text for prompt in prompts):
            return pair.dropped(self.name, "empty_report")
        return _Job(pair, source, *prompts)

    def _from_films(self, jobs: Sequence[_Job]) -> Iterator[tuple[str, Pair]]:
        """Edits of the real films, by id; films that cannot be used drop all their edits."""
        films: dict[str, np.ndarray] = {}
        usable: list[_Job] = []
        for job in jobs:
            try:
                if job.source.id not in films:
                    films[job.source.id] = self._film(job.source)
                usable.append(job)
            except DataError as error:
                yield job.pair.id, job.pair.dropped(self.name, "unreadable_image", str(error))
        for group in batched(films, self._settings.batch_size):
            of_group = [job for job in usable if job.source.id in group]
            yield from self._edits_of(np.stack([films[key] for key in group]), group, of_group)

    def _edits_of(
        self, films: np.ndarray, source_ids: Sequence[str], jobs: Sequence[_Job]
    ) -> Iterator[tuple[str, Pair]]:
        from pairaug.diffusion.editing import edit_inverted
        from pairaug.diffusion.inversion import invert_films

        prompts = {job.source.id: job.source_prompt.text for job in jobs}
        inversion = invert_films(
            self._bundle, films, [prompts[key] for key in source_ids], self._settings.num_steps
        )
        errors = dict(zip(source_ids, inversion.errors, strict=True))
        good = [job for job in jobs if self._is_held(errors[job.source.id])]
        for job in jobs:
            if job not in good:
                error = errors[job.source.id]
                detail = f"{error:.4f} above {self._settings.max_inversion_error}"
                yield job.pair.id, job.pair.dropped(self.name, "inversion_error", detail)
        for batch in batched(good, self._settings.batch_size):
            places = [source_ids.index(job.source.id) for job in batch]
            texts = [job.prompt.text for job in batch]
            edited = edit_inverted(self._bundle, inversion, texts, self._options, places)
            for row, job in enumerate(batch):
                error = round(float(errors[job.source.id]), 6)
                yield (
                    job.pair.id,
                    self._outcome(job.pair, job, edited, row, {"inversion_error": error}),
                )

    def _from_noise(self, jobs: Sequence[_Job]) -> Iterator[tuple[str, Pair]]:
        """Edits of sources drawn along from the report, each try from noise of its own, by id."""
        from pairaug.diffusion.editing import edit_regenerated

        tries = [
            (_as_try(job.pair, number), job)
            for job in jobs
            for number in range(self._settings.tries)
        ]
        for batch in batched(tries, self._settings.batch_size):
            seeds = [seed_for(self._context.seed, pair.id, self.name) for pair, _ in batch]
            edited = edit_regenerated(
                self._bundle,
                [job.source_prompt.text for _, job in batch],
                [job.prompt.text for _, job in batch],
                seeds,
                self._options,
                self._settings.batch_size,
            )
            for row, (pair, job) in enumerate(batch):
                yield job.pair.id, self._outcome(pair, job, edited, row, {"seed": seeds[row]})

    def _film(self, source: Pair) -> np.ndarray:
        if source.image is None:
            raise DataError("the source has no image")
        return fit_square(load_image(source.image), self._bundle.image_size, self._settings.fit)

    def _is_held(self, error: float) -> bool:
        limit = self._settings.max_inversion_error
        return limit is None or bool(error <= limit)

    def _outcome(
        self, pair: Pair, job: _Job, edited: EditedFilms, row: int, measured: dict[str, Any]
    ) -> Pair:
        """The pair with its film, or dropped for what the film is."""
        film = edited.films[row]
        traced = pair.with_trace(
            self.name,
            **measured,
            **self._settings.model_dump(
                mode="json",
                exclude={"allow_pickle", "tries", "max_inversion_error", "batch_size"},
            ),
            weights=self._bundle.sha256,
            cross_swapped=round(float(edited.cross_swapped[row]), 6),
            self_swapped=round(edited.self_swapped, 6),
            changed_area=round(float(edited.changed_area[row]), 6),
            num_tokens=job.prompt.num_tokens,
            num_windows=job.prompt.num_windows,
            truncated=job.prompt.truncated,
            left_out_sentences=job.prompt.left_out_sentences,
            source_num_tokens=job.source_prompt.num_tokens,
            source_num_windows=job.source_prompt.num_windows,
            source_truncated=job.source_prompt.truncated,
            source_left_out_sentences=job.source_prompt.left_out_sentences,
        )
        reason = fault(film)
        if reason is not None:
            return traced.dropped(self.name, reason)
        return traced.with_image(png_ref(film))


def _as_try(pair: Pair, number: int) -> Pair:
    """The pair itself for the first try, and a sister with an id of its own for each other."""
    return pair if number == 0 else replace(pair, id=f"{pair.id}~try-{number}")


def _folder(settings: EditSettings) -> Path:
    return model_folder(settings.model, settings.revision, settings.allow_pickle)


def _is_mine(pair: Pair) -> bool:
    return pair.branch is Branch.INTRA and pair.image is None and pair.drop is None
