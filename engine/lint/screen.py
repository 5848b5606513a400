"""A part as a terminal shows it: the lines that are read, the links in them, and what is there but cannot be read.

Text that style hides is kept apart with the declaration that hides it; so are alternative texts of pictures, comments,
the title: a reader does not see them, or not as text in the charset of the mail (施行規則 7条2項). Depth is bounded:
markup nested deeper than any mail needs is not guessed at but reported.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.lint.markup import Token, tokens
from engine.lint.style import Look, Rules, declarations, look_of, read_sheet
from engine.lint.words import MAIL, URL, fold, narrowed

MOST_DEEP = 256
_BLOCKS = frozenset(
    """p div br hr tr li ul ol dl dt dd table tbody thead tfoot h1 h2 h3 h4 h5 h6 section article header footer main nav
    aside blockquote pre center form fieldset address figure figcaption body html""".split()
)
_VOID = frozenset("br hr img input meta link area base col embed source track wbr".split())
_CELLS = frozenset({"td", "th"})
_CLOSE_THEMSELVES = frozenset("p li dt dd td th tr option".split())
_LINK_COLOUR = (0, 0, 238)
_LONGEST = 4000
"""Characters of one line that are looked at for words around a link."""
_MOST_UNSEEN = 5000
_EDGE = ".,;:!?)]}>」』"


@dataclass(slots=True)
class Line:
    text: str
    number: int
    """In the part's source, from 1."""
    gap: int
    """Blank lines before it."""
    plain: str = ""
    """NFKC, for patterns."""


@dataclass(slots=True)
class Link:
    target: str
    text: str
    line: int
    """Index of the visible line that it stands in, or would stand in."""
    number: int
    hidden: str = ""
    alt: str = ""
    """Of the pictures in it, when it has no text."""


@dataclass(frozen=True, slots=True)
class Unseen:
    text: str
    why: str
    rule: str
    """D05: no text of the mail; D06: hidden by style."""
    number: int


@dataclass(slots=True)
class Screen:
    part: str
    """text or html."""
    charset: str = "utf-8"
    lines: list[Line] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    is_too_deep: bool = False
    _folded: str | None = None
    _starts: list[int] = field(default_factory=list)
    """Where each line begins in `folded`."""

    def finish(self) -> Screen:
        for line in self.lines:
            line.plain = narrowed(line.text)
        return self

    @property
    def folded(self) -> str:
        """All that is seen, as texts are compared; made when it is asked for first."""
        if self._folded is None:
            at, pieces = 0, []
            for line in self.lines:
                folded = fold(line.plain)
                self._starts.append(at)
                at += len(folded)
                pieces.append(folded)
            self._folded = "".join(pieces)
        return self._folded

    def line_of(self, needle: str) -> int:
        """Index of the visible line where a text begins, over line breaks; -1 when it is not seen."""
        found = self.folded.find(fold(needle))
        return bisect_right(self._starts, found) - 1 if found >= 0 else -1

    def share(self, line: int) -> float:
        """How far down a line stands, 0 to 1."""
        return self._starts[line] / len(self.folded) if self.folded else 0.0

    def around(self, line: int, reach: int = 2) -> str:
        """The line with its neighbours, for patterns."""
        return "\n".join(entry.plain[:_LONGEST] for entry in self.lines[max(0, line - reach) : line + reach + 1])

    def number(self, line: int) -> int:
        return self.lines[line].number if 0 <= line < len(self.lines) else 0

    def unseen_with(self, needle: str) -> Unseen | None:
        wanted = fold(needle)
        return next((unseen for unseen in self.unseen if wanted in fold(unseen.text)), None)


def text_screen(text: str, charset: str = "utf-8", part: str = "text") -> Screen:
    screen = Screen(part, charset)
    gap = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            gap += 1
            continue
        screen.links += links_in(line, len(screen.lines), number)
        screen.lines.append(Line(line, number, gap))
        gap = 0
    return screen.finish()


def links_in(text: str, line: int, number: int) -> Iterator[Link]:
    """Addresses that stand in the text itself."""
    for match in URL.finditer(text):
        yield Link(match[0].rstrip(_EDGE), match[0], line, number)
    for match in MAIL.finditer(text):
        yield Link(f"mailto:{match[0]}", match[0], line, number)


@dataclass(slots=True)
class _Open:
    tag: str
    look: Look
    link: Link | None


class _Reader:
    def __init__(self, html: str, charset: str, part: str) -> None:
        self.screen = Screen(part, charset)
        self._html = html
        self._rules: Rules = {}
        self._stack = [_Open("", Look(), None)]
        self._count: dict[str, int] = {}
        self._words: list[str] = []
        self._gap = 0
        self._at = self._number_now = 0
        self._number = 1
        self._skipped = 0

    def read(self) -> Screen:
        for token in tokens(self._html):
            self._move(token.at)
            match token.kind:
                case "text":
                    self._text(token.data)
                case "start":
                    self._start(token)
                case "end":
                    self._end(token.data)
                case "comment":
                    self._hide(token.data, "<!-- -->", "D05")
                case _:
                    self._raw(token)
        self._break()
        for index, line in enumerate(self.screen.lines):
            self.screen.links += links_in(line.text, index, line.number)
        return self.screen.finish()

    def _move(self, at: int) -> None:
        """The line of the source that we are in."""
        self._number += self._html.count("\n", self._at, at)
        self._at = at

    def _text(self, text: str) -> None:
        top = self._stack[-1]
        if not text.strip():
            if self._words:
                self._words.append(" ")
            return
        why = top.look.why_hidden
        if why:
            self._hide(text, why, "D06")
            if top.link and not top.link.text.strip():
                top.link.hidden = why
            return
        if not self._words:
            self._number_now = self._number
        self._words.append(" ".join(text.split("\n")))
        if top.link:
            top.link.text += text
            top.link.hidden = ""

    def _hide(self, text: str, why: str, rule: str) -> None:
        if text.strip() and len(self.screen.unseen) < _MOST_UNSEEN:
            self.screen.unseen.append(Unseen(text, why, rule, self._number))

    def _raw(self, token: Token) -> None:
        if token.data == "style":
            read_sheet(token.content, self._rules)
        elif token.data == "title":
            self._hide(token.content, "<title>", "D05")
        self._end(token.data)

    def _start(self, token: Token) -> None:
        tag, given = token.data, token.attributes
        if tag in _BLOCKS:
            self._break(blank=tag == "br")
        elif tag in _CELLS and self._words:
            self._words.append(" ")
        if tag == "img":
            self._picture(given)
        if tag in _VOID:
            return
        if tag in _CLOSE_THEMSELVES and self._stack[-1].tag == tag:
            self._end(tag)
        if len(self._stack) > MOST_DEEP:
            self.screen.is_too_deep = True
            return
        top = self._stack[-1]
        look = look_of(top.look, self._styles(tag, given))
        link = top.link
        if tag == "a" and "href" in given:
            link = Link(given["href"].strip(), "", len(self.screen.lines), self._number, look.why_hidden)
            self.screen.links.append(link)
        self._stack.append(_Open(tag, look, link))
        self._count[tag] = self._count.get(tag, 0) + 1

    def _styles(self, tag: str, given: dict[str, str]) -> dict[str, str]:
        styles: dict[str, str] = {}
        if tag == "a" and "href" in given:
            styles["color"] = "#0000ee"
        if "bgcolor" in given:
            styles["background-color"] = given["bgcolor"]
        if "background" in given:
            styles["background"] = "url()"
        if tag == "font" and "color" in given:
            styles["color"] = given["color"]
        if self._rules:
            names = [tag, *(f".{name}" for name in given.get("class", "").lower().split()[:20])]
            names += [f"{tag}{name}" for name in names[1:]] + [f"#{given.get('id', '').lower()}"]
            for name in names:
                styles.update(self._rules.get(name, {}))
        if "style" in given:
            styles.update(declarations(given["style"]))
        if "hidden" in given:
            styles["display"] = "none"
        return styles

    def _picture(self, given: dict[str, str]) -> None:
        alt = given.get("alt", "")
        self._hide(alt, '<img alt="…">', "D05")
        self._hide(given.get("title", ""), 'title="…"', "D05")
        link = self._stack[-1].link
        if link:
            link.alt += alt

    def _end(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._break()
        if not self._count.get(tag):
            return
        while True:
            closed = self._stack.pop()
            self._count[closed.tag] -= 1
            if closed.tag == tag:
                return

    def _break(self, *, blank: bool = False) -> None:
        text = "".join(self._words)
        self._words.clear()
        if text.strip():
            self.screen.lines.append(Line(" ".join(text.split()), self._number_now, self._gap))
            self._gap = 0
        elif blank:
            self._gap += 1


def html_screen(html: str, charset: str = "utf-8", part: str = "html") -> Screen:
    return _Reader(html, charset, part).read()
