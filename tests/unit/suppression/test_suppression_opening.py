from __future__ import annotations

import logging
import shutil

import pytest

from suppression import Consent, HardBounce, LedgerRefused, OptOut, Scope, SecretError, Suppression, opening

ADDRESSES = tuple(f"u{number}@x.jp" for number in range(40))


def fill(suppression) -> None:
    suppression.load(Consent("", 0.0, "import", "acme"), [(address, 1.0) for address in ADDRESSES[:30]])
    suppression.apply_now([OptOut(address, 2.0, "web", Scope.SENDER, "acme") for address in ADDRESSES[::3]])
    suppression.apply_now([HardBounce(ADDRESSES[1], 3.0, "smtp"), OptOut(ADDRESSES[2], 3.0, "web", Scope.GLOBAL)])


def said(suppression) -> list[object]:
    return [suppression.decide(sender, "", "AD", ADDRESSES) for sender in ("acme", "other")]


def test_mapped_or_replayed_or_half_and_half_it_is_the_same(opened, settings) -> None:
    first = opened()
    fill(first)
    before = said(first)
    first.close()
    snapshot = settings.folder / "index.snapshot"
    second = opened()
    assert said(second) == before
    second.apply_now([Consent(ADDRESSES[0], 4.0, "web", "acme")])
    after = said(second)
    assert after != before
    second._ledger.close()  # without a new snapshot
    third = opened()
    assert said(third) == after
    third._ledger.close()
    snapshot.unlink()
    assert said(opened()) == after


def test_a_long_replay_is_saved_at_once(opened, settings, monkeypatch) -> None:
    monkeypatch.setattr(opening, "_WORTH_SAVING", 10)
    first = opened()
    fill(first)
    first._ledger.close()
    assert not (settings.folder / "index.snapshot").exists()
    second = opened()
    assert (settings.folder / "index.snapshot").exists()
    second._ledger.close()


def test_many_events_are_saved_on_the_way(opened, settings, monkeypatch) -> None:
    monkeypatch.setattr("suppression.face._SNAPSHOT_EVENTS", 10)
    first = opened()
    fill(first)
    assert (settings.folder / "index.snapshot").exists()
    before = said(first)
    first._ledger.close()
    assert said(opened()) == before


def test_a_damaged_snapshot_is_built_anew(opened, settings, caplog) -> None:
    first = opened()
    fill(first)
    before = said(first)
    first.close()
    snapshot = settings.folder / "index.snapshot"
    snapshot.write_bytes(snapshot.read_bytes()[:-5000])
    with caplog.at_level(logging.WARNING):
        assert said(opened()) == before
    assert "snapshot refused" in caplog.text


def test_another_secret_is_refused(opened, settings) -> None:
    opened().close()
    settings.secret_file.write_bytes(b"x" * 32)
    for _ in range(2):
        with pytest.raises(SecretError, match="not the one"):
            opened()


def test_a_lost_secret_is_not_replaced(opened, settings) -> None:
    opened().close()
    settings.secret_file.unlink()
    with pytest.raises(SecretError, match="missing, but the ledger"):
        opened()
    assert not settings.secret_file.exists()


def test_a_lost_ledger_is_not_replaced_by_an_empty_one(opened, settings) -> None:
    first = opened()
    fill(first)
    first.close()
    for path in settings.folder.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(LedgerRefused, match="there was a ledger here"):
        opened()


def test_a_ledger_older_than_its_snapshot_is_refused(opened, settings) -> None:
    first = opened()
    fill(first)
    first.close()
    backup = settings.folder / "ledger.sqlite"
    shutil.copy(backup, settings.secret_file.with_name("backup"))
    second = opened()
    second.apply_now([OptOut(ADDRESSES[4], 9.0, "web", Scope.SENDER, "acme")])
    second.close()
    shutil.copy(settings.secret_file.with_name("backup"), backup)
    with pytest.raises(LedgerRefused, match="refusals are lost"):
        opened()


def test_a_start_that_was_cut_after_the_secret_goes_on(opened, settings) -> None:
    opened().close()
    secret = settings.secret_file.read_bytes()
    shutil.rmtree(settings.folder)
    assert opened().epoch == 0
    assert settings.secret_file.read_bytes() == secret


NOW = 1_800_000_000.0


def test_a_clock_that_went_back_is_refused_and_a_small_step_is_not(opened, settings) -> None:
    first = opened()
    first.apply_now([OptOut("a@example.jp", NOW, "web", Scope.GLOBAL)])
    first.close()
    with pytest.raises(LedgerRefused, match="301 seconds behind the last event"):
        Suppression.open(settings, clock=lambda: NOW - 301)
    Suppression.open(settings, clock=lambda: NOW - 299).close()
