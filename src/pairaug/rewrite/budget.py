"""A run's spending on a language model, and the budget that stops it."""

from __future__ import annotations

from collections.abc import Sequence

from pairaug.errors import BackendError
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.settings import BudgetSettings
from pairaug.rewrite.templates import Message

_CHARACTERS_PER_TOKEN = 4.0
"""Of English text, with common tokenizers."""

_TOKENS_PER_MESSAGE = 4


class BudgetSpentError(BackendError):
    """The next request could exceed the budget."""


def rough_tokens(messages: Sequence[Message]) -> int:
    """The estimated number of tokens of a conversation."""
    return sum(
        _TOKENS_PER_MESSAGE + round(len(message["content"]) / _CHARACTERS_PER_TOKEN)
        for message in messages
    )


def cost(settings: BudgetSettings, usage: Usage) -> float | None:
    """The cost of `usage`; None without prices."""
    if settings.price_input is None or settings.price_output is None:
        return None
    tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
    return (tokens_in * settings.price_input + tokens_out * settings.price_output) / 1e6


def in_words(settings: BudgetSettings, usage: Usage) -> str:
    """ "1,234 tokens, 0.0021 USD"; without the cost if there are no prices."""
    price = cost(settings, usage)
    tokens = f"{usage.input_tokens + usage.output_tokens:,} tokens"
    return tokens if price is None else f"{tokens}, {price:.4g} {settings.currency}"


class Budget:
    """The amount spent, and the most that the requests in flight can add."""

    def __init__(self, settings: BudgetSettings, spent: Usage) -> None:
        self.settings = settings
        self.spent = spent
        self._reserved = Usage()

    def reserve(self, messages: Sequence[Message], max_tokens: int) -> Usage:
        """Reserves the most that a request can use until `settle`, and returns it.

        Raises `BudgetSpentError` if that could exceed the budget. The input is reserved at 1.5
        times its estimate, since tokenizers differ.
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
        """Releases the reserved amount and adds the used amount to the spending."""
        self._reserved = Usage(*(a - b for a, b in zip(self._reserved, reserved, strict=True)))
        self.spent = self.spent.plus(used)

    def in_words(self) -> str:
        """The amount spent."""
        return in_words(self.settings, self.spent)


class Tab:
    """The cost of one request over all of its attempts, each of which must fit the budget.

    An attempt without an answer, or with an empty one, is billed like any other.
    """

    def __init__(self, budget: Budget, messages: Sequence[Message], max_tokens: int) -> None:
        self.used = Usage()
        self._budget = budget
        self._messages = messages
        self._max_tokens = max_tokens
        self._reserved = Usage()

    def reserve(self) -> None:
        """Reserve the most that the next attempt can use; `BudgetSpentError` if it is too much.

        Requests in flight can use more than was reserved, for example reasoning tokens that a
        server bills and does not limit. The budget can be exceeded by that amount.
        """
        self._reserved = self._budget.reserve(self._messages, self._max_tokens)

    def settle(self, used: Usage | None = None) -> None:
        """Record what the attempt used; nothing if it was not answered."""
        used = used or Usage()
        self._budget.settle(self._reserved, used)
        self._reserved = Usage()
        self.used = self.used.plus(used)

    def estimated(self, text: str | None = None) -> Usage:
        """The estimated usage of an answer, for servers without counts; None for a lost answer."""
        num_in = rough_tokens(self._messages)
        if text is None:
            return Usage(0, num_in, 0)
        return Usage(1, num_in, rough_tokens([{"content": text}]))
