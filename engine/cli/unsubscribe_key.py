"""`sokutatsu unsubscribe-key`: the keys that make and read unsubscribe links.

`rotate` adds a key that makes the links from the next start on; the old ones keep reading theirs, for ever, since no
refusal may fail because a mail is old. `list` shows which there are and whether one is missing. Run it as the engine's
user: the files are readable by their owner alone. Exit codes: 0 done, 1 a key is missing, 2 it cannot be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.cli.speaking import tell
from engine.config import read_configuration
from engine.flow.tokens import MOST_KEYS, NoMoreKeys, file_name, key_numbers, open_ring, rotate
from suppression.secret import SecretError


def run_rotate(options: argparse.Namespace) -> int:
    state = _state(options)
    if state is None:
        return 2
    try:
        number, path = rotate(state)
    except (SecretError, NoMoreKeys) as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    text = "Back it up, then restart the engine: it makes the links from then on."
    tell(options, {"key": number, "file": str(path)}, f"key {number} is in {path}", text)
    return 0


def run_list(options: argparse.Namespace) -> int:
    state = _state(options)
    if state is None:
        return 2
    numbers = key_numbers(state)
    if not numbers:
        tell(options, [], f"{state}: no key yet; the first start makes one")
        return 0
    try:
        ring = open_ring(state)
    except SecretError as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    told, lines = [], []
    for number in sorted({*ring.keys, *ring.missing}):
        makes, missing = number == ring.newest.number, number in ring.missing
        newest = "makes and reads" if makes else "reads"
        word = "MISSING: its links are dead, restore the file" if missing else newest
        file = state / file_name(number)
        told.append({"key": number, "file": str(file), "makes_links": makes, "missing": missing})
        lines.append(f"{number:>{len(str(MOST_KEYS))}}  {file}  {word}")
    tell(options, told, *lines)
    return 1 if ring.missing else 0


def _state(options: argparse.Namespace) -> Path | None:
    settings = read_configuration(options.config)
    if isinstance(settings, list):
        for line in settings:
            print(line, file=sys.stderr)
        return None
    return settings.engine.state
