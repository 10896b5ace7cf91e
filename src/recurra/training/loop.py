"""The training loop: a generator of events that knows no task.

What makes a resumed run equal to the bit: all that decides what happens next is in the checkpoint (weights,
optimiser, random state, data position, carried state, `Progress`), checkpoints fall between updates, and
evaluations leave no trace but in `Progress` and the optimiser. When a checkpoint is written has no influence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.errors import CheckpointError, RecurraError, TrainingError
from recurra.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from recurra.training.clipping import clip_gradients
from recurra.training.divergence import check_gradients, check_loss, check_weights
from recurra.training.events import Evaluated, Event, Finished, Resumed, Saved, Step, Stopped
from recurra.training.interruption import Interruption
from recurra.training.job import Job, State
from recurra.training.memory import enough_memory
from recurra.training.optimisers import averaged_weights, make_optimiser, observe, sparse_embeddings
from recurra.training.progress import Interval, Progress, monitored
from recurra.training.randomness import (
    environment,
    random_state,
    reproducible,
    restore_random_state,
    seed_everything,
    untouched_random_state,
)
from recurra.training.run_folder import RunFolder
from recurra.training.schedules import Moment, learning_rate
from recurra.training.tensor_files import load_weights
from recurra.training.trees import map_tensors

if TYPE_CHECKING:
    from recurra.config import TrainingOptions


def train(job: Job, options: TrainingOptions, folder: RunFolder, resume: bool = False) -> Iterator[Event]:
    """Train a job's model, yielding what happens; best model, metrics, logs and checkpoints go to the folder.

    With `resume`, training goes on from the newest checkpoint, or starts where there is none yet, and ends
    with the weights, to the bit, of a run never stopped (at equal options, data and thread count). The job
    must be made as for a fresh run: `seed_everything(options.seed)`, then the model. The first Ctrl-C (or
    SIGTERM) ends training after the current update with a checkpoint and an evaluation, the second at once.

    Raises: TrainingError for a loss that is not finite or explodes, CheckpointError for a checkpoint that
    cannot be written or read, FolderError for a folder that is in use or cannot be written.
    """
    with folder.locked(), reproducible(options), Interruption() as interruption:
        for event in _Training(job, options, folder, interruption).run(resume):
            if not isinstance(event, Finished):  # the task records it, with what it adds
                folder.record(event)
            yield event


class _Training:
    """The state of one run; `run` is the loop, the methods follow in the order in which it calls them."""

    def __init__(self, job: Job, options: TrainingOptions, folder: RunFolder, interruption: Interruption) -> None:
        self.job, self.options, self.folder, self.interruption = job, options, folder, interruption
        self.optimiser = make_optimiser(job.model.parameters(), options)
        self.device = next(job.model.parameters()).device
        self.progress = Progress()
        self.carried: State = None
        self.saved: Saved | None = None
        self.saved_time = self.session_start = time.monotonic()
        self.session_steps = 0
        self.seconds_before = 0.0
        planned = options.epochs * -(-job.batches.steps_per_epoch // options.accumulate)
        self.total_steps = min(planned, options.max_steps or planned)

    def run(self, resume: bool) -> Iterator[Event]:
        self.job.model.train()
        with sparse_embeddings(self.job.model, self.optimiser):
            yield from self.resume() if resume else self.start()
            while not self.ended():
                self.update()
                yield from self.after_update()
            yield from self.finish()

    def start(self) -> Iterator[Event]:
        self.folder.remove_unfinished()
        self.folder.cut_curve(0)
        seed_everything(self.options.seed)
        self.batches = iter(self.job.batches)
        yield self.save()

    def resume(self) -> Iterator[Event]:
        checkpoint = load_checkpoint(self.folder.checkpoints, self.device)
        if checkpoint is None:
            if self.folder.model.exists():
                raise CheckpointError(
                    f"{self.folder.path}: has a trained model but no checkpoint to go on from; start a new run from it "
                    f"with --init-from {self.folder.path}"
                )
            yield Resumed(0, 1, ("no checkpoint yet: starting from the beginning",))
            yield from self.start()
            return
        try:
            self.restore(checkpoint)
        except RecurraError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{checkpoint.path}: does not fit this run ({error!r})") from None
        yield Resumed(self.progress.step, self.progress.epoch, self.notes(checkpoint))

    def restore(self, checkpoint: Checkpoint) -> None:
        content = checkpoint.content
        former = content["optimizer"]
        if former != self.options.optimizer:
            raise CheckpointError(f"{checkpoint.path}: trained with {former}; resume with --optimizer {former}")
        load_weights(self.job.model, content["model"], checkpoint.path)
        self.optimiser.load_state_dict(content["optimiser"])
        self.job.batches.load_state_dict(content["batches"])
        self.carried = content["carried"]
        self.progress = Progress.from_dict(content["progress"])
        self.seconds_before = self.progress.seconds
        self.saved = Saved(checkpoint.path, self.progress.step)
        self.restore_folder(checkpoint)
        self.batches = iter(self.job.batches)
        restore_random_state(content["random"])

    def restore_folder(self, checkpoint: Checkpoint) -> None:
        """Take back what was written after the checkpoint."""
        self.folder.remove_unfinished()
        self.folder.cut_curve(checkpoint.content["curve_size"])
        if checkpoint.best is not None:
            self.folder.restore_model(checkpoint.best)
            self.folder.write_metrics(self.progress.best_record(self.job.part))

    def notes(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """What the user should know about a resumed run."""
        former, now = checkpoint.content["environment"], environment(self.device, self.options.backend)
        changed = [
            f"{name} was {former.get(name)}, is {now[name]}: results may differ from an unstopped run's"
            for name in now
            if former.get(name) != now[name]
        ]
        passed_over = [f"passed over a damaged checkpoint: {reason}" for reason in checkpoint.passed_over]
        return (*passed_over, *changed)

    def ended(self) -> bool:
        return bool(
            self.interruption.requested
            or self.progress.step >= self.total_steps
            or self.progress.epoch > self.options.epochs
            or self.out_of_patience()
        )

    def out_of_patience(self) -> bool:
        return self.options.patience is not None and self.progress.unimproved >= self.options.patience

    def update(self) -> None:
        """One update of the weights, from `accumulate` batches or those left in the epoch."""
        started, progress, options = time.monotonic(), self.progress, self.options
        batches = list(islice(self.batches, options.accumulate))
        if not batches:
            raise TrainingError(f"expected {self.job.batches.steps_per_epoch} batches per epoch, got {progress.batch}")
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad()
        with enough_memory(self.device, "lower --batch-size (--accumulate makes up for it) or shorten the sequences"):
            nats, tokens = self.backpropagate(batches)
        norm, clipped = clip_gradients(self.job.model.parameters(), options.max_grad_norm, options.clip_grad_value)
        check_gradients(norm, progress, options, self.saved)
        self.optimiser.step()
        progress.step += 1
        progress.batch += len(batches)
        self.session_steps += 1
        progress.interval.add(nats, tokens, norm, clipped, time.monotonic() - started)

    def learning_rate(self) -> float:
        """Rate of the next update."""
        progress = self.progress
        moment = Moment(progress.step + 1, progress.epoch, self.total_steps, progress.reductions)
        return learning_rate(self.options, moment)

    def backpropagate(self, batches: list[Any]) -> tuple[float, int]:
        """Gradients of the mean loss over all batches, weighed by tokens; returns their nats and tokens."""
        nats, tokens, total = 0.0, 0, 0.0
        for batch in batches:
            result = self.job.loss(batch, self.carried)
            check_loss(result.nats / result.tokens, self.progress, self.options, self.saved)
            weight = result.tokens if result.weight is None else result.weight
            (result.loss if len(batches) == 1 else result.loss * weight).backward()
            self.carried = map_tensors(Tensor.detach, result.state)
            nats, tokens, total = nats + result.nats, tokens + result.tokens, total + weight
        if len(batches) > 1:
            for parameter in self.job.model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= total
        return nats, tokens

    def after_update(self) -> Iterator[Event]:
        progress, options = self.progress, self.options
        if progress.step % options.log_every == 0:
            yield self.report()
        epoch_done = progress.batch >= self.job.batches.steps_per_epoch
        evaluate = epoch_done if options.eval_every is None else progress.step % options.eval_every == 0
        if evaluate or progress.step == self.total_steps:
            yield from self.evaluate()
        if epoch_done:
            self.begin_epoch()
        if self.save_due():
            yield self.save()

    def report(self) -> Step:
        progress, interval = self.progress, self.progress.interval
        progress.interval = Interval()
        seconds_per_step = (time.monotonic() - self.session_start) / self.session_steps
        return Step(
            step=progress.step,
            epoch=progress.epoch,
            fraction=progress.batch / self.job.batches.steps_per_epoch,
            loss=interval.nats / interval.tokens,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            grad_norm=interval.grad_norm / interval.updates,
            clipped_share=interval.clipped / interval.updates,
            tokens_per_second=interval.tokens / max(interval.seconds, 1e-9),  # a clock may stand still
            seconds=self.seconds(),
            eta_seconds=seconds_per_step * (self.total_steps - progress.step),
        )

    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.session_start

    def evaluate(self) -> Iterator[Evaluated]:
        """Evaluate, keep the best model, and tell those who decide by it."""
        progress = self.progress
        with self.evaluation():
            metrics = self.job.evaluate()
            value = monitored(metrics, self.job.monitor)
            improved = progress.record_evaluation(value, metrics, self.options.decay_patience, self.job.maximize)
            if improved:
                self.folder.write_model(self.job.model.state_dict())
                self.folder.write_metrics(progress.best_record(self.job.part))
            sample = self.job.sample()
        observe(self.optimiser, -value if self.job.maximize else value)
        best = value if progress.best is None else progress.best
        yield Evaluated(progress.step, progress.epoch, metrics, best, improved, sample)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Evaluation mode, with averaged weights where there are any; leaves no trace in what is trained."""
        with untouched_random_state(), averaged_weights(self.optimiser), torch.no_grad():
            self.job.model.eval()
            try:
                yield
            finally:
                self.job.model.train()

    def begin_epoch(self) -> None:
        if next(self.batches, None) is not None:
            raise TrainingError(f"expected {self.job.batches.steps_per_epoch} batches per epoch, got more")
        self.progress.epoch += 1
        self.progress.batch = 0
        self.carried = None
        self.batches = iter(self.job.batches)

    def save_due(self) -> bool:
        if time.monotonic() - self.saved_time >= self.options.save_seconds:
            return True
        if self.options.save_every is None:
            return self.progress.evaluated == self.progress.step
        return self.progress.step % self.options.save_every == 0

    def save(self) -> Saved:
        check_weights(self.job.model, self.progress, self.options, self.saved)
        self.progress.seconds = self.seconds()
        content = {
            "environment": environment(self.device, self.options.backend),
            "optimizer": self.options.optimizer,
            "progress": self.progress.to_dict(),
            "curve_size": self.folder.curve_size(),
            "model": self.job.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "batches": self.job.batches.state_dict(),
            "carried": self.carried,
            "random": random_state(),
        }
        best = None if self.progress.best is None else self.folder.model
        path = save_checkpoint(self.folder.checkpoints, self.progress.step, content, best)
        self.saved, self.saved_time = Saved(path, self.progress.step), time.monotonic()
        return self.saved

    def finish(self) -> Iterator[Event]:
        progress = self.progress
        if self.saved is None or self.saved.step != progress.step:
            yield self.save()
        if self.interruption.requested:
            # After the checkpoint: a resumed run knows nothing of this evaluation.
            if progress.evaluated != progress.step:
                yield from self.evaluate()
            reason = f"{self.interruption.requested}; continue with --resume {self.folder.path}"
            yield Stopped(reason, interrupted=True)
        elif self.out_of_patience():
            yield Stopped(f"no improvement in {progress.unimproved} evaluations")
        yield Finished({self.job.part: dict(progress.best_metrics)}, self.seconds(), self.folder.path)
