"""What a returned message is made of: the words of whoever returned it, its report fields, what is left of ours.

Only the report's own words say what happened; the original is quoted and would be read as if it were said (a
newsletter about full mailboxes). Where the original stands in the same text without MIME, it begins at the first block
of header fields or at a line that announces it. Report fields (RFC 3464 2.1, RFC 5965 3) are taken from their part, or
from the text when a gateway has flattened the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from engine.returns.mime import Fields, Mail, Part, split_message
from engine.returns.value import Original
from engine.returns.words import addresses, tokens

MAX_TEXT: Final = 16_000
"""Characters of the report's words that are looked at."""
MAX_LINES: Final = 2000
"""Of the words, in which the original may begin."""
MAX_GROUPS: Final = 100

_HEADERS: Final = {"text/rfc822-headers", "message/rfc822-headers", "text/rfc822-header"}
_STATUS: Final = {"message/delivery-status", "message/global-delivery-status", "text/delivery-status"}
_FEEDBACK: Final = {"message/feedback-report"}
_DISPOSITION: Final = {"message/disposition-notification"}
_OF_A_MAIL: Final = frozenset(
    "received return-path from to subject date message-id mime-version content-type sender reply-to"
    " delivered-to".split()
)
_HEAD_LINE: Final = re.compile(
    r"[ \t>|]{0,12}(received|return-path|from|to|subject|date|message-id|mime-version|content-type|sender|reply-to"
    r"|delivered-to|dkim-signature|x-[a-z-]{1,40})[ \t]{0,4}:",
    re.IGNORECASE,
)
_REPORT_LINE: Final = re.compile(
    r"(?:reporting-mta|arrival-date|original-recipient|final-recipient|action|status|diagnostic-code|remote-mta"
    r"|last-attempt-date|received-from-mta|will-retry-until|feedback-type|user-agent|source-ip)[ \t]{0,4}:",
    re.IGNORECASE,
)
_ANNOUNCED: Final = re.compile(
    r"(?:below this line is a copy|original message (?:follows|as follows|header)|original mail as follows"
    r"|unsent message (?:follows|below)|this is a copy of (?:the|your) message|message headers? follow"
    r"|header of the original message|copy of the message(?: header)?,? (?:including|follows)"
    r"|returned message (?:follows|-----)|original message headers|message text follows|start of returned message"
    r"|-{3,} ?(?:original message|returned message|original mail|message header|forwarded message)"
    r"|included is a copy of the message header|headers of the message follow|undelivered message follows"
    r"|the original message (?:was|is) (?:attached|included) below|your message reads|^old message:"
    r"|元のメッセージ|以下は(?:元|送信)|-{3,} ?元の?メッセージ)",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(
    r"^(?:>|-{2,} ?(?:original message|元のメッセージ|転送|forwarded)|_{8,}$"
    r"|on .{4,120} wrote:|.{4,120}(?:のメール|に書きました|wrote|のメッセージ):?$|from: .{3,200}$|差出人[:：]"
    r"|送信者[:：])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Shape:
    fields: Fields
    """Of the returned message itself."""
    report_type: str
    words: str
    """What the report says, without the original."""
    statuses: tuple[Fields, ...]
    """Groups of delivery status fields: of the message first, then one a recipient."""
    feedback: Fields | None
    dispositions: Fields | None
    original: Original
    is_cut: bool


def shape_of(mail: Mail) -> Shape:
    bare = [part for part in mail.parts if part.fields is not mail.fields and _is_bare_original(part)]
    own = [part for part in mail.parts if part.depth == 0 and part not in bare]
    returned = [part for part in mail.parts if part.depth > 0 or part in bare]
    texts = [part for part in own if part.kind.startswith("text/") and part.kind not in _HEADERS | _STATUS]
    plain = [part for part in texts if part.kind != "text/html"]
    said, quoted = _divided("\n".join(part.text for part in plain))
    if not said.strip():
        said = "\n".join(_without_tags(part.text) for part in texts if part.kind == "text/html")
    groups = [group for part in own if part.kind in _STATUS for group in _groups(part.text)]
    flattened = [] if groups else [group for group in _groups(_report_lines(said)) if _names_recipient(group)]
    heads = [
        *(_headers(part.text) for part in own if part.kind in _HEADERS),
        *(part.fields for part in returned),
        _headers(quoted),
    ]
    rest = [quoted, *(part.text for part in returned)]
    return Shape(
        mail.fields,
        mail.report_type,
        said[:MAX_TEXT],
        tuple(groups or flattened)[:MAX_GROUPS],
        next((_headers(part.text) for part in own if part.kind in _FEEDBACK), None),
        next((_headers(part.text) for part in own if part.kind in _DISPOSITION), None),
        _original(heads, rest),
        mail.is_cut,
    )


def unquoted(words: str) -> str:
    """What a person wrote in a reply, above and between the quotes."""
    kept: list[str] = []
    for line in words.splitlines():
        if _QUOTED.match(line.strip()):
            if line.lstrip().startswith(">"):
                continue
            break
        kept.append(line)
    return "\n".join(kept)


def _is_bare_original(part: Part) -> bool:
    """A part whose own fields are those of a mail: the original, without a message/rfc822 around it."""
    names = part.fields.names()
    return (
        part.depth == 0
        and "from" in names
        and len(names & _OF_A_MAIL) >= 4
        and bool(names & {"message-id", "received"})
    )


def _divided(text: str) -> tuple[str, str]:
    """The report's words, and the original behind them."""
    lines = text.splitlines()
    for number, line in enumerate(lines[:MAX_LINES]):
        if _ANNOUNCED.search(line[:200]) and not (number + 1 < len(lines) and _REPORT_LINE.match(lines[number + 1])):
            return "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
        if _HEAD_LINE.match(line) and _begins_header(lines, number):
            return "\n".join(lines[:number]), "\n".join(lines[number:])
    return text, ""


def _begins_header(lines: list[str], number: int) -> bool:
    """Four different fields of a mail within the next lines, and such as a mere extract for people does not show."""
    names: set[str] = set()
    for line in lines[number : number + 60]:
        match = _HEAD_LINE.match(line)
        if match:
            names.add(match[1].lower())
        elif not line.startswith((" ", "\t")) and ":" not in line:
            break
    return len(names & _OF_A_MAIL) >= 4 and bool(names & {"received", "return-path", "mime-version", "content-type"})


def _groups(text: str) -> Iterator[Fields]:
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))[:MAX_GROUPS]:
        group = _headers(block)
        if group.pairs:
            yield group


def _headers(text: str) -> Fields:
    lines = [
        line.strip(" \t>|") if _HEAD_LINE.match(line) and line[:1] in " \t>|" else line
        for line in text.strip("\n").splitlines()
    ]
    return split_message("\n".join(lines).encode("utf-8", "replace"))[0]


def _report_lines(said: str) -> str:
    """From the first line that is a report field on."""
    lines = said.splitlines()
    for number, line in enumerate(lines):
        if _REPORT_LINE.match(line):
            return "\n".join(lines[number:])
    return ""


def _names_recipient(group: Fields) -> bool:
    return bool(group.names() & {"final-recipient", "original-recipient"})


def _without_tags(text: str) -> str:
    text = re.sub(r"(?is)<(style|script|title)\b[^>]{0,500}>[^<]{0,20000}</\1>", " ", text[: 8 * MAX_TEXT])
    text = re.sub(r"(?i)<(?:br|p|div|tr|h\d|li)\b[^>]{0,500}>", "\n", text)
    text = re.sub(r"</?[A-Za-z!][^<>]{0,2000}>", " ", text)
    for entity, letter in (
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", " "),
        ("&quot;", '"'),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ):
        text = text.replace(entity, letter)
    return re.sub(r"[ \t]{2,}", " ", text)


def _original(heads: Iterable[Fields], rest: Iterable[str]) -> Original:
    known = [head for head in heads if head.pairs]
    every = [pair for head in known for pair in head.pairs]
    tos = [value for name, value in every if name in _RECIPIENT_FIELDS]
    paths = [value for name, value in every if name in {"return-path", "x-envelope-from", "envelope-from"}]
    listed = [value for name, value in every if name == "list-unsubscribe"]
    others = [value for name, value in every if name in {"subject", "reply-to", "x-unsubscribe"}]
    ids = [value for name, value in every if name == "message-id"]
    return Original(
        ids[0][:200] if ids else "",
        tuple(dict.fromkeys(address for value in tos for address in addresses(value)))[:32],
        tuple(dict.fromkeys(address for value in paths for address in addresses(value)))[:8],
        tokens([*listed, *others, *(text[:64_000] for text in rest)]),
    )


_RECIPIENT_FIELDS: Final = frozenset(
    {"x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "to", "x-rcpt-to"}
)
