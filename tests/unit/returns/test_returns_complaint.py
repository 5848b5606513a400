"""Complaints: RFC 5965, RFC 6591, redacted ones, and what is sent in place of a report."""

from __future__ import annotations

import json

from engine.policy.classify import Class
from engine.returns import Bounce, Delivered, Feedback, How, Unknown, read_returned
from tests.unit.returns.returned_samples import ARF, ORIGINAL, READER, says


def test_a_report() -> None:
    (told,) = says(ARF)
    assert told == Feedback(
        "abuse",
        "neko@example.jp",
        "FBL/1.0",
        "1",
        "Thu, 24 Sep 2026 10:00:00 +0900",
        "192.0.2.7",
        2,
        "b+1@bounce.example",
        reported_domains=("shop.example",),
    )
    assert told.is_complaint


def test_a_hidden_recipient_leaves_the_token() -> None:
    hidden = ARF.replace("Original-Rcpt-To: <neko@example.jp>", "Original-Rcpt-To: 8f14e45fceea167a@redacted.invalid")
    returned = read_returned(hidden.encode(), READER)
    assert returned.says[0].recipient == "8f14e45fceea167a@redacted.invalid"
    assert returned.original.tokens
    without = ARF.replace("Original-Rcpt-To: <neko@example.jp>\n", "")
    assert says(without)[0].recipient == "neko@example.jp", "of the original"
    nameless = without.replace(ORIGINAL, "REDACTED\n")
    assert says(nameless)[0].recipient == ""


def test_each_reported_recipient() -> None:
    several = ARF.replace("<neko@example.jp>\n\n--b", "<neko@example.jp>\nOriginal-Rcpt-To: tora@example.jp\n\n--b")
    assert [told.recipient for told in says(several)] == ["neko@example.jp", "tora@example.jp"]


def test_failed_authentication_is_no_complaint() -> None:
    (told,) = says(ARF.replace("Feedback-Type: abuse", "Feedback-Type: auth-failure").replace("Incidents: 2\n", ""))
    assert (told.feedback_type, told.is_complaint, told.incidents) == ("auth-failure", False, 1)


def test_the_opt_out_of_the_drafts() -> None:
    draft = ARF.replace("Feedback-Type: abuse", "Feedback-Type: opt-out").replace(
        "Original-Rcpt-To", "Removal-Recipient"
    )
    (told,) = says(draft)
    assert (told.feedback_type, told.recipient, told.is_complaint) == ("opt-out", "neko@example.jp", True)


def test_a_type_that_is_none_is_other() -> None:
    assert says(ARF.replace("Feedback-Type: abuse", "Feedback-Type: <>"))[0].feedback_type == "other"


def test_a_part_without_a_type_in_another_mail_is_no_feedback() -> None:
    text = ARF.replace("Feedback-Type: abuse\n", "").replace("report-type=feedback-report; ", "")
    assert says(text) == (Unknown(),)


def test_microsoft_attaches_the_mail_and_no_report() -> None:
    text = f"""From: staff@hotmail.com
Subject: complaint about message from 192.0.2.7
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: message/rfc822

X-HmXmrOriginalRecipient: neko@example.jp
{ORIGINAL}
--b--
"""
    (told,) = says(text)
    assert (told.feedback_type, told.recipient, told.how) == ("abuse", "neko@example.jp", How.HEADER)
    (told,) = says(text.replace("complaint about message from 192.0.2.7", "x"))
    assert told.recipient == "neko@example.jp"
    (told,) = says(text.replace("X-HmXmrOriginalRecipient: neko@example.jp\n", ""))
    assert told.recipient == "neko@example.jp", "of the original's To"
    assert says("Subject: complaint about message from 192.0.2.7\n\nx\n")[0].recipient == ""


def notice(kind: str, **told: object) -> str:
    inner = json.dumps({"notificationType": kind, **told})
    outer = json.dumps({"Type": "Notification", "Message": inner})
    return f"From: no-reply@sns.amazonaws.com\nSubject: AWS Notification Message\n\n{outer}\n--\nunsubscribe here\n"


def test_amazon_ses_tells_in_json() -> None:
    each = {"emailAddress": "neko@example.jp", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
    (told,) = says(notice("Bounce", bounce={"bounceType": "Permanent", "bouncedRecipients": [each, 7]}))
    assert isinstance(told, Bounce)
    assert (told.recipient, told.bounce_class, told.hard) == ("neko@example.jp", Class.UNKNOWN_USER, True)
    complaint = {"complainedRecipients": [{"emailAddress": "neko@example.jp"}], "complaintFeedbackType": "abuse"}
    assert says(notice("Complaint", complaint=complaint)) == (Feedback("abuse", "neko@example.jp", how=How.BODY),)
    assert says(notice("Delivery")) == (Delivered(""),)
    bare = "From: a@b.example\nSubject: x\n\n" + json.dumps({"eventType": "Complaint", "complaint": complaint}) + "\n"
    assert says(bare) == (Feedback("abuse", "neko@example.jp", how=How.BODY),)


def test_json_of_another_shape_is_nothing() -> None:
    for kind in ("Bounce", "Complaint", "Other"):
        assert says(notice(kind)) == (Unknown(),)
        assert says(notice(kind, bounce=[], complaint=7)) == (Unknown(),)
    assert says(notice("Bounce", bounce={"bouncedRecipients": {}})) == (Unknown(),)
    for body in ('{"a": ', '{"Message": "[]"}', '{"Message": "' + "[" * 5000 + '"}'):
        assert says(f"From: a@b.example\nSubject: x\n\n{body}\n") == (Unknown(),)
