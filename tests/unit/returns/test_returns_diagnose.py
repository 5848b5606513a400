"""Texts and codes that no provider's rule knows: the registry's codes one by one, and what people's languages say."""

from __future__ import annotations

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
