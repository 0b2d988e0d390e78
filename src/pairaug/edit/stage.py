"""The intra branch: a patient's image is edited to what the changed report says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

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
from pairaug.edit.sampler import (
    EditCandidate,
    EditRequest,
    InversionSampler,
    RegenerationSampler,
    SourceKey,
)
from pairaug.edit.settings import EditSettings
from pairaug.imaging.files import ImageError
from pairaug.imaging.io import fit_square, load_image
from pairaug.pair import Branch, Pair
from pairaug.stage import RunContext, batched, overlap, seed_for

if TYPE_CHECKING:
    from pairaug.diffusion.edit_plan import EditOptions
    from pairaug.diffusion.pipeline import Pipeline

# Settings that an image's trace leaves out: they decide which images exist, not what one shows.
_NOT_TRACED = {"allow_pickle", "num_images", "accept", "max_inversion_error", "batch_size"}


class Edit:
    """The stage: gives each intra pair an edit of its source's image; other pairs pass through.

    A pair's source must come before it in the stream. Each source's image is inverted once for all
    consecutive edits of it.
    """

    name = "edit"

    def __init__(self, settings: EditSettings, context: RunContext) -> None:
        self._settings = settings
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair in order, with its image, dropped, or unchanged; other candidates follow it."""
        # One group's images are decoded and compressed while the next one's are generated.
        for num_edits, done in overlap(self._groups(pairs)):
            self._context.report_progress(num_edits)
            yield from done

    @staticmethod
    def weights(settings: EditSettings) -> dict[str, str]:
        """The models that affect the result, and their SHA-256, for the fingerprint."""
        hashes = {settings.model: weights_sha256(generator_folder(settings))}
        return (
            {**hashes, **CandidateScorer.weights(settings.accept, Branch.INTRA)}
            if settings.chooses
            else hashes
        )

    def _groups(self, pairs: Iterable[Pair]) -> Iterator[Callable[[], tuple[int, list[Pair]]]]:
        """Edits generated group by group, each as the function that finishes it."""
        sources: dict[str, Pair] = {}
        waiting: list[Pair] = []
        mine: list[Pair] = []
        for pair in pairs:
            if pair.branch is Branch.REAL:
                sources[pair.id] = pair
            elif _is_mine(pair):
                # The edits of one image stay together, so that it is inverted once.
                is_new_image = bool(mine) and mine[-1].parent_id != pair.parent_id
                num_images = len(mine) * self._settings.max_kept
                if is_new_image and num_images >= self._settings.batch_size:
                    yield self._generated(waiting, mine, sources)
                    waiting, mine = [], []
                mine.append(pair)
            waiting.append(pair)
        yield self._generated(waiting, mine, sources)

    def _generated(
        self, waiting: Sequence[Pair], mine: Sequence[Pair], sources: Mapping[str, Pair]
    ) -> Callable[[], tuple[int, list[Pair]]]:
        """Generates the edits of a group; the function returned puts the images into the pairs."""
        requests: list[EditRequest] = []
        dropped: dict[str, Pair] = {}
        for pair in mine:
            request = self._request(pair, sources)
            if isinstance(request, Pair):
                dropped[pair.id] = request
            else:
                requests.append(request)
        if not requests:
            chosen = []
        elif self._settings.method == "invert":
            chosen = self._from_images(requests, dropped)
        else:
            chosen = self._chosen(
                RegenerationSampler(
                    self._pipeline, self._options, self._settings.batch_size, self._seed
                ),
                requests,
            )
        return partial(self._finished, waiting, len(mine), chosen, dropped)

    def _request(self, pair: Pair, sources: Mapping[str, Pair]) -> EditRequest | Pair:
        """The edit that a pair asks for, or the pair dropped."""
        source = sources.get(pair.parent_id or "")
        if source is None:
            return pair.dropped(self.name, "source_missing")
        texts = pair.source_report or "", pair.report.text
        try:
            prompts = self._pipeline.fit_prompts(*texts, self._settings.long_report)
        except ReportTooLongError as error:
            return pair.dropped(self.name, "report_too_long", str(error))
        if not all(prompt.text for prompt in prompts):
            return pair.dropped(self.name, "empty_report")
        return EditRequest(pair, source, *prompts)

    def _from_images(
        self, requests: Sequence[EditRequest], dropped: dict[str, Pair]
    ) -> list[Chosen[EditCandidate]]:
        """Edits of the real images; an image that cannot be used drops all its edits."""
        images: dict[str, np.ndarray] = {}
        usable: list[EditRequest] = []
        for request in requests:
            try:
                if request.source.id not in images:
                    images[request.source.id] = self._image(request.source)
                usable.append(request)
            except ImageError as error:
                drop = request.pair.dropped(self.name, error.reason, str(error))
                dropped[request.pair.id] = drop
        chosen: list[Chosen[EditCandidate]] = []
        keys = list(dict.fromkeys(request.source_key for request in usable))
        for group in batched(keys, self._settings.batch_size):
            of_group = [request for request in usable if request.source_key in group]
            stacked = np.stack([images[key.source_id] for key in group])
            chosen += self._from_inversion(stacked, group, of_group, dropped)
        return chosen

    def _from_inversion(
        self,
        images: np.ndarray,
        keys: Sequence[SourceKey],
        requests: Sequence[EditRequest],
        dropped: dict[str, Pair],
    ) -> list[Chosen[EditCandidate]]:
        from pairaug.diffusion.inversion import invert_images

        settings = self._settings
        prompts = [key.prompt for key in keys]
        inversion = invert_images(self._pipeline, images, prompts, settings.num_inference_steps)
        errors = dict(zip(keys, inversion.errors.tolist(), strict=True))
        held: list[EditRequest] = []
        for request in requests:
            error = errors[request.source_key]
            if self._is_held(error):
                held.append(request)
            else:
                detail = f"{error:.4f} above {settings.max_inversion_error}"
                drop = request.pair.dropped(self.name, "inversion_error", detail)
                dropped[request.pair.id] = drop
        place_of = {key: place for place, key in enumerate(keys)}
        sampler = InversionSampler(
            self._pipeline, inversion, place_of, self._options, settings.batch_size, self._seed
        )
        return self._chosen(sampler, held)

    def _chosen(
        self, sampler: InversionSampler | RegenerationSampler, requests: Sequence[EditRequest]
    ) -> list[Chosen[EditCandidate]]:
        settings = self._settings
        scorer = self._candidate_scorer if settings.chooses else None
        return generate_and_choose(sampler, requests, settings.keep, settings.num_images, scorer)

    def _finished(
        self,
        waiting: Sequence[Pair],
        num_edits: int,
        chosen: Sequence[Chosen[EditCandidate]],
        dropped: Mapping[str, Pair],
    ) -> tuple[int, list[Pair]]:
        """The waiting pairs, with the result of each edit in its pair's position."""
        return num_edits, in_place(waiting, chosen, dropped, self._outcome)

    def _outcome(self, chosen: Chosen[EditCandidate]) -> Pair:
        """The pair with its image, or dropped if the image is unusable."""
        generated, request, settings = chosen.generated, chosen.generated.request, self._settings
        edited, row = generated.edited, generated.row
        pair = request.pair
        if settings.keep == "all":
            pair = replace(pair, id=candidate_id(pair.id, generated.number))
        traced = pair.with_trace(
            self.name,
            **generated.measured,
            **settings.model_dump(mode="json", exclude=_NOT_TRACED),
            weights=self._pipeline.sha256,
            cross_swapped=round(float(edited.cross_swapped[row]), 6),
            self_swapped=round(edited.self_swapped, 6),
            changed_area=round(float(edited.changed_area[row]), 6),
            num_tokens=request.prompt.num_tokens,
            num_windows=request.prompt.num_windows,
            truncated=request.prompt.truncated,
            left_out_sentences=request.prompt.left_out_sentences,
            source_num_tokens=request.source_prompt.num_tokens,
            source_num_windows=request.source_prompt.num_windows,
            source_truncated=request.source_prompt.truncated,
            source_left_out_sentences=request.source_prompt.left_out_sentences,
            left_out_of_both=request.prompt.left_out_of_both,
            **choice_trace(chosen, self._candidate_scorer),
        )
        return with_image(traced, generated, self.name)

    def _image(self, source: Pair) -> np.ndarray:
        if source.image is None:
            raise ImageError("the source has no image")
        return fit_square(load_image(source.image), self._pipeline.image_size, self._settings.fit)

    def _is_held(self, error: float) -> bool:
        limit = self._settings.max_inversion_error
        return limit is None or error <= limit

    def _seed(self, pair_id: str) -> int:
        return seed_for(self._context.seed, pair_id, self.name)

    @cached_property
    def _candidate_scorer(self) -> CandidateScorer:
        return CandidateScorer(self._settings.accept, Branch.INTRA, self._context)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return open_generator(self._settings, self._context)

    @cached_property
    def _options(self) -> EditOptions:
        from pairaug.diffusion.edit_plan import EditOptions

        settings = self._settings
        return EditOptions(
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            negative_prompt=settings.negative_prompt,
            correct_drift=settings.correct_drift,
            scheduler=settings.scheduler,
            alignment=settings.alignment,
            cross_replace_steps=settings.cross_replace_steps,
            self_replace_steps=settings.self_replace_steps,
            self_max_positions=settings.self_max_positions,
            local_blend=settings.local_blend,
            blend_threshold=settings.blend_threshold,
            noise_strength=settings.noise_strength,
        )


def _is_mine(pair: Pair) -> bool:
    return pair.branch is Branch.INTRA and pair.image is None and pair.drop is None
