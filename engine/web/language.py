"""Which of our two languages a reader wants (RFC 9110 12.5.4). Japanese when nothing else is said: the senders are.

A choice made on the page (`?lang=`) beats the browser's list. Broken weights count as refusals of their one language,
and only the beginning of the field is read.
"""

from __future__ import annotations

import re

LANGUAGES = ("ja", "en")
_MOST = 1000
_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


def language_of(accepted: str, chosen: str = "") -> str:
    if chosen in LANGUAGES:
        return chosen
    weights = {"ja": 0.0, "en": 0.0, "*": 0.0}
    named: set[str] = set()
    for entry in accepted[:_MOST].split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        primary = name.partition("-")[0].lower()
        if primary in weights:
            weights[primary] = max(weights[primary], _weight(parameters))
            named.add(primary)
    if not named:
        # somebody whose list has neither reads English more likely than Japanese
        return "en" if accepted.strip() else "ja"
    for language in LANGUAGES:
        if language not in named:
            weights[language] = weights["*"]
    if not weights["ja"] and not weights["en"]:
        return "en" if "ja" in named else "ja"
    return "en" if weights["en"] > weights["ja"] else "ja"


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.lower().startswith("q"):
            match = _WEIGHT.fullmatch(parameter)
            return float(match[1]) if match else 0.0
    return 1.0
