"""What a run spends on a language model, and where it stops."""

from __future__ import annotations

from collections.abc import Sequence

from pairaug.errors import BackendError
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.settings import BudgetSettings
from pairaug.rewrite.templates import Message

_CHARACTERS_PER_TOKEN = 4.0
"""Of English, by the usual tokenizers."""

_TOKENS_PER_MESSAGE = 4


class BudgetSpentError(BackendError):
    """The next request could cost more than is left."""


def rough_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a conversation has."""
    return sum(
        _TOKENS_PER_MESSAGE + round(len(message["content"]) / _CHARACTERS_PER_TOKEN)
        for message in messages
    )


def cost(settings: BudgetSettings, usage: Usage) -> float | None:
    """What `usage` costs; None where there are no prices."""
    if settings.price_input is None or settings.price_output is None:
        return None
    tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
    return (tokens_in * settings.price_input + tokens_out * settings.price_output) / 1e6


def in_words(settings: BudgetSettings, usage: Usage) -> str:
    """ "1,234 tokens, 0.0021 USD", without a cost where there are no prices."""
    price = cost(settings, usage)
    tokens = f"{usage.input_tokens + usage.output_tokens:,} tokens"
    return tokens if price is None else f"{tokens}, {price:.4g} {settings.currency}"


class Budget:
    """What is spent, and what the requests in flight may still add to it."""

    def __init__(self, settings: BudgetSettings, spent: Usage) -> None:
        self.settings = settings
        self.spent = spent
        self._reserved = Usage()

    def reserve(self, messages: Sequence[Message], max_tokens: int) -> Usage:
        """What a request may come to, set aside until `settle`.

        Raises `BudgetSpentError` where it might exceed the budget. Half as much again is set aside
        for its input: tokenizers differ.
        """
        asked = Usage(1, round(1.5 * rough_tokens(messages)), max_tokens)
        together = self.spent.plus(self._reserved).plus(asked)
        limits = self.settings
        price = cost(limits, together)
        num_tokens = together.input_tokens + together.output_tokens
        name = ""
        if limits.max_cost is not None and price is not None and price > limits.max_cost:
            name = "max_cost"
        elif limits.max_tokens is not None and num_tokens > limits.max_tokens:
            name = "max_tokens"
        if name:
            raise BudgetSpentError(
                f"rewrite.budget.{name} is {getattr(limits, name):,}, and {self.in_words()} are "
                f"spent: the next request could exceed it. Answers are kept; to go on from here, "
                f"run again with a higher rewrite.budget.{name}"
            )
        self._reserved = self._reserved.plus(asked)
        return asked

    def settle(self, reserved: Usage, used: Usage) -> None:
        """What was set aside is given back, and what was used is spent."""
        self._reserved = Usage(*(a - b for a, b in zip(self._reserved, reserved, strict=True)))
        self.spent = self.spent.plus(used)

    def in_words(self) -> str:
        """What is spent."""
        return in_words(self.settings, self.spent)


class Tab:
    """The cost of one request over all of its attempts, each of which must fit the budget.

    A candidate that came to no answer, or to one without text, is paid for like any other.
    """

    def __init__(self, budget: Budget, messages: Sequence[Message], max_tokens: int) -> None:
        self.used = Usage()
        self._budget = budget
        self._messages = messages
        self._max_tokens = max_tokens
        self._reserved = Usage()

    def reserve(self) -> None:
        """Set aside what the next attempt may come to. Raises `BudgetSpentError` where it is too much.

        What the requests in flight use beyond that, such as thoughts that a server bills and does
        not bound, is spent too: by so much a budget can be exceeded.
        """
        self._reserved = self._budget.reserve(self._messages, self._max_tokens)

    def settle(self, used: Usage | None = None) -> None:
        """Note what the candidate used; nothing, where it was not answered."""
        used = used or Usage()
        self._budget.settle(self._reserved, used)
        self._reserved = Usage()
        self.used = self.used.plus(used)

    def estimated(self, text: str | None = None) -> Usage:
        """About what an answer used, for servers that do not count; None where it was lost."""
        num_in = rough_tokens(self._messages)
        if text is None:
            return Usage(0, num_in, 0)
        return Usage(1, num_in, rough_tokens([{"content": text}]))
