"""HTML into tokens: text, start tags with their attributes, end tags, comments. Enough of it to know what is seen.

Not the standard library's html.parser: that of Python 3.11.2 needs minutes for a hostile megabyte (unclosed comments,
`<a<a<a`) and raises on a character reference of five thousand digits. This one looks at every character a bounded
number of times and never raises. What it cannot read as a tag is text, as in browsers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape

RAW_TEXT = frozenset({"script", "style", "title", "textarea", "xmp", "noframes", "iframe", "template"})
"""What stands inside is no markup."""
_MOST_ATTRIBUTES = 60
_LONGEST_VALUE = 8192
_MOST_MISSES = 500
"""Tags with quotes that nothing closes; from then on quotes are not looked at, or it would take for ever."""
_LONGEST_TAG = 100_000

_OPEN = re.compile(r"<(?:(!--)|([!?])|(/?)([A-Za-z][^\s/>\x00]{0,31}))")
_TO_END = re.compile(r"[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*>")
_ATTRIBUTE = re.compile(r"([^\s\"'>/=]{1,64})[^\s\"'>/=]*(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
_ENDLESS_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    """text, start, end, comment or raw: what stands inside an element of RAW_TEXT, `data` then is its name."""
    at: int
    data: str
    attributes: dict[str, str] = field(default_factory=dict)
    content: str = ""


def text_of(raw: str) -> str:
    """Character references resolved."""
    if "&" not in raw:
        return raw
    return unescape(_ENDLESS_REFERENCE.sub("\ufffd", raw))


def tokens(html: str) -> Iterator[Token]:
    at = 0
    misses = 0
    last = html.rfind(">")
    while at < len(html):
        match = _OPEN.search(html, at)
        if match is None or match.start() > last:
            yield Token("text", at, text_of(html[at:]))
            return
        if match.start() > at:
            yield Token("text", at, text_of(html[at : match.start()]))
        begin = match.start()
        if match[1] or match[2]:
            end, closed = _comment_end(html, match)
            yield Token("comment", begin, html[match.end() : end])
            at = closed
            continue
        end_match = _TO_END.match(html, match.end(), match.end() + _LONGEST_TAG) if misses < _MOST_MISSES else None
        misses += end_match is None
        end = end_match.end() if end_match else html.find(">", match.end()) + 1
        name = match[4].lower()
        at = end
        if match[3]:
            yield Token("end", begin, name)
            continue
        yield Token("start", begin, name, _attributes(html[match.end() : end - 1]))
        if name in RAW_TEXT:
            close = re.compile(f"</{name}", re.IGNORECASE).search(html, at)
            stop = close.start() if close else len(html)
            yield Token("raw", at, name, content=html[at:stop])
            at = stop


def _comment_end(html: str, match: re.Match[str]) -> tuple[int, int]:
    """Where the comment's text ends, and where it is over. One that nothing closes goes to the end, as in browsers."""
    mark = "-->" if match[1] else ">"
    end = html.find(mark, match.end())
    return (end, end + len(mark)) if end >= 0 else (len(html), len(html))


def _attributes(raw: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(raw):
        if len(found) == _MOST_ATTRIBUTES:
            break
        value = next((group for group in match.groups()[1:] if group is not None), "")
        found.setdefault(match[1].lower(), text_of(value[:_LONGEST_VALUE]))
    return found
