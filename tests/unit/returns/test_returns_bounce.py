"""Bounces in the shapes that mail programs give them, delays, and what only looks like one."""

from __future__ import annotations

import pytest

from engine.policy.classify import Class
from engine.returns import AutoReply, Bounce, Delayed, Delivered, How, Unknown, read_returned
from tests.unit.returns.returned_samples import (
    EXIM,
    EZWEB,
    ORIGINAL,
    POSTFIX,
    QMAIL,
    READER,
    VACATION,
    dsn,
    says,
)


def test_a_delivery_status_names_recipient_status_and_reason() -> None:
    returned = read_returned(POSTFIX.encode(), READER)
    (told,) = returned.says
    assert isinstance(told, Bounce)
    assert (told.recipient, told.also) == ("neko@example.jp", ("Neko@example.jp",))
    assert (told.bounce_class, told.hard, told.code, told.status) == (Class.UNKNOWN_USER, True, 550, "5.1.1")
    assert told.how is How.REPORT
    assert "User unknown" in told.diagnostic
    assert returned.original.message_id == "<1@shop.example>"
    assert returned.original.recipients == ("neko@example.jp",)
    assert returned.original.return_paths == ("b+1@bounce.example",)
    assert returned.original.tokens[0] == "AQBabcdefghijklmnopqrstuvwxyz0123456789"


def test_each_recipient_of_a_report_is_one_value() -> None:
    groups = """Final-Recipient: rfc822; a@example.jp
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp; 552 5.2.2 mailbox full

Final-Recipient: rfc822; b@example.jp
Action: delayed
Status: 4.4.1

Final-Recipient: rfc822; c@example.jp
Action: relayed (to a system without reports)
Status: 2.0.0

Original-Recipient: <d@example.jp>
Action: failed
Diagnostic-Code: X-Unix; 67
"""
    full, late, there, local = says(dsn(groups))
    assert isinstance(full, Bounce)
    assert (full.bounce_class, full.hard) == (Class.MAILBOX_FULL, False)
    assert isinstance(late, Delayed)
    assert (late.recipient, late.bounce_class) == ("b@example.jp", Class.NETWORK)
    assert there == Delivered("c@example.jp")
    assert isinstance(local, Bounce)
    assert (local.recipient, local.bounce_class) == ("d@example.jp", Class.SYSTEM)


def test_a_report_that_names_nobody_takes_the_name_from_its_words() -> None:
    (told,) = says(dsn("Action: failed\nStatus: 5.1.1\n", words="Deliver to: tora@example.jp"))
    assert isinstance(told, Bounce)
    assert told.recipient == "tora@example.jp"
    nameless = dsn("Action: failed\nStatus: 5.1.1\n", words="No.", original="Subject: x\n\nx\n")
    assert says(nameless)[0].recipient == ""


def test_a_temporary_reply_is_never_hard() -> None:
    group = "Final-Recipient: rfc822; a@example.jp\nAction: failed\nDiagnostic-Code: smtp; 450 4.1.1 unknown user\n"
    (told,) = says(dsn(group))
    assert (told.bounce_class, told.hard) == (Class.UNKNOWN_USER, False)


def test_qmail() -> None:
    (told,) = says(QMAIL)
    assert isinstance(told, Bounce)
    assert (told.recipient, told.bounce_class, told.hard) == ("neko@example.jp", Class.UNKNOWN_USER, True)
    assert told.how is How.BODY


def test_exim_names_them_in_the_header() -> None:
    gone, full = says(EXIM)
    assert (gone.recipient, gone.bounce_class, gone.how) == ("neko@example.jp", Class.UNKNOWN_USER, How.HEADER)
    assert (full.recipient, full.bounce_class, full.hard) == ("tora@example.jp", Class.MAILBOX_FULL, False)


def test_au_in_iso_2022_jp() -> None:
    (told,) = says(EZWEB)
    assert (told.recipient, told.bounce_class, told.hard) == ("neko@ezweb.ne.jp", Class.UNKNOWN_USER, True)


def test_unknown_user_behind_the_data_is_a_filter() -> None:
    group = """Final-Recipient: rfc822; neko@docomo.ne.jp
Action: failed
Status: 5.2.0
Diagnostic-Code: smtp; 550 Unknown user neko@docomo.ne.jp
"""
    at_data = dsn(group, words=">>> DATA\n<<< 550 Unknown user neko@docomo.ne.jp\n554 5.0.0 Service unavailable")
    at_rcpt = dsn(group, words=">>> RCPT To:<neko@docomo.ne.jp>\n<<< 550 Unknown user neko@docomo.ne.jp")
    untold = dsn(group, words="It did not work.")
    pipelined = dsn(
        group, words=">>> DATA\n<<< 550 Unknown user neko@docomo.ne.jp\n<<< 503 5.0.0 Need RCPT (recipient)"
    )
    assert [says(text)[0].bounce_class for text in (at_data, at_rcpt, untold, pipelined)] == [
        Class.FILTERED,
        Class.UNKNOWN_USER,
        Class.FILTERED,
        Class.UNKNOWN_USER,
    ]


@pytest.mark.parametrize(
    ("words", "expected", "hard"),
    [
        ("<<< 550 5.1.1 <neko@example.jp>... User unknown", Class.UNKNOWN_USER, True),
        ("送信先のメールボックスが一杯のため、送信できませんでした。neko@example.jp", Class.MAILBOX_FULL, False),
        ("neko@example.jp\nUser Neko is not listed in Domino directory", Class.UNKNOWN_USER, True),
        ("Could not deliver for the last 432000 seconds to neko@example.jp. Giving up.", Class.NETWORK, False),
        ("neko@example.jp: an MX or SRV record indicated no SMTP service", Class.UNKNOWN_HOST, True),
        ("<neko@example.jp>: Host or domain name not found. No such domain.", Class.UNKNOWN_HOST, True),
        ("neko@example.jp: message too large for this recipient", Class.SIZE, False),
        ("<neko@example.jp> 550-5.7.26 Unauthenticated email is not accepted due to DMARC", Class.AUTH, False),
        ("<neko@example.jp> 554 5.7.1 blocked using zen.spamhaus.org", Class.BLOCK, False),
        ("<neko@example.jp>: the account is disabled", Class.INACTIVE_USER, False),
        ("<neko@example.jp>: it is so #4.2.2 there", Class.MAILBOX_FULL, False),
        ("<neko@example.jp>: nothing that anybody knows", Class.OTHER, False),
    ],
)
def test_words(words, expected, hard) -> None:
    text = f"From: MAILER-DAEMON@mx.example\nSubject: Undeliverable: News\n\nIt failed:\n\n{words}\n"
    (told,) = says(text)
    assert isinstance(told, Bounce)
    assert (told.recipient, told.bounce_class, told.hard) == ("neko@example.jp", expected, hard)


def test_several_recipients_of_a_transcript() -> None:
    text = (
        """From: MAILER-DAEMON@mx.example
Subject: Returned mail: User unknown

   ----- Transcript of session follows -----
550 example.jp (smtp)... 550 Host unknown
554 <a@example.jp>... 550 Host unknown (Authoritative answer from name server)
554 <b@example.org>... 550 mailbox is full

   ----- Unsent message follows -----
"""
        + ORIGINAL
    )
    first, second = says(text)
    assert (first.recipient, first.bounce_class) == ("a@example.jp", Class.UNKNOWN_HOST)
    assert (second.recipient, second.bounce_class) == ("b@example.org", Class.MAILBOX_FULL)


def test_a_warning_is_a_delay() -> None:
    text = """From: Mail Delivery System <MAILER-DAEMON@mx.example>
Subject: Warning: message delayed 4 hours

This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 4 hours on the queue on mx.example.

The address to which the message has not yet been delivered is:

  neko@example.jp

No action is required on your part.
"""
    (told,) = says(text)
    assert isinstance(told, Delayed)
    assert (told.recipient, told.bounce_class) == ("neko@example.jp", Class.NETWORK)


def test_a_bounce_that_names_nobody() -> None:
    (told,) = says(
        "From: MAILER-DAEMON@mx.example\nSubject: Undeliverable mail\n\nIt was not to be. Mailbox is full.\n"
    )
    assert isinstance(told, Bounce)
    assert (told.recipient, told.bounce_class) == ("", Class.MAILBOX_FULL)


def test_the_original_speaks_for_a_notice_without_subject() -> None:
    text = f"""From: no-reply@mail.example
Subject: Mail
Content-Type: multipart/mixed; boundary="b"

--b

Could not be delivered to its reader: mailbox is full.
--b
Content-Type: message/rfc822

{ORIGINAL}
--b--
"""
    (told,) = says(text)
    assert isinstance(told, Bounce)
    assert (told.recipient, told.bounce_class) == ("neko@example.jp", Class.MAILBOX_FULL)


def test_only_html() -> None:
    text = """From: postmaster@mx.example
Subject: Undeliverable: News
Content-Type: text/html

<html><style>.a{}</style><body><p>Delivery has failed to these recipients:</p>
<p>&lt;neko@example.jp&gt;</p><p>The mailbox is full</p></body></html>
"""
    (told,) = says(text)
    assert (told.recipient, told.bounce_class) == ("neko@example.jp", Class.MAILBOX_FULL)


def test_a_flattened_report() -> None:
    text = """From: Mail Delivery System <postmaster@mx.example>
Subject: Undelivered Mail Returned to Sender

I'm sorry.

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; neko@example.jp
Action: failed
Status: 5.2.2
Diagnostic-Code: X-Postfix; quota exceeded
"""
    (told,) = says(text)
    assert (told.recipient, told.bounce_class, told.how) == ("neko@example.jp", Class.MAILBOX_FULL, How.REPORT)


@pytest.mark.parametrize(
    "text",
    [
        VACATION,
        VACATION.replace("Auto-Submitted: auto-replied\n", ""),
        VACATION.replace("Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All"),
        VACATION.replace("Auto-Submitted: auto-replied", "Precedence: auto_reply").replace("Automatic reply", "Re"),
        VACATION.replace("Automatic reply", "自動返信").replace("Auto-Submitted: auto-replied\n", ""),
        VACATION.replace("Return-Path: <>\n", "").replace("I am away", "I have left. My mailbox was closed"),
    ],
)
def test_a_vacation_is_no_bounce(text) -> None:
    assert says(text) == (AutoReply("taro@example.jp"),)


def test_a_read_receipt_and_a_refusal_that_calls_itself_one() -> None:
    receipt = """From: neko@example.jp
Subject: Read: News
Content-Type: multipart/report; report-type=disposition-notification; boundary="b"

--b

Read.
--b
Content-Type: message/disposition-notification

Final-Recipient: rfc822; neko@example.jp
Disposition: manual-action/MDN-sent-manually; displayed
--b--
"""
    assert says(receipt) == (Delivered("neko@example.jp"),)
    dovecot = receipt.replace("Read: News", "Rejected: News").replace("neko@example.jp\nSubj", "postmaster@mx\nSubj")
    dovecot = dovecot.replace("Read.", "Your message to <neko@example.jp> was automatically rejected:\nQuota exceeded")
    (told,) = says(dovecot)
    assert isinstance(told, Bounce)
    assert (told.recipient, told.bounce_class) == ("neko@example.jp", Class.MAILBOX_FULL)


def test_an_ordinary_mail_is_nothing() -> None:
    assert says("From: a@example.jp\nSubject: Hello\n\nHow are you?\n") == (Unknown(),)
    assert says(b"") == (Unknown(),)


def test_a_status_alone() -> None:
    (told,) = says(dsn("Final-Recipient: rfc822; a@example.jp\nAction: failed\nStatus: 4.4.7\n", words="It failed."))
    assert (told.bounce_class, told.hard, told.status, told.code) == (Class.NETWORK, False, "4.4.7", 0)


def test_what_makes_flufl_bounce_stumble_is_read_all_the_same() -> None:
    (told,) = says("Subject: Undeliverable mail\n\nTo tora@example.jp: mailbox is full\n")
    assert (told.recipient, told.bounce_class) == ("tora@example.jp", Class.MAILBOX_FULL)
    broken = b"From: MAILER-DAEMON@mx.example\nSubject: Undeliverable\nContent-Type: multipart/report\n\nMailbox is full\n\xff"
    assert says(broken)[0].bounce_class is Class.MAILBOX_FULL
