"""Gavel on the GPU beside transformers on the same weights, and beside Gavel on the CPU. Run by tests/gpu/check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import gavel

FOLDER = Path(os.environ.get("GAVEL_GPU_MODELS", Path(__file__).parents[2] / "build/gpu/models"))
SMALL = FOLDER / "smollm2-135m-instruct"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

TASKS = [
    gavel.Task("def add(a, b):\n", "python", id="short"),
    gavel.Task("import java.util.*;\n\nclass Tank {\n    /** How full it is. */\n    static int level() {\n", "java"),
    gavel.Task('def f(values):\n    """' + "Return the values, sorted. " * 40 + '"""\n', "python", id="long"),
]
CANDIDATES = ["    return a + b\n", "    return a - b\n", "    total = a\n    total += b\n    return total\n"]
FREE = {"language_stops": False, "probe": False}


def bundle(precision: str, name: str = SMALL.name) -> Path:
    return FOLDER / f"{name}-{precision}.gavel"


@pytest.fixture(scope="module")
def on_gpu() -> Iterator[gavel.Model]:
    with gavel.Model.open(bundle("fp32"), device="cuda") as model:
        yield model


@pytest.fixture(scope="module")
def on_cpu() -> Iterator[gavel.Model]:
    with gavel.Model.open(bundle("fp32")) as model:
        yield model


@pytest.fixture(scope="module")
def reference() -> Any:
    from transformers import AutoModelForCausalLM

    torch.backends.cuda.matmul.allow_tf32 = False
    return AutoModelForCausalLM.from_pretrained(SMALL, dtype=torch.float32).cuda().eval()


@torch.inference_mode()
def logprobs(reference: Any, prompt: list[int], tokens: list[int]) -> torch.Tensor:
    """Log-probabilities the reference gives every token after prompt and tokens: [tokens, vocabulary]."""
    logits = reference(torch.tensor([prompt + tokens], device="cuda")).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.float(), dim=-1).cpu()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.gavel")), ids=lambda path: path.stem)
def test_bundle_tests_itself(path: Path) -> None:
    """Token ids, logits and judge probabilities of the manifest, made by transformers on the CPU in fp32."""
    with gavel.Model.open(path, device="cuda:0", self_test=True) as model:
        assert model.device == "cuda:0"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id or task.language)
@pytest.mark.parametrize("count", [1, 10])
def test_sampled_tokens_have_the_reference_probability(
    on_gpu: gavel.Model, reference: Any, task: gavel.Task, count: int
) -> None:
    made = gavel.Generator(on_gpu).generate(task, candidates=count, max_tokens=48, seed=3, **FREE)
    for candidate in made:
        expected = logprobs(reference, made.prompt_tokens, candidate.tokens)
        taken = expected[torch.arange(len(candidate.tokens)), torch.tensor(candidate.tokens)]
        found = torch.tensor(candidate.logprobs[: len(candidate.tokens)])
        assert (taken - found).abs().max() < 1e-3


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id or task.language)
def test_greedy_takes_the_likeliest(on_gpu: gavel.Model, reference: Any, task: gavel.Task) -> None:
    made = gavel.Generator(on_gpu).generate(task, candidates=10, temperature=0, max_tokens=64, **FREE)
    assert all(candidate.tokens == made[0].tokens for candidate in made)
    expected = logprobs(reference, made.prompt_tokens, made[0].tokens)
    best, taken = expected.max(dim=-1).values, expected[torch.arange(len(made[0].tokens)), made[0].tokens]
    assert (best - taken).max() < 1e-3, "a token other than the likeliest may be taken only where the two are even"


def test_candidates_do_not_depend_on_their_number(on_gpu: gavel.Model) -> None:
    generator = gavel.Generator(on_gpu)
    three, ten = (generator.generate(TASKS[0], candidates=n, max_tokens=32, seed=5, **FREE) for n in (3, 10))
    assert [c.tokens for c in three] == [c.tokens for c in ten][:3]


def test_same_call_same_bytes(on_gpu: gavel.Model) -> None:
    first, second = (gavel.Generator(on_gpu).generate(TASKS[1], max_tokens=32, seed=9, **FREE) for _ in range(2))
    assert [(c.tokens, c.logprobs) for c in first] == [(c.tokens, c.logprobs) for c in second]


def test_judge_agrees_with_the_cpu(on_gpu: gavel.Model, on_cpu: gavel.Model) -> None:
    found, expected = (gavel.Judge(model, "verbalizer").judge(TASKS[0], CANDIDATES) for model in (on_gpu, on_cpu))
    assert [v.p_correct for v in found] == pytest.approx([v.p_correct for v in expected], abs=1e-4)


def test_judge_ignores_neighbours(on_gpu: gavel.Model) -> None:
    judge = gavel.Judge(on_gpu, "verbalizer")
    together = judge.judge(TASKS[0], [*CANDIDATES, "    pass\n" * 100])
    alone = [judge.judge(TASKS[0], [code])[0] for code in CANDIDATES]
    assert [v.p_correct for v in together[:3]] == pytest.approx([v.p_correct for v in alone], abs=1e-5)


def test_taps_agree_with_the_cpu(on_gpu: gavel.Model, on_cpu: gavel.Model) -> None:
    found, expected = (gavel.tap(model, TASKS[0], CANDIDATES, [0, 5, 30]) for model in (on_gpu, on_cpu))
    assert found.shape == expected.shape == (3, 3, 576)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_stay_near(precision: str, reference: Any) -> None:
    with gavel.Model.open(bundle(precision), device="cuda") as model:
        made = gavel.Generator(model).generate(TASKS[2], max_tokens=32, **FREE)
    for candidate in made:
        expected = logprobs(reference, made.prompt_tokens, candidate.tokens)
        taken = expected[torch.arange(len(candidate.tokens)), torch.tensor(candidate.tokens)]
        difference = (taken - torch.tensor(candidate.logprobs[: len(candidate.tokens)])).abs()
        assert difference.mean() < 0.25, f"{difference.mean():.3f} on average, {difference.max():.3f} at most"


def test_two_sessions_at_once(on_gpu: gavel.Model) -> None:
    def run(seed: int) -> list[list[int]]:
        made = gavel.Generator(on_gpu).generate(TASKS[seed % 3], candidates=4, max_tokens=32, seed=seed, **FREE)
        return [candidate.tokens for candidate in made]

    alone = [run(seed) for seed in range(6)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(6))) == alone


def test_out_of_memory_leaves_it_usable(on_gpu: gavel.Model) -> None:
    generator = gavel.Generator(on_gpu)
    hog = torch.empty(int(torch.cuda.mem_get_info()[0] * 0.97), dtype=torch.uint8, device="cuda")
    with pytest.raises(gavel.OutOfMemory, match=r"\d"):
        generator.generate(TASKS[2], candidates=1024, max_tokens=on_gpu.context - 1024, **FREE)
    del hog
    torch.cuda.empty_cache()
    assert len(generator.generate(TASKS[0], candidates=2, max_tokens=4, **FREE)) == 2


def test_deadline(on_gpu: gavel.Model) -> None:
    generator = gavel.Generator(on_gpu)
    with pytest.raises(gavel.Cancelled):
        generator.generate(TASKS[2], max_tokens=2048, timeout=0.05, **FREE)
    assert len(generator.generate(TASKS[0], candidates=2, max_tokens=4, **FREE)) == 2


def test_no_such_gpu() -> None:
    with pytest.raises(gavel.DeviceError, match="cuda:99"):
        gavel.Model.open(bundle("fp32"), device="cuda:99")
