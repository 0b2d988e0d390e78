"""The estimate of a dry run: reports, requests, tokens, cost, time."""

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
    found = estimate(["Too short.", *REPORTS, *REPORTS[:50]], settings)
    assert (found.num_reports, found.num_texts, found.num_requests) == (250, 750, 600)
    assert 600 * 300 < found.usage.input_tokens < 600 * 700
    assert 600 * 50 < found.usage.output_tokens < 600 * 300
    assert found.cost is None
    assert "600 requests at one attempt each, at most 2 times as many" in found.in_words(settings)


def test_cost_and_time_follow_prices_and_seconds_per_answer():
    prices = {"price_input": 1.0, "price_output": 10.0, "seconds_per_answer": 4.0}
    settings = settings_of(budget=prices, concurrency=16)
    found = estimate(REPORTS, settings)
    usage = found.usage
    assert found.cost == pytest.approx((usage.input_tokens + 10 * usage.output_tokens) / 1e6)
    assert found.seconds == pytest.approx(400 * 4.0 / 16)
    assert found.in_words(settings).endswith(" USD; about 2 min")


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
def test_a_price_is_stated_if_known_and_not_rounded_to_zero(prices: dict[str, float], words: str):
    settings = settings_of(budget=prices)
    found = estimate(REPORTS, settings).in_words(settings)
    assert words in found
    assert ("0.00 USD" in found) == (prices.get("price_output") == 0.0)


def test_few_reports_represent_all():
    found = estimate(REPORTS[:50], settings_of(), num_pairs=5000)
    assert (found.num_reports, found.num_requests) == (5000, 10_000)


def test_rules_cost_nothing_and_are_timed():
    settings = RewriteSettings()
    found = estimate(REPORTS[:20], settings, num_pairs=2000)
    assert found.cost is None
    assert found.seconds is not None
    assert found.seconds > 0
    assert found.in_words(settings).startswith("2,000 reports, 4,000 texts by rules; about ")


def test_an_estimate_without_reports():
    assert estimate([], settings_of()).num_requests == 0
    assert estimate([], RewriteSettings()).num_texts == 0
