"""`sokutatsu admin-token`: makes the token with which an operator may act on the live page, and shows it.

It lies in admin.token_file (mode 0600, so run this as the engine's user) and holds at once; --renew replaces it, and
the old one ends with that. Removing the file ends all actions. Exit codes: 0 done, 2 it cannot be done.
"""

from __future__ import annotations

import argparse
import sys

from engine.cli.speaking import tell
from engine.config import read_configuration
from engine.page.token import TokenError, make_token, read_token


def run_admin_token(options: argparse.Namespace) -> int:
    settings = read_configuration(options.config)
    if isinstance(settings, list):
        for line in settings:
            print(line, file=sys.stderr)
        return 2
    path = settings.admin.token_file
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        token = "" if options.renew else read_token(path)
        is_new = not token
        token = token or make_token(path, renew=options.renew)
    except TokenError as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"sokutatsu: {path}: {error.strerror}; run this as the engine's user", file=sys.stderr)
        return 2
    tell(options, {"token": token, "file": str(path), "new": is_new}, token)
    print(f"{'new, in' if is_new else 'from'} {path}; enter it on http://{settings.admin.listen}/", file=sys.stderr)
    return 0
