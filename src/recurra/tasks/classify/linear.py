"""The n-gram model is fitted by scikit-learn, and from then on is weights like any other."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch

from recurra.data import Examples
from recurra.errors import ConfigError
from recurra.models.classifier import LinearClassifier
from recurra.tasks.classify.data import TARGET
from recurra.tasks.classify.measure import measure
from recurra.tasks.classify.scoring import score

INVERSE_PENALTIES = (1.0, 10.0, 100.0)
"""What C of scikit-learn's logistic regression is chosen from, by the accuracy on the validation part."""
DEFAULT_PENALTY = 10.0
MOST_STEPS = 1000


def check_library() -> None:
    """Raises: ConfigError where scikit-learn is missing."""
    try:
        import_module("sklearn.linear_model")
    except ModuleNotFoundError:
        raise ConfigError("the n-gram model needs scikit-learn; pip install 'recurra[ngram]'") from None


def fit_linear(model: LinearClassifier, parts: Mapping[str, Examples], weights: np.ndarray | None = None) -> None:
    """Give `model` the weights of a logistic regression with an L2 penalty, one class against all for labels [N, C].

    Args:
        parts: "train" and perhaps "valid", which the strength of the penalty is chosen on.
        weights: of each class in the loss, [C].
    """
    train, valid = parts["train"], parts.get("valid")
    features, targets = _matrix(train, model.weights.num_embeddings), np.asarray(train.items[TARGET])
    best = -1.0
    for inverse in INVERSE_PENALTIES if valid is not None else (DEFAULT_PENALTY,):
        found = _regression(features, targets, inverse, model.bias.numel(), weights)
        now = [value.detach().clone() for value in (model.weights.weight, model.bias)]
        _assign(model, found)
        if valid is None:
            return
        result = measure(score(model, valid, model.bias.numel()), np.asarray(valid.items[TARGET]))["accuracy"]
        if result > best:
            best = result
        else:
            _assign(model, now)


def _matrix(examples: Examples, width: int) -> Any:
    sparse = import_module("scipy.sparse")
    steps = examples.steps
    return sparse.csr_matrix((steps["values"], steps["features"], examples.bounds), (len(examples), width))


def _regression(
    features: Any, targets: np.ndarray, inverse: float, classes: int, weights: np.ndarray | None
) -> list[torch.Tensor]:
    """The weights [V, C] and the bias [C]."""
    matrix, bias = np.zeros((features.shape[1], classes)), np.zeros(classes)
    regression = import_module("sklearn.linear_model").LogisticRegression
    if targets.ndim == 2:
        for number, there in enumerate(targets.T):
            if there.all() or not there.any():
                bias[number] = 10.0 if there.all() else -10.0  # nothing to learn from; odds of e^10
                continue
            fitted = regression(C=inverse, max_iter=MOST_STEPS).fit(features, there)
            matrix[:, number], bias[number] = fitted.coef_[0], fitted.intercept_[0]
    else:
        chosen = None if weights is None else dict(enumerate(weights.tolist()))
        present = np.unique(targets)
        fitted = regression(C=inverse, max_iter=MOST_STEPS, class_weight=chosen).fit(features, targets)
        bias[:] = -1e4  # of classes that are not there
        if len(present) == 2:  # one row, for the second against the first
            half = np.stack([-fitted.coef_[0], fitted.coef_[0]], 1) / 2
            matrix[:, present], bias[present] = half, np.array([-0.5, 0.5]) * fitted.intercept_[0]
        else:
            matrix[:, present], bias[present] = fitted.coef_.T, fitted.intercept_
    return [torch.from_numpy(matrix), torch.from_numpy(bias)]


@torch.no_grad()
def _assign(model: LinearClassifier, values: list[torch.Tensor]) -> None:
    for parameter, value in zip((model.weights.weight, model.bias), values, strict=True):
        parameter.copy_(value)
