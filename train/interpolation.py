"""Weights on the straight line between those that a run began with and those that it ends with.

What a run adds for some prompts it may take away from others. Between its two ends there are often weights that are
better than either (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903); which ones, rows that were not trained on tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch


class Interpolation:
    """The line, of whatever a model trains.

    Args:
        model: before the run, with the weights that it begins with.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - PEFT is untyped
        self._start = {name: weight.detach().clone() for name, weight in _trained(model)}

    def keep_best(  # PEFT is untyped
        self,
        model: Any,  # noqa: ANN401
        start_shares: Sequence[float],
        measure: Callable[[], float],
    ) -> dict[float, float]:
        """Give ``model`` the best of the weights on the line, in place; of equals, those nearest to the run's end.

        Args:
            model: after the run, on the CPU.
            start_shares: how much of the run's beginning to try, from 0 to 1; 0, its end, is always tried.
            measure: how good the model is as it stands, the more the better.

        Returns:
            What was measured, by share, from 0 on.

        Raises:
            ValueError: if the model has other weights than it began with.
        """
        end = {name: weight.detach().clone() for name, weight in _trained(model)}
        if end.keys() != self._start.keys():
            raise ValueError(f"weights {sorted(end.keys() ^ self._start.keys())} are at one end of the run only")
        measured: dict[float, float] = {}
        for share in sorted({0.0, *start_shares}):
            self._set(model, end, share)
            measured[share] = measure()
        self._set(model, end, max(measured, key=lambda share: (measured[share], -share)))
        return measured

    @torch.no_grad()
    def _set(self, model: Any, end: dict[str, torch.Tensor], share: float) -> None:  # noqa: ANN401 - PEFT is untyped
        for name, weight in _trained(model):
            weight.copy_(torch.lerp(end[name], self._start[name].to(end[name]), share))


def _trained(model: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:  # noqa: ANN401 - PEFT is untyped
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
