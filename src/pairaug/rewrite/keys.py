"""Rejects keys, tokens and passwords in settings before they are written anywhere."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_ADDRESSES = ("base_url", "endpoint")
_VARIABLES = ("api_key_env", "token_env")
_LOOKED_AT = (*_ADDRESSES, *_VARIABLES, "api_key_file", "token_file", "model", "deployment")

# Prefixes of the keys of common services, and of JSON web tokens.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-|sk_|xai-|gsk_|hf_|AIza|AKIA|ghp_|pplx-|r8_|nvapi-)[A-Za-z0-9_-]{12,}|"
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,}\.|\bBearer\s|(?<![0-9a-zA-Z/.])[0-9a-f]{32,}(?![0-9a-zA-Z])"
)
# A path can contain a secret: /token=abc/v1.
_NAMED = re.compile(r"(?i)(?:key|token|secret|passw(?:or)?d|pwd|auth)[\w-]*[=:]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def refuse_key(value: str, name: str) -> None:
    """Raise `ValueError` if the setting `name` contains a secret.

    The message does not quote the value.
    """
    if name in _ADDRESSES:
        _refuse_in_address(value)
    if name in _VARIABLES and not _is_variable(value):
        raise ValueError(
            "it must be the name of an environment variable, such as OPENAI_API_KEY; put the key "
            "itself into that variable"
        )
    if name in _LOOKED_AT and _KEY.search(value):
        raise ValueError(
            "it contains what looks like a key; put keys into the environment variable that "
            "rewrite.api_key_env names, or into the file of rewrite.api_key_file"
        )


def _refuse_in_address(address: str) -> None:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ValueError(
            "it is not an address; give one such as http://127.0.0.1:8000/v1"
        ) from error
    # Decoded: `%40` and `%3A` can hide a user and a password.
    plain = unquote(unquote(address))
    is_hidden = ":" in unquote(unquote(parts.netloc)) and "%" in parts.netloc
    if any(sign in plain for sign in "@\\?#;") or is_hidden or _NAMED.search(plain):
        raise ValueError(
            "the address must not contain a user, password, key or parameter; put the key into the "
            "environment variable that rewrite.api_key_env names, and give the address without it"
        )


def _is_variable(value: str) -> bool:
    """True for a possible name of a variable that does not look random like a key."""
    is_random = len(value) >= 20 and re.search(r"[a-z]", value) and re.search(r"\d.*\d", value)
    return bool(_VARIABLE.fullmatch(value)) and not is_random
