"""Rows of tasks as the library's tasks and candidates, and back; and what generating and judging make of one row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast, get_args

import gavel
from gavel.generator import GenerateOptions, StreamCallback
from gavel.task import Language
from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Row

# An empty candidate is no program: wrong, without asking a model.
EMPTY = gavel.Verdict(0.0, None, "wrong")


def language_of(row: Row) -> Language:
    """The row's language as the library knows it."""
    language = {"c++": "cpp"}.get(datasets.language(row), datasets.language(row))
    return cast(Language, language) if language in get_args(Language) else "any"


def task_of(row: Row, prompting: str | None = None, language: str | None = None) -> gavel.Task:
    """``prompting`` stands before what the row says, ``language`` where it names none."""
    spoken = language_of(row)
    return gavel.Task(
        prompt=datasets.prompt(row),
        language=language if language and spoken == "any" else spoken,  # type: ignore[arg-type]
        prompting=prompting or datasets.prompting(row),  # type: ignore[arg-type]
        id=datasets.task_id(row),
    )


def candidates_of(row: Row) -> list[gavel.Candidate]:
    """A row's candidates. Their mean log-probability stands for the single ones, which rows do not carry."""
    task = datasets.task_id(row)
    given = row.get("candidates")
    if not isinstance(given, list) or not given:
        raise DatasetError(f"task {task}: no candidates; write them first with gavel generate")
    found = []
    for index, each in enumerate(given):
        if not isinstance(each, dict) or not isinstance(each.get("code"), str):
            raise DatasetError(
                f"task {task}: candidate {index} has no code; expected an object with a text of that name"
            )
        tokens, mean = each.get("tokens") or [], each.get("mean_logprob")
        found.append(
            gavel.Candidate(
                text=each["code"],
                raw=each.get("raw") or "",
                tokens=tokens,
                tokenizer=datasets.tokenizer(row) if tokens else "",
                logprobs=[] if mean is None else [mean] * max(1, len(tokens)),
                finish=each.get("finish") or "given",
                index=index,
                p_correct=each.get("probe_p_correct"),
            )
        )
    return found


def candidate_row(candidate: gavel.Candidate) -> Row:
    return {
        "code": candidate.text,
        "raw": candidate.raw,
        "tokens": candidate.tokens,
        "mean_logprob": candidate.mean_logprob,
        "finish": candidate.finish,
        "index": candidate.index,
        "probe_p_correct": candidate.p_correct,
    }


def verdict_row(info: gavel.JudgeInfo, verdict: gavel.Verdict) -> Row:
    return {
        "judge": info.name,
        "kind": info.kind,
        "trained": info.trained,
        "p_correct": verdict.p_correct,
        "logit": verdict.logit,
        "decision": verdict.decision,
        "probabilities": dict(zip(info.labels, verdict.probabilities, strict=False)),
        "feedback": verdict.feedback,
        "truncated": verdict.truncated,
    }


def with_verdict(known: list[Row] | None, verdict: Row) -> list[Row]:
    """Verdicts with one more; one by the same judge is replaced."""
    others = [each for each in known or [] if (each["judge"], each.get("kind")) != (verdict["judge"], verdict["kind"])]
    return [*others, verdict]


def merged(old: Any, new: dict[str, Any]) -> dict[str, Any]:
    """A run record with a later command's record laid over it, object by object."""
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        result[key] = merged(result.get(key), value) if isinstance(value, dict) else value
    return result


def generated(
    writer: gavel.Generator,
    row: Row,
    options: GenerateOptions,
    *,
    prompting: str | None = None,
    language: str | None = None,
    timeout: float | None = None,
    stream: StreamCallback | None = None,
) -> Row:
    """The row with candidates, and with the record of how they were made."""
    task = task_of(row, prompting, language)
    made = writer.generate(task, stream=stream, timeout=timeout, **options)
    record = generation_record(options, task.prompting, made.stats, writer.model)
    return row | {"candidates": [candidate_row(each) for each in made], "run": record}


def judged(
    judges: Sequence[gavel.AnyJudge],
    row: Row,
    *,
    prompting: str | None = None,
    timeout: float | None = None,
) -> Row:
    """The row with the judges' verdicts on its candidates."""
    task = task_of(row, prompting, None)
    candidates = candidates_of(row)
    asked = [each for each in candidates if each.text.strip()]
    known = [{"index": each.index} | before for each, before in zip(candidates, row["candidates"], strict=True)]
    infos, seconds = [each.info() for each in judges], []
    limits = {} if timeout is None else {"timeout": timeout}
    for member, info in zip(judges, infos, strict=True):
        begun = time.perf_counter()
        verdicts = member.judge(task, asked, **limits) if asked else []
        seconds.append(time.perf_counter() - begun)
        found = iter(verdicts)
        for candidate, said in zip(candidates, known, strict=True):
            verdict = next(found) if candidate.text.strip() else EMPTY
            said["verdicts"] = with_verdict(said.get("verdicts"), verdict_row(info, verdict))
    record = judging_record(task.prompting, infos, seconds)
    return row | {"candidates": known, "run": merged(row.get("run"), record)}


def generation_record(options: Any, prompting: str, stats: gavel.GenerateStats, model: gavel.Model) -> dict[str, Any]:
    """The record of one task's generation, for its row's ``run``."""
    return {
        "gavel": gavel.__version__,
        "options": {**options, "prompting": prompting},
        "digests": {"generator": model.digest, "tokenizer": model.tokenizer_digest},
        "seconds": {"prefill": stats.prefill_seconds, "decode": stats.decode_seconds, "sample": stats.sample_seconds},
        "tokens": {"prompt": stats.prompt_tokens, "sampled": stats.sampled_tokens},
        "stopped": stats.stopped,
    }


def judging_record(prompting: str, infos: Sequence[gavel.JudgeInfo], seconds: list[float]) -> dict[str, Any]:
    """The record of one task's judging."""
    return {
        "gavel": gavel.__version__,
        "options": {"prompting": prompting},
        "digests": {"judges": [asdict(info) for info in infos]},
        "seconds": {"judges": seconds},
    }
