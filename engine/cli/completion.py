"""`sokutatsu completion bash|zsh|man`: shell completion and manual pages, written from the commands themselves.

What a command takes stands once, in its parser; everything here is read from there, so that neither can be out of date.
deploy/completion and deploy/man hold what this prints, and a test compares them. Exit codes: 0 written, 2 wrong
arguments or a folder that cannot be written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.cli.speaking import add_json, tell

PROGRAM = "sokutatsu"
DESCRIPTION = """\
Prints the completion of a shell, or writes the manual pages into a folder. Both
are made from the commands as they are in this version."""
EPILOG = """\
examples:
  sokutatsu completion bash > /etc/bash_completion.d/sokutatsu
  sokutatsu completion zsh > /usr/local/share/zsh/site-functions/_sokutatsu
  sokutatsu completion man --out /usr/local/share/man/man1

exit codes:
  0  written
  2  wrong arguments, or the folder cannot be written"""


@dataclass(frozen=True, slots=True)
class Command:
    words: tuple[str, ...]
    """Behind the program's name: ("consent", "import")."""
    parser: argparse.ArgumentParser
    help: str

    @property
    def options(self) -> list[str]:
        return sorted(name for action in self.parser._actions for name in action.option_strings)  # noqa: SLF001 - argparse has no other way

    @property
    def subcommands(self) -> list[str]:
        return sorted(name for below in _below(self.parser) for name in below.choices)


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "completion",
        help="print shell completion, or write the manual pages",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("bash", "zsh", "man"))
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER", help="of the manual pages (default: here)"
    )
    add_json(parser, "the script, or the names of the pages, as JSON")
    parser.set_defaults(run=lambda args: run_completion(args, subparsers))


def run_completion(args: argparse.Namespace, subparsers: argparse._SubParsersAction[Any]) -> int:
    commands = list(commands_of(subparsers))
    if args.what != "man":
        script = (bash if args.what == "bash" else zsh)(commands)
        tell(args, {"shell": args.what, "script": script}, script.removesuffix("\n"))
        return 0
    try:
        for name, text in manual(commands).items():
            (args.out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"sokutatsu: {args.out}: {error.strerror}; name a folder that you may write to", file=sys.stderr)
        return 2
    if args.json:
        tell(args, {"written": [str(args.out / name) for name in manual(commands)]})
    return 0


def commands_of(subparsers: argparse._SubParsersAction[Any], under: tuple[str, ...] = ()) -> Iterator[Command]:
    """All that are shown, each before those below it, in alphabetical order."""
    helps = {one.dest: one.help or "" for one in subparsers._choices_actions}  # noqa: SLF001
    for name, parser in sorted(subparsers.choices.items()):
        if name not in helps:
            continue  # an old name, for scripts
        yield Command((*under, name), parser, helps.get(name) or parser.description or "")
        for below in _below(parser):
            yield from commands_of(below, (*under, name))


def _below(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[Any]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001


# -- shells ----------------------------------------------------------------------------------------------------


def bash(commands: list[Command]) -> str:
    """Words by the path of commands before them; files where nothing else fits."""
    longer = "|".join(f'" {" ".join(command.words)}"' for command in commands if len(command.words) > 1)
    cases = [_case("", sorted({command.words[0] for command in commands}))]
    cases += [_case(" ".join(c.words), [*c.subcommands, *c.options]) for c in commands]
    return f"""# bash completion of {PROGRAM}; written by `{PROGRAM} completion bash`
_{PROGRAM}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} path= at pair
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${{COMP_WORDS[at]}} in -*) break ;; esac
        pair="${{path:+$path }}${{COMP_WORDS[at]}}"
        if [[ -n $path ]]; then
            case " $pair" in {longer}) ;; *) break ;; esac
        fi
        path=$pair
    done
    local words=
    case $path in
{"".join(cases)}    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _{PROGRAM} {PROGRAM}
"""


def _case(path: str, words: list[str]) -> str:
    return f'    "{path}") words="{" ".join(words)}" ;;\n'


def zsh(commands: list[Command]) -> str:
    top = [command for command in commands if len(command.words) == 1]
    lines = [f"        '{command.words[0]}:{_quoted(command.help)}'" for command in top]
    return f"""#compdef {PROGRAM}
# zsh completion of {PROGRAM}; written by `{PROGRAM} completion zsh`
_{PROGRAM}() {{
    local -a commands
    commands=(
{chr(10).join(lines)}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case "$words[2] $words[3]" in
{"".join(_zsh_case(" ".join(c.words), c) for c in commands if len(c.words) > 1)}    esac
    case "$words[2]" in
{"".join(_zsh_case(c.words[0], c) for c in top)}    esac
}}
_{PROGRAM} "$@"
"""


def _zsh_case(path: str, command: Command) -> str:
    words = [f"'{name}'" for name in command.subcommands]
    options = [
        f"'{name}[{_quoted(text)}]{':value:_files' if takes else ''}'" for name, text, takes in _options(command)
    ]
    first = f"'1: :({' '.join(command.subcommands)})'" if words else ""
    rest = "'*: :_files'"
    return f"        '{path}') _arguments {' '.join(filter(None, [*options, first, rest]))}; return ;;\n"


def _options(command: Command) -> Iterator[tuple[str, str, bool]]:
    for action in command.parser._actions:  # noqa: SLF001
        text = _help_of(action)
        for name in action.option_strings:
            yield name, text, action.nargs != 0


def _quoted(text: str) -> str:
    for letter, other in (("'", "’"), ("[", "("), ("]", ")"), (":", "\\:")):
        text = text.replace(letter, other)
    return text


def _help_of(action: argparse.Action) -> str:
    text, default = action.help or "", action.default
    # Like argparse's own formatting, of which there is no public way.
    number = f"{default:g}" if isinstance(default, float) else ""
    text = text.replace("%(default)g", number).replace("%(default)s", str(default)).replace("%%", "%")
    return " ".join(text.split())


# -- manual pages ----------------------------------------------------------------------------------------------


def manual(commands: list[Command]) -> dict[str, str]:
    """File name -> page, one a command and one for the program."""
    pages = {f"{PROGRAM}.1": _overview(commands)}
    for command in commands:
        pages[f"{PROGRAM}-{'-'.join(command.words)}.1"] = _page(command)
    return pages


def _overview(commands: list[Command]) -> str:
    lines = [
        f'.TH {PROGRAM.upper()} 1 "" "Sokutatsu" "Sokutatsu"', ".SH NAME",
        f"{PROGRAM} \\- sends mail fast, signed, durable, and only to those it may go to", ".SH SYNOPSIS",
        f".B {PROGRAM}", ".I COMMAND", "[options]", ".SH COMMANDS",
    ]  # fmt: skip
    for command in commands:
        lines += [".TP", f".B {' '.join(command.words)}", _roff(command.help)]
    lines += [
        ".SH EXIT STATUS",
        "0 done; 1 done in part, or what was asked about is not well; 2 an argument, a name or a file is wrong:",
        "nothing was done, and the same again would be wrong again; 3 the engine cannot now or did not answer:",
        "try again; 130 broken off by Ctrl\\-C; 141 nobody reads on. Each command\\(aqs page says what 1 means for it.",
        ".SH ENVIRONMENT", ".TP", ".B SOKUTATSU_SOCKET",
        "Path of the engine\\(aqs socket, where \\-\\-socket is not given.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _page(command: Command) -> str:
    parser, name = command.parser, f"{PROGRAM}-{'-'.join(command.words)}"
    lines = [
        f'.TH {name.upper()} 1 "" "Sokutatsu" "Sokutatsu"',
        ".SH NAME",
        f"{name} \\- {_roff(command.help)}",
        ".SH SYNOPSIS",
        f".B {PROGRAM} {' '.join(command.words)}",
        _roff(_synopsis(parser)),
    ]
    if parser.description:
        lines += [".SH DESCRIPTION", *_paragraphs(parser.description)]
    lines += [".SH OPTIONS"]
    for action in parser._actions:  # noqa: SLF001
        lines += _described(action)
    if parser.epilog:
        lines += [".SH NOTES", ".nf", *(_roff(line) for line in parser.epilog.splitlines()), ".fi"]
    lines += [".SH SEE ALSO", f".BR {PROGRAM} (1)"]
    return "\n".join(lines) + "\n"


def _synopsis(parser: argparse.ArgumentParser) -> str:
    words = []
    for action in parser._actions:  # noqa: SLF001
        if action.option_strings and action.required:
            words.append(f"{action.option_strings[-1]} {_metavar(action)}")
        elif not action.option_strings:
            words.append(_metavar(action) if action.nargs not in ("?", "*") else f"[{_metavar(action)}]")
    return " ".join([*words, "[options]"])


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.dest.upper() if action.option_strings else action.dest


def _described(action: argparse.Action) -> list[str]:
    names = ", ".join(action.option_strings) or _metavar(action)
    value = f" {_metavar(action)}" if action.option_strings and action.nargs != 0 else ""
    return [".TP", f".B {_roff(names + value)}", _roff(_help_of(action)) or "\\&"]


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text
