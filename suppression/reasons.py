"""The tables as they come with the package, and what their codes say to people in Japanese and English.

Read once. A folder of the operator's own tables may come beside them: of one date, the operator's holds. `text` answers
for any code, also one of a kind that other parts of the house give (IDENTITY_..., DISPLAY_...).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from suppression.rules import RulesError, check_tables, read_table
from suppression.tables import TEXTS, Table, Text

_KINDS: Final = {"IDENTITY_": "IDENTITY_REFUSED", "DISPLAY_": "DISPLAY_REFUSED"}


@lru_cache(maxsize=1)
def packaged_tables() -> tuple[Table, ...]:
    folder = files("suppression").joinpath("rules")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(read_table(folder.joinpath(name).read_text(encoding="utf-8"), name) for name in names)


def open_tables(folder: Path | None = None) -> tuple[Table, ...]:
    """Raises RulesError with all that is wrong in all files."""
    tables, errors = list(packaged_tables()), list[str]()
    for path in sorted(folder.glob("*.toml")) if folder else ():
        try:
            tables.append(read_table(path.read_text(encoding="utf-8"), str(path)))
        except RulesError as error:
            errors += error.errors
        except (OSError, UnicodeDecodeError) as error:
            errors.append(f"{path}: {error}")
    if folder and not folder.is_dir():
        errors.append(f"{folder}: no such folder; make it, or leave the setting out")
    if errors:
        raise RulesError(errors)
    check_tables(tables)
    return tuple(tables)


def entry(code: str, tables: Sequence[Table] | None = None) -> Text:
    """Of a code that nobody explains, its kind's; at last the code itself."""
    found = {text.code: text for table in tables or packaged_tables() if table.name == TEXTS for text in table.texts}
    for prefix, general in _KINDS.items():
        if code.startswith(prefix) and code not in found:
            return found[general]
    return found.get(code) or Text(code, "reason", code, code, "")


def text(code: str) -> tuple[str, str]:
    """Japanese, English."""
    one = entry(code)
    return one.ja, one.en
