"""Texts and codes that no provider's rule knows: the registry's codes one by one, and what people's languages say."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from engine.flow.returning import load_reader
from engine.policy.classify import Class

READER = load_reader()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("5.1.0", Class.UNKNOWN_USER), ("5.1.1", Class.UNKNOWN_USER), ("5.1.2", Class.UNKNOWN_HOST),
        ("5.1.10", Class.UNKNOWN_HOST), ("5.1.7", Class.SENDER), ("5.1.8", Class.SENDER), ("5.2.0", Class.FILTERED),
        ("5.2.2", Class.MAILBOX_FULL), ("5.2.3", Class.SIZE), ("5.3.1", Class.SYSTEM), ("5.3.4", Class.SIZE),
        ("5.4.1", Class.NETWORK), ("5.4.3", Class.SYSTEM), ("5.4.4", Class.UNKNOWN_HOST), ("5.4.6", Class.NETWORK),
        ("5.4.7", Class.NETWORK), ("5.5.2", Class.PROTOCOL), ("5.5.3", Class.TOO_MANY_RECIPIENTS),
        ("5.6.1", Class.CONTENT), ("5.7.0", Class.POLICY), ("5.7.1", Class.POLICY), ("4.7.1", Class.BLOCK),
        ("5.7.10", Class.TLS), ("5.7.13", Class.INACTIVE_USER), ("5.7.16", Class.SIZE), ("5.7.17", Class.OWNER_CHANGED),
        ("5.7.20", Class.AUTH), ("5.7.23", Class.AUTH), ("5.7.25", Class.AUTH), ("5.7.26", Class.AUTH),
        ("5.7.27", Class.SENDER), ("5.7.28", Class.RATE), ("5.7.30", Class.TLS), ("5.7.133", Class.FILTERED),
        ("5.7.509", Class.AUTH), ("5.7.515", Class.AUTH), ("5.7.606", Class.BLOCK), ("4.7.650", Class.RATE),
        ("5.1.351", Class.UNKNOWN_USER), ("5.4.310", Class.UNKNOWN_HOST), ("5.7.64", Class.RELAY),
    ],
)  # fmt: skip
def test_what_a_code_of_the_registry_says_when_no_word_does(status: str, expected: Class) -> None:
    assert READER.diagnose([""], status, "").bounce_class is expected
    assert READER.diagnose(["delivery to the following address was not possible"], status, "").bounce_class is expected


def test_words_say_more_than_a_code() -> None:
    assert READER.diagnose(["the mailbox is full"], "5.1.1", "").bounce_class is Class.MAILBOX_FULL
    assert READER.diagnose(["Ihre Nachricht enthält Viren"], "5.2.0", "").bounce_class is Class.CONTENT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Zustellung unmöglich: unbekannter Empfänger", Class.UNKNOWN_USER),
        ("Le destinataire n'existe pas chez nous", Class.UNKNOWN_USER),
        ("La dirección no existe", Class.UNKNOWN_USER),
        ("Utente sconosciuto", Class.UNKNOWN_USER),
        ("O endereço não existe neste servidor", Class.UNKNOWN_USER),
        ("Onbekende gebruiker", Class.UNKNOWN_USER),
        ("нет такого пользователя", Class.UNKNOWN_USER),
        ("收件人不存在", Class.UNKNOWN_USER),
        ("사용자를 찾을 수 없습니다", Class.UNKNOWN_USER),
        ("宛先アドレスが見つかりません", Class.UNKNOWN_USER),
        ("Das Postfach ist voll", Class.MAILBOX_FULL),
        ("Buzón lleno", Class.MAILBOX_FULL),
        ("Casella piena", Class.MAILBOX_FULL),
        ("您发送的邮件无法投递：对方邮箱已满", Class.MAILBOX_FULL),
        ("保存容量を超過しています", Class.MAILBOX_FULL),
        ("Compte désactivé", Class.INACTIVE_USER),
        ("このアドレスは利用停止中です", Class.INACTIVE_USER),
        ("Dominio inesistente", Class.UNKNOWN_HOST),
        ("Die Nachricht ist zu groß", Class.SIZE),
        ("邮件过大", Class.SIZE),
        ("Als Spam eingestuft", Class.CONTENT),
        ("垃圾邮件", Class.CONTENT),
        ("You've reached your daily relay quota", Class.RATE),
        ("Must issue a STARTTLS command first", Class.TLS),
    ],
)
def test_languages(text: str, expected: Class) -> None:
    found = READER.diagnose([text], "", "RCPT TO")
    assert found.bounce_class is expected, found


def test_a_text_about_nothing_is_nothing() -> None:
    assert READER.diagnose(["could not be delivered to: <neko@example.jp>"], "", "").bounce_class is Class.OTHER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("421 4.7.0 RP:TRL smtp3 too many mails", Class.RATE),
        ("451 MI:SFQ 163 smtp2", Class.RATE),
        ("554 DT:SPM 163 smtp5", Class.CONTENT),
        ("554 5.7.1 [2] Message rejected under suspicion of SPAM", Class.CONTENT),
        ("550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=x", Class.CONTENT),
        ("550 Mail is rejected by recipients", Class.FILTERED),
        ("550 5.1.1 Not our Customer", Class.UNKNOWN_USER),
        ("550 [SUSPEND] Mailbox currently suspended", Class.INACTIVE_USER),
        ("550 IPBL1000: see the postmaster page", Class.BLOCK),
        ("521 Blocked for abuse. See http://att.net/blocks", Class.BLOCK),
        ("554 IP=192.0.2.1 - A problem occurred. Contact tosa@rx.t-online.de", Class.BLOCK),
        ("554 No SMTP service: Bad DNS PTR resource record", Class.AUTH),
        ("550 DMARC Sender Invalid - envelope rejected", Class.AUTH),
        ("553 you are trying to use me as a relay, but I have not been configured to let you", Class.RELAY),
        ("550 Envelope blocked - User Entry", Class.FILTERED),
        ("554 Email rejected due to security policies", Class.POLICY),
        ("550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected", Class.POLICY),
        ("550 5.4.14 Hop count exceeded - possible mail loop", Class.NETWORK),
        ("550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient", Class.SIZE),
        ("cannot append message to file /var/mail/neko: file too big", Class.SYSTEM),
        ("retry time not reached for any host after a long failure period", Class.NETWORK),
        ("The recipient server did not accept our requests to connect.", Class.NETWORK),
    ],
)
def test_published_words(text: str, expected: Class) -> None:
    assert READER.diagnose([text], "", "RCPT TO").bounce_class is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Your mail ran in a loop", Class.NETWORK),
        ("the mailbox of neko is, alas, full", Class.MAILBOX_FULL),
        ("your letter is far too big", Class.SIZE),
        ("at most 40 letters: limit for a day", Class.RATE),
        ("we keep too many other connections", Class.CONNECTIONS),
        ("we will relay nothing", Class.RELAY),
        ("nothing is taken from your IP", Class.BLOCK),
        ("your certificate is of no use", Class.TLS),
        ("only subscribers write here", Class.SENDER),
        ("this domain could nowhere be found", Class.UNKNOWN_HOST),
        ("neko is deactivated", Class.INACTIVE_USER),
        ("a recipient called neko was never found", Class.UNKNOWN_USER),
        ("tried for 5 days", Class.NETWORK),
        ("the machine is overloaded", Class.SYSTEM),
    ],
)
def test_single_words_of_texts_that_nobody_has_written_down(text: str, expected: Class) -> None:
    assert READER.diagnose([text], "", "RCPT TO").bounce_class is expected


def test_a_gateway_s_own_status_hides_nothing() -> None:
    """Cisco's and Amazon's servers put a name of their own in front: the reply behind it decides."""
    wrapped = "5.1.0 - Unknown address error 550-'5.7.1 Message rejected under suspicion of SPAM'"
    assert READER.diagnose([wrapped], "5.1.0", "").bounce_class is Class.CONTENT
    quoted = READER.diagnose(["5.3.0 - Other mail system problem 552-'5.2.2 something'"], "", "")
    assert (quoted.code, quoted.status, quoted.bounce_class) == (552, "5.2.2", Class.MAILBOX_FULL)


def test_user_unknown_under_a_policy_s_status_proves_nothing() -> None:
    """RFC 3463 X.7 is security or policy: such a text must not suppress the address."""
    said = "550 5.7.1 <neko@example.jp>: Recipient address rejected: User unknown (in reply to RCPT TO command)"
    assert READER.diagnose([said], "5.7.1", "").bounce_class is Class.FILTERED
    assert READER.diagnose([said.replace("5.7.1", "5.1.1")], "5.1.1", "").bounce_class is Class.UNKNOWN_USER


def test_words_behind_each_rule_with_a_source_are_published_somewhere() -> None:
    texts = [files("engine.returns").joinpath(name).read_text("utf-8") for name in ("documented.toml", "fallback.toml")]
    documented, fallback = (tomllib.loads(text)["rule"] for text in texts)
    assert len(documented) > 25
    assert all(len(rule["source"]) > 10 for rule in documented)
    assert sum("source" in rule for rule in fallback) == 5
