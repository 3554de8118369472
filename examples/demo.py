"""Ten candidates for a task, written by one small model, judged and ranked: the whole of Gavel in one run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    import gavel

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_BUNDLE = ROOT / "build/models/qwen2.5-coder-0.5b-instruct-int8.gavel"
DEFAULT_TEAM = DEFAULT_BUNDLE.with_suffix(".team.json")
DEFAULT_TASK = "gavel_java/3"
KINDS = ("probe", "classifier", "verbalizer")
LANGUAGES = {".java": "java", ".py": "python", ".cpp": "cpp", ".cc": "cpp", ".hpp": "cpp"}
EXAMPLES = """examples:
  examples/demo                                      ten candidates for a task of examples/tasks
  examples/demo --task gavel_python/2 --check        another one; also run its tests on every candidate
  examples/demo --task "Write a function that says whether a number is a palindrome." --language python
  examples/demo --task Begun.java                    go on where a file ends
  examples/demo --judge probe --judge verbalizer     two judges, of the generator's own bundle
  examples/demo --generator a.gavel --judge b.gavel  models of your own (see: gavel export --help)
  examples/demo --team mine.team.json                a team with weights of its own (see: gavel team fit --help)
  examples/demo --json --device cuda | jq .reason
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="examples/demo", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--task",
        metavar="FILE|TEXT",
        default=DEFAULT_TASK,
        help="a JSONL file's first task (FILE:TASK_ID: that one), the beginning of a program in another file, "
        f"the task_id of one of examples/tasks, or an instruction in words [{DEFAULT_TASK}]",
    )
    add("--language", choices=("java", "python", "cpp", "any"), help="of the solution, where the task does not say")
    add(
        "--team",
        metavar="FILE",
        type=Path,
        help="who writes, who judges and what each word weighs, as gavel team fit says it [the embedded team, where "
        "neither --generator nor --judge is given]",
    )
    add("--generator", metavar="BUNDLE", type=Path, help="who writes [the embedded default]")
    add(
        "--judge",
        metavar="BUNDLE[:KIND]|KIND",
        action="append",
        default=[],
        help="who judges (or BUNDLE/adapters/NAME); may be given several times. KIND is probe, classifier or "
        "verbalizer; alone it means the generator's own bundle [its trained adapter, else its probe, else its "
        "verbalizer]",
    )
    add("--candidates", metavar="N", type=int, default=10, help="how many are written [10]")
    add("--max-tokens", metavar="N", type=int, default=256, help="of each candidate [256]")
    add("--temperature", metavar="T", type=float, default=0.8, help="0 is greedy [0.8]")
    add("--seed", metavar="N", type=int, default=0, help="same seed, same candidates [0]")
    add("--device", default="cpu", help="cpu, cuda or cuda:N [cpu]")
    add("--check", action="store_true", help="run the task's tests on every candidate, in a sandbox without network")
    add("--json", action="store_true", help="print the whole record as JSON instead of the table")
    options = parser.parse_args()
    if options.team and (options.generator or options.judge):
        parser.error("--team brings its own generator and judges; leave --generator and --judge out")
    if not (options.team or options.generator or options.judge) and DEFAULT_TEAM.is_file():
        options.team = DEFAULT_TEAM
    options.generator = options.generator or DEFAULT_BUNDLE
    return options


def find_row(given: str, language: str | None) -> dict[str, Any]:
    """The task as a row of the data sets: what --task names, in the order its help says."""
    from gavel.toolkit.datasets import read_rows

    name, _, wanted = given.partition(".jsonl:")
    file = Path(f"{name}.jsonl" if wanted else given)
    if file.suffix == ".jsonl":
        rows = read_rows(file)
        found = [row for row in rows if not wanted or str(row["task_id"]) == wanted]
        if not found:
            raise ValueError(f"{file} has no task {wanted!r}; its first is {rows[0]['task_id']!r}")
        return found[0]
    for tasks in sorted((ROOT / "examples/tasks").glob("*.jsonl")):
        for row in read_rows(tasks):
            if row["task_id"] == given:
                return row
    if len(given) < 4096 and "\n" not in given and file.is_file():
        spoken = language or LANGUAGES.get(file.suffix, "any")
        return {"task_id": file.name, "prompt": file.read_text(encoding="utf-8"), "language": spoken}
    if " " not in given.strip():
        raise ValueError(f"--task {given!r} is no file, no task of examples/tasks, and too short for an instruction")
    return {"task_id": "", "prompt": given, "language": language or "any", "prompting": "chat"}


@dataclass
class Team:
    """The opened models, and how long opening took."""

    ranker: gavel.Ranker
    generator: str
    judges: list[str] = field(default_factory=list)  # where each comes from, for the reader
    seconds: float = 0.0


def open_team(options: argparse.Namespace) -> Team:
    begun = time.perf_counter()
    team = fitted(options.team, options.device) if options.team else chosen(options)
    team.seconds = time.perf_counter() - begun
    return team


def fitted(file: Path, device: str) -> Team:
    """A team file's."""
    import gavel

    ranker = gavel.Ranker.open(file, device=device)
    if ranker.model is None:
        raise ValueError(f"{file} names no generator; fit the team with gavel team fit --generator")
    weights, stacking = ranker.options.weights, ranker.options.stacking
    judges = [f"{describe(info)}, weight {weight:.2f}" for info, weight in zip(ranker.infos(), weights, strict=True)]
    if stacking and stacking.logprob_weight:
        judges.append(f"{ranker.model.name}: its own mean log-probability, weight {stacking.logprob_weight:.2f}")
    return Team(ranker, ranker.model.name, judges)


def chosen(options: argparse.Namespace) -> Team:
    """The generator and the judges that were named."""
    import gavel

    models: dict[Path, gavel.Model] = {}

    def model(folder: Path) -> gavel.Model:
        """A bundle, or an adapter in one, which shares its weights."""
        if folder not in models:
            if folder.parent.name == "adapters":
                models[folder] = model(folder.parents[1]).adapted(folder)
            else:
                models[folder] = gavel.Model.open(folder, device=options.device)
        return models[folder]

    writer = model(options.generator)
    team = Team(gavel.Ranker(gavel.Generator(writer)), writer.name)
    own = options.generator / "adapters" / "judge"
    for given in options.judge or [str(own) if own.is_dir() else "automatic"]:
        bundle, colon, kind = given.rpartition(":")
        if given in (*KINDS, "automatic"):
            folder, kind = options.generator, given
        elif colon and kind in KINDS:
            folder = Path(bundle)
        else:
            folder, kind = Path(given), "automatic"
        judge = gavel.Judge(model(folder), kind)
        team.ranker.add(judge)
        team.judges.append(describe(judge.info(), folder))
    return team


def describe(info: gavel.JudgeInfo, folder: Path | None = None) -> str:
    """One line on a judge: an untrained one is called so, and a probe comes with its figures."""
    if not info.trained:
        return f"{info.name}: UNTRAINED, the model is asked as it is; its P(correct) is hardly a guide"
    text = f"{info.name}: trained"
    file = folder and folder / "probe.json"
    if info.kind == "probe" and file and file.is_file():
        figures = json.loads(file.read_bytes()).get("figures", {})
        named = [f"{key} {value:.3g}" for key, value in figures.items() if isinstance(value, int | float)]
        text += f" ({', '.join(named[:4])})" if named else ""
    return text


def solve(team: Team, row: dict[str, Any], options: argparse.Namespace, console: Console) -> gavel.Ranking:
    import gavel
    from gavel.toolkit import datasets

    task = gavel.Task(datasets.prompt(row), datasets.language(row), datasets.prompting(row), str(row["task_id"]))
    with console.status("reading the task") as status:
        written, begun = 0, time.perf_counter()

        def stream(event: gavel.StreamEvent) -> None:
            nonlocal written, begun
            if written == 0:
                begun = time.perf_counter()
            written += 1
            if written % 16 == 0:
                rate = written / max(time.perf_counter() - begun, 1e-9)
                status.update(f"writing {options.candidates} candidates: {written} tokens, {rate:.0f} a second")

        return team.ranker.solve(
            task,
            stream=stream,
            candidates=options.candidates,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            seed=options.seed,
        )


def check(ranking: gavel.Ranking, row: dict[str, Any]) -> list[str]:
    """What the task's tests say of each candidate, best first."""
    from gavel.toolkit import datasets
    from gavel.toolkit.execute import JavaPrograms, PythonPrograms
    from gavel.toolkit.sandbox import Limits, Sandbox

    Sandbox().check()
    programs = JavaPrograms(Sandbox) if datasets.language(row) == "java" else PythonPrograms(Sandbox())
    try:
        results = [programs.run(datasets.program(row, r.candidate.text), Limits()) for r in ranking.ranked]
    finally:
        programs.close()
    return [result.status.replace("_", " ") for result in results]


def show(console: Console, team: Team, row: dict[str, Any], ranking: gavel.Ranking, checked: list[str]) -> None:
    from rich.syntax import Syntax
    from rich.text import Text

    wanted = " ".join(row.get("description", row["prompt"]).partition(">>>")[0].split())
    console.print(Text(f"Task {row['task_id']}: {wanted}" if row["task_id"] else f"Task: {wanted}"))
    console.print()
    console.print(table(team, ranking, checked))
    for line in team.judges:
        console.print(Text(f"Judge {line}"))
    console.print(Text(ranking.reason))
    best = ranking.best.candidate
    code = best.text if row.get("prompting") == "chat" else row["prompt"] + best.text
    console.print()
    console.print(Text(f"The best, no. {best.index}:", style="bold"))
    if console.is_terminal:
        language = row.get("language", "any")
        console.print(Syntax(code.rstrip(), "text" if language == "any" else language, word_wrap=True))
    else:
        print(code.rstrip())
    console.print()
    console.print(Text(times(team, ranking)))


def table(team: Team, ranking: gavel.Ranking, checked: list[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table(title=f"{len(ranking.ranked)} candidates by {team.generator}", title_justify="left")
    several = len(ranking.judges) > 1
    copies = any(ranked.multiplicity > 1 for ranked in ranking.ranked)
    made.add_column("rank", justify="right", no_wrap=True)
    made.add_column("no.", justify="right", no_wrap=True)
    made.add_column("P(cor-\nrect)", justify="right", no_wrap=True)
    short = {"verbalizer": "verba-\nlizer", "classifier": "classi-\nfier"}
    for judge in ranking.judges if several else []:
        kind = short.get(judge.kind, judge.kind)
        made.add_column(kind if judge.trained else f"{kind}\n(untrained)", justify="right", no_wrap=True)
    made.add_column("mean\nlog-p.", justify="right", no_wrap=True)
    made.add_column("tokens", justify="right", no_wrap=True)
    if not checked:  # beside the tests' word it would not fit 80 columns
        made.add_column("finish", no_wrap=True)
    if copies:
        made.add_column("dupli-\ncates", no_wrap=True)
    if checked:
        made.add_column("tests", no_wrap=True)
    made.add_column("first line")  # the only one that may get narrower
    for place, ranked in enumerate(ranking.ranked):
        candidate = ranked.candidate
        cells = [str(place + 1), str(candidate.index), f"{ranked.score:.3f}"]
        if several:
            cells += [f"{verdict.p_correct:.3f}" for verdict in ranked.verdicts]
        mean = candidate.mean_logprob
        cells += ["" if mean is None else f"{mean:.3f}", str(len(candidate.tokens))]
        if not checked:
            cells.append(candidate.finish.replace("_", " "))
        if copies:
            first = f"x{ranked.multiplicity}" if ranked.multiplicity > 1 else ""
            cells.append(first if ranked.representative == candidate.index else f"of {ranked.representative}")
        if checked:
            cells.append(checked[place])
        line = next((line.strip() for line in candidate.text.splitlines() if line.strip()), "")
        made.add_row(*cells, Text(line, no_wrap=True, overflow="ellipsis"), style="bold green" if place == 0 else None)
    return made


def times(team: Team, ranking: gavel.Ranking) -> str:
    stats = ranking.stats
    decode = stats.sampled_tokens / stats.decode_seconds if stats.decode_seconds else 0.0
    prefill = stats.prompt_tokens / stats.prefill_seconds if stats.prefill_seconds else 0.0
    return (
        f"Times: open {team.seconds:.2f} s; prefill {stats.prefill_seconds:.2f} s "
        f"({stats.prompt_tokens} tokens, {prefill:.0f} a second); writing {stats.decode_seconds:.2f} s "
        f"({stats.sampled_tokens} tokens, {decode:.0f} a second); judging {sum(ranking.judge_seconds):.2f} s"
    )


def main() -> int:
    options = arguments()
    from rich.console import Console

    import gavel
    from gavel.toolkit.datasets import DatasetError
    from gavel.toolkit.sandbox import SandboxError

    log = Console(stderr=True)
    try:
        row = find_row(options.task, options.language)
        if options.check and not row.get("test"):
            raise ValueError(f"--check: task {row['task_id'] or options.task!r} has no tests; leave --check out")
        team = open_team(options)
        ranking = solve(team, row, options, log)
        checked = check(ranking, row) if options.check else []
    except (gavel.GavelError, DatasetError, SandboxError, OSError, ValueError) as error:
        log.print(f"examples/demo: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    if options.json:
        extra: dict[str, Any] = {"seconds": {"open": team.seconds}}
        if checked:
            extra["tests"] = {r.candidate.index: said for r, said in zip(ranking.ranked, checked, strict=True)}
        print(json.dumps(ranking.record | extra, ensure_ascii=False, indent=1))
    else:
        show(Console(), team, row, ranking, checked)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
