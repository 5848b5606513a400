"""How well what no rule was made for is understood: each group of messages measured without its own words.

A rule's words were found in messages, so a figure over the same messages flatters. For each group every word that
occurs in messages of this group alone is taken out of all rules; then the group is measured. A group is a family (the
files of one mail program: the name without its number), for a program never seen, or a single message, for another
message of programs that are known. Bounds from below: some of those words are anybody's, and were known without them.
Rules with a `source` have their words from what vendors publish; they stay, unless `strict` takes theirs out too.
"""

from __future__ import annotations

import email
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.policy.classify import Rules
from engine.policy.rules import compile_rules
from engine.returns import Reader

TABLES = (
    ("engine.returns", ("documented.toml", "rules.toml")),
    ("engine.policy", ("rules.toml",)),
    ("engine.returns", ("fallback.toml",)),
)
CHARSETS = ("utf-8", "iso-2022-jp", "euc-jp", "latin-1")


def family(file: str) -> str:
    return re.sub(r"-\d+\.eml$", "", file)


def text_of(raw: bytes) -> str:
    """All of a message in lower case, its parts decoded, blanks as one."""
    parts = [raw.decode("utf-8", "replace")]
    for part in email.message_from_bytes(raw).walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            parts.append(next(text for charset in CHARSETS if (text := _decoded(payload, charset)) is not None))
    return " ".join("\n".join(parts).lower().split())


def _decoded(payload: bytes, charset: str) -> str | None:
    try:
        return payload.decode(charset)
    except UnicodeDecodeError:
        return None


class Unseen:
    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        messages: Path,
        group: Callable[[str], str] = family,
        *,
        strict: bool = False,
    ) -> None:
        """`group`: a file's name -> the group it belongs to."""
        texts: dict[str, list[str]] = defaultdict(list)
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            self.rows[group(row["file"])].append(dict(row))
            texts[group(row["file"])].append(text_of((messages / row["file"]).read_bytes()))
        self._strict = strict
        self._texts = {name: "\n".join(those) for name, those in texts.items()}
        self._tables: list[list[dict[str, Any]]] = [
            [rule for name in names for rule in tomllib.loads(files(place).joinpath(name).read_text("utf-8"))["rule"]]
            for place, names in TABLES
        ]
        self._where = cache(self._found)

    def _found(self, words: str) -> frozenset[str]:
        """Groups in whose messages these words stand."""
        parts = [part.strip() for part in words.lower().strip("^").split("*") if part.strip()]
        return frozenset(name for name, text in self._texts.items() if all(part in text for part in parts))

    def reader(self, name: str) -> Reader:
        """Without what only messages of this group could have taught."""
        reports, replies, fallback = (self._without(name, table) for table in self._tables)
        return Reader(reports, replies, fallback)

    def _without(self, name: str, table: Sequence[dict[str, Any]]) -> Rules:
        kept = []
        for rule in table:
            if "source" in rule and not self._strict:
                kept.append(rule)
                continue
            words = [text for text in rule.get("words", ()) if self._where(text) != {name}]
            if words or "words" not in rule:
                kept.append(rule | ({"words": words} if words else {}))
        return compile_rules("\n".join(map(_toml, kept)), check_replies=False)


def _toml(rule: Mapping[str, Any]) -> str:
    return "\n".join(["[[rule]]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in rule.items())])
