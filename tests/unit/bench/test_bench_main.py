"""The list of words."""

import pytest

from bench.__main__ import WORDS, main


@pytest.mark.parametrize("words", [[], ["rubbish"], ["__main__"]])
def test_words_are_listed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out = capsys.readouterr().out
    assert "  run " in out
    assert {line.split()[0] for line in out.splitlines()[1:]} <= set(WORDS)


@pytest.mark.parametrize("word", ["run", "floor", "crash", "sink", "verify"])
def test_each_word_has_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([word, "--help"])
    assert caught.value.code == 0
    assert f"bench.{word}" in capsys.readouterr().out.replace("bench ", "bench.")


def test_unknown_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "rubbish"]) == 2
    assert "known: " in capsys.readouterr().err
