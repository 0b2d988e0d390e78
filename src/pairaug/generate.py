"""The inter branch: a film is drawn from each new report, of a patient who never was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pairaug.diffusion.folder import model_folder, weights_sha256
from pairaug.diffusion.prompts import LongReport, Prompt, ReportTooLongError
from pairaug.images import fault, png_ref
from pairaug.pair import Branch, Pair
from pairaug.settings import GeneratorModel
from pairaug.stage import Context, overlapped, seed_for

if TYPE_CHECKING:
    from torch import Tensor

    from pairaug.diffusion.bundle import Bundle

DROP_REASONS = {
    "empty_report": "nothing of the report is left to draw from",
    "report_too_long": "the report exceeds the text encoder's window, and `long_report` is `error`",
    "image_not_finite": "the model drew NaN or infinity",
    "image_constant": "the model drew one grey level",
    "image_saturated": "nearly all of what the model drew is pure black or white",
}


class GenerateSettings(GeneratorModel):
    """Which model draws, and how."""

    num_steps: int = Field(
        default=50, ge=1, description="Denoising steps. 50 in the authors' InterAug_Step2_T2I.py."
    )
    guidance_scale: float = Field(
        default=4.0,
        ge=1.0,
        description="Weight of the report over the empty text; 1 is no guidance, at half the "
        "cost. 4 in the authors' InterAug_Step2_T2I.py.",
    )
    scheduler: Literal["folder", "ddim", "dpm++2m", "unipc", "pndm"] = Field(
        default="folder",
        description="The solver; `folder` takes the one that the model comes with, as the "
        "authors do.",
    )
    long_report: LongReport = Field(
        default="shorten",
        description="A report beyond the text encoder's window: `shorten` leaves out sentences "
        "that only deny findings, then sentences from the end; `chunk` encodes it whole, in "
        "several windows; `error` drops the pair.",
    )
    batch_size: int = Field(default=8, ge=1, description="Films drawn at once.")


class Generate:
    """The stage: draws a film for each inter pair that has none; all other pairs pass through.

    A film depends on the pair's report and on the seed that the run gives to the pair's id.
    """

    name = "generate"

    def __init__(self, settings: GenerateSettings, context: Context) -> None:
        self._settings = settings
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair in order: with its film, dropped, or as it came."""
        # One batch's films are decoded and compressed while the next one's are drawn.
        for num_films, done in overlapped(self._batches(pairs)):
            self._context.report_progress(num_films)
            yield from done

    @staticmethod
    def weights(settings: GenerateSettings) -> dict[str, str]:
        """The generator and its SHA-256, for the fingerprint."""
        return {settings.model: weights_sha256(generator_folder(settings))}

    @cached_property
    def _bundle(self) -> Bundle:
        # Only now: tensor libraries and weights are loaded for the first film.
        from pairaug.diffusion.bundle import load_bundle

        return load_bundle(
            generator_folder(self._settings),
            device=self._context.device,
            dtype=self._context.dtype,
            allow_pickle=self._settings.allow_pickle,
            compile=self._context.compile,
        )

    def _batches(self, pairs: Iterable[Pair]) -> Iterator[Callable[[], tuple[int, list[Pair]]]]:
        """Latents drawn batch by batch; each is followed by what is left to be done for it."""
        waiting: list[Pair] = []
        num_mine = 0
        for pair in pairs:
            waiting.append(pair)
            num_mine += _is_mine(pair)
            if num_mine == self._settings.batch_size:
                yield self._drawn(waiting)
                waiting, num_mine = [], 0
        yield self._drawn(waiting)

    def _drawn(self, waiting: Sequence[Pair]) -> Callable[[], tuple[int, list[Pair]]]:
        """Draws for those among the pairs that want a film; what it returns gives them theirs."""
        mine = [pair for pair in waiting if _is_mine(pair)]
        dropped: dict[str, Pair] = {}
        drawable: list[tuple[Pair, Prompt]] = []
        for pair in mine:
            prompt = self._prompt(pair)
            if isinstance(prompt, Pair):
                dropped[pair.id] = prompt
            else:
                drawable.append((pair, prompt))
        latents = self._latents(drawable) if drawable else None
        return partial(self._finished, waiting, len(mine), drawable, latents, dropped)

    def _finished(
        self,
        waiting: Sequence[Pair],
        num_films: int,
        drawable: Sequence[tuple[Pair, Prompt]],
        latents: Tensor | None,
        dropped: Mapping[str, Pair],
    ) -> tuple[int, list[Pair]]:
        done = dict(dropped)
        films = [] if latents is None else self._bundle.decode_latents(latents)
        for (pair, prompt), film in zip(drawable, films, strict=True):
            traced = self._traced(pair, prompt)
            reason = fault(film)
            done[pair.id] = (
                traced.with_image(png_ref(film))
                if reason is None
                else traced.dropped(self.name, reason)
            )
        return num_films, [done.get(pair.id, pair) for pair in waiting]

    def _prompt(self, pair: Pair) -> Prompt | Pair:
        """What the pair's film is drawn from, or the pair dropped."""
        try:
            prompt = self._bundle.fit_prompt(pair.report.text, self._settings.long_report)
        except ReportTooLongError as error:
            return pair.dropped(self.name, "report_too_long", str(error))
        return prompt if prompt.text else pair.dropped(self.name, "empty_report")

    def _latents(self, drawable: Sequence[tuple[Pair, Prompt]]) -> Tensor:
        from pairaug.diffusion.sampling import SamplingOptions, draw_latents

        settings = self._settings
        return draw_latents(
            self._bundle,
            [prompt.text for _, prompt in drawable],
            [self._seed(pair) for pair, _ in drawable],
            SamplingOptions(settings.num_steps, settings.guidance_scale, settings.scheduler),
            settings.batch_size,
        )

    def _seed(self, pair: Pair) -> int:
        return seed_for(self._context.seed, pair.id, self.name)

    def _traced(self, pair: Pair, prompt: Prompt) -> Pair:
        settings = self._settings
        return pair.with_trace(
            self.name,
            seed=self._seed(pair),
            model=settings.model,
            revision=settings.revision,
            weights=self._bundle.sha256,
            num_steps=settings.num_steps,
            guidance_scale=settings.guidance_scale,
            scheduler=settings.scheduler,
            prompt_characters=len(prompt.text),
            num_tokens=prompt.num_tokens,
            num_windows=prompt.num_windows,
            truncated=prompt.truncated,
            left_out_sentences=prompt.left_out_sentences,
        )


def generator_folder(settings: GenerateSettings) -> Path:
    """The folder of the model that the settings name."""
    return model_folder(settings.model, settings.revision, settings.allow_pickle)


def _is_mine(pair: Pair) -> bool:
    return pair.branch is Branch.INTER and pair.image is None and pair.drop is None
