"""Estimates rewriting: reports, requests, tokens, cost and time, without sending a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from pairaug.findings import extract, is_english
from pairaug.pair import Branch
from pairaug.rewrite.backends import Request
from pairaug.rewrite.budget import cost, rough_tokens
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.cleaning import source_report
from pairaug.rewrite.rules import RulesBackend
from pairaug.rewrite.settings import CHAT_MODELS, SERVERS, RewriteSettings
from pairaug.rewrite.templates import instructions_of

_NUM_TRIED = 100
"""Number of reports, spread over all, whose requests are composed to measure their length."""

_TOKENS_PER_WORD = 1.4
_TOKENS_OF_JSON = 60
"""Tokens that a structured answer adds."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """An estimate for one attempt per text; rejected answers are requested again and cost more."""

    num_reports: int
    num_texts: int
    num_requests: int
    """Number of texts requested from a model; equal reports share theirs."""
    usage: Usage
    cost: float | None
    seconds: float | None

    def in_words(self, settings: RewriteSettings) -> str:
        """One line."""
        words = [f"{self.num_reports:,} reports, {self.num_texts:,} texts by {settings.backend}"]
        if settings.backend in CHAT_MODELS:
            requests = f"{self.num_requests:,} requests at one attempt each"
            if settings.attempts > 1:
                requests += f", at most {settings.attempts} times as many"
            words.append(requests)
            words.append(
                f"about {self.usage.input_tokens:,} tokens in, {self.usage.output_tokens:,} out"
            )
        if settings.backend in SERVERS:
            words.append(_price(self.cost, settings.budget.currency))
        if self.seconds is not None:
            words.append(f"about {_duration(self.seconds)}")
        return "; ".join(words)


def estimate(
    reports: Iterable[str], settings: RewriteSettings, num_pairs: int | None = None
) -> CostEstimate:
    """The estimate for rewriting `reports`, which may be the first of `num_pairs`."""
    distinct: dict[bytes, str] = {}
    num_given = num_reports = 0
    for report in reports:
        num_given += 1
        if len(report.split()) < settings.min_words or not is_english(report):
            continue
        num_reports += 1
        digest = blake2b(report.encode(), digest_size=12).digest()
        # Holds only the texts that are measured; the hash is enough for the others.
        distinct[digest] = report if len(distinct) < _NUM_TRIED else ""
    fraction = max(1.0, num_pairs / num_given) if num_pairs and num_given else 1.0
    per_report = len(settings.branches) * settings.variants
    num_requests = round(len(distinct) * fraction) * per_report
    tried = [report for report in distinct.values() if report]
    usage, price, seconds = Usage(), None, None
    if settings.backend in CHAT_MODELS and tried:
        usage = _usage(tried, settings, num_requests)
    if settings.backend in SERVERS:
        price = cost(settings.budget, usage)
        seconds = num_requests * settings.budget.seconds_per_answer / settings.concurrency
    elif settings.backend == "rules" and tried:
        seconds = _seconds_by_rules(tried) * per_report * num_reports * fraction
    total = round(num_reports * fraction)
    return CostEstimate(total, total * per_report, num_requests, usage, price, seconds)


def _usage(tried: Sequence[str], settings: RewriteSettings, num_requests: int) -> Usage:
    instructions = instructions_of(settings)
    is_json = settings.answer_format != "text" and settings.backend in SERVERS
    answer_format = "json" if is_json else "text"
    tokens_in = [
        rough_tokens(instructions.messages(_request(report, settings, branch), answer_format))
        for report in tried
        for branch in settings.branches
    ]
    tokens_out = _TOKENS_PER_WORD * 0.8 * settings.max_words + _TOKENS_OF_JSON * is_json
    tokens_out = min(tokens_out, settings.max_tokens)
    return Usage(
        num_requests,
        round(sum(tokens_in) / len(tokens_in) * num_requests),
        round(tokens_out * num_requests),
    )


def _request(report: str, settings: RewriteSettings, branch: str) -> Request:
    target = settings.target_findings[0] if settings.targets == "balanced" else None
    return Request(Branch(branch), report, (), settings.max_words, 0, target=target)


def _seconds_by_rules(tried: Sequence[str]) -> float:
    """Seconds per text, measured with the rules on a few reports."""
    rules, few = RulesBackend(), tried[:20]

    async def rewrite_few() -> None:
        for report in few:
            source = source_report(report)
            request = Request(Branch.INTER, source, tuple(extract(source)), 50, 0)
            await rules.answer(request)
            await rules.answer(replace(request, branch=Branch.INTRA))

    started = time.perf_counter()
    asyncio.run(rewrite_few())
    return (time.perf_counter() - started) / (2 * len(few))


def _price(amount: float | None, currency: str) -> str:
    if amount is None:
        return "unknown price (set rewrite.budget.price_input and price_output)"
    # A small cost must not be rounded to 0.
    digits = f"{amount:,.2f}" if amount == 0 or amount >= 0.01 else f"{amount:.2g}"
    return f"about {digits} {currency}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
