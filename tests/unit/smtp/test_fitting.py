"""Which replies may stand where."""

import pytest

from engine.smtp.event import Phase
from engine.smtp.fitting import fits, refuses_streaming
from engine.smtp.reply import Reply


@pytest.mark.parametrize(
    ("phase", "good", "bad"),
    [
        (Phase.MAIL, (250, 251, 259, 450, 550), (200, 220, 221, 260, 354)),
        (Phase.RCPT, (250, 252, 452, 553), (211, 354, 399)),
        (Phase.DATA, (354, 451, 503, 554), (250, 220, 353)),
        (Phase.DOT, (250, 452, 552), (354, 221)),
        (Phase.RSET, (250,), (354, 421, 503, 221)),
        (Phase.QUIT, (221, 250, 500), (354,)),
    ],
)
def test_the_classes_of_a_phase(phase: Phase, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    assert all(fits(phase, code) for code in good)
    assert not any(fits(phase, code) for code in bad)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (Reply(503, "", "Bad sequence of commands - pipelined after end of DATA"), True),
        (Reply(503, "5.5.1", "Pipelining is not allowed here"), True),
        (Reply(503, "5.5.1", "bad sequence of commands"), False),
        (Reply(554, "", "pipelined"), False),
    ],
)
def test_only_a_refusal_that_names_pipelining_is_one_of_it(reply: Reply, wanted: bool) -> None:
    assert refuses_streaming(reply) is wanted
