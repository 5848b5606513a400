"""Messages of the shapes that come back, written for the tests in the manner of the programs named."""

from engine.flow.returning import load_reader
from engine.returns import Return, read_returned

READER = load_reader()


def says(text: str | bytes, *, is_optout_address: bool = False) -> tuple[Return, ...]:
    raw = text if isinstance(text, bytes) else text.encode()
    return read_returned(raw, READER, is_optout_address=is_optout_address).says


def dsn(groups: str, *, words: str = "Your mail could not be delivered.", original: str = "") -> str:
    return f"""From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example>
To: <b+1@bounce.example>
Subject: Returned mail: see transcript for details
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b

{words}

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

{groups}
--b
Content-Type: message/rfc822

{original or ORIGINAL}
--b--
"""


ORIGINAL = """Return-Path: <b+1@bounce.example>
Received: from out.example by mx.example; Thu, 24 Sep 2026 10:00:00 +0900
From: news@shop.example
To: neko@example.jp
Subject: News about full mailboxes
Message-ID: <1@shop.example>
List-Unsubscribe: <https://shop.example/u/AQBabcdefghijklmnopqrstuvwxyz0123456789>
Content-Type: text/plain

user unknown, mailbox full, unsubscribe
"""

POSTFIX = dsn(
    """Final-Recipient: rfc822; neko@example.jp
Original-Recipient: rfc822;Neko@example.jp
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.jp
Diagnostic-Code: smtp; 550 5.1.1 <neko@example.jp>: Recipient address rejected:
    User unknown in virtual mailbox table
""",
    words="<neko@example.jp>: host mx.example.jp said: 550 5.1.1 (in reply to RCPT TO command)",
)

QMAIL = (
    """Return-Path: <>
From: MAILER-DAEMON@mx.example
To: b+1@bounce.example
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<neko@example.jp>:
192.0.2.1 does not like recipient.
Remote host said: 550 sorry, no mailbox here by that name
Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

"""
    + ORIGINAL
)

EXIM = (
    """From: Mail Delivery System <Mailer-Daemon@mx.example>
To: b+1@bounce.example
Auto-Submitted: auto-replied
X-Failed-Recipients: neko@example.jp, tora@example.jp
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.

  neko@example.jp
    SMTP error from remote mail server after RCPT TO:<neko@example.jp>:
    host mx.example.jp [192.0.2.1]: 550 5.1.1 no such user
  tora@example.jp
    SMTP error from remote mail server after RCPT TO:<tora@example.jp>:
    host mx.example.jp [192.0.2.1]: 552 mailbox is full

------ This is a copy of the message, including all the headers. ------

"""
    + ORIGINAL
)

EZWEB = (
    """From: Postmaster@ezweb.ne.jp
To: <b+1@bounce.example>
Subject: Mail System Error - Returned Mail
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="==x"

--==x
Content-Type: text/plain; charset="ISO-2022-JP"
Content-Transfer-Encoding: 7bit

次のあて先へのメッセージはエラーのため送信できませんでした。

Each of the following recipients was rejected by a remote
mail server.

    Recipient: <neko@ezweb.ne.jp>
    >>> RCPT TO:<neko@ezweb.ne.jp>
    <<< 550 <neko@ezweb.ne.jp>: User unknown

--==x--
"""
).encode("iso2022_jp")

VACATION = """From: Taro <taro@example.jp>
To: b+1@bounce.example
Return-Path: <>
Subject: Automatic reply: News
Auto-Submitted: auto-replied

I am away. This mailbox is not read; user unknown jokes will not be delivered.
"""

ARF = f"""From: <feedback@provider.example>
To: fbl@shop.example
Subject: FW: News
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: FBL/1.0
Version: 1
Original-Mail-From: <b+1@bounce.example>
Arrival-Date: Thu, 24 Sep 2026 10:00:00 +0900
Source-IP: 192.0.2.7
Incidents: 2
Reported-Domain: shop.example
Original-Rcpt-To: <neko@example.jp>

--b
Content-Type: message/rfc822

{ORIGINAL}
--b--
"""
