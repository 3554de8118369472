"""gavel adapt"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.progress import steps
from gavel.cli.wording import Wording

EXAMPLES = """
gavel adapt model.gavel lora/ --trained --positive Yes --negative No
gavel adapt model.gavel lora/checkpoint-900/ --name strict --threshold 0.7
gavel judge candidates.jsonl -o judged.jsonl -j model.gavel/adapters/lora -j model.gavel/adapters/strict
"""


@command
@grouped
def adapt(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder NAME.gavel.")],
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A peft LoRA folder, made for its model.")],
    wording: Wording,
    name: Annotated[str | None, typer.Option("--name", help="The adapter's name. Default: its folder's.")] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="Of the adapter, where its folder names none.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an adapter that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Put a LoRA adapter into a bundle, as a judge that shares its weights, and print the adapter's path.

    The path is what --judge and --generator take; a team that names several adapters of a bundle, or the bundle beside
    them, loads its weights once. The bundle's own files stay as they are. For a bundle of the merged weights see gavel
    export --adapter.
    """
    from gavel.toolkit.adapter import adapt as put

    with steps("adapt") as progress:
        made = put(bundle, adapter, name=name, license=license, judge=wording.judge(), force=force, progress=progress)
    print(json.dumps({"adapter": str(made)}) if as_json else made)
