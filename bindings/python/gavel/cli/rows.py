"""Rows of JSONL as tasks and candidates, and back."""

from __future__ import annotations

from pathlib import Path

import gavel
from gavel.cli.errors import CommandError
from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import candidate_row, verdict_row

LANGUAGE_OF_SUFFIX = {".java": "java", ".py": "python", ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".hpp": "cpp"}


def read(path: Path, limit: int | None) -> list[Row]:
    return datasets.read_rows(path)[:limit]


def one_task(given: str, language: str | None) -> Row:
    """The row of --task: the beginning of a program in a file, or an instruction in words."""
    file = Path(given)
    if "\n" not in given and len(given) < 4096 and file.is_file():
        if file.suffix == ".jsonl":
            raise CommandError(f"--task {given} is a file of tasks; pass it as TASKS.jsonl, without --task")
        try:
            prompt = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(f"{given}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
        spoken = language or LANGUAGE_OF_SUFFIX.get(file.suffix, "any")
        return {"task_id": file.name, "prompt": prompt, "language": spoken, "prompting": "completion"}
    if not given.strip():
        raise CommandError("--task is empty; give an instruction in words, or a file")
    if " " not in given.strip() and "\n" not in given:
        raise CommandError(f"--task {given!r} is no file, and too short for an instruction")
    return {"task_id": "task", "prompt": given, "language": language or "any", "prompting": "chat"}


def ranking_rows(ranking: gavel.Ranking, known: list[Row] | None = None) -> list[Row]:
    """Candidates with all that was said of them, in order of index, over what was already ``known`` of them."""
    rows: dict[int, Row] = {}
    for ranked in ranking.ranked:
        candidate = ranked.candidate
        verdicts = [verdict_row(*each) for each in zip(ranking.judges, ranked.verdicts, strict=True)]
        said = {
            "score": ranked.score,
            "verdicts": verdicts,
            "multiplicity": ranked.multiplicity,
            "representative": ranked.representative,
        }
        before = {"index": candidate.index} | known[candidate.index] if known else candidate_row(candidate)
        rows[candidate.index] = before | said
    return [rows[index] for index in sorted(rows)]


class RecordedJudge:
    """Verdicts that an earlier command wrote into a row, as a member of a team."""

    def __init__(self, info: gavel.JudgeInfo) -> None:
        self._info = info
        self.row: Row = {}

    @classmethod
    def of(cls, rows: list[Row]) -> list[RecordedJudge]:
        """The judges that every candidate of every row has a verdict of, in the first row's order."""
        everywhere: list[tuple[str, str]] | None = None
        for row in rows:
            for candidate in row.get("candidates") or []:
                here = list(_verdicts(candidate))
                everywhere = here if everywhere is None else [key for key in everywhere if key in here]
        return [cls(_recorded_info(rows[0], key)) for key in everywhere or []]

    def info(self) -> gavel.JudgeInfo:
        return self._info

    def judge(self, _task: gavel.Task, candidates: list[gavel.Candidate]) -> list[gavel.Verdict]:
        key = self._info.name, self._info.kind
        said = [_verdicts(self.row["candidates"][candidate.index])[key] for candidate in candidates]
        return [_recorded_verdict(each) for each in said]


def _recorded_verdict(row: Row) -> gavel.Verdict:
    return gavel.Verdict(
        p_correct=row["p_correct"],
        logit=row.get("logit"),
        decision=row.get("decision", "abstain"),
        probabilities=list((row.get("probabilities") or {}).values()),
        feedback=row.get("feedback", ""),
        truncated=row.get("truncated", 0),
    )


def _verdicts(candidate: Row) -> dict[tuple[str, str], Row]:
    """A candidate's verdicts by the judge's name and kind."""
    return {(each["judge"], each.get("kind", "")): each for each in candidate.get("verdicts") or []}


def _recorded_info(row: Row, key: tuple[str, str]) -> gavel.JudgeInfo:
    """A judge as the row's run record describes it, or as far as its verdict does."""
    for info in ((row.get("run") or {}).get("digests") or {}).get("judges") or []:
        if (info["name"], info["kind"]) == key:
            return gavel.JudgeInfo(**info)
    verdict = _verdicts(row["candidates"][0])[key]
    return gavel.JudgeInfo(*key, bool(verdict.get("trained")), labels=list(verdict.get("probabilities") or {}))
