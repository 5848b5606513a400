from __future__ import annotations

from engine.smtp.event import Phase


def test_every_phase_has_the_timeout_of_the_rfc() -> None:
    """RFC 5321 4.5.3.2: greeting 5 min, MAIL 5, RCPT 5, DATA 2, end of data 10."""
    expected = {Phase.GREETING: 300, Phase.MAIL: 300, Phase.RCPT: 300, Phase.DATA: 120, Phase.DOT: 600}
    assert {phase: phase.timeout for phase in expected} == expected
    assert all(phase.timeout > 0 for phase in Phase)
    assert [phase.value for phase in Phase] == list(range(len(Phase)))
