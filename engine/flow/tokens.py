"""The ring of keys behind unsubscribe links: `unsubscribe.secret` is key 0, `unsubscribe-N.secret` key N, in the state
folder. The newest makes links, all of them read links, and none ever expires: nobody's refusal may fail because a mail
is old (特定電子メール法 3条3項 knows no time limit). A key file is never deleted, and a gap in the numbers is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.secret import secret_at
from suppression.secret import create_secret, read_secret
from suppression.unsubscribe import TokenKey, Unsubscribe, read_token

FIRST = "unsubscribe.secret"
MOST_KEYS = 256
_LATER = re.compile(r"unsubscribe-([1-9][0-9]{0,2})\.secret")


class NoMoreKeys(ValueError):  # noqa: N818 - said to the operator, nothing to trace
    """Numbers end at 255."""


@dataclass(frozen=True, slots=True)
class TokenRing:
    keys: Mapping[int, TokenKey]
    missing: tuple[int, ...] = ()
    """Numbers below the newest that have no file: their links are dead until it is restored."""

    @property
    def newest(self) -> TokenKey:
        return self.keys[max(self.keys)]

    def read(self, token: str) -> Unsubscribe | None:
        """None for everything that is not ours. Some 5 µs, whatever it is."""
        return read_token(token, self.keys)


def open_ring(state: Path) -> TokenRing:
    """Makes the first key on the first start, and only then: beside later keys, a lost one is not made up anew.
    Raises SecretError.
    """
    numbers = key_numbers(state)
    keys = {} if numbers - {0} and 0 not in numbers else {0: TokenKey(0, secret_at(state / FIRST))}
    for number in sorted(numbers - {0}):
        secret = read_secret(state / file_name(number))
        assert secret is not None, "it was there a moment ago"
        keys[number] = TokenKey(number, secret)
    return TokenRing(keys, tuple(number for number in range(max(keys)) if number not in keys))


def rotate(state: Path) -> tuple[int, Path]:
    """A new key, in use from the next start on: its number and file. Raises SecretError, NoMoreKeys."""
    number = max(key_numbers(state), default=-1) + 1
    if number >= MOST_KEYS:
        raise NoMoreKeys(f"{state} has key {MOST_KEYS - 1} already, the last number there is; keep the newest in use")
    path = state / file_name(number)
    create_secret(path)
    return number, path


def key_numbers(state: Path) -> set[int]:
    """Of the key files that are there."""
    names = [path.name for path in state.glob("unsubscribe*.secret")]
    later = {int(match[1]) for name in names if (match := _LATER.fullmatch(name))}
    return {number for number in later if number < MOST_KEYS} | ({0} if FIRST in names else set())


def file_name(number: int) -> str:
    return f"unsubscribe-{number}.secret" if number else FIRST
