"""Evaluation with rounded weights: exactly that of a model whose weights are rounded, and near that of the model."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from recurra.errors import ConfigError
from recurra.models.stepped import SteppedModel
from recurra.tasks.lm.run import LanguageModelRun

pytestmark = pytest.mark.usefixtures("native")


@pytest.mark.parametrize("unit", ["characters", "words"])
def test_the_cost_of_rounding(unit: str, request: pytest.FixtureRequest) -> None:
    run: LanguageModelRun = request.getfixturevalue(unit)
    name = f"nats_per_{run.config.unit_name}"
    exact = run.evaluate()
    model = copy.deepcopy(run.model)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 2 and not key.startswith("embedding"):
                value.copy_(value.bfloat16().float())
    rounded = LanguageModelRun(run.folder, run.config, run.tokenizer, model).evaluate()
    assert run.evaluate(weights="bf16")[name] == pytest.approx(rounded[name], rel=1e-5)
    assert rounded[name] != exact[name]
    for weights in ("bf16", "int8"):
        found = run.evaluate(weights=weights)
        assert found[name] == pytest.approx(exact[name], rel=0.02)
        assert {key: found[key] for key in (f"{run.config.unit_name}s", "unknown_rate")} == {
            key: exact[key] for key in (f"{run.config.unit_name}s", "unknown_rate")
        }


def test_without_rounding_a_stepped_model_is_the_model(characters: LanguageModelRun) -> None:
    model = characters.model
    tokens, targets = torch.randint(model.vocabulary, (2, 9, 4))
    targets[3, 1] = -100
    stepped = SteppedModel(model, None)
    with torch.no_grad():
        log_probs, state = stepped(tokens, None)
        log_probs, _ = stepped(tokens, state)
        features, state = model(tokens, None)
        features, _ = model(tokens, state)
        expected = model.nats(features, targets)
    assert float(stepped.nats(log_probs, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_an_unknown_type(characters: LanguageModelRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        characters.evaluate(weights="fp4")
    assert str(caught.value) == "weights: expected None, 'bf16' or 'int8', got 'fp4'"
