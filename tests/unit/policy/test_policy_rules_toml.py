"""Real replies and what the shipped rules make of them: every rule has a case, written apart from the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

import engine.policy
from engine.policy.classify import Class, Rules
from engine.policy.rules import compile_rules, read_reply
from engine.smtp.session import Phase

_TEXT = (Path(engine.policy.__file__).parent / "rules.toml").read_text("utf-8")

CASES = """
# Google
google-unusual-rate rate DOT 421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your DKIM domain [neko.example 36].
google-unusual-rate rate DOT 550 5.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.
google-very-low-reputation reputation DOT 421 4.7.0 [192.0.2.1 15] Our system has detected that this message is suspicious due to the very low reputation of the sending IP address.
google-unsolicited reputation DOT 550 5.7.1 [192.0.2.1 12] Our system has detected that this message is likely unsolicited mail.
google-mailbox-rate mailbox_rate RCPT 450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.
google-over-quota-and-inactive inactive_user RCPT 552 5.2.2 The email account that you tried to reach is over quota and inactive. https://support.google.com/mail/?p=OverQuotaPerm
google-over-quota mailbox_full RCPT 452 4.2.2 The recipient's inbox is out of storage space. https://support.google.com/mail/?p=OverQuotaTemp
google-account-disabled inactive_user RCPT 550 5.2.1 The email account that you tried to reach is disabled. Learn more at https://support.google.com/mail/?p=DisabledUser
google-account-disabled inactive_user RCPT 550 5.2.1 The email account that you tried to reach is inactive. Learn more at https://support.google.com/mail/?p=DisabledUser
google-no-such-user unknown_user RCPT 550 5.1.1 The email account that you tried to reach does not exist. Please try
google-reverse-name auth DOT 421 4.7.23 The IP address sending this message does not have a PTR record, or the PTR record's forward DNS entry does not match the sending IP.
google-tls-required tls DOT 550 5.7.29 This message wasn't sent over a TLS connection.
google-authentication auth DOT 421 4.7.27 This email has been rate limited because SPF didn't pass.
google-authentication auth DOT 550 5.7.30 This message doesn't have a valid DKIM signature.
google-authentication auth DOT 421 4.7.32 The sending domain in the From: header isn't aligned with either SPF or DKIM.
google-authentication auth DOT 550 5.7.40 The sending domain doesn't have a DMARC record.
google-sender-daily-limit rate MAIL 550 5.4.5 Daily sending quota exceeded.
# Yahoo
yahoo-permanent-deferral block MAIL 553 5.7.2 [TSS09] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.
yahoo-complaints reputation MAIL 421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1
yahoo-complaints reputation MAIL 421 4.7.1 [TS03] All messages from 192.0.2.1 will be temporarily deferred; Retrying will NOT succeed.
yahoo-complaints reputation MAIL 421 4.7.0 [IPTS04] Messages from 192.0.2.1 temporarily deferred due to user complaints - 4.16.55.1
yahoo-blocklisted block GREETING 553 5.7.1 [BL23] Connections not accepted from IP addresses on Spamhaus PBL
yahoo-connection-messages connections MAIL 421 Max message per connection reached, please reconnect.
yahoo-no-account unknown_user DOT 554 delivery error: dd This user doesn't have a yahoo.co.jp account (neko@yahoo.co.jp) [-5] - mta555.mail.djm.yahoo.co.jp
yahoo-mailbox-not-found unknown_user DOT 552 1 Requested mail action aborted, mailbox not found
yahoo-mailbox-disabled inactive_user DOT 554 30 Sorry, your message to neko@yahoo.com cannot be delivered. This mailbox is disabled (554.30).
yahoo-dmarc auth DOT 554 5.7.9 Message not accepted for policy reasons. See https://postmaster.verizonmedia.com/error-codes (DMARC)
yahoo-policy policy DOT 554 5.7.9 Message not accepted for policy reasons. See https://senders.yahooinc.com/error-codes
unknown-recipients-from-us reputation RCPT 421 VS1-MF Excessive unknown recipients - possible Open Relay
yahoo-japan-553-deferred rate GREETING 553 Mail from 192.0.2.1 not allowed - VS99-IP1 deferred - see help.yahoo.co.jp/help/jp/mail/spam/spam-18.html
# Microsoft
microsoft-one-connection connections GREETING 421 RP-003 (SNT004-MC1F41) Unfortunately, some messages from 192.0.2.1 weren't sent.
microsoft-one-connection connections GREETING 421 4.3.2 The maximum number of concurrent server connections has exceeded a per-source limit; exceed max concurrent connections. IB007
microsoft-rate rate MAIL 451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S775)
microsoft-rate rate MAIL 421 RP-002 (BAY004-MC1F3) Unfortunately, some messages from 192.0.2.1 weren't sent.
microsoft-block-list block MAIL 550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).
microsoft-block-list block MAIL 550 5.7.1 Unfortunately, messages from [192.0.2.1] were not sent (AS3140).
microsoft-block-list block MAIL 550 SC-004 (COL0-MC1-F1) Unfortunately, messages from 192.0.2.1 weren't sent.
microsoft-blocked-address block RCPT 550 5.7.511 Access denied, banned sender[192.0.2.1]. Access denied, banned sending IP [192.0.2.1]
microsoft-authentication-level auth DOT 550 5.7.515 Access denied, sending domain neko.example does not meet the required authentication level.
outlook-no-mailbox unknown_user RCPT 550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).
exchange-recipient-not-found unknown_user RCPT 550 5.1.1 RESOLVER.ADR.RecipNotFound; not found
exchange-recipient-not-found unknown_user DOT 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
exchange-directory-edge unknown_user RCPT 550 5.4.1 <neko@example.br>: Recipient address rejected: Access denied [BL2NAM02FT061.eop-nam02.prod.protection.outlook.com]
exchange-server-busy rate MAIL 451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712)
exchange-mailbox-rate mailbox_rate DOT 550 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour.
exchange-recipient-restricted policy RCPT 550 5.7.1 RESOLVER.RST.AuthRequired; authentication required
# Apple
apple-volume rate RCPT 421 4.7.1 Messages to neko@icloud.com deferred due to excessive volume. Try again later
apple-volume rate MAIL 451 4.7.1 [BS02] Temporarily deferred
apple-volume rate MAIL 421 4.7.1 [HCM1] Message from (192.0.2.1) was deferred
apple-authentication auth DOT 554 5.7.1 [HME1] This message was blocked for failing both SPF and DKIM authentication checks.
apple-local-policy policy DOT 550 5.7.1 [CS01] Message rejected due to local policy.
# GoDaddy, QQ
godaddy-recipients-an-hour rate RCPT 550 5.1.1 <neko@example.com> - 203.0.113.222 has sent to too many recipients this hour. IB607
qq-frequency rate MAIL 550 Domain frequency limited
qq-frequency rate GREETING 550 Connection frequency limited
# docomo
docomo-unknown-user unknown_user RCPT 550 Unknown user neko@docomo.ne.jp
docomo-filtered filtered DOT 550 Unknown user neko@docomo.ne.jp
docomo-busy rate MAIL 450 busy - please try later
docomo-mailbox-full mailbox_full DOT 552 Too much mail data neko@docomo.ne.jp
too-many-recipients too_many_recipients RCPT 552 Too many recipients
docomo-transaction-failed policy DOT 554 Transaction failed
docomo-line-too-long content DOT 500 Line Too Long
# au
au-filtered filtered RCPT 550 : User unknown
au-filtered filtered DOT 550 : User unknown
au-filtered-behind-the-dot filtered DOT 550 <neko@ezweb.ne.jp>: User unknown
au-unknown-user unknown_user RCPT 550 <neko@uqmobile.jp>: User unknown
au-bad-address bad_address RCPT 554 <neko!neko@ezweb.ne.jp>: Relay access denied
au-disabled inactive_user DOT 550 The user(s) account is disabled.
au-over-quota mailbox_full RCPT 550 The user(s) account is temporarily over quota.
# SoftBank
softbank-unknown-user unknown_user RCPT 550 Invalid recipient: <neko@i.softbank.jp>
softbank-filtered filtered DOT 550 Invalid recipient: <neko@i.softbank.jp>
softbank-sender-domain sender MAIL 553 5.1.0 neko.example does not exist E2110
# Words about us
unknown-recipients-from-us reputation RCPT 550 5.7.1 Recipient address rejected: too many unknown users from your host
listed-link content DOT 554 5.7.1 Blocked by SURBL: link to neko.example
block-list block RCPT 554 5.7.1 <mx.example[192.0.2.1]>: Client host rejected: blocked using mail.neko.example.org; Please see http://mail.neko.example.org/rbl/?ip=192.0.2.1
block-list block RCPT 550 5.7.1 Service unavailable; client [192.0.2.1] blocked using Trend Micro RBL+. Please see http://www.mail-abuse.com/cgi-bin/lookup
block-list block GREETING 554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1
block-list block MAIL 550 5.7.1 IP address blacklisted by recipient
reverse-name auth RCPT 554 5.7.1 Reverse DNS lookup for host 203.0.113.22 failed permanently.
authentication auth RCPT 550 5.7.509 Access denied, sending domain [EXAMPLE.JP] does not pass DMARC verification and has a DMARC policy of reject.
authentication auth RCPT 550 Bad SPF records for [example.org:192.0.2.2], see http://spf.pobox.com/
sender-verify sender RCPT 550 Verification failed for <bounce@neko.example> No Such User Here Sender verify failed
sender-verify sender RCPT 450 4.1.8 <bounce@neko.example>: Sender address rejected: Domain not found
tls-required tls MAIL 530 5.7.1 Must issue a STARTTLS command first
too-many-recipients too_many_recipients RCPT 452 4.5.3 Error: too many recipients
too-many-recipients too_many_recipients RCPT 550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients
greylisted greylist RCPT 450 4.2.0 <neko@example.jp>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.jp.html
greylisted greylist RCPT 451 4.7.1 Greylisting in action, please come back in 00:05:00
too-many-connections connections GREETING 421 4.7.0 mx.example.jp Error: too many connections from 192.0.2.1
too-many-connections connections MAIL 452 4.3.2 Connection rate limit exceeded.
too-many-errors connections RCPT 421 4.7.0 st11p00im-smtpin005.me.com Error: too many errors
too-many-messages-per-session connections MAIL 452 4.3.2 Too many messages in this session
rate rate MAIL 450 4.7.1 Error: too much mail from 192.0.2.1
rate rate DOT 554 5.7.0 Hourly limit reached
rate rate RCPT 421 4.7.0 Throttled: try again later
bad-reputation reputation GREETING 554-mx.example.jp Your access to this mail system has been rejected due to the sending MTA's poor reputation.
told-when-to-return greylist RCPT 450 4.7.1 Please try again in 300 seconds
# Words about the message
virus content DOT 550 5.7.0 Message infected: Eicar-Test-Signature
spam content DOT 554 5.7.1 This message has been classified as spam
message-too-big size MAIL 552 5.3.4 Message size exceeds fixed maximum message size (10485760)
message-malformed content DOT 550-5.7.1 Messages with multiple addresses in From: header are not accepted.
# Words about the recipient
owner-changed owner_changed RCPT 550 5.7.18 Domain owner has changed
mailbox-full mailbox_full RCPT 450 4.2.2 <neko@example.jp>... Mailbox Full
mailbox-full mailbox_full RCPT 550 5.2.2 <neko@example.jp>... Mailbox Full
mailbox-full mailbox_full DOT 552 5.2.2 <neko@example.jp> Quota exceeded (mailbox for user is full)
mailbox-away other RCPT 550 5.2.1 The account is temporarily suspended
mailbox-inactive inactive_user RCPT 525 5.7.13 <neko@example.jp>: Recipient address rejected: User account disabled
mailbox-inactive inactive_user RCPT 550 Mailbox is frozen. See http://mail.i.ua/err/3/
not-relaying relay RCPT 554 5.7.1 <neko@example.jp>: Relay access denied
not-relaying relay RCPT 553 sorry, that domain isn't in my allowed list of rcpthosts (#5.7.1)
host-takes-no-mail unknown_host RCPT 521 5.3.2 <neko@example.jp>: Recipient address rejected: System not accepting network messages.
no-such-host unknown_host RCPT 550 5.1.2 <neko@nyaan.example>... Host unknown (Name server: .: host not found)
unknown-user unknown_user RCPT 550 5.1.1 <neko@example.jp>: Recipient address rejected: User unknown in virtual mailbox table
unknown-user unknown_user RCPT 550 neko@example.com... No such user
unknown-user unknown_user RCPT 550 sorry, no mailbox here by that name (#5.1.1 - chkusr)
unknown-user unknown_user RCPT 550 neko (neko@example.jp) not listed in Domino Directory
unknown-user unknown_user RCPT 550 Unrouteable address
unknown-user-behind-the-dot filtered DOT 554 neko@example.jp: user unknown
auone-refused unknown_user RCPT 550 <neko-nyaan@ne.auone-net.jp>: Recipient address rejected.
policy-words policy DOT 554 email rejected due to security policies - MCSpamSignature.sa.2.2
policy-words policy GREETING 554 st11p00im-smtpin013.me.com ESMTP not accepting connections
system-trouble system DOT 421 4.3.0 Temporary System Problem. Try again later
system-trouble system MAIL 421 Service not available, closing transmission channel
# Enhanced codes
enhanced-unknown-user unknown_user RCPT 550 5.1.1 <neko@icloud.com>: inactive email address
enhanced-unknown-host unknown_host RCPT 550 5.1.10 Nothing here
enhanced-bad-address bad_address RCPT 501 5.1.3 Bad recipient address syntax
enhanced-moved inactive_user RCPT 551 5.1.6 Neko has moved
enhanced-sender sender MAIL 501 5.1.7 Bad address syntax
enhanced-inactive inactive_user RCPT 550 5.2.1 Away
enhanced-mailbox-full mailbox_full RCPT 452 4.2.2 Come again
enhanced-size size DOT 552 5.2.3 Message length exceeds limit set by recipient
enhanced-too-many-recipients too_many_recipients RCPT 452 4.5.3 Domain policy size per transaction exceeded, please try this recipient in a separate transaction.
enhanced-too-many-recipients too_many_recipients RCPT 550 5.5.3 Enough
enhanced-system system RCPT 451 4.3.5 Later
enhanced-content content DOT 552 5.6.0 Heading too large (3 max)
enhanced-authentication auth DOT 550 5.7.20 No passing signature found
enhanced-policy policy DOT 552 5.7.0 This message was blocked because its content presents a potential security issue.
enhanced-greylist greylist RCPT 450 4.2.0 Later
# Bare codes
code-bad-sequence protocol RCPT 503 Improper sequence of commands
code-syntax protocol RCPT 504 Command parameter not implemented
code-552-at-rcpt mailbox_full RCPT 552 No
code-552 size DOT 552 No
code-system system DOT 452 No
code-moved inactive_user RCPT 551 not our customer
code-no-mail-here unknown_host RCPT 556 No
code-sender-refused sender MAIL 550 No
"""

LINES = [line for line in CASES.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def rules() -> Rules:
    return compile_rules(_TEXT)


@pytest.mark.parametrize("line", LINES)
def test_reply(rules: Rules, line: str) -> None:
    name, bounce_class, phase, reply = line.split(" ", 3)
    found = rules.match(Phase[phase], read_reply(reply))
    assert found is not None
    assert (found.name, found.bounce_class.value) == (name, bounce_class)


def test_every_rule_has_a_case(rules: Rules) -> None:
    assert {rule.name for rule in rules.rules} == {line.split(" ", 1)[0] for line in LINES}


@pytest.mark.parametrize(
    "line",
    [
        "RCPT 550 5.7.1 Message rejected",
        "RCPT 550 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org; user unknown",
        "DOT 550 Unknown user neko@docomo.ne.jp",
        "MAIL 550 5.1.1 User unknown",
        "RCPT 450 4.1.1 <neko@example.jp>: User unknown",
        "RCPT 550 No",
        "DOT 554 Transaction failed",
        "RCPT 550 Sender verify failed: no such user here",
        "RCPT 554 5.7.1 <neko@example.jp>: Relay access denied",
        "RCPT 550 local: unknown user",
        "RCPT 550 5.1.1 Too many unknown recipients",
        "RCPT 550 5.7.1 192.0.2.1 is not listed in our friends",
        "RCPT 550 5.1.1 <neko@example.jp> refused by spam filter",
        "RCPT 550 5.1.1 Sender address not found",
        "RCPT 550 5.2.1 Mailbox temporarily disabled",
    ],
)
def test_never_taken_for_an_unknown_user(rules: Rules, line: str) -> None:
    phase, reply = line.split(" ", 1)
    found = rules.match(Phase[phase], read_reply(reply))
    assert found is None or found.bounce_class not in {Class.UNKNOWN_USER, Class.INACTIVE_USER, Class.OWNER_CHANGED}


def test_what_nobody_knows_matches_no_rule(rules: Rules) -> None:
    for code in (400, 450, 499, 550, 554, 599):
        assert rules.match(Phase.DOT, read_reply(f"{code} Neko")) is None
