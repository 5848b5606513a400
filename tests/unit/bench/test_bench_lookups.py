"""What the measurement of look-ups says of a few domains."""

from __future__ import annotations

from bench.lookups import MESSAGES_EACH, measured


def test_each_domain_is_asked_for_once_and_known_afterwards() -> None:
    plain, with_sts = measured(300, 20)
    assert (plain["mta_sts"], with_sts["mta_sts"]) == (False, True)
    # The MX record of each domain, both addresses of both hosts of each receiver; the policy's record with STS.
    assert (plain["questions"], with_sts["questions"]) == (300 + 20 * 4, 600 + 20 * 4)
    for point in (plain, with_sts):
        assert point["unknown"] == 0
        assert abs(point["us_per_message_at_10_each"] * MESSAGES_EACH - point["us_per_domain"]) <= 1.0
        assert point["us_per_domain"] > 1
