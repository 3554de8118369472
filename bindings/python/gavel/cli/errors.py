"""How a command ends that cannot go on: one line on stderr that says what, where and what to do, and a status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from gavel.errors import GavelError
from gavel.toolkit.errors import ToolkitError

FAILED, INTERRUPTED = 1, 130

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class CommandError(Exception):
    """Something a command itself refuses."""


def tell(message: str) -> None:
    """One line of the command's own on stderr."""
    print(f"gavel: {message}", file=sys.stderr)


def describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def command(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """What Gavel and the system refuse becomes one line; a defect of ours keeps its traceback."""

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except (GavelError, ToolkitError, CommandError, OSError) as error:
            tell(describe(error))
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            tell("interrupted; what is finished is kept, run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None

    return run
