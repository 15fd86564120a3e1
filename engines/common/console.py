"""What the three commands share: one line for a user's mistake, never a traceback; exit status 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from engines.common.errors import FaultError, UserError
from engines.common.extras import missing_library

EXIT_DONE, EXIT_FOUND, EXIT_MISTAKE, EXIT_INTERRUPTED = 0, 1, 2, 130


class ExitStatus(NamedTuple):
    """What an exit status says."""

    meaning: str
    examples: str
    service: str  # what the service manager does


EXIT_STATUSES = {
    EXIT_DONE: ExitStatus("done as asked", "also a line that was stopped by Ctrl-C or SIGTERM", "not started again by itself"),
    EXIT_FOUND: ExitStatus(
        "done, and what was examined is not as it must be",
        "`doctor`, `audit`, `replay`, `challenge`, `engines build`, `verify` and `prepare`; `collect` that was stopped early",
        "started again; also a line whose engine fails part after part, and after a fault of the program itself, whose log "
        "then has a traceback",
    ),
    EXIT_MISTAKE: ExitStatus(
        "a person must mend something: one line says what, where and how; nothing was changed",
        "a line's file, an option, a recipe, a missing extra, a camera that is taken",
        "not tried again",
    ),
    EXIT_INTERRUPTED: ExitStatus(
        "interrupted by Ctrl-C before its end", "commands that compute", "not started again by itself"
    ),
}


def new_app(summary: str) -> typer.Typer:
    """An app whose `--help` starts with this summary."""
    return typer.Typer(
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_app(app: Callable[..., object]) -> None:
    """Run a command line to its end, and exit."""
    try:
        sys.exit(app(standalone_mode=False))  # type: ignore[arg-type]  # an exit status or None
    except UserError as error:
        _complain(str(error))
    except FaultError as error:
        _complain(str(error), EXIT_FOUND)
    except ModuleNotFoundError as error:
        text = missing_library(error, "this command")
        if text is None:
            raise
        _complain(text)
    except BrokenPipeError:  # the reader of a pipe has gone (`| head`): leave quietly, and keep Python from flushing into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_DONE)
    except OSError as error:  # a place that was named on the command line and cannot be used
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}; choose another place, or mend this one and run the same command again")
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        # A mistake on the command line. Typer carries click under a name that differs between its versions, so the kind is
        # known by its method only.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        if text := format_message():
            _complain(f"{text.rstrip('.')}; see --help")
        sys.exit(EXIT_MISTAKE)  # no command was given: the help is printed already


def _complain(text: str, status: int = EXIT_MISTAKE) -> None:
    line = Text.assemble(("error:", "bold red"), f" {' '.join(text.split())}")
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)
    sys.exit(status)
