"""What a mail that came over SMTP asks for in its X-Sokutatsu- fields, as a submit; and the mail without them.

Each field stands at most once, and a misspelt one is refused with its name: a category that nobody reads would be a
mail sent under the wrong law. Everything else of the mail is left as it is, byte for byte.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping

from engine import wire
from engine.flow.users import Entry
from engine.wire import Refusal

PREFIX = "x-sokutatsu-"
WORDS = frozenset(
    {"sender", "category", "topic", "mailing", "priority", "not-before", "expires", "key", "region", "override"}
)
TRANSACTIONAL = frozenset({"TX", "CONFIRM"})
"""Categories that overtake bulk unless the mail says otherwise."""
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r]|\r(?!\n)|\r\n[ \t])*)\r\n")


def read_submit(user: Entry, recipients: list[str], content: bytes) -> wire.Submit:
    """What the mail's X-Sokutatsu- fields ask for, and the mail without them. Raises Refusal."""
    if not content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n"):
        raise Refusal("bad_message", "", "", "the mail has a bare CR or LF: end every line with CRLF (RFC 5321 2.3.8)")
    words, kept, names = _take_words(content)
    sender = words.get("sender") or (next(iter(user.senders)) if len(user.senders) == 1 else "")
    if not sender or not words.get("category"):
        missing = "category" if sender else "sender"
        raise Refusal("bad_request", missing, "", f"the field X-Sokutatsu-{missing.title()} is missing: add it")
    if user.senders and sender not in user.senders:
        text = f"this login may send as {', '.join(sorted(user.senders))}: use one of these"
        raise Refusal("forbidden", "sender", wire.shown(sender), text)
    ordinary = "transactional" if words["category"] in TRANSACTIONAL else "bulk"
    stated = wire.Stated(region=words.get("region", ""))
    return wire.submit(
        {
            "key": words.get("key") or _key(user, recipients, content, names),
            "sender": sender,
            "category": words["category"],
            "topic": words.get("topic", ""),
            "mailing": words.get("mailing") or "smtp",
            "priority": words.get("priority", ordinary),
            "override": words.get("override", ""),
            "not_before": _seconds(words, "not-before"),
            "expires": _seconds(words, "expires"),
            "message": wire.encode_message(wire.Message(raw=kept)),
            "recipients": wire.encode_recipients([wire.Recipient(address, {}, stated) for address in recipients]),
        }
    )


def _take_words(content: bytes) -> tuple[dict[str, str], bytes, frozenset[str]]:
    """The X-Sokutatsu- fields, the mail without them, and the names of all its fields."""
    words: dict[str, str] = {}
    names, kept, at = set[str](), [], 0
    while match := _FIELD.match(content, at):
        name = match[1].decode("ascii").lower()
        names.add(name)
        if name.startswith(PREFIX):
            word = name.removeprefix(PREFIX)
            if word not in WORDS or word in words:
                told = "is there twice" if word in words else f"is unknown, known are {', '.join(sorted(WORDS))}"
                raise Refusal("bad_request", wire.shown(word), "", f"the field X-Sokutatsu-{wire.shown(word)} {told}")
            words[word] = match[2].replace(b"\r\n", b"").strip().decode("utf-8", "replace")
        else:
            kept.append(match[0])
        at = match.end()
    return words, b"".join(kept) + content[at:], frozenset(names)


def _seconds(words: Mapping[str, str], word: str) -> int | None:
    if word not in words:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", words[word]):
        text = f"the field X-Sokutatsu-{word.title()} takes Unix seconds (UTC)"
        raise Refusal("bad_date", word, wire.shown(words[word]), text)
    return int(words[word])


def _key(user: Entry, recipients: list[str], content: bytes, names: frozenset[str]) -> str:
    """A client that lost our 250 sends the very same mail again. What has no Message-ID and Date (RFC 5322 3.6) may be
    meant twice.
    """
    if not {"message-id", "date"} <= names:
        return secrets.token_hex(16)
    whole = hashlib.sha256(content)
    whole.update("\0".join([user.login, *recipients]).encode())
    return whole.hexdigest()
