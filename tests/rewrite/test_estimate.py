"""What a dry run says of rewriting: reports, requests, tokens, cost, time."""

from __future__ import annotations

from typing import Any

import pytest

from pairaug.rewrite import RewriteSettings
from pairaug.rewrite.estimate import estimate

REPORTS = [f"Small left pleural effusion of {k} mm. No pneumothorax." for k in range(200)]


def settings_of(**values: Any) -> RewriteSettings:
    return RewriteSettings.model_validate({"backend": "openai", "model": "m", **values})


def test_requests_are_texts_of_distinct_reports():
    settings = settings_of(variants=3, branches=["inter"], attempts=2)
    told = estimate(["Too short.", *REPORTS, *REPORTS[:50]], settings)
    assert (told.num_reports, told.num_texts, told.num_requests) == (250, 750, 600)
    assert 600 * 300 < told.usage.input_tokens < 600 * 700
    assert 600 * 50 < told.usage.output_tokens < 600 * 300
    assert told.cost is None
    assert "600 requests at one attempt each, at most 2 times as many" in told.in_words(settings)


def test_cost_is_by_the_prices_and_time_by_what_an_answer_takes():
    prices = {"price_input": 1.0, "price_output": 10.0, "seconds_per_answer": 4.0}
    settings = settings_of(budget=prices, concurrency=16)
    told = estimate(REPORTS, settings)
    usage = told.usage
    assert told.cost == pytest.approx((usage.input_tokens + 10 * usage.output_tokens) / 1e6)
    assert told.seconds == pytest.approx(400 * 4.0 / 16)
    assert told.in_words(settings).endswith(" USD; about 2 min")


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ({}, "unknown price (set rewrite.budget.price_input and price_output)"),
        ({"price_input": 1.0}, "unknown price (set"),
        ({"price_input": 0.0, "price_output": 0.0}, "about 0.00 USD"),
        ({"price_input": 0.001, "price_output": 0.001}, "about 0.0"),
        ({"price_input": 1.0, "price_output": 1.0}, "about 0."),
    ],
)
def test_a_price_is_told_where_it_is_known_and_never_rounded_to_nothing(
    prices: dict[str, float], words: str
):
    settings = settings_of(budget=prices)
    told = estimate(REPORTS, settings).in_words(settings)
    assert words in told
    assert ("0.00 USD" in told) == (prices.get("price_output") == 0.0)


def test_few_reports_stand_for_all():
    told = estimate(REPORTS[:50], settings_of(), num_pairs=5000)
    assert (told.num_reports, told.num_requests) == (5000, 10_000)


def test_rules_cost_nothing_and_are_timed():
    settings = RewriteSettings()
    told = estimate(REPORTS[:20], settings, num_pairs=2000)
    assert told.cost is None
    assert told.seconds is not None
    assert told.seconds > 0
    assert told.in_words(settings).startswith("2,000 reports, 4,000 texts by rules; about ")


def test_no_reports_are_no_error():
    assert estimate([], settings_of()).num_requests == 0
    assert estimate([], RewriteSettings()).num_texts == 0
