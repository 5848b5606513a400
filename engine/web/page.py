"""From a page's parts to HTML: one document, no script, no image, nothing from anywhere else.

Everything that is filled in is escaped here and nowhere before. Names come from configurations and submits, so they are
taken for hostile: control characters and those that turn the direction of text around are dropped, and each stands
isolated (UAX 9). The style sheet's hash for the Content-Security-Policy is made from what is really in the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files

from engine.web.displayed import Displayed
from engine.web.language import LANGUAGES

_JST = timezone(timedelta(hours=9))
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_TURNING = re.compile(r"[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_ISOLATE, _END = "\u2068", "\u2069"
_ISOLATED = re.compile("\u2068(.*?)\u2069", re.DOTALL)
_JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_LONGEST_NAME = 200
_LIST = "invalid_help"
_WEB = re.compile(r"https://[!#-&(-;=?-~]+")
_MAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class Button:
    name: str
    """Value of the field `scope`."""
    label: str


@dataclass(frozen=True, slots=True)
class Part:
    """A heading, if any, paragraphs, a list, facts, buttons: shown in this order."""

    heading: str = ""
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    facts_label: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    buttons: tuple[Button, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    """What the page is about, for the window's title."""
    title: str
    parts: tuple[Part, ...]
    mood: str = "ask"
    """ask, done or stopped: the colour at the top and a mark, never the only carrier of a meaning."""
    sender: Displayed | None = None


class Words:
    """One language's words."""

    def __init__(self, language: str, table: Mapping[str, str | list[str]]) -> None:
        self.language = language
        self._table = table

    def __call__(self, key: str, **names: str) -> str:
        text = self._table[key]
        assert isinstance(text, str)
        return text.format_map({name: self.name(value) for name, value in names.items()})

    def name(self, text: str) -> str:
        """As it may stand in a sentence or a fact."""
        return f"{_ISOLATE}{cleaned(text)}{_END}"

    def points(self, key: str = _LIST) -> tuple[str, ...]:
        return tuple(self._table[key])

    def moment(self, now: float) -> str:
        """Japan's time, whatever the machine's zone is."""
        there = datetime.fromtimestamp(now, UTC).astimezone(_JST)
        if self.language == "ja":
            text = f"{there.year}年{there.month}月{there.day}日 {there:%H:%M:%S}"
        else:
            text = f"{there.day} {_MONTHS[there.month - 1]} {there.year}, {there:%H:%M:%S}"
        return f"{text} ({self('time_zone')})" if self.language == "en" else f"{text}（{self('time_zone')}）"


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def read_words() -> dict[str, Words]:
    tables = tomllib.loads(files("engine.web").joinpath("words.toml").read_text(encoding="utf-8"))
    return {language: Words(language, tables[language]) for language in LANGUAGES}


def cleaned(name: str) -> str:
    """A name that may stand in a sentence."""
    text = _TURNING.sub("", name).strip()
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def masked(address: str) -> str:
    """t***@e***.jp: enough for its holder to know it, too little for anybody else."""
    local, _, domain = cleaned(address).rpartition("@")
    host, _, top = domain.rpartition(".")
    return f"{local[:1]}***@{host[:1]}***.{top}" if host else f"{local[:1]}***@{domain[:1]}***"


class Pages:
    """The skeleton with its style, and the words."""

    def __init__(self) -> None:
        text = files("engine.web").joinpath("page.html").read_text(encoding="utf-8")
        style = _STYLE.search(text)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        self.style_source = f"'sha256-{digest}'"
        """For style-src."""
        self._skeleton = string.Template(text)
        self.words = read_words()

    def html(self, page: Page, language: str) -> bytes:
        words = self.words[language]
        other = next(name for name in LANGUAGES if name != language)
        heading = words.name(page.sender.legal_name) if page.sender else page.name
        # A name may hold a $: substitute looks at the skeleton only, never at what it has put in.
        text = self._skeleton.substitute(
            lang=language,
            title=_safe(" | ".join(_plain(part) for part in (page.title, page.name) if part)),
            heading=f"<p>{_safe(heading)}</p>",
            switch_label=_safe(words("switch_label")),
            other=other,
            other_name=_safe(self.words[other]("language_name")),
            mood=page.mood,
            content=f"<h1>{_safe(page.title)}</h1>\n" + "\n".join(_part(part) for part in page.parts),
            footer=_footer(page.sender, words) if page.sender else "",
        )
        return text.encode()


def _plain(text: str) -> str:
    """A window's title shows isolates as boxes on some systems."""
    return text.replace(_ISOLATE, "").replace(_END, "")


def _safe(text: str) -> str:
    """Isolates become elements. A Japanese name is Japanese on the English page, too, for voices and for glyphs."""
    return _ISOLATED.sub(_element, html.escape(text))


def _element(name: re.Match[str]) -> str:
    language = ' lang="ja"' if _JAPANESE.search(name[1]) else ""
    return f"<bdi{language}>{name[1]}</bdi>"


def _part(part: Part) -> str:
    lines = [f"<h2>{_safe(part.heading)}</h2>"] if part.heading else []
    lines += [f"<p>{_safe(text)}</p>" for text in part.paragraphs]
    if part.points:
        lines += ["<ul>", *(f"<li>{_safe(text)}</li>" for text in part.points), "</ul>"]
    if part.facts:
        lines.append(_facts(part.facts_label, [(label, _safe(value)) for label, value in part.facts]))
    if part.buttons:
        lines += ['<form method="post">', *_buttons(part.buttons, heading=part.heading), "</form>"]
    lines += [f'<p class="note">{_safe(text)}</p>' for text in part.notes]
    return "\n".join(lines)


def _buttons(buttons: Sequence[Button], *, heading: str) -> list[str]:
    """The first is the one that the mail was about; below a heading of its own none stands out."""
    first = "" if heading else ' class="first"'
    return [
        f'<button type="submit" name="scope" value="{button.name}"{"" if number else first}>'
        f"{_safe(button.label)}</button>"
        for number, button in enumerate(buttons)
    ]


def _facts(label: str, facts: Sequence[tuple[str, str]]) -> str:
    named = f' aria-label="{html.escape(label)}"' if label else ""
    rows = [f"<div><dt>{_safe(name)}</dt><dd>{value}</dd></div>" for name, value in facts]
    return "\n".join([f"<dl{named}>", *rows, "</dl>"])


def _footer(sender: Displayed, words: Words) -> str:
    facts = [(words("sender"), _safe(words.name(sender.legal_name)))]
    if sender.postal_address:
        facts.append((words("postal_address"), _safe(words.name(sender.postal_address))))
    if sender.contacts:
        facts.append((words("contact"), "<br>".join(map(_contact, sender.contacts))))
    if sender.mail_from:
        facts.append((words("mail_from"), _safe(words.name(sender.mail_from))))
    title = _safe(words("sender_section"))
    return f'<footer aria-labelledby="about"><h2 id="about">{title}</h2>\n{_facts("", facts)}</footer>'


def _contact(text: str) -> str:
    """A link where it surely is one; a telephone number stays text that can be read out."""
    shown = _safe(cleaned(text))
    if _WEB.fullmatch(text):
        return f'<a href="{html.escape(text)}" rel="noreferrer">{shown}</a>'
    if _MAIL.fullmatch(text):
        return f'<a href="mailto:{html.escape(text)}">{shown}</a>'
    return shown
