"""accept, validate and requests over a spool in memory: what is taken, what is refused, and when the answer comes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgpack
import pytest

from engine import wire
from engine.flow import validate
from engine.flow.accept import AcceptSettings
from engine.mail.envelope import Priority
from engine.spool.port import SpoolFailed, SpoolFull
from engine.wire import Refusal
from tests.fakes.accepting import MESSAGE, NOW, PLAIN, served, until

SUBMIT: dict[str, Any] = {
    "type": "submit",
    "id": 1,
    "key": "k",
    "sender": "shop",
    "category": "AD",
    "mailing": "m",
    "message": PLAIN,
    "recipients": [["a@example.jp", {}]],
}


def asked(behind, request: dict[str, Any]) -> Any:
    """The answer, its refusals decoded; or the Refusal."""

    async def ask() -> Any:
        try:
            told = dict(await behind.requests.answer(wire.decode_request(msgpack.packb(request))))
        except Refusal as refusal:
            return refusal
        if isinstance(told.get("refused"), wire.Raw):
            told["refused"] = wire.decode_refused(told["refused"])
        return told

    return asyncio.run(ask())


def submitted(behind, **changes: Any) -> Any:
    return asked(behind, {**SUBMIT, **changes})


def test_a_caller_that_is_gone_before_the_sync_leaves_nobody_behind() -> None:
    """The connection ends behind the end of DATA: the commit goes on, and the repeat is answered from it."""
    behind = served()
    submit = behind.spool.submit

    async def as_in_a_thread(submission: Any) -> Any:
        return await asyncio.shield(asyncio.ensure_future(submit(submission)))

    behind.spool.submit = as_in_a_thread

    async def leave() -> Any:
        behind.spool.synced = asyncio.Event()
        request = wire.decode_request(msgpack.packb(SUBMIT))
        behind.spool.synced.set()
        await behind.accept.submit(wire.decode_request(msgpack.packb({**SUBMIT, "key": "first"})))
        behind.spool.synced.clear()
        gone = asyncio.ensure_future(behind.accept.submit(request))
        for _ in range(10):
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert gone.cancelled()
        behind.spool.synced.set()
        for _ in range(10):
            await asyncio.sleep(0)
        return await behind.accept.submit(request)

    told = asyncio.run(leave())
    assert (told["accepted"], told["repeated"]) == (1, True)
    assert behind.engine.receipts == list(behind.spool.receipts.values())
    assert (behind.accept.counts.submits, behind.accept.counts.recipients) == (2, 2)


def test_a_submit_becomes_a_submission_with_all_it_said() -> None:
    behind = served()
    told = submitted(behind, topic="news", priority="transactional", not_before=int(NOW) + 60, expires=int(NOW) + 120)
    assert told == {"accepted": 1, "first": 1 << 48, "refused": [], "credit": 1_000_000, "repeated": False}
    (submission,) = behind.spool.submissions.values()
    assert (submission.sender, submission.category, submission.topic, submission.mailing) == ("shop", "AD", "news", "m")
    assert (submission.not_before, submission.expires) == (int(NOW) + 60, int(NOW) + 120)
    assert submission.priority is Priority.TRANSACTIONAL
    assert behind.engine.receipts == [behind.spool.receipts[submission.key]]
    assert (behind.accept.counts.submits, behind.accept.counts.recipients) == (1, 1)


def test_dates_that_are_not_given_are_now_and_five_days_on() -> None:
    behind = served()
    submitted(behind)
    submitted(behind, key="past", not_before=1)
    for submission in behind.spool.submissions.values():
        assert (submission.not_before, submission.expires) == (int(NOW), int(NOW) + 432_000)


@pytest.mark.parametrize(
    ("changes", "code", "field", "text"),
    [
        ({"sender": "shpo"}, "unknown_sender", "sender", "'shpo' is not configured"),
        ({"category": "AD_MO"}, "category_not_allowed", "category", "may send AD, TX"),
        ({"mailing": "New Year"}, "bad_request", "mailing", "put the title into the subject"),
        ({"topic": "a:b"}, "bad_request", "topic", "identifier"),
        ({"expires": int(NOW) - 5}, "expired", "expires", "5 seconds past"),
        ({"expires": int(NOW)}, "expired", "expires", "0 seconds past"),
        ({"not_before": int(NOW) + 9, "expires": int(NOW) + 9}, "bad_date", "expires", "not after not_before"),
        ({"not_before": int(NOW * 1000)}, "bad_date", "not_before", "looks like milliseconds"),
        ({"expires": int(NOW) + 400 * 86400}, "bad_date", "expires", "seconds ahead"),
        ({"message": b"x" * 32}, "unknown_message", "message", "put_message it"),
        ({"message": b"x" * 31}, "bad_request", "message", "the 32 bytes"),
        ({"message": {"subject": "x"}}, "bad_message", "message.text", "needs text"),
        ({"recipients": []}, "bad_request", "recipients", "1 to 10000"),
        ({"override": "UNKNOWN_USER"}, "bad_request", "override", "only mail of category TX"),
        (
            {"category": "TX", "override": "FICT_SUSPECT", "recipients": [["a@example.jp", {}], ["b@example.jp", {}]]},
            "bad_request",
            "override",
            "2 recipients: an address that waits for review",
        ),
    ],
)
def test_what_all_share_is_refused_with_field_and_remedy_and_leaves_nothing(changes, code, field, text) -> None:
    behind = served()
    refusal = submitted(behind, **changes)
    assert (refusal.code, refusal.field) == (code, field)
    assert text in refusal.text
    assert not behind.spool.submissions
    assert behind.accept.counts.submits_refused == 1
    assert behind.accept.credit() == 1_000_000


def test_bad_recipients_are_refused_one_by_one_and_the_rest_accepted() -> None:
    behind = served()
    good = ["a@example.jp", {"name": "A"}]
    told = submitted(
        behind,
        message=MESSAGE,
        recipients=[
            good,
            ["nobody", {"name": "B"}],
            ["b@example.jp", {}],
            ["c@example.jp", {"name": 5}],
            ["d@Example.jp", {"name": ""}],
        ],
    )
    assert told["accepted"] == 2
    assert [(index, code) for index, code, _ in told["refused"]] == [
        (1, "bad_address"),
        (2, "bad_field"),
        (3, "bad_recipient"),
    ]
    (submission,) = behind.spool.submissions.values()
    assert [(r.index, r.address, r.domain) for r in submission.recipients] == [
        (0, "a@example.jp", "example.jp"),
        (4, "d@example.jp", "example.jp"),
    ]


def test_the_region_of_a_recipient_is_kept_beside_the_merge_fields_and_an_unknown_one_refuses_that_recipient() -> None:
    behind = served()
    told = submitted(
        behind,
        message=MESSAGE,
        recipients=[
            ["a@example.jp", {"name": "A"}, {"region": "EU"}],
            ["b@example.jp", {"name": "B"}, {}],
            ["c@example.jp", {"name": "C"}, {"region": "XX"}],
            ["d@example.jp", {"name": "D"}, {"region": "eu\n"}],
            ["e@example.jp", {"name": "E", "@stated": "EU"}],
        ],
    )
    assert [(index, code) for index, code, _ in told["refused"]] == [
        (2, "bad_region"),
        (3, "bad_region"),
        (4, "bad_field"),
    ]
    assert told["refused"][0][2].startswith("region 'XX' is not known; the decision tables have EU, JP, US")
    assert told["refused"][1][2].startswith("region 'eu\\n' is no region: two capital letters")
    (submission,) = behind.spool.submissions.values()
    assert [one.fields for one in submission.recipients] == [{"name": "A", "@stated": "EU"}, {"name": "B"}]


def test_a_country_of_a_region_means_the_region() -> None:
    behind = served()
    told = submitted(
        behind,
        recipients=[
            [f"{country}@example.jp", {}, {"region": country}] for country in ("DE", "FR", "EU", "JP", "CH", "de")
        ],
    )
    assert [refused[:2] for refused in told["refused"]] == [(4, "bad_region"), (5, "bad_region")]
    (submission,) = behind.spool.submissions.values()
    assert [one.fields.get("@stated") for one in submission.recipients] == ["EU", "EU", "EU", "JP"]


def test_role_accounts_are_refused_one_by_one_in_any_case_and_with_a_tag() -> None:
    behind = served()
    desks = ["abuse", "PostMaster", "mailer-daemon", "noreply", "No-Reply", "abuse+list-7", "ABUSE+"]
    people = ["abuser", "noreply.taro", "+abuse", "taro+abuse", "no_reply"]
    told = submitted(behind, category="TX", recipients=[[f"{name}@example.jp", {}] for name in desks + people])
    assert told["accepted"] == len(people)
    assert [(index, code) for index, code, _ in told["refused"]] == [(n, "role_account") for n in range(len(desks))]
    text = told["refused"][1][2]
    assert text.startswith("address 'PostMaster@example.jp' is a role account, which never gets mail (accept.role_ac")
    assert "take it out of the list" in text
    assert "役割アドレス" in text
    (submission,) = behind.spool.submissions.values()
    assert [one.address for one in submission.recipients] == [f"{name}@example.jp" for name in people]
    asked_for = wire.submit(
        {
            **{name: SUBMIT[name] for name in ("sender", "mailing")},
            "key": "rua",
            "category": "TX",
            "message": wire.encode_message(wire.Message(**PLAIN)),
            "recipients": wire.encode_recipients([("postmaster@example.jp", {})]),
        }
    )
    assert asyncio.run(behind.accept.submit(asked_for, to_roles=True))["accepted"] == 1


def test_which_accounts_are_roles_is_configured_and_a_reload_changes_it() -> None:
    behind = served()
    behind.accept.adopt(AcceptSettings(role_accounts=("Info",)))
    told = submitted(behind, recipients=[["INFO+x@example.jp", {}], ["abuse@example.jp", {}]])
    assert (told["accepted"], [refused[:2] for refused in told["refused"]]) == (1, [(0, "role_account")])
    behind.accept.adopt(AcceptSettings(role_accounts=()))
    assert submitted(behind, key="k2", recipients=[["info@example.jp", {}], ["a+b@example.jp", {}]])["accepted"] == 2
    for name in ("abuse@example.jp", "abuse+x", "a b", ""):
        with pytest.raises(ValueError, match=r"role_accounts: .* write the part before @ alone"):
            AcceptSettings(role_accounts=("abuse", name))


def test_an_override_is_kept_with_every_recipient_and_is_part_of_what_the_key_stands_for() -> None:
    behind = served()
    two = [["a@example.jp", {}], ["b@example.jp", {}, {"region": "EU"}]]
    assert submitted(behind, category="TX", override="UNKNOWN_USER", recipients=two)["accepted"] == 2
    (submission,) = behind.spool.submissions.values()
    assert [one.fields for one in submission.recipients] == [
        {"@stated": " UNKNOWN_USER"},
        {"@stated": "EU UNKNOWN_USER"},
    ]
    assert submitted(behind, category="TX", recipients=two).code == "key_reused"
    assert submitted(behind, category="TX", override="NULL_MX", key="n").code == "bad_request"
    assert submitted(behind, key="s", category="TX", override="FICT_SUSPECT", recipients=two[:1])["accepted"] == 1


def test_whom_the_message_lacks_something_for_is_refused_and_the_others_go() -> None:
    behind = served()
    everybody = [["a@example.jp", {}, {"region": "US"}], ["b@example.jp", {}], ["c@example.jp", {}, {"region": "EU"}]]
    told = submitted(behind, recipients=everybody)
    assert told["refused"] == [(0, "display", "D15: the postal address is missing")]
    assert told["accepted"] == 2


def test_when_everybody_is_refused_the_key_stays_free() -> None:
    behind = served()
    assert submitted(behind, recipients=[["nobody", {}]])["accepted"] == 0
    assert not behind.spool.submissions
    assert submitted(behind)["accepted"] == 1


def test_a_repeat_gets_the_stored_answer_also_when_it_would_be_refused_now() -> None:
    behind = served()
    first = submitted(behind, recipients=[["a@example.jp", {}], ["nobody", {}]], expires=int(NOW) + 60)
    behind.engine.draining = True
    again = submitted(behind, id="again", recipients=[["a@example.jp", {}], ["nobody", {}]], expires=int(NOW) + 60)
    assert again == {**first, "repeated": True}
    assert len(behind.engine.receipts) == 1
    assert behind.accept.counts.repeats == 1
    behind.engine.draining = False
    assert submitted(behind, recipients=[["a@example.jp", {}], ["nobody", {}]], expires=int(NOW) + 60)["repeated"]
    assert len(behind.engine.receipts) == 1


def test_a_key_with_other_content_is_an_error_also_when_that_is_bad() -> None:
    behind = served()
    submitted(behind)
    assert submitted(behind, topic="other").code == "key_reused"
    assert submitted(behind, expires=1).code == "key_reused"


def test_keys_of_different_senders_do_not_meet() -> None:
    def key(sender: str, name: str) -> bytes:
        return validate.spool_key(
            wire.submit(
                {**{n: v for n, v in SUBMIT.items() if n not in {"type", "id"}}, **raws, "sender": sender, "key": name}
            )
        )

    raws = {"message": wire.encode_message(b""), "recipients": wire.encode_recipients([])}
    assert len({key("shop", "k"), key("sho", "pk"), key("shop", "l")}) == 3


def test_the_answer_waits_for_the_commit_and_credit_counts_what_is_on_its_way() -> None:
    async def scenario() -> None:
        behind = served()
        behind.spool.synced = asyncio.Event()
        (await asyncio.wait([asyncio.create_task(behind.spool.put_message(b""))], timeout=0))
        request = wire.decode_request(msgpack.packb({**SUBMIT, "recipients": [["a@example.jp", {}]] * 7}))
        answering = asyncio.create_task(behind.requests.answer(request))
        await until(lambda: behind.accept.credit() == 999_993)
        assert not answering.done()
        assert not behind.engine.receipts
        behind.spool.synced.set()
        assert (await answering)["credit"] == 1_000_000

    asyncio.run(scenario())


def test_without_credit_bulk_is_refused_and_transactional_is_not() -> None:
    behind = served()
    behind.engine.room = 0
    assert submitted(behind).code == "no_credit"
    assert submitted(behind, priority="transactional")["accepted"] == 1


def test_a_message_is_put_once_and_named_by_its_digest() -> None:
    behind = served()
    put = asked(behind, {"type": "put_message", "id": 1, "message": MESSAGE})
    assert put["fields"] == ["name"]
    assert put["message"] == hashlib.sha256(behind.spool.contents[0]).digest()
    recipients = [["a@example.jp", {"name": "A"}]]
    assert submitted(behind, message=put["message"], recipients=recipients)["accepted"] == 1
    behind.accept._fields.clear()
    assert submitted(behind, key="2", message=put["message"], recipients=recipients)["accepted"] == 1
    assert asked(behind, {"type": "put_message", "id": 1, "message": b"x" * 32}).code == "bad_request"


def test_a_message_that_the_spool_has_tidied_away_is_unknown_again() -> None:
    behind = served()
    put = asked(behind, {"type": "put_message", "id": 1, "message": PLAIN})
    behind.spool.contents.clear()
    assert submitted(behind, message=put["message"]).code == "unknown_message"
    assert not behind.accept._fields


def test_a_message_that_is_carried_along_is_stored_once_and_again_when_it_was_tidied_away() -> None:
    behind = served()
    assert submitted(behind)["accepted"] == 1
    assert submitted(behind, key="2")["accepted"] == 1
    assert behind.accept.counts.messages == 1
    behind.spool.contents.clear()
    assert submitted(behind, key="3")["accepted"] == 1
    assert behind.accept.counts.messages == 2


def test_the_memory_of_messages_is_bounded() -> None:
    behind = served()

    async def many() -> None:
        for number in range(1030):
            await behind.requests.answer(
                wire.decode_request(
                    msgpack.packb({"type": "put_message", "id": 1, "message": {"subject": "s", "text": str(number)}})
                )
            )

    asyncio.run(many())
    assert len(behind.accept._fields) == 1024


def test_draining_refuses_mail_and_takes_opt_outs() -> None:
    behind = served()
    behind.engine.draining = True
    assert submitted(behind).code == "draining"
    assert asked(behind, {"type": "put_message", "id": 1, "message": PLAIN}).code == "draining"
    assert asked(behind, {"type": "suppress", "id": 1, "address": "a@example.jp"}) == {"epoch": 1}
    assert asked(behind, {"type": "ping", "id": 1}) == {"draining": True, "credit": 1_000_000}


def test_a_full_disk_passes_and_a_failed_one_stops_the_engine() -> None:
    behind = served()
    behind.spool.failing = SpoolFull()
    assert submitted(behind).code == "spool_full"
    behind.spool.failing = SpoolFailed("EIO")
    assert submitted(behind).code == "unavailable"
    assert behind.engine.failures == [behind.spool.failing]


def test_a_mailing_and_one_recipient_are_cancelled() -> None:
    behind = served()
    submitted(behind)
    assert asked(behind, {"type": "cancel", "id": 1, "sender": "shop", "mailing": "m"}) == {"batches": 1}
    assert behind.spool.closed == {("shop", "m")}
    one = {"type": "cancel", "id": 1, "sender": "shop", "mailing": "m", "address": "a@example.jp"}
    assert asked(behind, one) == {"found": 1, "cancelled": 1}
    assert asked(behind, {**one, "address": "b@example.jp"}) == {"found": 0, "cancelled": 0}
    assert behind.engine.cancelled == [0, "a@example.jp"]
    assert asked(behind, {**one, "address": "b"}).code == "bad_address"
    assert asked(behind, {**one, "recipient": "00000000000000ff"}).field == "recipient"
    by_id = {name: value for name, value in one.items() if name != "address"}
    assert asked(behind, {**by_id, "recipient": "00000000000000ff"}) == {"found": 0, "cancelled": 0}
    assert asked(behind, {**one, "sender": "x"}).code == "unknown_sender"


def test_status_tells_the_engine_and_the_mailings() -> None:
    behind = served()
    submitted(behind)
    told = asked(behind, {"type": "status", "id": 1})
    assert (told["engine"], told["credit"], told["truncated"]) == ({"waiting": 0}, 1_000_000, False)
    assert [(m["mailing"], m["accepted"], m["open"]) for m in told["mailings"]] == [("m", 1, 1)]
    assert asked(behind, {"type": "status", "id": 1, "sender": "other"}).code == "unknown_sender"


def test_an_opt_out_names_a_sender_that_is_there_and_a_topic_only_with_it() -> None:
    behind = served()
    ask = {"type": "suppress", "id": 1, "address": "a@example.jp"}
    assert asked(behind, {**ask, "sender": "shop", "topic": "news", "channel": "web"}) == {"epoch": 1}
    assert behind.ledger.opt_outs == [("a@example.jp", "shop", "news", "web", NOW)]
    assert asked(behind, {**ask, "topic": "news"}).field == "topic"
    assert asked(behind, {**ask, "sender": "shpo"}).code == "unknown_sender"
    assert asked(behind, {**ask, "address": "a"}).code == "bad_address"
    assert len(behind.ledger.opt_outs) == 1


def test_an_opt_out_told_to_an_agency_names_it_alone() -> None:
    behind = served()
    told = {"type": "suppress", "id": 1, "address": "a@example.jp", "agency": "koukoku"}
    assert asked(behind, told) == {"epoch": 1}
    assert asked(behind, {**told, "until": "2027-06-30"}) == {"epoch": 2}
    assert [one[1] for one in behind.ledger.opt_outs] == ["agency/koukoku"] * 2
    for more in ({"sender": "shop"}, {"topic": "news"}):
        refusal = asked(behind, {**told, **more})
        assert (refusal.code, refusal.field, refusal.value) == ("bad_request", "agency", "koukoku")
    assert len(behind.ledger.opt_outs) == 2


def test_consents_with_a_bad_address_are_refused_one_by_one() -> None:
    behind = served()
    records = [{"address": address, "at": 5, "source": "web"} for address in ("a@example.jp", "nobody")]
    told = asked(behind, {"type": "consent", "id": 1, "sender": "shop", "records": records})
    assert (told["recorded"], [refused[:2] for refused in told["refused"]]) == (1, [(1, "bad_address")])
    assert [(sender, record.address) for sender, record in behind.ledger.consents] == [("shop", "a@example.jp")]


def test_a_large_submit_lets_others_run_between_its_thousands() -> None:
    async def scenario() -> None:
        behind = served()
        turns = 0
        request = wire.decode_request(msgpack.packb({**SUBMIT, "recipients": [["a@example.jp", {}]] * 10_000}))
        answering = asyncio.create_task(behind.requests.answer(request))
        while not answering.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await answering)["accepted"] == 10_000
        assert turns >= 10

    asyncio.run(scenario())


def test_a_submit_of_many_megabytes_is_hashed_beside_the_loop_with_the_same_result() -> None:
    behind = served()
    fields = {f"f{n}": "x" * 900 for n in range(7)}
    text = "".join(f"{{{{{name}}}}}" for name in fields)
    message = {"subject": "s", "text": text}
    recipients = [["a@example.jp", fields]] * 700
    assert submitted(behind, message=message, recipients=recipients)["accepted"] == 700
    (submission,) = behind.spool.submissions.values()
    body = msgpack.packb({**SUBMIT, "message": message, "recipients": recipients})
    request = wire.decode_request(body)
    assert isinstance(request, wire.Submit)
    assert submission.digest == wire.digest(request)
