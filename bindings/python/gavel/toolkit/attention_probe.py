"""A small attention-pooled head: a probe that learns which tokens to look at.

Each of a few heads weighs a candidate's tokens by softmax(query . state) and adds the weighed mean of weights . state
to the log-odds. It starts as the logistic regression on mean states (queries near 0) and stops where held-out problems
no longer rank better, so that it need not be worse. The engine runs it token by token as an online softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from gavel.toolkit import cross_validation
from gavel.toolkit.cross_validation import auroc
from gavel.toolkit.figures import Bootstrap, weighted_auroc
from gavel.toolkit.taps import Indices, Taps, TokenStates

Doubles = NDArray[np.float64]
HEADS, FOLDS, BATCH = 4, 5, 32
EPOCHS, PATIENCE, HELD_OUT = 60, 6, 0.15
RATE, DECAY, STRENGTH = 1e-3, 0.01, 1e-3  # of AdamW; C of the regression it starts from
DRAWS = 2000


@dataclass(frozen=True)
class AttentionHead:
    """logit = bias + sum over heads of sum over tokens of softmax(queries . state) (weights . state)."""

    queries: Doubles  # [heads, hidden]
    weights: Doubles  # [heads, hidden]
    bias: float

    def logits(self, states: TokenStates, among: Indices) -> Doubles:
        found = np.empty(len(among))
        for row, candidate in enumerate(among):
            tokens = np.asarray(states.states[slice(*states.starts[candidate : candidate + 2])], np.float64)
            scores = tokens @ self.queries.T
            attention = np.exp(scores - scores.max(0))
            found[row] = self.bias + (attention / attention.sum(0) * (tokens @ self.weights.T)).sum()
        return found

    def terms(self, layer: int) -> list[dict[str, Any]]:
        return [
            {"layer": layer, "pooling": "attention", "query": query.tolist(), "weights": weights.tolist()}
            for query, weights in zip(
                self.queries.astype(np.float32).astype(float),
                self.weights.astype(np.float32).astype(float),
                strict=True,
            )
        ]


class _Pool(nn.Module):
    def __init__(self, start: Doubles, bias: float, seed: int) -> None:
        super().__init__()
        noise = torch.randn(HEADS, len(start), generator=torch.Generator().manual_seed(seed))
        self.queries = nn.Parameter(0.01 * noise)
        self.weights = nn.Parameter(torch.tensor(start / HEADS, dtype=torch.float32).repeat(HEADS, 1))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32))

    def forward(self, tokens: Tensor, padding: Tensor) -> Tensor:
        """[candidates] from [candidates, tokens, hidden]; padding [candidates, tokens] is true where there is none."""
        scores = (tokens @ self.queries.T).masked_fill(padding.unsqueeze(-1), -torch.inf)
        return self.bias + (scores.softmax(1) * (tokens @ self.weights.T)).sum((1, 2))


class _Data:
    """Standardised token states of the candidates, padded batch by batch."""

    def __init__(self, states: TokenStates, training: Indices) -> None:
        self.states = states
        self.scaler = StandardScaler()
        for begin in range(0, len(training), BATCH):
            self.scaler.partial_fit(np.concatenate([self._of(one) for one in training[begin : begin + BATCH]]))

    def _of(self, candidate: int) -> NDArray[np.float32]:
        return np.asarray(self.states.states[slice(*self.states.starts[candidate : candidate + 2])], np.float32)

    def batch(self, candidates: Indices) -> tuple[Tensor, Tensor]:
        each = [torch.from_numpy(self.scaler.transform(self._of(one))).float() for one in candidates]
        lengths = torch.tensor([len(one) for one in each])
        padding = torch.arange(int(lengths.max())) >= lengths[:, None]
        return pad_sequence(each, batch_first=True), padding


def fit(taps: Taps, among: Indices, seed: int) -> AttentionHead:
    """Trains on most of the problems among those candidates, and stops by the rest of them."""
    states = taps.token_states
    assert states is not None
    splitter = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed)
    training, held_out = (among[part] for part in next(splitter.split(among, groups=taps.problem[among])))
    data = _Data(states, training)
    means = np.stack([data._of(one).mean(0) for one in training])
    start = cross_validation.fit(means, taps.passed[training], STRENGTH)
    scale, middle = data.scaler.scale_, data.scaler.mean_
    model = _Pool(start.weights * scale, start.bias + float(start.weights @ middle), seed)
    best = _train(model, data, training, held_out, taps.passed, seed)
    queries, weights = best["queries"].double().numpy() / scale, best["weights"].double().numpy() / scale
    return AttentionHead(queries, weights, float(best["bias"]) - float(weights.sum(0) @ middle))


def _train(
    model: _Pool, data: _Data, training: Indices, held_out: Indices, passed: NDArray[np.bool_], seed: int
) -> dict[str, Tensor]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    loss = nn.BCEWithLogitsLoss()
    random = np.random.default_rng(seed)

    def score() -> float:
        with torch.no_grad():
            batches = np.array_split(held_out, max(1, len(held_out) // BATCH))
            logits = torch.cat([model(*data.batch(batch)) for batch in batches])
        return auroc(logits.double().numpy(), passed[held_out])

    def copy() -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    best, kept, since = score(), copy(), 0
    for _ in range(EPOCHS):
        for batch in np.array_split(random.permutation(training), max(1, len(training) // BATCH)):
            optimizer.zero_grad()
            loss(model(*data.batch(batch)), torch.from_numpy(passed[batch]).float()).backward()
            optimizer.step()
        now = score()
        since = 0 if now > best else since + 1
        if now > best:
            best, kept = now, copy()
        if since == PATIENCE:
            break
    return kept


def out_of_fold(taps: Taps, seed: int, folded: Any = None) -> Doubles:
    """Each candidate's logit from a head that saw nothing of its problem."""
    states = taps.token_states
    assert states is not None
    logits = np.empty(len(taps.passed))
    for training, held_out in cross_validation.folds_over_tasks(taps.problem, FOLDS, seed):
        logits[held_out] = fit(taps, training, seed).logits(states, held_out)
        if folded:
            folded()
    return logits


def compare(taps: Taps, attention: Doubles, linear: Doubles, seed: int) -> dict[str, Any]:
    """The AUROC of both on the same candidates, and their difference's 95 % interval by a bootstrap over problems."""
    states = taps.token_states
    assert states is not None
    bootstrap = Bootstrap(int(taps.problem.max()) + 1, DRAWS, seed)
    theirs, ours = (weighted_auroc(one, taps.passed, taps.problem, bootstrap.weights) for one in (attention, linear))
    low, high = np.nanpercentile(theirs - ours, [2.5, 97.5])
    return {
        "layer": states.layer,
        "heads": HEADS,
        "auroc": round(auroc(attention, taps.passed), 4),
        "auroc_linear": round(auroc(linear, taps.passed), 4),
        "gain_low": round(float(low), 4),
        "gain_high": round(float(high), 4),
    }
