"""gavel generate"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gavel
from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, GeneratorBundle, OptionalOutput, Ray, Sampling, TasksInput
from gavel.cli.run import Job, perform, todo_of
from gavel.cli.team import Models
from gavel.cli.work import Facts, Stream, Worker
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import generated

EXAMPLES = """
gavel generate tasks.jsonl -o candidates.jsonl -g model.gavel -n 10 --seed 1
gavel generate --task begun.java -g model.gavel -n 3 --temperature 0.4
gavel generate tasks.jsonl -o candidates.jsonl -g /shared/model.gavel --ray auto
"""


@dataclass(frozen=True)
class Generating:
    """How to open a worker that writes candidates."""

    given: TasksInput
    generator: Path
    options: gavel.GenerateOptions
    device: str

    @contextmanager
    def open(self) -> Iterator[Worker]:
        given, options = self.given, self.options
        writer = gavel.Generator(Models(self.device).open(self.generator))

        def work(row: Row, stream: Stream | None = None) -> Row:
            return generated(
                writer,
                row,
                options,
                prompting=given.prompting,
                language=given.language,
                timeout=given.timeout,
                stream=stream,
            )

        yield Worker(Facts({"generator": writer.model.digest}), work)


@command
@grouped
def generate(
    given: TasksInput,
    generator: GeneratorBundle,
    writing: OptionalOutput,
    sampling: Sampling,
    device: Device = "cpu",
    ray: Ray = None,
) -> None:
    """Write candidates for tasks.

    Rows are appended to the output one by one; after a kill the same command goes on where it stopped.
    """
    todo = todo_of(given, writing.output)
    options = sampling.options()
    asked = {**options, "prompting": given.prompting, "language": given.language, "device": device}
    recipe = Generating(given, generator.absolute(), options, device)
    perform(Job("generate", todo, recipe, asked, ray, writes=True), writing, given.tasks)
