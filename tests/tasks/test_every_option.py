"""An option that is accepted has an effect: on the weights, or on what happens and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stories import story

import recurra
from recurra.tasks.lm.options import LMConfig
from recurra.training import DataSummary, ModelSummary, to_dict

SMALL = {"hidden_size": 8, "num_layers": 2, "batch_size": 4, "bptt": 8, "max_steps": 6, "eval_every": 2}
WORDS = {"unit": "word"}
SENTENCES = {"mode": "sentences", "bptt": None}
TWO_EPOCHS = {"max_steps": None, "epochs": 2, "bptt": 64, "eval_every": None}
RISING = {"learning_rate": 3.0, "max_grad_norm": None}  # so high that validation gets worse

EFFECTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # what the run has beside SMALL (None: SMALL without it), and the option whose effect is looked for
    ({}, {"valid_frac": 0.2}),
    ({}, {"test_frac": 0.2}),
    ({}, {"unit": "byte"}),
    (WORDS, {"split": "space"}),
    (WORDS, {"lowercase": True}),
    (WORDS, {"number_token": True}),
    ({}, {"min_count": 20}),
    ({}, {"vocabulary_size": 20}),
    ({"unit": "bpe", "vocabulary_size": 280}, {"vocabulary_size": 270}),
    ({"bptt": None}, {"mode": "sentences"}),
    (SENTENCES, {"window": 4}),
    ({}, {"cell": "gru"}),
    ({}, {"cell_options": {"peephole": True}}),
    ({}, {"embedding": "one-hot"}),
    ({}, {"embedding_dim": 5}),
    ({}, {"hidden_size": 9}),
    ({}, {"num_layers": 1}),
    ({"hidden_size": None, "num_layers": None, "sizes": [8, 8]}, {"sizes": [8, 9]}),
    ({}, {"dropout": 0.2}),
    ({"num_layers": 1}, {"dropout": 0.2}),
    ({}, {"recurrent_dropout": 0.2}),
    ({}, {"zoneout": 0.2}),
    ({}, {"weight_dropout": 0.2}),
    ({}, {"residual": True}),
    ({}, {"skip": True}),
    ({}, {"dilation": [2]}),
    ({}, {"tie_weights": True}),
    ({}, {"direction": "backward"}),
    (SENTENCES, {"direction": "backward"}),
    ({}, {"init_range": 0.3}),
    ({}, {"forget_bias": 3.0}),
    ({}, {"optimizer": "sgd"}),
    ({}, {"learning_rate": 0.1}),
    ({}, {"weight_decay": 0.1}),
    ({"optimizer": "sgd"}, {"momentum": 0.5}),
    ({"optimizer": "rmsprop"}, {"momentum": 0.5}),
    *[({"optimizer": name}, {"eps": 0.5}) for name in ("adagrad", "rmsprop", "adam", "adamw")],
    ({"optimizer": "adagrad", "eps": 0.5}, {"adagrad_eps_inside": True}),
    ({"optimizer": "nt-asgd", **RISING, "max_steps": 12, "eval_every": 1, "patience": 99}, {"averaging_patience": 1}),
    ({}, {"batch_size": 5}),
    (SENTENCES, {"batch_size": 5}),
    ({}, {"bptt": 9}),
    ({}, {"bptt_window": 12}),
    ({}, {"accumulate": 2}),
    ({}, {"loss_reduction": "sum"}),
    (SENTENCES, {"loss_reduction": "sum"}),
    (TWO_EPOCHS, {"epochs": 3}),
    ({}, {"max_steps": 7}),
    ({**RISING, "max_steps": 12, "eval_every": 1}, {"patience": 1}),
    ({}, {"schedule": "cosine"}),
    ({}, {"warmup_steps": 3}),
    ({**TWO_EPOCHS, "schedule": "step", "decay_after": 0}, {"decay_factor": 0.1}),
    ({**TWO_EPOCHS, "schedule": "step", "decay_after": 0}, {"decay_after": 1}),
    ({**RISING, "max_steps": 12, "eval_every": 1, "schedule": "plateau"}, {"decay_patience": 0}),
    ({"schedule": "cosine"}, {"min_learning_rate": 1e-3}),
    ({}, {"max_grad_norm": 0.01}),
    ({}, {"clip_grad_value": 0.001}),
    ({}, {"seed": 2}),
    (SENTENCES, {"seed": 2}),
    ({}, {"dtype": "float64"}),
    ({}, {"eval_every": 3}),
    ({}, {"save_every": 1}),
    ({}, {"save_seconds": 1e-9}),
    ({}, {"log_every": 3}),
]

ELSEWHERE = {"data", "valid", "test", "init_from", "output_dir", "overwrite"}
"""Tested with the files that they name."""
UNSEEN = {"deterministic", "device", "backend", "threads", "recompute"}
"""Where and how it is computed: the weights are the same up to rounding, or to the bit."""


Outcome = Callable[[dict[str, Any]], list[Any]]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """From options to the events, apart from times and from what says what the options are, and the best model."""
    place, found = tmp_path_factory.mktemp("options"), {}
    (place / "story.txt").write_text(story(80))

    def train(options: dict[str, Any]) -> list[Any]:
        events: list[Any] = []
        values = {name: value for name, value in {**SMALL, **options}.items() if name not in SMALL or value is not None}
        folder = place / f"run{len(found)}"
        run = recurra.train("lm", place / "story.txt", output_dir=folder, on_event=events.append, **values)
        seen = [to_dict(event) for event in events if not isinstance(event, DataSummary | ModelSummary)]
        timed = {"seconds", "eta_seconds", "tokens_per_second", "folder", "path"}
        untimed = [{name: value for name, value in event.items() if name not in timed} for event in seen]
        return [untimed, {name: weight.tolist() for name, weight in run.model.state_dict().items()}]

    def remembered(options: dict[str, Any]) -> list[Any]:
        if repr(options) not in found:
            found[repr(options)] = train(options)
        return found[repr(options)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recurra.tasks.lm.training.SAMPLE", 1)  # samples take most of the time
        yield remembered


@pytest.mark.slow
@pytest.mark.parametrize(("others", "option"), EFFECTS, ids=str)
def test_the_option_has_an_effect(others: dict[str, Any], option: dict[str, Any], outcome: Outcome) -> None:
    assert outcome({**others, **option}) != outcome(others)


def test_every_option_is_looked_at() -> None:
    looked_at = {name for _, option in EFFECTS for name in option}
    assert looked_at | ELSEWHERE | UNSEEN == set(LMConfig.model_fields)
