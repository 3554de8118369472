"""Remote judges and generators, against a server of the same protocol on this machine."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from openai_server import Answer, said, serving

import gavel
from gavel.toolkit.study.endpoint import Client, Endpoint, RemoteError
from gavel.toolkit.study.remote import RemoteGenerator, RemoteJudge

TASK = gavel.Task("def square(x):\n", "python")


def always(content: Any, status: int = 200) -> Answer:
    return lambda body: (status, content, {})


def endpoint(url: str, **changes: Any) -> Endpoint:
    return Endpoint(**{"url": url, "model": "m", "backoff": 0.01} | changes)


def judged(answer: Any, text: str = "    return x * x\n") -> gavel.Verdict:
    with serving(always(answer)) as server:
        return RemoteJudge("far", endpoint(server.url)).judge(TASK, [gavel.Candidate(text)])[0]


def test_p_correct_is_the_softmax_over_both_words_in_all_spellings() -> None:
    top = {"Yes": math.log(0.5), " yes": math.log(0.1), "No": math.log(0.2), "Maybe": math.log(0.05)}
    verdict = judged(said("Yes", top))
    assert verdict.p_correct == pytest.approx(0.6 / 0.8)
    assert verdict.logit == pytest.approx(math.log(0.6 / 0.2))
    assert verdict.decision == "correct"
    assert verdict.probabilities == pytest.approx([0.75, 0.25])


def test_a_word_that_is_not_told_is_as_likely_as_the_last_that_is() -> None:
    top = {"No": math.log(0.9), "Well": math.log(0.06), "Hm": math.log(0.01)}
    assert judged(said("No", top)).logit == pytest.approx(math.log(0.01 / 0.9))


@pytest.mark.parametrize(
    ("text", "p_correct", "decision"),
    [("Yes.", 1.0, "correct"), ("**no**, since", 0.0, "wrong"), ("It depends", 0.5, "abstain")],
)
def test_without_log_probabilities_the_word_decides(text: str, p_correct: float, decision: str) -> None:
    verdict = judged(said(text))
    assert (verdict.p_correct, verdict.decision, verdict.logit) == (p_correct, decision, None)
    assert verdict.feedback == ("It depends" if decision == "abstain" else "")


def test_the_request_is_what_the_protocol_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    with serving(always(said("Yes"))) as server:
        RemoteJudge("far", endpoint(server.url, key_env="A_KEY")).judge(TASK, [gavel.Candidate("return x * x")])
    body = server.requests[0]
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == ("m", 0, True, 20)
    asked = body["messages"]
    assert [each["role"] for each in asked] == ["user"]
    assert all(text in asked[0]["content"] for text in ("def square(x):", "return x * x", "Python", "Yes or No"))


def test_servers_that_refuse_log_probabilities_are_not_asked_for_them() -> None:
    with serving(always(said("Yes"))) as server:
        RemoteJudge("far", endpoint(server.url, logprobs=False)).judge(TASK, [gavel.Candidate("return 1")])
    assert "logprobs" not in server.requests[0] and "top_logprobs" not in server.requests[0]


def test_no_key_is_sent_where_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serving(always(said("Yes"))) as server:
        Client(endpoint(server.url)).ask("?")
    assert "Authorization" not in server.headers[0]


def test_a_key_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(RemoteError, match="A_KEY is not set"):
        Client(endpoint("http://127.0.0.1:9/v1", key_env="A_KEY"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    answers = iter([(status, {"error": "later"}, {}), (status, {}, {}), (200, said("Yes"), {})])
    with serving(lambda body: next(answers)) as server:
        client = Client(endpoint(server.url))
        assert client.ask("?")[0]["message"]["content"] == "Yes"
    assert len(server.requests) == 3
    assert (client.usage.requests, client.usage.prompt_tokens, client.usage.completion_tokens) == (1, 100, 2)


def test_it_waits_as_long_as_the_server_says() -> None:
    answers = iter([(429, {}, {"Retry-After": "1"}), (200, said("Yes"), {})])
    with serving(lambda body: next(answers)) as server:
        begun = time.monotonic()
        Client(endpoint(server.url)).ask("?")
    assert time.monotonic() - begun >= 1


def test_it_gives_up_and_says_after_how_many_attempts() -> None:
    said_so = pytest.raises(RemoteError, match=r"status 429 after 3 attempts.*slow down")
    with serving(always({"error": {"message": "slow down"}}, 429)) as server, said_so:
        Client(endpoint(server.url, attempts=3)).ask("?")
    assert len(server.requests) == 3


def test_a_refusal_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "very-secret")
    said_so = pytest.raises(RemoteError, match=r"status 401.*bad key.*check the key in A_KEY")
    with serving(always({"error": "bad key"}, 401)) as server, said_so as raised:
        Client(endpoint(server.url, key_env="A_KEY")).ask("?")
    assert len(server.requests) == 1
    assert "very-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"choices": [', "not JSON"),
        ({"object": "error"}, "without choices"),
        ({"choices": []}, "without choices"),
        ({"choices": [{"text": "Yes"}]}, "without choices of messages"),
        ([], "without choices"),
    ],
)
def test_an_answer_that_is_none_is_shown(content: Any, message: str) -> None:
    with serving(always(content)) as server, pytest.raises(RemoteError, match=message):
        Client(endpoint(server.url)).ask("?")


def test_log_probabilities_of_an_unknown_form_are_refused() -> None:
    odd = said("Yes") | {"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": [{"tok": "Yes"}]}}]}
    with pytest.raises(RemoteError, match="logprobs = false"):
        judged(odd)


def test_a_silent_server_is_given_up() -> None:
    def slow(body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        time.sleep(0.6)
        return 200, said("Yes"), {}

    with serving(slow) as server:
        begun = time.monotonic()
        with pytest.raises(RemoteError, match=r"no answer in 2 attempts of 0\.1 s.*timed out"):
            Client(endpoint(server.url, timeout=0.1, attempts=2)).ask("?")
        assert time.monotonic() - begun < 10
    assert len(server.requests) == 2


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(RemoteError, match=r"no answer in 2 attempts.*[Rr]efused"):
        Client(endpoint("http://127.0.0.1:9/v1", attempts=2)).ask("?")


@pytest.mark.parametrize("url", ["127.0.0.1/v1", "file:///etc/passwd"])
def test_another_kind_of_url_is_refused(url: str) -> None:
    with pytest.raises(RemoteError, match="expected http"):
        Client(endpoint(url))


def test_a_redirection_is_not_followed() -> None:
    with serving(always(said("Yes"))) as other:
        said_so = pytest.raises(RemoteError, match="status 307")
        with serving(lambda body: (307, {}, {"Location": other.url})) as server, said_so:
            Client(endpoint(server.url)).ask("?")
    assert other.requests == []


def test_a_generator_takes_code_out_of_answers_and_asks_until_it_has_all() -> None:
    """The server gives two choices at most."""

    def answer(body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        choice = {
            "message": {"content": f"Sure:\n```python\ndef square(x):\n    return {body['seed']}\n```\nDone."},
            "finish_reason": "length",
            "logprobs": {"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -3.0}]},
        }
        return 200, {"choices": [choice] * min(2, body["n"]), "usage": {"prompt_tokens": 7, "completion_tokens": 9}}, {}

    with serving(answer) as server:
        made = RemoteGenerator(endpoint(server.url)).generate(TASK, candidates=5, max_tokens=64, temperature=0.5)
    assert [body["n"] for body in server.requests] == [5, 3, 1]
    assert len({body["seed"] for body in server.requests}) == 3
    assert {(body["max_tokens"], body["temperature"]) for body in server.requests} == {(64, 0.5)}
    assert [each.index for each in made] == [0, 1, 2, 3, 4]
    assert made[0].text == "def square(x):\n    return 0\n"
    assert made[0].raw.startswith("Sure:")
    assert (made[0].finish, made[0].mean_logprob) == ("length", -2.0)
    assert (made.stats.prompt_tokens, made.stats.sampled_tokens) == (21, 27)


def test_an_answer_without_text_is_an_empty_candidate() -> None:
    refused = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    with serving(always(refused)) as server:
        made = RemoteGenerator(endpoint(server.url)).generate(TASK, candidates=1)
    assert (made[0].text, made[0].finish, made[0].mean_logprob) == ("", "given", None)


def test_it_joins_a_team_as_an_equal() -> None:
    def answer(body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        right = "x * x" in body["messages"][0]["content"]
        return (
            200,
            said("Yes" if right else "No", {"Yes": -0.1, "No": -2.0} if right else {"No": -0.1, "Yes": -2.0}),
            {},
        )

    with serving(answer) as server:
        team = gavel.Ranker(judges=[RemoteJudge("far", endpoint(server.url))])
        ranking = team.rank(TASK, ["    return x + x\n", "    return x * x\n"])
    assert ranking.best.candidate.index == 1
    assert (ranking.judges[0].name, ranking.judges[0].kind, ranking.judges[0].trained) == ("far", "remote", False)
    assert ranking.best.verdicts[0].logit == pytest.approx(1.9)


def test_an_endpoint_that_fails_ends_the_ranking_with_its_error() -> None:
    with serving(always({"error": "no"}, 400)) as server:
        team = gavel.Ranker(judges=[RemoteJudge("far", endpoint(server.url))])
        with pytest.raises(RemoteError, match="status 400"):
            team.rank(TASK, ["    return x\n"])
