"""Weights as int8 with one scale per row, in the tiles the kernels read."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

ROWS, COLUMNS, DEPTH = 16, 4, 64


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``[N, K]`` to int8 tiles ``[ceil(N/16), ceil(K/64)*16, 16, 4]`` and float32 scales ``[N]`` = absmax / 127.

    Element (n, k) lies at ``[n // 16, k // 4, n % 16, k % 4]``; padding is zero, and so is the scale of a zero row.
    """
    rows, columns = weight.shape
    low, high = weight.aminmax(dim=1)
    scale = torch.maximum(high, -low).to(torch.float32) / 127
    divisor = torch.where(scale > 0, scale, torch.ones_like(scale))
    values = (weight / divisor[:, None]).round_().clamp_(-127, 127).to(torch.int8)
    values = pad(values, (0, -columns % DEPTH, 0, -rows % ROWS))
    tiles = values.view(values.shape[0] // ROWS, ROWS, values.shape[1] // COLUMNS, COLUMNS)
    return tiles.permute(0, 2, 1, 3).contiguous(), scale


def round_rows(x: torch.Tensor) -> torch.Tensor:
    """Activations as the int8 products see them: each row rounded to 127 steps of its largest value."""
    step = x.abs().amax(dim=-1, keepdim=True) / 127
    return (x / torch.where(step > 0, step, torch.ones_like(step))).round() * step


def dequantize(tiles: torch.Tensor, scale: torch.Tensor, columns: int) -> torch.Tensor:
    """The float32 matrix ``[N, columns]`` that the tiles stand for."""
    values = tiles.permute(0, 2, 1, 3).reshape(tiles.shape[0] * ROWS, tiles.shape[1] * COLUMNS)
    return values[: scale.shape[0], :columns].to(torch.float32) * scale[:, None]
