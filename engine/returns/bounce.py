"""From the shape of a message to the recipients that it says did not get theirs.

Order of evidence: fields of a delivery status (RFC 3464), X-Failed-Recipients and its like in the header, then the
words of the text, where flufl.bounce is asked before our own eyes. What looks like no bounce is none: the doubt is in
favour of the address.
"""

from __future__ import annotations

import email
import re
from dataclasses import replace
from email.message import Message
from typing import Final

from flufl.bounce import all_failures

from engine.returns.diagnose import Diagnosis, Reader
from engine.returns.mime import Fields
from engine.returns.refusal import is_automatic
from engine.returns.shape import Shape
from engine.returns.value import Bounce, Delayed, Delivered, How, Return
from engine.returns.words import address_of, addresses

MAX_RECIPIENTS: Final = 100
MAX_DIAGNOSTIC: Final = 1000
_OTHERWISE: Final = re.compile(
    r"message-id|in-reply-to|references:|contact|assistance|問い?合わ?せ|連絡|ご相談", re.IGNORECASE
)
"""On a line with an address: it is no recipient's."""
_AU: Final = re.compile(r"the user\(s\) account is [a-z ]{3,60}", re.IGNORECASE)
_FLUFL_BYTES: Final = 65_536
_FLUFL_LINES: Final = 1000
_DAEMON: Final = re.compile(
    r"mailer[-_. ]?daemon|post-?_?master|mail[-_ .]?delivery|mail deliver|mail administrator|returned mail"
    r"|delivery subsystem"
    r"|system administrator|mdaemon|mail[-_. ]router|emailsystem|<>|^$",
    re.IGNORECASE,
)
_SUBJECT: Final = re.compile(
    r"undeliver|not deliver|non-?deliver|delivery (?:status|fail|notif|report|problem|error|has failed)"
    r"|deliver(?:y|ed)? fail"
    r"|fail(?:ed|ure) (?:notice|delivery|to deliver|mail)|failure|returned (?:mail|to sender)|returned message"
    r"|mail (?:system )?error|could not be delivered|can(?:no|')t (?:be )?(?:deliver|send)|unable to deliver"
    r"|message (?:you sent )?(?:was )?(?:blocked|rejected|refused)|rejected (?:mail|message|posting)|notice: mail"
    r"|mail delivery|message delivery|delivery (?:to|of)|bounced? (?:mail|message)|undelivrable|unzustellbar"
    r"|nicht zugestellt"
    r"|non remis|no entregado|warning: (?:could not|message)|message status|address not found|not found"
    r"|are not member|message expired|メールエラー|配信(?:不能|エラー|できません)|送信(?:エラー|できません|失敗)"
    r"|不達|宛先不明|エラーメール"
    r"|未送達|配達(?:不能|できません)|недоставл|не доставлено|退信|系统退信|邮件投递失败",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(
    r"(?:could|can|was|were|has|have)(?: ?not|n't) (?:be |been )?(?:able to )?(?:deliver|reach|sent|send)"
    r"|unable to deliver|undeliverable|delivery (?:to the following|failed|has failed|failure)|did not reach"
    r"|(?:was|been|is) (?:automatically )?(?:rejected|refused|returned|blocked|bounced)|failed (?:recipient"
    r"|addresses)"
    r"|permanent (?:fatal )?error|(?:had|have) (?:permanent|delivery|transient)|recipients? (?:was|were) rejected"
    r"|transcript of (?:the )?session|user unknown|unknown user|no such (?:user|mailbox)|mailbox (?:is )?full"
    r"|returned mail"
    r"|invalid (?:final delivery userid|user address)|failure reasons?|is not accepting|over quota"
    r"|送信できません|配信できません|届けることができません|送信に失敗|配信に失敗|見つかりません|届けられません"
    r"|存在しません"
    r"|not a member|duplicated message-id|не может быть доставлено"
    r"|无法(?:被)?(?:投递|发送|送达|传送)|n'a pas pu être|konnte nicht zugestellt"
    r"|no se (?:pudo|ha podido) entregar|não (?:pôde|foi possível)|non è stato (?:possibile )?",
    re.IGNORECASE,
)
_STATUS_FIELDS: Final = frozenset(
    {"final-recipient", "original-recipient", "x-actual-recipient", "action", "status", "diagnostic-code"}
)
_FAILED_FIELDS: Final = ("x-failed-recipients", "x-failed-recipient", "x-bounced-address")
_TRANSCRIPT: Final = re.compile(
    r"^(?:[45]\d\d |<<< [45]\d\d )<([^\s<>@]{1,64}@[^\s<>@]{3,255})>\.\.\. "
    r"|^<?([^\s<>@\"]{1,64}@[^\s<>@,:]{3,255})>?[:, ].{0,60}(?<!\d)[45]\d\d[ ,-]",
    re.MULTILINE,
)
"""A recipient in front of the reply that it got, as sendmail and OpenSMTPD write it."""
_LABELLED: Final = re.compile(
    r"(?:recipient|rcpt to|to|addressed to|deliver(?:y|ed)?(?: message)? to|undeliverable address|user|address"
    r"|宛先|送信先)"
    r"\s{0,4}(?:address)?\s{0,4}[:：]\s{0,4}(?:\[?smtp:)?[<\"']?([^\s<>\"']{1,64}@[^\s<>\"'\]]{3,255})",
    re.IGNORECASE,
)


def is_bounce_like(shape: Shape) -> bool:
    """Whether a mail server wrote it about a mail."""
    if any(_STATUS_FIELDS & group.names() for group in shape.statuses) or any(map(shape.fields.first, _FAILED_FIELDS)):
        return True
    subject = bool(_SUBJECT.search(shape.fields.first("subject")[:300]))
    words = bool(_WORDS.search(shape.words[:4000]))
    returned = bool(shape.original.message_id)
    nobody = shape.fields.first("return-path") == "<>" and not is_automatic(shape.fields)
    return (is_from_daemon(shape) or nobody) + subject + words + (words and returned) >= 2


def is_from_daemon(shape: Shape) -> bool:
    return bool(_DAEMON.search(shape.fields.first("from")[:300]))


def read_bounces(shape: Shape, raw: bytes, reader: Reader) -> list[Return]:
    """One a recipient; empty when it is no bounce. A report that is nameless gives one without a recipient."""
    found = _from_statuses(shape, reader)
    if found:
        return found
    if not is_bounce_like(shape):
        return []
    failed = [address for value in shape.fields.every(*_FAILED_FIELDS) for address in addresses(value)]
    if failed:
        return _each(failed, reader, How.HEADER, shape.words)
    nobody = _ours(shape) | {shape.original.message_id.strip("<>").lower()}
    temporary, permanent = ([found for found in each if found.lower() not in nobody] for each in _flufl(raw))
    listed = [address_of(match[1] or match[2]) for match in _TRANSCRIPT.finditer(shape.words)]
    listed = [address for address in listed if address in _strangers(shape)]
    if len(set(listed)) > len(permanent):
        permanent, temporary = list(dict.fromkeys(listed)), []
    if not permanent and temporary:
        return [
            _told(address, reader.diagnose([shape.words], "", shape.words), How.BODY, is_delayed=True)
            for address in temporary
        ]
    return _each(permanent or _own_eyes(shape), reader, How.BODY, shape.words)


# -- delivery status ---------------------------------------------------------------------------------------------


def _from_statuses(shape: Shape, reader: Reader) -> list[Return]:
    found: list[Return] = []
    groups = [group for group in shape.statuses if group.names() & (_STATUS_FIELDS - {"status"})]
    for group in groups[:MAX_RECIPIENTS]:
        found.append(_of_group(group, shape, reader))
    return found


def _of_group(group: Fields, shape: Shape, reader: Reader) -> Return:
    named = [address_of(group.first(name)) for name in ("final-recipient", "original-recipient", "x-actual-recipient")]
    known = list(dict.fromkeys(filter(None, named)))
    recipient = known[0] if known else _only(shape)
    action = group.first("action").split("(")[0].strip().lower()
    if action in {"delivered", "relayed", "expanded", "deliverable"}:
        return Delivered(recipient)
    diagnostic = _diagnostic(group)
    block = _block(recipient, shape.words) if recipient else shape.words
    texts = [*_carrier_words(shape.words), diagnostic, block, shape.words]
    diagnosis = reader.diagnose(texts, group.first("status"), f"{block}\n{shape.words}", is_report=bool(diagnostic))
    told = _told(recipient, diagnosis, How.REPORT, is_delayed=action.startswith("delay"), diagnostic=diagnostic)
    if isinstance(told, Bounce) and len(known) > 1:
        return replace(told, also=tuple(known[1:]))
    return told


def _diagnostic(group: Fields) -> str:
    text = group.first("diagnostic-code")
    kind, semicolon, rest = text.partition(";")
    if kind.strip().lower() == "x-unix":
        return f"local mailer: exit status {rest.strip()}"
    return (rest if semicolon and re.fullmatch(r"\s*[A-Za-z0-9-]{1,20}\s*", kind) else text).strip()


# -- words -------------------------------------------------------------------------------------------------------


def _each(failed: list[str], reader: Reader, how: How, words: str) -> list[Return]:
    if not failed:
        return [_told("", reader.diagnose([words], "", words), how)]
    several = len(failed) > 1
    found: list[Return] = []
    for address in failed[:MAX_RECIPIENTS]:
        block = _block(address, words, failed if several else None)
        texts = [*_carrier_words(words), block, words]
        found.append(_told(address, reader.diagnose(texts, "", words), how))
    return found


def _carrier_words(words: str) -> list[str]:
    """What au says about the mailbox itself knows more than the reply that it quotes."""
    found = _AU.search(words)
    return [found[0]] if found else []


def _flufl(raw: bytes) -> tuple[list[str], list[str]]:
    """Temporary and permanent failures as flufl.bounce sees them, of the beginning of the message: its detectors look
    at each line many times.
    """
    head = b"\n".join(raw[:_FLUFL_BYTES].split(b"\n", _FLUFL_LINES)[:_FLUFL_LINES])
    try:
        message: Message = email.message_from_bytes(head)
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001 - its detectors stumble over a mail without From, over NUL, over broken charsets
        return [], []
    return _texts(temporary), _texts(permanent)


def _texts(found: frozenset[bytes]) -> list[str]:
    decoded = (address.decode("ascii", "replace") for address in sorted(found))
    return [address for text in decoded if (address := address_of(text))]


def _own_eyes(shape: Shape) -> list[str]:
    """The addresses that the text calls recipients; else the first one that is neither us nor a postmaster."""
    strangers = _strangers(shape)
    labelled = [address for match in _LABELLED.finditer(shape.words) if (address := address_of(match[1])) in strangers]
    if labelled:
        return list(dict.fromkeys(labelled))
    lowered = {address.lower() for address in shape.original.recipients}
    sent = [address for address in strangers if address.lower() in lowered]
    if sent or strangers:
        return (sent or strangers)[:1]
    return list(shape.original.recipients[:1])


def _strangers(shape: Shape) -> list[str]:
    """The addresses of the report's own words that may be recipients: not ours, no message's number, nobody who is
    named to be asked.
    """
    ours = _ours(shape)
    told = "\n".join(line for line in shape.words.splitlines() if not _OTHERWISE.search(line[:300]))
    return [address for address in addresses(told) if address.lower() not in ours]


def _only(shape: Shape) -> str:
    found = _own_eyes(shape)
    return found[0] if found else ""


def _ours(shape: Shape) -> frozenset[str]:
    """Addresses that are no recipients: to whom the report was sent, and who wrote it."""
    fields = shape.fields
    values = fields.every(
        "to", "from", "reply-to", "sender", "delivered-to", "x-original-to", "envelope-to", "return-path"
    )
    return frozenset(address.lower() for value in values for address in addresses(value)) | frozenset(
        address.lower() for address in shape.original.return_paths
    )


def _block(address: str, words: str, others: list[str] | None = None) -> str:
    """The lines from the one that names the address to the one that names the next."""
    lines = words.splitlines()
    lowered = address.lower()
    stops = [other.lower() for other in others or [] if other.lower() != lowered]
    for number, line in enumerate(lines):
        if lowered not in line.lower():
            continue
        block = [lines[number - 1], line] if number and lines[number - 1].startswith("<<<") else [line]
        for later in lines[number + 1 : number + 12]:
            if any(stop in later.lower() for stop in stops):
                break
            block.append(later)
        return "\n".join(block)
    return ""


def _told(
    recipient: str, diagnosis: Diagnosis, how: How, *, is_delayed: bool = False, diagnostic: str = ""
) -> Bounce | Delayed:
    text = (diagnostic or diagnosis.text)[:MAX_DIAGNOSTIC]
    if is_delayed:
        return Delayed(recipient, diagnosis.bounce_class, diagnosis.status, text, how)
    return Bounce(recipient, diagnosis.bounce_class, diagnosis.is_hard, diagnosis.code, diagnosis.status, text, how)
