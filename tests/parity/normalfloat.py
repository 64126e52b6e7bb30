"""NormalFloat block quantisation written a second time: numpy, float64, one block after the other.

`TABLE` is the NF4 table that bitsandbytes ships (csrc and functional.get_4bit_type), float32 values in full.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 64
TABLE = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
    *(0.7229568362236023, 1.0),
)


def rule(bits: int, steps: torch.dtype = torch.float64) -> np.ndarray:
    """The codes by the rule of the LoftQ authors' utils, quantiles at even steps computed in type `steps`."""
    offset, half = 0.9677083, 2 ** (bits - 1)

    def side(count: int) -> Tensor:
        return torch.special.ndtri(torch.linspace(offset, 0.5, count, dtype=steps)[:-1].double())

    codes = torch.cat([side(half + 1), torch.zeros(1), -side(half)]).sort().values
    return (codes / codes.max()).numpy()


def quantise(weight: Tensor, codes: np.ndarray, block: int = BLOCK) -> tuple[list[int], list[float]]:
    """(index of the nearest code of every number, largest magnitude of every block), row by row.

    A number half way between two codes gets the lower one; a block of zeros has magnitude 0.
    """
    flat = weight.detach().double().flatten().numpy()
    indices: list[int] = []
    magnitudes: list[float] = []
    for first in range(0, len(flat), block):
        part = flat[first : first + block]
        largest = max(abs(float(number)) for number in part)
        magnitudes.append(largest)
        unit = part / largest if largest else part
        indices += np.abs(unit[:, None] - codes[None, :]).argmin(axis=1).tolist()
    return indices, magnitudes


def dense(weight: Tensor, codes: np.ndarray, block: int = BLOCK) -> Tensor:
    """The float32 weight that its codes stand for: code times the magnitude of its block."""
    indices, magnitudes = quantise(weight, codes, block)
    numbers = [codes[index] * magnitudes[i // block] for i, index in enumerate(indices)]
    return torch.tensor(numbers, dtype=torch.float64).float().view(weight.shape)
