"""gavel generate"""

from __future__ import annotations

import gavel
from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, GeneratorBundle, OptionalOutput, Sampling, TasksInput
from gavel.cli.progress import Bar
from gavel.cli.run import Job, perform, todo_of
from gavel.cli.team import Models
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import generated

EXAMPLES = """
gavel generate tasks.jsonl -o candidates.jsonl -g model.gavel -n 10 --seed 1
gavel generate --task begun.java -g model.gavel -n 3 --temperature 0.4
"""


@command
@grouped
def generate(
    given: TasksInput,
    generator: GeneratorBundle,
    writing: OptionalOutput,
    sampling: Sampling,
    device: Device = "cpu",
) -> None:
    """Write candidates for tasks.

    Rows are appended to the output one by one; after a kill the same command goes on where it stopped.
    """
    todo = todo_of(given, writing.output)
    options = sampling.options()
    writer = gavel.Generator(Models(device).open(generator))

    def work(row: Row, progress: Bar) -> Row:
        return generated(
            writer,
            row,
            options,
            prompting=given.prompting,
            language=given.language,
            timeout=given.timeout,
            stream=progress.stream,
        )

    asked = {
        "command": "generate",
        "options": {**options, "prompting": given.prompting, "language": given.language, "device": device},
        "bundles": {"generator": writer.model.digest},
    }
    perform(Job("generate", todo, work, asked, writes=True), writing, given.tasks)
