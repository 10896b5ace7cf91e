"""What the loop does with losses, batches and evaluations, and what it reports."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from char_job import CONFIG, CharJob, options
from torch import nn

from recurra.errors import TrainingError
from recurra.training import (
    BatchLoss,
    DataSummary,
    Evaluated,
    Event,
    Finished,
    RunFolder,
    Saved,
    Step,
    Stopped,
    describe,
    read_weights,
    to_dict,
    train,
)


class RaggedJob:
    """A linear model on batches of unequal numbers of tokens; `reduction` as TrainingOptions.loss_reduction."""

    monitor, maximize, part = "nats", False, "valid"
    steps_per_epoch = 5
    rows = (2, 3, 1, 4, 2)
    tokens = (3, 5, 1, 2, 4)
    """Per row."""

    def __init__(self, merged: bool, reduction: str) -> None:
        generator = torch.Generator().manual_seed(1)
        self.model = nn.Linear(4, 3).double()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.reduction = reduction
        self.batches = self
        data = [
            (torch.randn(rows, tokens, 4, generator=generator).double(), rows, tokens)
            for rows, tokens in zip(self.rows, self.tokens, strict=True)
        ]
        self.epoch = [data[:2], data[2:4], data[4:]] if merged else [[one] for one in data]
        self.steps_per_epoch = len(self.epoch)
        self.position = 0

    def __iter__(self) -> Any:
        while self.position < len(self.epoch):
            self.position += 1
            yield self.epoch[self.position - 1]
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: Any) -> None:
        self.position = state["position"]

    def loss(self, batch: Any, state: Any) -> BatchLoss:
        rows, tokens = sum(part[1] for part in batch), sum(part[1] * part[2] for part in batch)
        nats = sum(-self.model(part[0]).log_softmax(-1)[..., 0].sum() for part in batch)
        over = tokens if self.reduction == "mean" else rows
        return BatchLoss(nats / over, nats.item(), tokens, None, over)

    def evaluate(self) -> dict[str, float]:
        return {"nats": float(self.model.weight.square().sum())}

    def sample(self) -> None:
        return None


def events_of(tmp_path: Path, job: Any, **values: Any) -> list[Event]:
    folder = RunFolder.create(tmp_path / f"run{len(list(tmp_path.iterdir()))}", CONFIG)
    return list(train(job, options(**values), folder))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulation_equals_the_larger_batch(tmp_path: Path, reduction: str) -> None:
    """Also where an epoch's last update has fewer batches."""
    values = {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.3, "max_grad_norm": 2.0, "log_every": 1}
    merged, split = RaggedJob(True, reduction), RaggedJob(False, reduction)
    reports = [
        [event for event in events_of(tmp_path, job, **values, accumulate=count) if isinstance(event, Step)]
        for job, count in ((merged, 1), (split, 2))
    ]
    torch.testing.assert_close(split.model.weight, merged.model.weight, rtol=1e-12, atol=1e-14)
    assert len(reports[0]) == len(reports[1]) == 9
    for one, other in zip(*reports, strict=True):
        assert (one.loss, one.grad_norm) == pytest.approx((other.loss, other.grad_norm), rel=1e-12)
        assert (one.step, one.epoch, one.clipped_share) == (other.step, other.epoch, other.clipped_share)


def test_reports_against_a_plain_loop(tmp_path: Path) -> None:
    """Loss, norm and rate of each report; the carried state starts at nothing in each epoch."""
    chosen = options(optimizer="sgd", learning_rate=0.5, schedule="step", decay_after=1, max_grad_norm=0.3)
    events = events_of(tmp_path, CharJob(chosen), **chosen.changed())

    job = CharJob(chosen)
    torch.manual_seed(chosen.seed)
    losses, norms, places = [], [], []
    for epoch in range(1, 4):
        state = None
        for batch in job.batches:
            result = job.loss(batch, state)
            state = result.state
            state["lstm"] = tuple(part.detach() for part in state["lstm"])
            job.model.zero_grad()
            result.loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(job.model.parameters(), 0.3)))
            with torch.no_grad():
                for parameter in job.model.parameters():
                    parameter -= 0.5 * 0.5 ** max(epoch - 1, 0) * parameter.grad
            losses.append(result.nats / result.tokens)
            places.append(epoch)

    reports = [event for event in events if isinstance(event, Step)]
    assert [report.step for report in reports] == list(range(5, 36, 5))
    for report in reports:
        window = slice(report.step - 5, report.step)
        assert report.loss == pytest.approx(np.mean(losses[window]), rel=1e-5)
        assert report.grad_norm == pytest.approx(np.mean(norms[window]), rel=1e-4)
        assert report.clipped_share == np.mean(np.array(norms[window]) > 0.3)
        assert report.epoch == places[report.step - 1]
        assert report.fraction == pytest.approx(((report.step - 1) % 12 + 1) / 12)
        assert report.learning_rate == 0.5 * 0.5 ** max(report.epoch - 1, 0)
        assert report.tokens_per_second > 0
        assert report.eta_seconds >= 0
    assert sum(report.clipped_share for report in reports) > 0


def test_events_of_a_run(tmp_path: Path) -> None:
    events = events_of(tmp_path, CharJob(options()), log_every=12)
    kinds = [type(event) for event in events]
    assert kinds == [Saved, *[Step, Evaluated, Saved] * 3, Finished]
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [(event.step, event.epoch) for event in evaluated] == [(12, 1), (24, 2), (36, 3)]
    best = math.inf
    for event in evaluated:
        assert event.improved == (event.metrics["nats"] < best)
        best = min(best, event.metrics["nats"])
        assert event.best == best
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.metrics["valid"]["nats"] == best


@pytest.mark.parametrize(
    ("values", "evaluated", "saved"),
    [
        ({"eval_every": 10}, [10, 20, 30, 36], [0, 10, 20, 30, 36]),
        ({"eval_every": 10, "max_steps": 20}, [10, 20], [0, 10, 20]),
        ({"max_steps": 14}, [12, 14], [0, 12, 14]),
        ({"save_every": 16}, [12, 24, 36], [0, 16, 32, 36]),
        ({"save_every": 16, "accumulate": 5}, [3, 6, 9], [0, 9]),
        ({"epochs": 1, "save_seconds": 1e-9, "accumulate": 6}, [2], [0, 1, 2]),
    ],
)
def test_when_to_evaluate_and_save(
    tmp_path: Path, values: dict[str, Any], evaluated: list[int], saved: list[int]
) -> None:
    events = events_of(tmp_path, CharJob(options()), **values)
    assert [event.step for event in events if isinstance(event, Evaluated)] == evaluated
    assert [event.step for event in events if isinstance(event, Saved)] == saved


def test_patience(tmp_path: Path) -> None:
    job = CharJob(options())
    scores = iter([3.0, 2.0, 2.5, 1.9, 1.9, 1.95, 1.0])
    job.evaluate = lambda: {"nats": next(scores)}
    events = events_of(tmp_path, job, patience=2, eval_every=2)
    assert events[-2] == Stopped("no improvement in 2 evaluations")
    assert events[-3] == Saved(events[-3].path, 12)
    assert events[-1].metrics == {"valid": {"nats": 1.9}}


def test_averaged_weights_are_evaluated_and_saved(tmp_path: Path) -> None:
    chosen = {"optimizer": "nt-asgd", "learning_rate": 0.5, "averaging_patience": 1, "eval_every": 4}
    job = CharJob(options())
    scores = iter([3.0, 4.0, 5.0, 6.0, 2.0, 1.0, 7.0, 8.0, 9.0])
    seen, trained = [], []

    def evaluate() -> dict[str, float]:
        seen.append({name: weight.clone() for name, weight in job.model.state_dict().items()})
        return {"nats": next(scores)}

    job.evaluate = evaluate
    original = job.loss

    def loss(batch: Any, state: Any) -> BatchLoss:
        trained.append(job.model.lstm.weight_hh_l0.detach().clone())
        return original(batch, state)

    job.loss = loss
    finished = events_of(tmp_path, job, **chosen)[-1]
    # Worse than all before the last: from the evaluation at step 12 on, that is update 13.
    for number, step in enumerate(range(4, 36, 4)):
        iterates = trained[13 : step + 1] if step > 12 else [trained[step]]
        expected = torch.stack(iterates).mean(0)
        torch.testing.assert_close(seen[number]["lstm.weight_hh_l0"], expected)
    saved = read_weights(finished.folder / "model.safetensors")
    assert all(torch.equal(saved[name], weight) for name, weight in seen[5].items())


def test_evaluation_leaves_no_trace(tmp_path: Path) -> None:
    """Evaluating at every step gives the weights of evaluating once."""
    jobs = [CharJob(options()), CharJob(options())]
    events_of(tmp_path, jobs[0], eval_every=1)
    events_of(tmp_path, jobs[1], eval_every=36)
    for one, other in zip(*(job.model.parameters() for job in jobs), strict=True):
        assert torch.equal(one, other)


def test_settings_are_restored(tmp_path: Path) -> None:
    def settings() -> tuple[Any, ...]:
        fill = torch.utils.deterministic.fill_uninitialized_memory
        return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), fill

    before = settings()
    job, seen = CharJob(options()), []
    job.evaluate = lambda: seen.append(settings()) or {"nats": 1.0}
    events_of(tmp_path, job, threads=2)
    assert seen[0] == (2, True, False)
    assert settings() == before


def test_same_seed_same_weights_other_seed_other_weights(tmp_path: Path) -> None:
    models = []
    for seed in (1, 1, 2):
        job = CharJob(options(seed=1))
        events_of(tmp_path, job, seed=seed)
        models.append(torch.cat([parameter.flatten() for parameter in job.model.parameters()]))
    assert torch.equal(models[0], models[1])
    assert not torch.equal(models[0], models[2])  # its dropout differs


@pytest.mark.parametrize(
    ("losses", "values", "message"),
    [
        ({15: math.nan}, {}, r"the loss is nan, at step 15, epoch 2: lower --learning-rate \(now 0.002\) or "
                             r"lower --max-grad-norm \(now 5\); the last good checkpoint is .*step-00000012$"),
        ({3: math.inf}, {"max_grad_norm": None}, r"the loss is inf, at step 3, epoch 1: .* or set "
                                                 r"--max-grad-norm 5; the last good checkpoint is .*step-00000000$"),
        ({20: 1e4}, {}, r"the loss explodes: 1e\+04 nats per token, 1\.\d+ at the first update, at step 20"),
        (dict.fromkeys(range(20, 99), 30.0), {}, r"the loss explodes: 30 nats per token"),
    ],
)  # fmt: skip
def test_loss_that_goes_wrong(tmp_path: Path, losses: dict[int, float], values: dict[str, Any], message: str) -> None:
    job = CharJob(options())
    job.losses = losses
    with pytest.raises(TrainingError, match=message) as error:
        events_of(tmp_path, job, **values)
    assert "\n" not in str(error.value)
    named = Path(str(error.value).rsplit(" ", 1)[1])
    assert (named / "state.json").is_file()


def test_out_of_memory_is_one_line(tmp_path: Path) -> None:
    job = CharJob(options())

    def loss(batch: Any, state: Any) -> BatchLoss:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    job.loss = loss
    with pytest.raises(TrainingError, match=r"^cpu: out of memory; lower --batch-size .* or shorten the sequences$"):
        events_of(tmp_path, job)


def test_odd_batch_is_no_explosion(tmp_path: Path) -> None:
    job = CharJob(options())
    job.losses = {20: 60.0}
    assert isinstance(events_of(tmp_path, job)[-1], Finished)
    job = CharJob(options())
    job.losses = {1: 0.01}  # fine-tuning whose first batch is easy
    assert isinstance(events_of(tmp_path, job)[-1], Finished)


def test_gradients_and_weights_that_go_wrong(tmp_path: Path) -> None:
    job = CharJob(options())
    job.model.output.bias.register_hook(lambda gradient: gradient * (math.nan if job.calls == 5 else 1))
    with pytest.raises(TrainingError, match=r"the gradient norm is nan, at step 5, .*checkpoint is .*step-00000000$"):
        events_of(tmp_path, job)
    assert all(bool(weight.isfinite().all()) for weight in job.model.parameters())

    job = CharJob(options())
    job.evaluate = lambda: [job.model.output.bias.data.fill_(math.inf), {"nats": 1.0}][1]
    with pytest.raises(TrainingError, match=r"the weights output.bias are no longer finite.*step-00000000$"):
        events_of(tmp_path, job)

    job = CharJob(options())
    job.evaluate = lambda: {"nats": math.nan}
    with pytest.raises(TrainingError, match=r"evaluation gave NaN for nats; lower --learning-rate"):
        events_of(tmp_path, job)


def test_real_explosion_is_caught(tmp_path: Path) -> None:
    values = {"optimizer": "sgd", "learning_rate": 1e9, "max_grad_norm": None}
    with pytest.raises(TrainingError, match=r"lower --learning-rate \(now 1e\+09\) or set --max-grad-norm 5"):
        events_of(tmp_path, CharJob(options()), **values)


@pytest.mark.parametrize(("promised", "message"), [(13, "expected 13 .*, got 12"), (11, "expected 11 .*, got more")])
def test_batches_that_break_their_promise(tmp_path: Path, promised: int, message: str) -> None:
    job = CharJob(options())
    given = job.batches
    job.batches = type("Broken", (), {
        "steps_per_epoch": promised,
        "__iter__": lambda self: iter(given),
        "state_dict": lambda self: given.state_dict(),
    })()  # fmt: skip
    with pytest.raises(TrainingError, match=message):
        events_of(tmp_path, job)


def test_events_as_dicts_and_text(tmp_path: Path) -> None:
    events = events_of(tmp_path, CharJob(options()))
    for event in [DataSummary({"tokens": 3, "unknown": 0.5}), Stopped("why"), *events]:
        values = json.loads(json.dumps(to_dict(event)))
        assert values["event"] == type(event).__name__.lower()
        assert describe(event)
    assert describe(DataSummary({"tokens": 3, "unknown": 0.5})) == "tokens: 3\nunknown: 0.5"
    step = next(event for event in events if isinstance(event, Step))
    line = describe(replace(step, step=5, loss=1.5, eta_seconds=3725.0, clipped_share=0.25))
    assert line.startswith("step 5  epoch 1 (42%)  loss 1.5000  learning rate 0.002  gradient norm ")
    assert line.endswith("1:02:05 left")
    assert "(25% clipped)" in line
    log = (events[-1].folder / "train.log").read_text().splitlines()
    texts = [line for event in events[:-1] for line in describe(event).splitlines()]  # Finished is the task's to record
    assert [line[21:] for line in log] == texts
