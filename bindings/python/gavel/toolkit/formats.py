"""Reads the files people have into one record: tasks, their candidates, and what is known of each.

A record is a row (see ``datasets``) with these fields; what else a file says is kept beside them.

- task: ``task_id``, ``source`` (the problem it states, the same in every language and suite: HumanEval/3), ``dataset``,
  ``language``, ``prompt``, ``prompting``, ``entry_point``, ``test``, ``description``, ``canonical_solution``;
- candidate: ``code``, ``generator``, ``seed``, ``mean_logprob`` (nats a token), ``status``, ``passed`` and ``feedback``
  as ``label`` writes them, ``verdicts`` of judges.

Formats are told apart by their fields:

- HumanEval and mxeval: task_id, prompt, entry_point, test; samples: task_id, completion, and passed or result;
- EvalPlus: the same as it stands on the Hub, or base_input and plus_input instead of test; samples: task_id, solution;
- MBPP: text or prompt in words, code, test_list;
- MultiPL-E: name, prompt, tests, and completions or results;
- CoderEval: docstring, and candidates with passed and feedback.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.evalplus import evalplus
from gavel.toolkit.multipl_e import multipl_e

# MBPP in other languages, as mxeval calls it: MBJP for Java, MBCPP for C++ ...
MBPP = re.compile(r"mb(?:xp|pp|jp|cpp|csp|gp|jsp|kp|php|plp|rbp|scp|swp|tsp)(?:plus|\+)?$", re.IGNORECASE)
STATUS_OF_CODEREVAL = {"compile error": "compile_error", "exec error!": "exception"}
SAMPLE = ("completion", "solution")


def read_records(
    paths: Iterable[str | os.PathLike[str]], generator: str = "", *, strange_samples: bool = False
) -> list[Row]:
    """All tasks of the files, or of the files of a folder, in order; samples join the tasks that they answer.

    ``generator`` names who wrote candidates that do not say it. A task that several files have gets the candidates of
    all, provided that they agree on its prompt and test. Samples of tasks that no file has are refused, or left out
    where ``strange_samples`` may be there.
    """
    records: dict[str, Row] = {}
    samples: list[tuple[str, Row]] = []
    for path in paths:
        for where, raw in _objects(Path(path)):
            if any(key in raw for key in SAMPLE) and "test" not in raw:
                samples.append((where, raw))
                continue
            row = record(raw, where)
            _name_generator(row, generator)
            known = records.get(row["task_id"])
            records[row["task_id"]] = row if known is None else _merged(known, row, where)
    for where, sample in samples:
        row = records.get(datasets.task_id(sample, where))
        if row is None and strange_samples:
            continue
        if row is None:
            raise DatasetError(
                f"{where}: a sample of task {sample['task_id']!r}, which no file has; name its tasks too"
            )
        candidate = _sample(sample)
        if generator:
            candidate.setdefault("generator", generator)
        row.setdefault("candidates", []).append(candidate | {"index": len(row.get("candidates", []))})
    if not records:
        raise DatasetError(f"{', '.join(str(path) for path in paths)}: no tasks")
    return list(records.values())


def record(raw: Row, where: str = "row") -> Row:
    """One task's object, of any of the formats, as a record; a record, which has a ``source``, as it is."""
    convert = next((convert for known, convert in FORMATS if known(raw)), None) if "source" not in raw else None
    row = raw | (convert(raw, where) if convert else {})
    row["task_id"] = datasets.task_id(row, where)
    row["language"] = datasets.language(row)
    row["dataset"] = datasets.dataset(row)
    row["source"] = source(row)
    if row["language"] in datasets.ASSEMBLERS:
        datasets.prompt(row)
    return row


def source(row: Row) -> str:
    """The problem that a task states: HumanEval/3 for HumanEval_java/3, MBPP/3 for MBJP/3 and Mbpp/3."""
    if row.get("source"):
        return str(row["source"])
    identity = datasets.task_id(row)
    suite, slash, number = identity.rpartition("/")
    if slash and suite.lower().startswith("humaneval"):
        return f"HumanEval/{number}"
    if slash and MBPP.match(suite):
        return f"MBPP/{number}"
    return identity if slash else f"{datasets.dataset(row)}/{identity}"


def suite(row: Row) -> str:
    """What the problem belongs to: HumanEval for HumanEval/3."""
    return source(row).rpartition("/")[0]


def _objects(path: Path) -> Iterator[tuple[str, Row]]:
    """Every object of a .jsonl or .json file, gzipped or not, or of such files in a folder; with where it stands."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if re.search(r"\.jsonl?(\.gz)?$", file.name))
        if not files:
            raise DatasetError(f"{path}: no .jsonl or .json files in this folder")
        for file in files:
            yield from _objects(file)
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        if re.search(r"\.json(\.gz)?$", path.name):
            yield str(path), datasets.parse(path, 1, stream.read())
            return
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield f"{path}:{number}", datasets.parse(path, number, line)


def _name_generator(row: Row, generator: str) -> None:
    """Who wrote each candidate and with which seed, from the row's record of its run or as told."""
    run = row.get("run") or {}
    named = (run.get("digests") or {}).get("generator") or generator
    seed = (run.get("options") or {}).get("seed")
    for candidate in row.get("candidates") or []:
        if named:
            candidate.setdefault("generator", named)
        if seed is not None:
            candidate.setdefault("seed", seed)


def _merged(known: Row, row: Row, where: str) -> Row:
    for key in ("prompt", "docstring", "test", "language"):
        if known.get(key) != row.get(key):
            raise DatasetError(
                f"{where}: task {row['task_id']!r} has another {key} than where it stood first; rename one of them"
            )
    if not row.get("candidates") or not known.get("candidates"):
        return known | row if row.get("candidates") else row | known
    candidates = [*known["candidates"], *row["candidates"]]
    # One run's record, choice and token ids do not hold for all of them.
    kept = {key: value for key, value in known.items() if key not in ("run", "best")}
    kept["prompting"] = datasets.prompting(known)
    kept["candidates"] = [
        {key: value for key, value in candidate.items() if key != "tokens"} | {"index": index}
        for index, candidate in enumerate(candidates)
    ]
    return kept


def _sample(raw: Row) -> Row:
    """A candidate of HumanEval's, mxeval's or EvalPlus's form."""
    code = next(raw[key] for key in SAMPLE if key in raw)
    rest = {key: value for key, value in raw.items() if key not in (*SAMPLE, "task_id", "result")}
    result = str(raw.get("result", ""))
    if result and "passed" not in rest:
        rest["passed"] = result == "passed"
    if rest.get("passed") is True:
        rest["status"] = "pass"
    elif "timed out" in result:
        rest["status"] = "timeout"
    return {"code": code} | rest


def _coder_eval(raw: Row, where: str) -> Row:
    """Ten candidates a task with the project's own verdicts; an exec error may be a failed test or an exception."""
    candidates = []
    for candidate in raw["candidates"]:
        said = candidate.get("feedback")
        kept = {key: value for key, value in candidate.items() if key != "feedback" or isinstance(value, dict)}
        status = "pass" if candidate.get("passed") else STATUS_OF_CODEREVAL.get(str(said))
        candidates.append(kept | ({"status": status} if status else {}))
    return {
        "dataset": raw.get("dataset") or "CoderEval",
        "language": raw.get("language") or ("java" if raw["docstring"].lstrip().startswith("/*") else "python"),
        "prompt": datasets.prompt(raw),
        "description": raw.get("description") or raw["docstring"],
        "candidates": candidates,
    }


def _mbpp(raw: Row, where: str) -> Row:
    """MBPP as first published, and EvalPlus's edition of it on the Hub: a task in words, and assertions."""
    asserts = [str(each) for each in raw["test_list"]]
    setup = "\n".join([str(raw.get("test_setup_code") or ""), *map(str, raw.get("test_imports") or [])]).strip()
    defined = re.findall(r"^def (\w+)", str(raw.get("code") or ""), re.MULTILINE)
    entry = next((name for name in re.findall(r"(\w+)\(", asserts[0]) if name in defined), "")
    words = str(raw.get("text") or raw.get("prompt") or "").strip()
    number = datasets.task_id(raw, where)
    return {
        "task_id": number if "/" in number else f"MBPP/{number}",
        "language": "python",
        "prompt": f"{words}\nYour code should pass this test:\n{asserts[0]}\n",
        "prompting": "chat",
        "entry_point": raw.get("entry_point") or entry,
        "test": str(raw.get("test") or "\n".join([setup, *asserts])).strip() + "\n",
        "description": words,
        "canonical_solution": raw.get("canonical_solution") or raw.get("code"),
    }


Convert = Callable[[Row, str], dict[str, Any]]
FORMATS: list[tuple[Callable[[Row], bool], Convert]] = [
    (lambda raw: "name" in raw and "tests" in raw, multipl_e),
    (lambda raw: "test_list" in raw, _mbpp),
    (lambda raw: "plus_input" in raw and "test" not in raw, evalplus),
    (lambda raw: "docstring" in raw and isinstance(raw.get("candidates"), list), _coder_eval),
    (
        lambda raw: isinstance(raw.get("task_id"), str) and raw["task_id"].startswith("HumanEval/"),
        lambda raw, _: {"language": raw.get("language") or "python"},
    ),
]


def dumps(rows: Iterable[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def write(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """A .jsonl file, or a .jsonl.gz: of the same rows the same bytes."""
    content = dumps(rows)
    datasets.write_atomically(path, gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)
