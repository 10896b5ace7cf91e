"""Language models. The options of training that all tasks share are looked at here, each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stories import story

from option_effects.shared import NETWORK, TRAINING, Effects

SMALL: dict[str, Any] = {
    "data": "story.txt", "hidden_size": 8, "num_layers": 2, "batch_size": 4, "bptt": 8, "max_steps": 6, "eval_every": 2,
}  # fmt: skip
QUICK = {"recurra.tasks.lm.training.SAMPLE": 1}

WORDS = {"unit": "word"}
SENTENCES = {"mode": "sentences", "bptt": None}
RISING = {"learning_rate": 3.0, "max_grad_norm": None}  # so high that validation gets worse
TWO_EPOCHS = {"max_steps": None, "epochs": 2, "bptt": 64, "eval_every": None}

EFFECTS: Effects = [
    *NETWORK,
    *TRAINING,
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
    ({}, {"embedding": "one-hot"}),
    ({}, {"embedding_dim": 5}),
    ({}, {"tie_weights": True}),
    ({}, {"direction": "backward"}),
    (SENTENCES, {"direction": "backward"}),
    ({"optimizer": "sgd"}, {"momentum": 0.5}),
    ({"optimizer": "rmsprop"}, {"momentum": 0.5}),
    *[({"optimizer": name}, {"eps": 0.5}) for name in ("adagrad", "rmsprop", "adam", "adamw")],
    ({"optimizer": "adagrad", "eps": 0.5}, {"adagrad_eps_inside": True}),
    ({"optimizer": "nt-asgd", **RISING, "max_steps": 12, "eval_every": 1, "patience": 99}, {"averaging_patience": 1}),
    (SENTENCES, {"batch_size": 5}),
    ({}, {"bptt": 9}),
    ({}, {"bptt_window": 12}),
    ({}, {"loss_reduction": "sum"}),
    (SENTENCES, {"loss_reduction": "sum"}),
    (TWO_EPOCHS, {"epochs": 3}),
    ({**RISING, "max_steps": 12, "eval_every": 1}, {"patience": 1}),
    ({**TWO_EPOCHS, "schedule": "step", "decay_after": 0}, {"decay_factor": 0.1}),
    ({**TWO_EPOCHS, "schedule": "step", "decay_after": 0}, {"decay_after": 1}),
    ({**RISING, "max_steps": 12, "eval_every": 1, "schedule": "plateau"}, {"decay_patience": 0}),
    ({"schedule": "cosine"}, {"min_learning_rate": 1e-3}),
    (SENTENCES, {"seed": 2}),
    ({}, {"save_every": 1}),
    ({}, {"save_seconds": 1e-9}),
    ({}, {"log_every": 3}),
]
NEEDED: Effects = []
USELESS: Effects = [
    ({"valid": "story.txt"}, {"test_frac": 0.3}),
    ({"unit": "char"}, {"lowercase": True}),
    (SENTENCES, {"bptt": 9}),
]
PREDICTIONS: list[Any] = []
EVALUATIONS = [({}, None, {}, {"weights": "bf16"}), ({}, None, {}, {"weights": "int8"})]
ELSEWHERE = {"data", "valid", "test", "init_from", "output_dir", "overwrite"}


def write() -> None:
    Path("story.txt").write_text(story(80))
