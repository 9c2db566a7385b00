"""Between a run's beginning and its end, what was measured best is kept."""

from __future__ import annotations

import pytest
import torch

from train.interpolation import Interpolation


def _model(weight: float, frozen: float = 7.0) -> torch.nn.Linear:
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, weight)
    torch.nn.init.constant_(model.bias, frozen)
    model.bias.requires_grad = False
    return model


def _run(begin: float, end: float) -> tuple[torch.nn.Linear, Interpolation]:
    model = _model(begin)
    line = Interpolation(model)
    torch.nn.init.constant_(model.weight, end)
    return model, line


@pytest.mark.parametrize(("best", "kept"), [(1.0, 1.0), (3.9, 4.0), (2.4, 2.5), (9.0, 4.0)])
def test_the_best_of_the_line_is_kept(best: float, kept: float) -> None:
    """The run's end where that is the best, and never its beginning unless that is tried."""
    model, line = _run(begin=-2.0, end=4.0)

    measured = line.keep_best(model, [0.5, 0.25], lambda: -abs(model.weight.item() - best))

    assert model.weight.item() == kept
    assert list(measured) == [0.0, 0.25, 0.5]
    assert max(measured.values()) == pytest.approx(-abs(kept - best))


def test_of_equals_the_end_is_kept() -> None:
    """The most trained one."""
    model, line = _run(begin=-2.0, end=4.0)
    assert line.keep_best(model, [0.5], lambda: 1.0) == {0.0: 1.0, 0.5: 1.0}
    assert model.weight.item() == 4.0


def test_what_is_not_trained_stays() -> None:
    """Frozen weights are no part of the line."""
    model, line = _run(begin=0.0, end=1.0)
    torch.nn.init.constant_(model.bias, 3.0)
    line.keep_best(model, [0.5], lambda: -model.weight.item())
    assert (model.weight.item(), model.bias.item()) == (0.5, 3.0)


def test_another_model_has_no_line() -> None:
    """Weights that one end lacks are named."""
    _, line = _run(begin=0.0, end=1.0)
    other = torch.nn.Sequential(_model(1.0))
    with pytest.raises(ValueError, match=r"'0\.weight', 'weight'"):
        line.keep_best(other, [0.5], lambda: 0.0)
