"""The Python package over the C ABI: the whole line on a tiny bundle, and what bad input gets."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import gavel
from gavel import _ffi

ROOT = Path(__file__).resolve().parents[2]
TASK = gavel.Task("def add(a, b):\n", language="python", id="add")
FEW = {"candidates": 3, "max_tokens": 8}


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Iterator[gavel.Model]:
    with gavel.Model.open(tiny_bundle) as opened:
        yield opened


@pytest.fixture
def generator(model: gavel.Model) -> gavel.Generator:
    return gavel.Generator(model)


class ByLength:
    """A judge of the user's own: shorter is better."""

    def __init__(self) -> None:
        self.seen: list[tuple[gavel.Task, list[gavel.Candidate]]] = []

    def info(self) -> gavel.JudgeInfo:
        return gavel.JudgeInfo("ruler", "length")

    def judge(self, task: gavel.Task, candidates: list[gavel.Candidate]) -> list[gavel.Verdict | float]:
        self.seen.append((task, candidates))
        return [1 / (1 + len(candidate.text)) for candidate in candidates]


# ---- Small parts -----------------------------------------------------------------------------------------------------


def test_normal_form_is_the_program_without_its_layout() -> None:
    assert gavel.normal_form("int  a; // one\n", "java") == gavel.normal_form("int a;", "java")
    assert gavel.normal_form('s = "a  b"  # two', "python") == gavel.normal_form('s = "a  b"', "python")
    assert gavel.normal_form('s = "a  b"', "python") != gavel.normal_form('s = "a b"', "python")
    with pytest.raises(gavel.InvalidArgument, match="language is 'cobol'"):
        gavel.normal_form("x", "cobol")  # type: ignore[arg-type]


# ---- Versions and the library ----------------------------------------------------------------------------------------


def test_one_version() -> None:
    header = (ROOT / "include/gavel/version.hpp").read_text()
    assert re.search(r'#define GAVEL_VERSION "(.*)"', header)[1] == gavel.__version__
    assert _ffi.ffi.string(_ffi.lib().gavel_version()).decode() == gavel.__version__


def test_every_declared_function_is_exported() -> None:
    names = re.findall(r"^GAVEL_API [^(\n]*?(\w+)\(", (ROOT / "capi/gavel.h").read_text(), re.MULTILINE)
    assert len(names) > 50
    missing = [name for name in names if not hasattr(_ffi.lib(), name)]
    assert not missing


def test_every_status_has_its_exception() -> None:
    lib = _ffi.lib()
    for code, error in gavel.errors.BY_CODE.items():
        assert _ffi.ffi.string(lib.gavel_status_name(code)).decode() == error.name
    assert _ffi.ffi.string(lib.gavel_status_name(max(gavel.errors.BY_CODE) + 1)) == b"unknown"


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import gavel; gavel.Model.open('x')"],
        env=os.environ | {"GAVEL_LIBRARY": str(tmp_path / "no.so"), "PYTHONPATH": str(ROOT / "bindings/python")},
        capture_output=True,
        text=True,
    )
    assert "NotFound" in run.stderr and str(tmp_path / "no.so") in run.stderr and "GAVEL_LIBRARY" in run.stderr


@pytest.mark.parametrize("order", ["gavel, torch", "torch, gavel"])
def test_in_one_process_with_torch(order: str, tiny_bundle: Path) -> None:
    code = (
        f"import {order}\nmodel = gavel.Model.open({str(tiny_bundle)!r})\nimport torch\n"
        "a = torch.randn(8, 8) @ torch.randn(8, 8)\nthreads = torch.get_num_threads()\n"
        "gavel.Generator(model).generate('def', candidates=1, max_tokens=2)\n"
        "assert torch.get_num_threads() == threads and torch.is_grad_enabled()\n"
    )
    paths = {"PYTHONPATH": str(ROOT / "bindings/python")}
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | paths, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""


# ---- Model -----------------------------------------------------------------------------------------------------------


def test_model_says_what_it_is(model: gavel.Model, tiny_bundle: Path) -> None:
    assert model.name == model.manifest["name"]
    assert model.manifest_json == (tiny_bundle / "gavel.json").read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", model.digest)
    assert model.device == "cpu" and model.context == 1024 and not model.has_probe
    assert model.tokenizer_digest == model.manifest["files"]["tokenizer.json"]["sha256"]


def test_estimate_adds_up(model: gavel.Model) -> None:
    small, large = model.estimate(10, 1, 10), model.estimate(100, 10, 100)
    assert large.total == large.weights + large.prefix + large.own + large.scratch
    assert large.own > small.own and large.prefix >= small.prefix


def test_open_with_every_check(tiny_bundle: Path, model: gavel.Model) -> None:
    with gavel.Model.open(tiny_bundle, pin=model.digest, verify_weights=True, self_test=True) as opened:
        opened.self_test()


def test_closed_objects_say_so(tiny_bundle: Path) -> None:
    model = gavel.Model.open(tiny_bundle)
    generator = gavel.Generator(model)
    model.close()
    model.close()
    with pytest.raises(gavel.InvalidArgument, match="closed"):
        model.self_test()
    assert len(generator.generate(TASK, **FEW)) == 3  # a child keeps what it needs


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"pin": "0" * 64}, gavel.CorruptBundle),
        ({"pin": "abc"}, gavel.GavelError),
        ({"device": "abacus"}, gavel.GavelError),
        ({"device": "cuda:99"}, gavel.DeviceError),
        ({"device": "cpu\0"}, gavel.InvalidArgument),
    ],
)
def test_open_refuses(changes: dict, error: type[gavel.GavelError], tiny_bundle: Path) -> None:
    with pytest.raises(error):
        gavel.Model.open(tiny_bundle, **changes)


def test_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.gavel") as caught:
        gavel.Model.open(tmp_path / "nothing.gavel")
    assert isinstance(caught.value, gavel.NotFound) and caught.value.code == 2


@pytest.mark.parametrize("name", ["gavel.json", "program.pt", "tokenizer.json"])
@pytest.mark.parametrize("at", [0, -20])
def test_one_flipped_bit_is_refused_at_load(
    name: str, at: int, tiny_copy: Path, flip: Callable[[Path, int], None]
) -> None:
    digest = gavel.Model.open(tiny_copy).digest
    flip(tiny_copy / name, at)
    with pytest.raises(gavel.GavelError):
        gavel.Model.open(tiny_copy, pin=digest if name == "gavel.json" else "")


def test_one_flipped_bit_in_the_weights(tiny_copy: Path, flip: Callable[[Path, int], None]) -> None:
    flip(tiny_copy / "weights.safetensors", -20)
    with pytest.raises(gavel.CorruptBundle, match="weights"):
        gavel.Model.open(tiny_copy, verify_weights=True)


@pytest.mark.parametrize("name", ["gavel.json", "program.pt", "tokenizer.json", "weights.safetensors"])
def test_truncated_bundle(name: str, tiny_copy: Path) -> None:
    file = tiny_copy / name
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(gavel.CorruptBundle, match=re.escape(name)):
        gavel.Model.open(tiny_copy)


@pytest.mark.parametrize("name", ["program.pt", "tokenizer.json", "weights.safetensors"])
def test_bundle_with_a_file_missing(name: str, tiny_copy: Path) -> None:
    (tiny_copy / name).unlink()
    with pytest.raises(gavel.GavelError, match=re.escape(name)):
        gavel.Model.open(tiny_copy)


def edit(bundle: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((bundle / "gavel.json").read_text())
    change(manifest)
    (bundle / "gavel.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(format=99), "99"),
        (lambda m: m["files"].update({"../outside": m["files"]["program.pt"]}), "outside"),
        (lambda m: m["tokenizer"].update(file="/etc/passwd"), "passwd"),
        (lambda m: m["architecture"].update(hidden=128), "hidden|shape|embedding|128"),
        (lambda m: m["architecture"].update(layers=3), "layer"),
        (lambda m: m["tokenizer"].update(size=m["tokenizer"]["size"] + 1), "token"),
        (lambda m: m["architecture"].pop("heads"), "heads"),
    ],
)
def test_manifest_that_contradicts_is_refused(change: Callable[[dict], object], words: str, tiny_copy: Path) -> None:
    edit(tiny_copy, change)
    with pytest.raises((gavel.CorruptBundle, gavel.Unsupported), match=words):
        gavel.Model.open(tiny_copy)


# ---- Tokenizer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "def add(a, b):\n", "größer ≠ 世界 🎉", "<|im_end|>", "a\0b"])
def test_tokenizer_round_trip(text: str, model: gavel.Model, tiny_bundle: Path) -> None:
    for tokenizer in (model.tokenizer, gavel.Tokenizer.open(tiny_bundle / "tokenizer.json")):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert b"".join(tokenizer.token_bytes(each) for each in ids) == text.encode()
        assert tokenizer.id("<|im_end|>") not in ids
    assert len(model.tokenizer) == model.manifest["tokenizer"]["size"]


def test_special_tokens_only_where_asked(model: gavel.Model) -> None:
    end = model.tokenizer.id("<|im_end|>")
    assert model.tokenizer.encode("<|im_end|>", special=True) == [end]
    assert model.tokenizer.decode([end]) == "" and model.tokenizer.decode([end], special=True) == "<|im_end|>"
    assert model.tokenizer.id("no such token") is None


def test_tokenizer_refuses(model: gavel.Model, tmp_path: Path) -> None:
    with pytest.raises(gavel.InvalidArgument):
        model.tokenizer.encode("half a pair \ud800")
    for bad in ([-1], [len(model.tokenizer)], [2**40], ["x"]):
        with pytest.raises(gavel.InvalidArgument):
            model.tokenizer.decode(bad)
    with pytest.raises(gavel.NotFound):
        gavel.Tokenizer.open(tmp_path / "tokenizer.json")


# ---- Generator -------------------------------------------------------------------------------------------------------


def test_generate(generator: gavel.Generator, model: gavel.Model) -> None:
    made = generator.generate(TASK, seed=3, **FEW)
    assert [each.index for each in made] == [0, 1, 2]
    assert made.stats.sampled_tokens > 0 and made.stats.prompt_tokens == len(made.prompt_tokens)
    for each in made:
        assert len(each.tokens) == len(each.logprobs) <= 8 and all(value <= 0 for value in each.logprobs)
        assert each.finish in ("stop_token", "stop_string", "length")
        assert each.tokenizer == model.tokenizer_digest
        if each.tokens:
            assert each.mean_logprob == pytest.approx(np.mean(each.logprobs))


def test_a_candidate_depends_on_seed_and_index_alone(generator: gavel.Generator) -> None:
    three = generator.generate(TASK, seed=3, **FEW)
    one = generator.generate(TASK, seed=3, candidates=1, max_tokens=8)
    again = generator.generate(TASK, seed=3, **FEW)
    other = generator.generate(TASK, seed=4, **FEW)
    assert [each.tokens for each in three] == [each.tokens for each in again]
    assert one[0].tokens == three[0].tokens
    assert [each.tokens for each in other] != [each.tokens for each in three]


def test_many_tasks_in_one_call(generator: gavel.Generator) -> None:
    tasks = [TASK, gavel.Task("Write a sum.", prompting="chat", language="java"), "class A {"]
    made = generator.generate_many(tasks, seed=1, **FEW)
    assert [len(each) for each in made] == [3, 3, 3]
    assert made[0][1].tokens == generator.generate(TASK, seed=1, **FEW)[1].tokens
    assert generator.generate_many([]) == []


def test_greedy_is_the_same_for_all(generator: gavel.Generator) -> None:
    made = generator.generate(TASK, temperature=0, **FEW)
    assert made[0].tokens == made[1].tokens == made[2].tokens


def test_stream_tells_all(generator: gavel.Generator) -> None:
    events: list[gavel.StreamEvent] = []
    made = generator.generate(TASK, stream=events.append, language_stops=False, seed=2, **FEW)
    assert sorted(event.candidate for event in events if event.finished) == [0, 1, 2]
    for each in made:
        pieces = [event for event in events if event.candidate == each.index]
        assert [event.token for event in pieces if event.token >= 0][: len(each.tokens)] == each.tokens
        assert "".join(event.text for event in pieces).startswith(each.text[:4])


def test_stop_string_that_spans_tokens(generator: gavel.Generator) -> None:
    plain = generator.generate(TASK, temperature=0, candidates=1, max_tokens=24, language_stops=False)[0]
    assert len(plain.text) > 8
    stop = plain.text[3:8]
    cut = generator.generate(TASK, temperature=0, candidates=1, max_tokens=24, language_stops=False, stop=[stop])[0]
    assert cut.text == plain.text[: plain.text.index(stop)] and cut.finish == "stop_string"


def test_stop_token(generator: gavel.Generator) -> None:
    plain = generator.generate(TASK, temperature=0, candidates=1, max_tokens=8, language_stops=False)[0]
    stop = plain.tokens[2]
    cut = generator.generate(TASK, temperature=0, candidates=1, max_tokens=8, language_stops=False, stop_tokens=[stop])[
        0
    ]
    assert cut.tokens == plain.tokens[: plain.tokens.index(stop)] and cut.finish == "stop_token"


@pytest.mark.parametrize(
    "options",
    [
        {"candidates": 0},
        {"candidates": -1},
        {"candidates": 10_000},
        {"candidates": 10**12},
        {"candidates": 2.5},
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"min_p": 1.0},
        {"repetition_penalty": 0.0},
        {"presence_penalty": 3.0},
        {"seed": -1},
        {"stop": [""]},
        {"stop": "text"},
        {"stop": ["\ud800"]},
        {"stop_tokens": [10**6]},
        {"stop_tokens": [-1]},
    ],
    ids=str,
)
def test_options_out_of_range(options: dict, generator: gavel.Generator) -> None:
    with pytest.raises(gavel.InvalidArgument) as caught:
        generator.generate(TASK, **({"max_tokens": 4} | options))
    assert str(caught.value)
    assert len(generator.generate(TASK, candidates=1, max_tokens=2)) == 1  # the object is as usable as before


def test_unknown_option(generator: gavel.Generator) -> None:
    with pytest.raises(TypeError, match="temprature"):
        generator.generate(TASK, temprature=0.5)


@pytest.mark.parametrize(
    "task",
    [
        "",
        gavel.Task(""),
        gavel.Task("half a pair \ud800"),
        gavel.Task("x", language="cobol"),
        gavel.Task("x", prompting="shout"),
        gavel.Task(None),
        "word " * 2000,
    ],
    ids=["empty text", "empty", "not UTF-8", "language", "prompting", "no text", "longer than the context"],
)
def test_tasks_that_are_refused(task: gavel.Task | str, generator: gavel.Generator) -> None:
    with pytest.raises(gavel.InvalidArgument):
        generator.generate(task, **FEW)


def test_no_memory_for_the_cache_says_how_much_was_needed(tiny_bundle: Path) -> None:
    code = (
        "import resource, gavel, sys\n"
        f"model = gavel.Model.open({str(tiny_bundle)!r})\n"
        "generator = gavel.Generator(model)\n"
        "generator.generate('def', candidates=1, max_tokens=2)\n"
        "in_use = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (in_use + (8 << 20), -1))\n"
        "try:\n    generator.generate('def', candidates=1024, max_tokens=900)\n"
        "except gavel.OutOfMemory as error:\n    print(error)\nelse:\n    sys.exit('it fitted')\n"
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "assert len(generator.generate('def', candidates=1, max_tokens=2)) == 1\n"
    )
    paths = {"PYTHONPATH": str(ROOT / "bindings/python")}
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | paths, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.search(r"\d", run.stdout)


# ---- Cancelling ------------------------------------------------------------------------------------------------------


def test_callback_that_throws(generator: gavel.Generator) -> None:
    class Odd(Exception):
        pass

    def stream(event: gavel.StreamEvent) -> None:
        raise Odd(event.candidate)

    with pytest.raises(Odd):
        generator.generate(TASK, stream=stream, **FEW)
    assert len(generator.generate(TASK, **FEW)) == 3


def test_cancelled_before_and_while_writing(generator: gavel.Generator) -> None:
    cancel = gavel.Cancel()
    seen: list[gavel.StreamEvent] = []

    def stream(event: gavel.StreamEvent) -> None:
        seen.append(event)
        cancel.trigger()

    with pytest.raises(gavel.Cancelled):
        generator.generate(TASK, stream=stream, cancel=cancel, candidates=2, max_tokens=200, language_stops=False)
    assert 0 < len(seen) <= 4 and cancel.due
    with pytest.raises(gavel.Cancelled):  # in the prefill already
        generator.generate(TASK, cancel=cancel, **FEW)
    assert len(generator.generate(TASK, **FEW)) == 3


def test_timeout(generator: gavel.Generator) -> None:
    with pytest.raises(gavel.Cancelled):
        generator.generate(TASK, timeout=0, **FEW)
    with pytest.raises(gavel.InvalidArgument):
        generator.generate(TASK, timeout=-1, **FEW)
    assert len(generator.generate(TASK, timeout=600, **FEW)) == 3


def test_ctrl_c_ends_a_call(generator: gavel.Generator) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background starts with it ignored
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    tasks = [gavel.Task("x = 1\n" * 20)] * 3000
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        generator.generate_many(tasks, candidates=16, max_tokens=100, language_stops=False)
    assert time.monotonic() - begun < 10
    assert len(generator.generate(TASK, **FEW)) == 3


def test_two_threads_on_one_generator_are_refused(generator: gavel.Generator) -> None:
    inside, leave = threading.Event(), threading.Event()

    def stream(event: gavel.StreamEvent) -> None:
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=lambda: generator.generate(TASK, stream=stream, **FEW))
    thread.start()
    assert inside.wait(10)
    with pytest.raises(gavel.InvalidArgument, match="one Generator per thread"):
        generator.generate(TASK, **FEW)
    leave.set()
    thread.join()


def test_two_generators_on_one_model_in_two_threads(model: gavel.Model) -> None:
    alone = [each.tokens for each in gavel.Generator(model).generate(TASK, seed=7, **FEW)]
    found: list[list[list[int]]] = []

    def work() -> None:
        own = gavel.Generator(model)
        for _ in range(5):
            found.append([each.tokens for each in own.generate(TASK, seed=7, **FEW)])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 10


# ---- Judge -----------------------------------------------------------------------------------------------------------


def test_verbalizer(model: gavel.Model) -> None:
    judge = gavel.Judge(model, "verbalizer")
    info = judge.info()
    assert info.kind == "verbalizer" and not info.trained and info.digest == model.digest
    codes = ["    return a + b\n", "    return a - b\n", "    pass\n"]
    verdicts = judge.judge(TASK, codes)
    assert all(0 <= each.p_correct <= 1 and each.logit is not None for each in verdicts)
    for code, verdict in zip(codes, verdicts, strict=True):  # neighbours do not matter
        assert judge.judge(TASK, [code])[0].p_correct == pytest.approx(verdict.p_correct, abs=1e-5)
    assert judge.judge(TASK, []) == []


def test_threshold_and_abstention_are_results(model: gavel.Model) -> None:
    codes = ["    return a + b\n"]
    assert gavel.Judge(model, "verbalizer", threshold=0.0).judge(TASK, codes)[0].decision == "correct"
    assert gavel.Judge(model, "verbalizer", threshold=1.0).judge(TASK, codes)[0].decision == "wrong"
    assert gavel.Judge(model, "verbalizer", abstain_band=1.0).judge(TASK, codes)[0].decision == "abstain"


@pytest.mark.parametrize("kind", ["classifier", "probe"])
def test_a_judge_the_bundle_has_not(kind: str, model: gavel.Model) -> None:
    with pytest.raises(gavel.GavelError, match=kind):
        gavel.Judge(model, kind)


@pytest.mark.parametrize("options", [{"threshold": 2.0}, {"abstain_band": -1.0}, {"kind": "oracle"}], ids=str)
def test_judge_options_out_of_range(options: dict, model: gavel.Model) -> None:
    with pytest.raises(gavel.InvalidArgument):
        gavel.Judge(model, **({"kind": "verbalizer"} | options))


def test_judge_refuses(model: gavel.Model) -> None:
    judge = gavel.Judge(model, "verbalizer")
    with pytest.raises(gavel.InvalidArgument, match="1"):
        judge.judge(TASK, ["    return 1\n", ""])
    for task, codes in ((gavel.Task(""), ["x"]), (TASK, ["\ud800"]), (TASK, ["word " * 2000]), (TASK, [3])):
        with pytest.raises(gavel.InvalidArgument):
            judge.judge(task, codes)
    with pytest.raises(gavel.Cancelled):
        judge.judge(TASK, ["x = 1"], timeout=0)


def test_tap(model: gavel.Model, generator: gavel.Generator) -> None:
    made = generator.generate(TASK, seed=1, language_stops=False, **FEW)
    states = gavel.tap(model, TASK, made.candidates, [0, 1, 2])
    assert states.shape == (3, 3, 64) and states.dtype == np.float32 and np.isfinite(states).all()
    one = gavel.tap(model, TASK, [made[1]], [2])
    np.testing.assert_allclose(one[0, 0], states[1, 2], atol=1e-4)
    assert gavel.tap(model, TASK, [], [1]).shape[0] == 0
    with pytest.raises(gavel.InvalidArgument):
        gavel.tap(model, TASK, made.candidates, [3])


def test_probe_scores_the_same_while_writing_and_afterwards(tiny_copy: Path) -> None:
    from gavel.toolkit.bundle import add_probe

    weights = np.random.default_rng(1).normal(size=64).tolist()
    probe = {"format": 1, "layers": [1], "weights": [weights], "bias": 0.1, "threshold": 0.5, "abstain_band": 0.0}
    probe |= {"calibration": {"scale": 0.7, "shift": 0.2}, "figures": {}, "fitted_on": "noise", "base": "tiny"}
    add_probe(tiny_copy, probe | {"regularisation": 1.0})
    with gavel.Model.open(tiny_copy) as model:
        assert model.has_probe
        made = gavel.Generator(model).generate(TASK, seed=1, language_stops=False, **FEW)
        judge = gavel.Judge(model)
        assert judge.info().kind == "probe" and judge.info().trained
        for candidate, verdict in zip(made, judge.judge(TASK, made.candidates), strict=True):
            assert candidate.p_correct == pytest.approx(verdict.p_correct, abs=1e-4)
            state = gavel.tap(model, TASK, [candidate], [1])[0, 0]
            logit = float(state @ np.array(weights)) + 0.1
            assert verdict.logit == pytest.approx(logit, abs=1e-3)
        without = gavel.Generator(model).generate(TASK, probe=False, **FEW)
        assert all(each.p_correct is None for each in without)
        solved = gavel.Ranker(gavel.Generator(model), judges=[judge]).solve(TASK, seed=1, language_stops=False, **FEW)
        for ranked in solved.ranked:  # a team whose judge is the writer's probe takes what that said, to the bit
            assert ranked.verdicts[0].logit == ranked.candidate.probe_logit
            assert ranked.candidate.p_correct == np.float32(ranked.verdicts[0].p_correct)


def format_2(terms: list[dict], **more: object) -> dict:
    return {
        "format": 2,
        "terms": terms,
        "bias": 0.1,
        "threshold": 0.5,
        "abstain_band": 0.0,
        "calibration": {"scale": 0.7, "shift": 0.2},
    } | more


def test_tokens_are_tapped_in_one_pass(model: gavel.Model, generator: gavel.Generator) -> None:
    made = generator.generate(TASK, seed=1, language_stops=False, **FEW)
    each = gavel.tap_tokens(model, TASK, made.candidates, [1, 2])
    assert [states.shape for states in each] == [(len(one.tokens), 2, 64) for one in made]
    means = gavel.tap(model, TASK, made.candidates, [1, 2])
    for states, mean, one in zip(each, means, made, strict=True):
        np.testing.assert_allclose(states.mean(0), mean, atol=1e-4)
        # A token's state does not know what comes behind it.
        begun = gavel.Candidate("x", tokens=one.tokens[:5], tokenizer=one.tokenizer)
        np.testing.assert_allclose(gavel.tap_tokens(model, TASK, [begun], [1, 2])[0], states[:5], atol=1e-4)
    assert gavel.tap_tokens(model, TASK, [], [1]) == []
    with pytest.raises(gavel.InvalidArgument):
        gavel.tap_tokens(model, TASK, made.candidates, [3])


@pytest.mark.parametrize("poolings", [("mean", "last"), ("tail",), ("attention", "mean")])
def test_poolings_score_the_same_while_writing_and_afterwards(poolings: tuple[str, ...], tiny_copy: Path) -> None:
    from gavel.toolkit.bundle import add_probe

    random = np.random.default_rng(1)
    terms = [
        {"layer": layer, "pooling": pooling, "weights": random.normal(size=64).tolist()}
        | ({"query": (0.3 * random.normal(size=64)).tolist()} if pooling == "attention" else {})
        for layer in (2, 1)
        for pooling in poolings
    ]
    add_probe(tiny_copy, format_2(terms))
    with gavel.Model.open(tiny_copy) as model:
        made = gavel.Generator(model).generate(TASK, seed=1, language_stops=False, **FEW)
        verdicts = gavel.Judge(model).judge(TASK, made.candidates)
        for candidate, verdict in zip(made, verdicts, strict=True):
            expected = 0.1
            for term in terms:
                states = gavel.tap_tokens(model, TASK, [candidate], [term["layer"]])[0][:, 0].astype(np.float64)
                if term["pooling"] == "last":
                    weights = np.eye(len(states))[-1]
                elif term["pooling"] == "tail":
                    weights = np.arange(len(states)) >= len(states) - math.ceil(len(states) / 4)
                elif term["pooling"] == "attention":
                    weights = np.exp(states @ term["query"])
                else:
                    weights = np.ones(len(states))
                expected += weights / weights.sum() @ states @ term["weights"]
            assert candidate.probe_logit == pytest.approx(expected, abs=1e-3)
            assert verdict.logit == pytest.approx(expected, abs=1e-3)


def test_an_early_probe_stops_candidates_and_changes_no_other(tiny_int8_bundle: Path, tmp_path: Path) -> None:
    from gavel.toolkit.bundle import add_probe

    tiny_copy = shutil.copytree(tiny_int8_bundle, tmp_path / "copy.gavel")
    weights = np.random.default_rng(1).normal(size=64)
    term = {"layer": 1, "pooling": "mean", "weights": weights.tolist()}
    options = {"candidates": 8, "max_tokens": 24, "seed": 1, "language_stops": False}
    add_probe(tiny_copy, format_2([term]))
    with gavel.Model.open(tiny_copy) as model:
        plain = gavel.Generator(model).generate(TASK, **options)
        with pytest.raises(gavel.Unsupported, match="no early probes"):
            gavel.Generator(model).generate(TASK, stop_below=0.5, **options)
        said = {}  # P(correct) of the first tokens, for both early probes
        for tokens in (4, 9):
            states = gavel.tap_tokens(model, TASK, plain.candidates, [1])
            logits = [float(each[:tokens, 0].mean(0) @ weights) for each in states]
            said[tokens] = 1 / (1 + np.exp(-np.array(logits)))
    below = float(np.median(said[9]))
    early = [
        {"tokens": tokens, "terms": [term], "bias": 0.0, "calibration": {"scale": 1.0, "shift": 0.0}}
        for tokens in (4, 9)
    ]
    add_probe(tiny_copy, format_2([term], early=early))
    events: list[gavel.StreamEvent] = []
    with gavel.Model.open(tiny_copy) as model:
        made = gavel.Generator(model).generate(TASK, stop_below=below, stream=events.append, **options)
        team = gavel.Ranker(gavel.Generator(model), judges=[gavel.Judge(model), ByLength()])
        ranking = team.solve(TASK, stop_below=below, **options)
        for bad in ({"stop_below": 1.5}, {"stop_below": -0.1}, {"stop_below": 0.5, "probe": False}):
            with pytest.raises(gavel.InvalidArgument, match="stop_below"):
                gavel.Generator(model).generate(TASK, **options | bad)
    stopped = 0
    for before, after in zip(plain, made, strict=True):
        at = next((n for n in (4, 9) if len(before.tokens) > n and said[n][before.index] < below), None)
        if at is None:
            assert after == before
        else:
            stopped += 1
            assert after.finish == "stopped_by_probe" and after.tokens == before.tokens[:at]
            assert before.raw.startswith(after.raw) and after.p_correct is not None
        mine = [event for event in events if event.candidate == before.index]
        assert "".join(event.text for event in mine) == after.text
        assert [event.finished for event in mine] == [False] * (len(mine) - 1) + [True]
    assert 0 < stopped < 8 and made.stats.stopped == stopped and plain.stats.stopped == 0
    assert made.stats.sampled_tokens < plain.stats.sampled_tokens
    # In a team the unfinished ones come last, and no judge is asked about them.
    places = [each.candidate.finish == "stopped_by_probe" for each in ranking.ranked]
    assert places == sorted(places) and sum(places) == stopped
    assert all(each.score == 0 for each, last in zip(ranking.ranked, places, strict=True) if last)


# ---- Ranker ----------------------------------------------------------------------------------------------------------


def test_solve(generator: gavel.Generator, model: gavel.Model) -> None:
    own = ByLength()
    team = gavel.Ranker(generator, judges=[gavel.Judge(model, "verbalizer"), own])
    ranking = team.solve(TASK, seed=1, weights=[1, 3], language_stops=False, **FEW)
    assert [judge.kind for judge in ranking.judges] == ["verbalizer", "length"]
    assert [each.score for each in ranking.ranked] == sorted((each.score for each in ranking.ranked), reverse=True)
    for each in ranking.ranked:
        first, second = each.verdicts
        assert each.score == pytest.approx((first.p_correct + 3 * second.p_correct) / 4)
    assert ranking.best is ranking.ranked[0] and ranking.reason
    assert ranking.generator_digest == model.digest and ranking.stats.sampled_tokens > 0
    assert ranking.record["reason"] == ranking.reason and len(ranking.record["ranked"]) == 3
    assert own.seen[0][0] == TASK
    made = generator.generate(TASK, seed=1, language_stops=False, **FEW)
    assert {each.candidate.text for each in ranking.ranked} == {each.text for each in made}


def test_rank_judges_the_same_once() -> None:
    own = ByLength()
    codes = ["    return a + b + 0\n", "    return a + b\n", "    return a  +  b  # the sum\n"]
    ranking = gavel.Ranker(judges=[own]).rank(TASK, codes)
    assert len(own.seen[0][1]) == 2
    assert ranking.best.candidate.index == 1 and ranking.best.multiplicity == 2
    assert {each.candidate.index: each.representative for each in ranking.ranked} == {0: 0, 1: 1, 2: 1}
    assert ranking.best.verdicts[0].logit is None and ranking.generator_digest == ""


@pytest.mark.parametrize("aggregation", ["mean_probability", "mean_logit", "vote", "minimum", "maximum", "stacked"])
def test_aggregations(aggregation: str) -> None:
    team = gavel.Ranker(judges=[ByLength(), ByLength()])
    ranking = team.rank(TASK, ["aaaa", "a"], aggregation=aggregation, weights=[1, 1])
    assert ranking.best.candidate.text == "a" or aggregation == "vote"


def test_without_judges_the_log_probability_decides(generator: gavel.Generator) -> None:
    ranking = gavel.Ranker(generator).solve(TASK, seed=1, language_stops=False, **FEW)
    likelihoods = [each.candidate.mean_logprob for each in ranking.ranked]
    assert likelihoods == sorted(likelihoods, reverse=True)


def test_what_an_own_judge_raises_reaches_the_caller() -> None:
    class Broken(ByLength):
        def judge(self, task: gavel.Task, candidates: list[gavel.Candidate]) -> list[float]:
            raise ZeroDivisionError("the ruler is broken")

    class Lazy(ByLength):
        def judge(self, task: gavel.Task, candidates: list[gavel.Candidate]) -> list[float]:
            return []

    class Wild(ByLength):
        def judge(self, task: gavel.Task, candidates: list[gavel.Candidate]) -> list[float]:
            return [float("nan")] * len(candidates)

    with pytest.raises(ZeroDivisionError, match="broken"):
        gavel.Ranker(judges=[Broken()]).rank(TASK, ["x"])
    with pytest.raises(gavel.InvalidArgument, match="ruler"):
        gavel.Ranker(judges=[Lazy()]).rank(TASK, ["x"])
    with pytest.raises(gavel.InvalidArgument, match="nan"):
        gavel.Ranker(judges=[Wild()]).rank(TASK, ["x"])


def test_ranker_refuses(generator: gavel.Generator) -> None:
    own = gavel.Ranker(generator, judges=[ByLength()])
    with pytest.raises(gavel.InvalidArgument):
        own.rank(TASK, [])
    with pytest.raises(gavel.InvalidArgument):
        own.rank(TASK, ["x"], weights=[1, 2])
    with pytest.raises(gavel.InvalidArgument, match="mode"):
        own.rank(TASK, ["x"], aggregation="mode")
    with pytest.raises(gavel.InvalidArgument):
        gavel.Ranker(judges=[ByLength()]).solve(TASK)


def test_the_whole_line_on_a_real_model(smollm2_bundle: Path) -> None:
    with gavel.Model.open(smollm2_bundle, self_test=True) as model:
        team = gavel.Ranker(gavel.Generator(model), judges=[gavel.Judge(model, "verbalizer")])
        ranking = team.solve(gavel.Task("def add(a, b):\n", language="python"), candidates=4, max_tokens=24)
        assert len(ranking.ranked) == 4 and not ranking.judges[0].trained


def test_a_java_completion_ends_with_its_method_and_closes_the_class(smollm2_bundle: Path) -> None:
    prompt = "class One {\n    public static int one() {\n        return 1;\n"
    events: list[gavel.StreamEvent] = []
    with gavel.Model.open(smollm2_bundle) as model:
        task = gavel.Task(prompt, language="java")
        candidate = gavel.Generator(model).generate(
            task, stream=events.append, candidates=1, max_tokens=48, temperature=0
        )[0]
    assert candidate.finish == "stop_string"
    assert candidate.text.endswith("    }\n}") and candidate.raw.startswith(candidate.text.removesuffix("\n}"))
    assert "".join(event.text for event in events) == candidate.text
