"""The inter branch: generates an image of a new patient from each new report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from pairaug.candidates.accept import CandidateScorer
from pairaug.candidates.choose import (
    Chosen,
    choice_trace,
    generate_and_choose,
    in_place,
    with_image,
)
from pairaug.candidates.generator import generator_folder, open_generator
from pairaug.candidates.ids import candidate_id
from pairaug.diffusion.folder import weights_sha256
from pairaug.diffusion.prompts import ReportTooLongError
from pairaug.generate.sampler import GeneratedCandidate, GenerationRequest, ReportSampler
from pairaug.generate.settings import GenerateSettings
from pairaug.pair import Branch, Pair
from pairaug.stage import RunContext, overlap, seed_for

if TYPE_CHECKING:
    from pairaug.diffusion.pipeline import Pipeline


class Generate:
    """Generates an image for each inter pair without one; all other pairs pass through.

    An image depends on the pair's report, the seed derived from the pair's id, and the number of
    the candidate.
    """

    name = "generate"

    def __init__(self, settings: GenerateSettings, context: RunContext) -> None:
        self._settings = settings
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair in order: with its image, dropped, or unchanged; then its other candidates."""
        # The images of one group are decoded and compressed while the next group is generated.
        for num_images, done in overlap(self._groups(pairs)):
            self._context.report_progress(num_images)
            yield from done

    @staticmethod
    def weights(settings: GenerateSettings) -> dict[str, str]:
        """SHA-256 of the models that determine the images, for the fingerprint."""
        hashes = {settings.model: weights_sha256(generator_folder(settings))}
        if settings.chooses:
            hashes |= CandidateScorer.weights(settings.accept, Branch.INTER)
        return hashes

    def _groups(self, pairs: Iterable[Pair]) -> Iterator[Callable[[], tuple[int, list[Pair]]]]:
        """Images generated group by group, each with the remaining work as a callable."""
        settings = self._settings
        # With `first-accepted`, fewer images are generated at each candidate number: grouping
        # several batches keeps the later ones full.
        size = settings.batch_size * (settings.num_images if settings.chooses else 1)
        waiting: list[Pair] = []
        num_images = 0
        for pair in pairs:
            waiting.append(pair)
            num_images += settings.max_kept * _is_mine(pair)
            if num_images >= size:
                yield self._generated(waiting)
                waiting, num_images = [], 0
        yield self._generated(waiting)

    def _generated(self, waiting: Sequence[Pair]) -> Callable[[], tuple[int, list[Pair]]]:
        """Generates the missing images of the pairs; returns a callable that attaches them."""
        mine = [pair for pair in waiting if _is_mine(pair)]
        dropped: dict[str, Pair] = {}
        requests: list[GenerationRequest] = []
        for pair in mine:
            request = self._request(pair)
            if isinstance(request, Pair):
                dropped[pair.id] = request
            else:
                requests.append(request)
        chosen = self._chosen(requests) if requests else []
        return partial(self._finished, waiting, len(mine), chosen, dropped)

    def _request(self, pair: Pair) -> GenerationRequest | Pair:
        """The request for the pair's image, or the pair dropped."""
        try:
            prompt = self._pipeline.fit_prompt(pair.report.text, self._settings.long_report)
        except ReportTooLongError as error:
            return pair.dropped(self.name, "report_too_long", str(error))
        return (
            GenerationRequest(pair, prompt)
            if prompt.text
            else pair.dropped(self.name, "empty_report")
        )

    def _chosen(self, requests: Sequence[GenerationRequest]) -> list[Chosen[GeneratedCandidate]]:
        from pairaug.diffusion.sampling import SamplingOptions

        settings = self._settings
        options = SamplingOptions(
            settings.num_inference_steps, settings.guidance_scale, settings.scheduler
        )
        sampler = ReportSampler(self._pipeline, options, settings.batch_size, self._seed)
        scorer = self._candidate_scorer if settings.chooses else None
        return generate_and_choose(sampler, requests, settings.keep, settings.num_images, scorer)

    def _finished(
        self,
        waiting: Sequence[Pair],
        num_reports: int,
        chosen: Sequence[Chosen[GeneratedCandidate]],
        dropped: Mapping[str, Pair],
    ) -> tuple[int, list[Pair]]:
        """The waiting pairs in order, each replaced by its results."""
        return num_reports, in_place(waiting, chosen, dropped, self._outcome)

    def _outcome(self, chosen: Chosen[GeneratedCandidate]) -> Pair:
        """The pair with its image, or dropped for a defect of the image."""
        generated = chosen.generated
        pair, prompt, settings = generated.request.pair, generated.request.prompt, self._settings
        if settings.keep == "all":
            pair = replace(pair, id=candidate_id(pair.id, generated.number))
        traced = pair.with_trace(
            self.name,
            seed=generated.seed,
            model=settings.model,
            revision=settings.revision,
            weights=self._pipeline.sha256,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            scheduler=settings.scheduler,
            prompt_characters=len(prompt.text),
            num_tokens=prompt.num_tokens,
            num_windows=prompt.num_windows,
            truncated=prompt.truncated,
            left_out_sentences=prompt.left_out_sentences,
            **choice_trace(chosen, self._candidate_scorer),
        )
        return with_image(traced, generated, self.name)

    def _seed(self, pair_id: str) -> int:
        return seed_for(self._context.seed, pair_id, self.name)

    @cached_property
    def _candidate_scorer(self) -> CandidateScorer:
        return CandidateScorer(self._settings.accept, Branch.INTER, self._context)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return open_generator(self._settings, self._context)


def _is_mine(pair: Pair) -> bool:
    return pair.branch is Branch.INTER and pair.image is None and pair.drop is None
