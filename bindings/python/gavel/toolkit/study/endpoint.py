"""An OpenAI-compatible endpoint: one question, one answer, and what it cost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from gavel.toolkit.errors import ToolkitError

AGAIN = (408, 429, 500, 502, 503, 504, 529)  # statuses of a server that may answer later
LONGEST_WAIT = 120  # seconds, whatever Retry-After says
SHOWN = 300  # characters of a server's words in a message


class RemoteError(ToolkitError):
    """An endpoint that cannot be reached, refuses, or does not speak the protocol."""


@dataclass(frozen=True)
class Endpoint:
    """Where a remote model is."""

    url: str
    """What stands before ``/chat/completions``, such as ``https://api.openai.com/v1``."""
    model: str
    key_env: str = ""
    """The environment variable that holds the key; empty where none is needed."""
    timeout: float = 60.0
    """Seconds to connect, and seconds without a byte of an answer."""
    attempts: int = 6
    """In all, where the server is busy, fails or is silent; the wait doubles from ``backoff`` seconds on, unless the
    server says how long (Retry-After)."""
    backoff: float = 1.0
    logprobs: bool = True
    """Whether to ask for log-probabilities; some servers refuse requests that do."""


@dataclass
class Usage:
    """What was spent, as the server counts it."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Client:
    """Asks an endpoint. For one thread at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        if not endpoint.url.startswith(("http://", "https://")):
            raise RemoteError(f"url {endpoint.url!r}; expected http:// or https://, up to /v1")
        self.endpoint = endpoint
        self.usage = Usage()
        self._session = requests.Session()
        self._session.auth = _Bearer(_key(endpoint.key_env))
        retry = Retry(
            total=endpoint.attempts - 1,
            status_forcelist=AGAIN,
            allowed_methods={"POST"},
            backoff_factor=endpoint.backoff,
            backoff_max=LONGEST_WAIT,
            retry_after_max=LONGEST_WAIT,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def ask(self, content: str, **settings: Any) -> list[dict[str, Any]]:
        """The choices of the answer to one user message; ``settings`` are further fields of the request."""
        body = {"model": self.endpoint.model, "messages": [{"role": "user", "content": content}], **settings}
        answer = self._post(body)
        try:
            choices = answer["choices"]
            if not choices or any(not isinstance(each["message"], dict) for each in choices):
                raise TypeError
            spent = answer.get("usage") or {}
            self.usage.prompt_tokens += int(spent.get("prompt_tokens") or 0)
            self.usage.completion_tokens += int(spent.get("completion_tokens") or 0)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RemoteError(
                f"{self.where}: an answer without choices of messages: {str(answer)[:SHOWN]}; is this an "
                "OpenAI-compatible endpoint?"
            ) from None
        self.usage.requests += 1
        return choices

    @property
    def where(self) -> str:
        return f"{self.endpoint.url.rstrip('/')}/chat/completions ({self.endpoint.model})"

    def _post(self, body: dict[str, Any]) -> Any:
        url = f"{self.endpoint.url.rstrip('/')}/chat/completions"
        try:
            response = self._session.post(url, json=body, timeout=self.endpoint.timeout, allow_redirects=False)
        except requests.RequestException as error:
            raise RemoteError(
                f"{self.where}: no answer in {self.endpoint.attempts} attempts of {self.endpoint.timeout:g} s "
                f"({_reason(error)}); check the url, the network and the timeout"
            ) from error
        if response.status_code != requests.codes.ok:
            raise RemoteError(f"{self.where}: status {response.status_code}{_advice(response, self.endpoint)}")
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise RemoteError(f"{self.where}: not JSON ({error}): {response.text[:SHOWN]}") from error


class _Bearer(AuthBase):
    """The key, or nothing; set so that no password of a .netrc is sent in its place."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _key(name: str) -> str:
    if not name:
        return ""
    if not os.environ.get(name):
        raise RemoteError(f"the environment variable {name} is not set; it holds the endpoint's key")
    return os.environ[name]


def _reason(error: BaseException) -> str:
    """The innermost cause: what is around it repeats the request."""
    while isinstance(error.args[0] if error.args else None, BaseException):
        error = error.args[0]
    return str(getattr(error, "reason", None) or error)


def _advice(response: requests.Response, endpoint: Endpoint) -> str:
    said = f": {response.text[:SHOWN].strip()}" if response.text.strip() else ""
    if response.status_code in (401, 403):
        return f"{said}; check the key" + (f" in {endpoint.key_env}" if endpoint.key_env else ", name it with key_env")
    if response.status_code in AGAIN:
        return f" after {endpoint.attempts} attempts{said}; try again later, a study goes on where it stopped"
    return said
