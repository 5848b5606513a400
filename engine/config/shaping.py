"""[shaping]: the shipped tables, the operator's file, and the main file's own tables, laid over one another.

`file` names a TOML file whose tables stand at its top level, as in KumoMTA's shaping.toml; the engine's own, which
knows the large receivers, is always below it, unless the file says `replace_base = true` at its top. Each layer is
checked by itself first, so that an error names its own file and line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.policy.shaping import Shaping, overlay, read_shaping
from engine.tables import Problems, line_numbers, shown

MOST_BYTES = 4 * 1024 * 1024


def shipped_tables() -> dict[str, Any]:
    return tomllib.loads(files("engine.policy").joinpath("shaping.toml").read_text(encoding="utf-8"))


def read_shaping_table(table: object, folder: Path, problems: Problems) -> Shaping | None:
    """`folder`: what a path is relative to. None after an error."""
    if not isinstance(table, Mapping):
        problems.add("shaping", f"{shown(table)} is not a table; write [shaping.default]")
        return None
    own = {key: value for key, value in table.items() if key != "file"}
    layers = [shipped_tables()]
    before = len(problems.texts)
    if "file" in table:
        name = table["file"]
        if not isinstance(name, str) or not name or not name.isprintable():
            problems.add("shaping.file", f"{shown(name)}: write the name of a file such as shaping.toml")
        else:
            found = read_shaping_file(folder / name)
            if isinstance(found, list):
                problems.texts.extend(found)
            else:
                layers.append(found)
    layers.append(own)
    checked = read_shaping({key: value for key, value in own.items() if key != "provider"} | _providers(own, layers))
    if isinstance(checked, list):
        problems.extend(checked)
    if len(problems.texts) > before:
        return None
    return _together(layers, problems)


def _providers(own: Mapping[str, Any], layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The main file's provider tables, with what the layers below match them by: it need not repeat that."""
    tables = own.get("provider", {})
    if not isinstance(tables, Mapping):
        return {"provider": tables}
    below: dict[str, Any] = {}
    for layer in layers[:-1]:
        below |= {name: entry.get("match") for name, entry in layer.get("provider", {}).items() if "match" in entry}
    return {
        "provider": {
            name: {"match": below[name], **entry} if name in below and isinstance(entry, Mapping) else entry
            for name, entry in tables.items()
        }
    }


def _together(layers: list[dict[str, Any]], problems: Problems) -> Shaping | None:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = overlay(merged, layer)
    read = read_shaping(merged)
    if isinstance(read, list):  # what two layers say does not fit together
        problems.extend(read)
        return None
    return read


def read_shaping_file(file: Path) -> dict[str, Any] | list[str]:
    """The tables of an operator's file, or every error with its line. The running rules are the caller's to keep."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            return [f"{file}: larger than {MOST_BYTES} bytes; this is no shaping of ours"]
        text = raw.decode("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        return [f"{file}: {error.strerror}; name an existing file in shaping.file"]
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        return [f"{file}: not TOML: {ascii(str(error))[1:-1][:200]}"]
    problems = Problems(str(file), line_numbers(text))
    shipped = {} if document.get("replace_base") is True else shipped_tables()
    read = read_shaping(document | _providers(document, [shipped, document]), "")
    if isinstance(read, list):
        problems.extend(read)
        return problems.texts
    return document
