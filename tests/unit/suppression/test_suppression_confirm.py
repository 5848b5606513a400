"""Double opt-in: one sign-up, one CONFIRM, one consent, whatever is repeated, forged, late or flooded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import apsw
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from suppression import Basis, Covers, OptOut, Scope, Suppression, SuppressionSettings
from suppression.confirm import (
    AskSignUp,
    CarryConfirm,
    Confirmed,
    ConfirmSettings,
    ConfirmSignUp,
    LookAtSignUp,
    SignUp,
    confirm_key,
    confirm_token,
    read_confirm_token,
)
from suppression.consents import Record
from suppression.unsubscribe import TokenKey, read_token, token_of
from suppression.view import LedgerView
from tests.unit.suppression.conftest import NOW
from tests.unit.suppression.test_suppression_forms import FORM, put

DAY = 86_400.0
SIGNUP = SignUp("shop", "Taro@example.jp", NOW - 5, "web", ("news",), record=Record(method="web", ip="192.0.2.1"))
SETTINGS = ConfirmSettings()


class House:
    """A ledger with a clock that the test sets."""

    def __init__(self, settings: SuppressionSettings) -> None:
        self.now = NOW
        self.settings = settings
        self.suppression = Suppression.open(settings, clock=lambda: self.now)

    def ask(self, signup: SignUp = SIGNUP, settings: ConfirmSettings = SETTINGS) -> AskSignUp:
        act = AskSignUp(signup, self.suppression.identify([signup.address])[0], self.now, settings)
        self.suppression.perform_now(act)
        return act

    def carry(self, carrier: bytes, *addresses: str, sender: str = "shop") -> list[int]:
        """Positions without a sign-up."""
        act = CarryConfirm(sender, self.suppression.identify(addresses), carrier, self.now, SETTINGS)
        self.suppression.perform_now(act)
        return act.without

    def click(self, number: int | None) -> Confirmed | None:
        assert number is not None
        act = ConfirmSignUp(number, "192.0.2.9", "browser", self.now, SETTINGS)
        self.suppression.perform_now(act)
        return act.confirmed

    def look(self, number: int | None) -> Confirmed | None:
        assert number is not None
        act = LookAtSignUp(number, self.now, SETTINGS)
        self.suppression.perform_now(act)
        return act.found

    def ad(self, address: str = "taro@example.jp") -> str:
        (decision,) = self.suppression.decide("shop", "news", "AD", [address])
        return decision.reason or decision.basis

    def confirm_may_go(self, address: str = "taro@example.jp") -> str:
        (decision,) = self.suppression.decide("shop", "news", "CONFIRM", [address])
        return str(decision.verdict)


@pytest.fixture
def house(settings) -> Iterator[House]:
    made = House(settings)
    yield made
    made.suppression.close()


def test_from_the_form_to_the_consent(house) -> None:
    assert (house.ad(), house.confirm_may_go()) == ("NO_CONSENT", "BLOCK")
    asked = house.ask()
    assert (house.ad(), house.confirm_may_go()) == ("ADDR_NOT_WRITTEN", "SEND")
    assert house.click(asked.number) is None, "nobody was mailed yet"
    house.now += 2
    assert house.carry(b"key", "taro@example.jp") == []
    house.now += 60
    confirmed = house.click(asked.number)
    assert confirmed == Confirmed("shop", "Taro@example.jp", ("news",), Covers.AD, NOW + 62, is_repeated=False)
    assert house.ad() == "C1_OPTIN"
    with LedgerView(house.settings.folder, house.settings.secret_file) as view:
        given, consent = view.person("taro@example.jp")
        assert (given["basis"], consent["basis"]) == ("ADDR_GIVEN", "OPTIN_REC")
        assert (consent["asked_at"], consent["doi_sent_at"], consent["doi_clicked_at"], consent["at"]) == (
            "2027-01-15T07:59:55Z",
            "2027-01-15T08:00:02Z",
            "2027-01-15T08:01:02Z",
            "2027-01-15T08:01:02Z",
        )
        assert (consent["ip"], consent["doi_ip"], consent["doi_user_agent"]) == ("192.0.2.1", "192.0.2.9", "browser")
        (signup,) = view.signups("taro@example.jp")
        assert (signup["confirm_sent_at"], signup["confirmed_at"]) == ("2027-01-15T08:00:02Z", "2027-01-15T08:01:02Z")


def test_mail_order_becomes_mo_rec(house) -> None:
    asked = house.ask(replace(SIGNUP, covers=Covers.AD | Covers.MAIL_ORDER))
    house.carry(b"key", "taro@example.jp")
    house.now += 1
    house.click(asked.number)
    (decision,) = house.suppression.decide("shop", "news", "AD_MO", ["taro@example.jp"])
    assert decision.basis == "C1_MO"


def test_an_old_link_lifts_no_later_refusal(house) -> None:
    asked = house.ask()
    house.carry(b"key", "taro@example.jp")
    house.now += 1
    first = house.click(asked.number)
    house.now += 1
    house.suppression.apply_now([OptOut("taro@example.jp", house.now, "web", Scope.SENDER, "shop")])
    house.now += 1
    again = house.click(asked.number)
    assert again is not None
    assert first is not None
    assert (again.at, again.is_repeated) == (first.at, True)
    assert house.ad() == "OPTOUT_ALL"


def test_a_click_after_a_refusal_is_the_holders_newer_word(house) -> None:
    asked = house.ask()
    house.carry(b"key", "taro@example.jp")
    house.suppression.apply_now([OptOut("taro@example.jp", house.now, "web", Scope.SENDER, "shop")])
    house.now += 1
    assert house.click(asked.number) is not None
    assert house.ad() == "C1_OPTIN"


def test_one_submit_carries_a_sign_up_and_no_other(house) -> None:
    house.ask()
    assert house.carry(b"one", "taro@example.jp", "other@example.jp") == [1]
    assert house.carry(b"one", "taro@example.jp", "other@example.jp") == [1], "the same submit again"
    assert house.carry(b"two", "taro@example.jp") == [0]
    assert house.carry(b"three", "taro@example.jp", sender="else") == [0]
    assert house.carry(b"four", "not an address") == [0]


def test_an_address_twice_in_a_submit_is_mailed_once(house) -> None:
    house.ask()
    assert house.carry(b"one", "taro@example.jp", "TARO@example.jp") == [1]


def test_a_repeat_of_the_submit_is_answered_also_after_the_click(house) -> None:
    asked = house.ask()
    house.carry(b"one", "taro@example.jp")
    house.click(asked.number)
    assert house.carry(b"one", "taro@example.jp") == []


def test_the_same_request_is_the_same_sign_up(house) -> None:
    first, again = house.ask(), house.ask()
    assert (again.number, again.is_repeated, first.is_repeated) == (first.number, True, False)
    assert house.suppression.epoch == 1
    other = house.ask(replace(SIGNUP, topics=("other",)))
    assert (other.number, other.limited) == (None, True)


def test_sign_ups_of_an_address_are_few(house) -> None:
    def ask(days: float, address: str = "taro@example.jp", sender: str = "shop") -> bool:
        house.now = NOW + days * DAY
        return house.ask(replace(SIGNUP, address=address, at=house.now, sender=sender)).number is not None

    assert ask(0)
    assert not ask(0.9)
    assert ask(0.9, sender="other"), "each sender by itself"
    assert ask(1.1)
    assert ask(2.2)
    assert not ask(3.3), "three in thirty days"
    assert ask(3.3, "jiro@example.jp")
    assert ask(30.1)


def test_spellings_of_one_mailbox_count_together(house) -> None:
    assert house.ask(replace(SIGNUP, address="a.b@gmail.com")).number
    assert house.ask(replace(SIGNUP, address="ab+1@gmail.com")).limited


def test_what_a_click_could_not_make_good_mails_nobody(house) -> None:
    asked = house.ask(replace(SIGNUP, record=Record(method="web")))
    assert asked.number is None
    assert not asked.limited
    assert str(asked.fault).startswith("evidence: empty")
    asked = house.ask(replace(SIGNUP, record=Record(method="web", form=FORM.sha256.hex())))
    assert str(asked.fault).startswith("form: ")
    put(house.suppression, FORM)
    assert house.ask(replace(SIGNUP, record=Record(method="web", form=FORM.sha256.hex()))).number


def test_a_link_runs_out(house) -> None:
    asked = house.ask()
    house.carry(b"one", "taro@example.jp")
    house.now += SETTINGS.valid_seconds + 1
    assert house.click(asked.number) is None
    assert house.look(asked.number) is None
    assert house.ad() == "ADDR_NOT_WRITTEN"
    assert house.carry(b"two", "taro@example.jp") == [0]


def test_an_unmailed_sign_up_runs_out_too(house) -> None:
    house.ask()
    house.now += SETTINGS.valid_seconds + 1
    assert house.carry(b"one", "taro@example.jp") == [0]


def test_a_number_that_there_is_not(house) -> None:
    assert house.click(99) is None
    assert house.look(99) is None


def test_looking_changes_nothing(house) -> None:
    number = house.ask().number
    assert house.look(number) is None, "not mailed"
    house.carry(b"one", "taro@example.jp")
    for _ in range(3):
        looked = house.look(number)
    assert looked == Confirmed("shop", "Taro@example.jp", ("news",), Covers.AD, 0.0, is_repeated=False)
    assert house.ad() == "ADDR_NOT_WRITTEN"
    house.click(number)
    assert house.look(number) == Confirmed("shop", "Taro@example.jp", ("news",), Covers.AD, NOW, is_repeated=True)


def test_a_forgotten_person_confirms_nothing(house) -> None:
    number = house.ask().number
    house.carry(b"one", "taro@example.jp")
    house.suppression.close()
    database = apsw.Connection(str(house.settings.folder / "ledger.sqlite"))
    database.execute("UPDATE signup SET address = NULL, record = ''")
    database.close()
    house.suppression = Suppression.open(house.settings, clock=lambda: house.now)
    assert house.click(number) is None
    with LedgerView(house.settings.folder, house.settings.secret_file) as view:
        (signup,) = view.signups("taro@example.jp")
    assert (signup["source"], signup["topics"]) == ("", ["news"])


def test_another_basis_may_ask_too(house) -> None:
    house.ask(replace(SIGNUP, basis=Basis.CARD))
    assert house.ad() == "EX2_CARD"
    assert house.carry(b"one", "taro@example.jp") == []


def test_the_database_itself_confirms_and_carries_once(house) -> None:
    asked = house.ask()
    house.carry(b"one", "taro@example.jp")
    house.click(asked.number)
    house.suppression.close()
    database = apsw.Connection(str(house.settings.folder / "ledger.sqlite"))
    for statement in ("UPDATE signup SET carrier = x'00'", "UPDATE signup SET confirmed = 9"):
        with pytest.raises(apsw.ConstraintError):
            database.execute(statement)
    database.close()


def test_it_all_survives_a_restart(settings) -> None:
    house = House(settings)
    asked = house.ask()
    house.carry(b"one", "taro@example.jp")
    house.suppression.close()
    house = House(settings)
    assert house.carry(b"two", "taro@example.jp") == [0]
    house.now += 1
    assert house.click(asked.number) is not None
    house.suppression.close()


UNSUBSCRIBING = TokenKey(3, b"s" * 32)
KEY = confirm_key(UNSUBSCRIBING)


def test_the_token_names_the_sign_up_and_no_address() -> None:
    token = confirm_token(77, "shop", KEY)
    assert read_confirm_token(token, {3: KEY}) == 77
    assert read_token(token, {3: UNSUBSCRIBING}) is None, "no unsubscribe link"
    link = token_of("shop", "news", "a@example.jp", 77, UNSUBSCRIBING)
    assert read_confirm_token(link, {3: KEY}) is None, "and none of them confirms"


@limits(max_examples=100)
@given(st.integers(0, 60), st.characters(codec="utf-8"))
def test_a_changed_token_is_none(place: int, letter: str) -> None:
    token = confirm_token(77, "shop", KEY)
    forged = token[:place] + letter + token[place + 1 :]
    assert (read_confirm_token(forged, {3: KEY}) == 77) == (forged == token)
