"""What each page says: a reader's situation becomes a Page in the reader's language. Pure; the words are in words.toml.

The pages promise what the engine keeps: nothing changes before a button, a stop is in force when it is confirmed, mail
that had left before may cross it, and messages that belong to a contract go on. Nobody is asked for a reason, talked
out of it, or shown a way back in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engine.web.confirm import Asked, Confirmation, Confirmed
from engine.web.displayed import Displayed
from engine.web.page import Button, Page, Part, Words, masked
from suppression.unsubscribe import Unsubscribe


class Stopped(Enum):
    """How far the address has refused."""

    NOTHING = 0
    TOPIC = 1
    """The token's topic."""
    ALL = 2
    """All of the sender's."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a person may quote later."""

    reference: str
    at: float


def ask(words: Words, wish: Unsubscribe, sender: Displayed, *, unclear: bool = False) -> Page:
    """Before anything was pressed; `unclear`: something was sent that names no button of ours."""
    buttons = [Button("topic", words("stop_topic", topic=wish.topic))] if wish.topic else []
    buttons.append(Button("all", words("stop_all", sender=sender.legal_name)))
    lead = words("nothing_lead") if unclear else words("ask_lead")
    part = Part(
        paragraphs=(lead,),
        facts_label=words("details"),
        facts=_facts(words, wish, sender),
        buttons=tuple(buttons),
        notes=(words("ask_nothing_yet"), words("transactional")),
    )
    return Page(words("page"), words("nothing_title" if unclear else "ask_title"), (part,), sender=sender)


def stopped(words: Words, wish: Unsubscribe, sender: Displayed, reach: Stopped, receipt: Receipt | None) -> Page:
    """After a stop; without a receipt: it had been stopped before, and this is only a look."""
    names = {"sender": sender.legal_name, "topic": wish.topic, "address": masked(wish.address)}
    key = ("done" if receipt else "before") + ("_all" if reach is Stopped.ALL else "_topic")
    facts = _receipt(words, receipt) + _facts(words, wish, sender, everything=reach is Stopped.ALL)
    notes = (words("crossing"),) if receipt else ()
    part = Part(
        paragraphs=(words(f"{key}_lead", **names),),
        facts_label=words("receipt" if receipt else "details"),
        facts=facts,
        notes=(*notes, words("transactional")),
    )
    parts = [part]
    if reach is Stopped.TOPIC:
        parts.append(
            Part(
                heading=words("also_all_title"),
                paragraphs=(words("also_all_lead", **names),),
                buttons=(Button("all", words("stop_all_also")),),
            )
        )
    return Page(words("page"), words(f"{key}_title", **names), tuple(parts), "done", sender)


def invalid(words: Words) -> Page:
    """A link that is not ours, or not whole."""
    return _invalid(words, words("page"), words("invalid_lead"))


def _invalid(words: Words, about: str, lead: str) -> Page:
    parts = (Part(paragraphs=(lead,)), Part(heading=words("invalid_help_title"), points=words.points()))
    return Page(about, words("invalid_title"), parts, "stopped")


def busy(words: Words) -> Page:
    return Page(words("page"), words("busy_title"), (Part(paragraphs=(words("busy_lead"),)),), "stopped")


def down(words: Words, sender: Displayed | None) -> Page:
    """The ledger's disk has failed: nothing may be promised, but there may be another way."""
    more = (words("down_contact"),) if sender and sender.contacts else ()
    part = Part(paragraphs=(words("down_lead"), *more))
    return Page(words("page"), words("down_title"), (part,), "stopped", sender)


def ask_confirm(words: Words, asked: Asked, sender: Displayed) -> Page:
    part = Part(
        paragraphs=(words("confirm_lead"),),
        facts_label=words("details"),
        facts=_asked(words, asked, sender),
        buttons=(Button("confirm", words("confirm_button")),),
        notes=(words("confirm_note"),),
    )
    return Page(words("confirm_page"), words("confirm_title"), (part,), sender=sender)


def confirmed(words: Words, confirmation: Confirmation, sender: Displayed | None) -> Page:
    result, asked = confirmation.result, confirmation.asked
    if result is Confirmed.UNKNOWN:
        return _invalid(words, words("confirm_page"), words("confirm_invalid_lead"))
    key = {Confirmed.NOW: "confirmed", Confirmed.BEFORE: "confirmed_before", Confirmed.EXPIRED: "expired"}[result]
    facts = _asked(words, asked, sender) if asked and sender else ()
    part = Part(paragraphs=(words(f"{key}_lead"),), facts_label=words("details"), facts=facts)
    mood = "stopped" if result is Confirmed.EXPIRED else "done"
    return Page(words("confirm_page"), words(f"{key}_title"), (part,), mood, sender)


def _facts(
    words: Words, wish: Unsubscribe, sender: Displayed, *, everything: bool = False
) -> tuple[tuple[str, str], ...]:
    facts = [(words("sender"), words.name(sender.legal_name))]
    if wish.topic and not everything:
        facts.append((words("topic"), words.name(wish.topic)))
    return (*facts, (words("address"), words.name(masked(wish.address))))


def _asked(words: Words, asked: Asked, sender: Displayed) -> tuple[tuple[str, str], ...]:
    if not asked.address:
        return ((words("sender"), words.name(sender.legal_name)),)
    topics = words("topics_separator").join(map(words.name, asked.topics))
    return (
        (words("sender"), words.name(sender.legal_name)),
        (words("topic"), topics or words("all_topics", sender=sender.legal_name)),
        (words("address"), words.name(masked(asked.address))),
    )


def _receipt(words: Words, receipt: Receipt | None) -> tuple[tuple[str, str], ...]:
    if receipt is None:
        return ()
    return (words("time"), words.moment(receipt.at)), (words("reference"), receipt.reference)
