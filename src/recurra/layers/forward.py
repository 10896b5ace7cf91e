"""How a packed batch runs through a stack: the wrappers around the cell, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.utils.rnn import PackedSequence

from recurra.backends import Call, Job, choose
from recurra.backends.recompute import run_in_pieces
from recurra.equations import Form, Traced
from recurra.equations.graph import Node, Rate
from recurra.equations.plans import traced
from recurra.layers.batch import Batch, FurtherInput, close_batch, open_batch
from recurra.layers.dilation import Chains
from recurra.layers.stack import Stack, States


def run(
    stack: Stack,
    weights: Sequence[Mapping[str, Tensor]],
    x: Tensor | PackedSequence,
    state: Sequence[States] | None,
    lengths: Sequence[int] | Tensor | None,
    inputs: Mapping[str, Tensor],
    *,
    training: bool,
    batch_first: bool,
) -> tuple[Any, list[States]]:
    """Run x through all layers; the output in the form of x, and the final states.

    `weights` and `state` hold one entry for each layer and direction (`stack.runs`).

    Raises:
        ShapeError, LengthsError: where shapes do not fit.
    """
    if torch.compiler.is_compiling():
        return _outside_graph()(stack, weights, x, state, lengths, inputs, training=training, batch_first=batch_first)
    rows, batch = open_batch(stack, x, lengths, inputs, next(iter(weights[0].values()), None), batch_first)
    if state is None:
        shapes = [stack.state_shapes(layer, batch.packing.batch) for layer, _ in stack.runs]
        state = [{name: rows.new_zeros(shape) for name, shape in named.items()} for named in shapes]
    else:
        stack.check_state(state, batch.packing.batch, rows)
    output, final = _run_layers(stack, weights, rows, batch, state, training)
    return close_batch(output, batch, x, batch_first), final


def _outside_graph() -> Callable[..., tuple[Any, list[States]]]:
    """`run` as torch.compile is to see it: a call between two graphs, as torch.nn.LSTM is.

    Made when first needed: it imports torch's compiler, which takes as long as torch itself.
    """
    global _disabled
    if _disabled is None:
        _disabled = torch.compiler.disable(run)
    return _disabled


_disabled: Callable[..., tuple[Any, list[States]]] | None = None


def _run_layers(
    stack: Stack,
    weights: Sequence[Mapping[str, Tensor]],
    source: Tensor,
    batch: Batch,
    state: Sequence[States],
    training: bool,
) -> tuple[Tensor, list[States]]:
    """Packed rows [N, I] -> [N, output_size]"""
    below, outputs, finals = source, [], []
    for layer in range(stack.num_layers):
        entering = torch.cat([source, below], -1) if layer and stack.skip else below
        index = layer * stack.directions
        runs = [
            _OneRun(stack, layer, bool(direction), training, batch).open(weights[index + direction], entering, begin)
            for direction, begin in enumerate(state[index : index + stack.directions])
        ]
        backend = choose(stack.backend, entering.device.type)
        jobs = [one.job for one in runs]
        again = stack.recompute and torch.is_grad_enabled()
        made = [run_in_pieces(backend, job) for job in jobs] if again else backend.run(jobs)
        closed = [one.close(*tensors) for one, tensors in zip(runs, made, strict=True)]
        finals += [final for _, final in closed]
        below = torch.cat([output for output, _ in closed], -1) if len(closed) > 1 else closed[0][0]
        if stack.residual and below.shape[-1] == entering.shape[-1]:
            below = below + entering
        outputs.append(below)
        if stack.dropout and training and layer < stack.num_layers - 1:
            below = drop(below, stack.dropout)
    return (torch.cat(outputs, -1) if stack.skip else below), finals


@dataclass
class _OneRun:
    """One layer in one direction: `open` makes the job that a backend runs, `close` reads what it gave."""

    stack: Stack
    layer: int
    reverse: bool
    training: bool
    batch: Batch
    chains: Chains | None = None

    def open(self, weights: Mapping[str, Tensor], entering: Tensor, begin: States) -> _OneRun:
        """Take in packed rows, and initial states in the caller's order of sequences."""
        rates = {name: further.rate for name, further in self.batch.inputs.items()}
        form = self.stack.form(self.layer, self.training, rates)
        known = traced(self.stack.cell, form)
        if self.training and self.stack.weight_dropout:
            weights = _drop_weights(known, weights, self.stack.weight_dropout)
        self.batch = self._with_masks(known, self.batch, entering)
        dilation = self.stack.dilation[self.layer]
        if dilation > 1:
            chains = Chains(self.batch.packing, dilation, self.reverse, entering.device)
            begin = {name: chains.begin(value) for name, value in begin.items()}
            entering, self.batch, self.chains = chains.split(entering), self.batch.split(chains), chains
        self.job = self._job(form, known, weights, entering, begin)
        return self

    def _job(self, form: Form, known: Traced, weights: Mapping[str, Tensor], entering: Tensor, begin: States) -> Job:
        packing = self.batch.packing
        tensors = {("input", "x"): entering}
        for name, further in self.batch.inputs.items():
            per_step = further.rate is Rate.STEP
            tensors["input", name] = further.values if per_step else packing.sort(further.values)
        tensors |= {("state", name): packing.sort(begin[name]) for name in self.stack.cell.states}
        tensors |= {("weight", name): weights[name] for name in known.weights}
        return Call(self.stack.cell, form, packing.layout, self.reverse, tuple(tensors)), list(tensors.values())

    def close(self, output: Tensor, *finals: Tensor) -> tuple[Tensor, States]:
        """Packed output, and final states in the caller's order of sequences."""
        unsort = self.batch.packing.unsort
        final = {name: unsort(value) for name, value in zip(self.stack.cell.states, finals, strict=True)}
        if self.chains is None:
            return output, final
        return self.chains.join(output), {name: self.chains.end(value) for name, value in final.items()}

    def _with_masks(self, known: Traced, batch: Batch, like: Tensor) -> Batch:
        """The masks that zoneout and recurrent dropout read, as further inputs."""
        masks = {}
        for name, node in known.masks.items():
            rows = batch.packing.layout.rows if node.rate is Rate.STEP else batch.packing.batch
            masks[name] = FurtherInput(self._mask(node, like.new_empty(rows, node.width or 1)), node.width, node.rate)
        return Batch(batch.packing, {**batch.inputs, **masks})

    def _mask(self, node: Node, empty: Tensor) -> Tensor:
        """Zoneout: 1 where the new value is taken. Recurrent dropout: 1/keep where kept, one mask for all steps."""
        kind, _, name = str(node.data).partition(".")
        if kind == "zoneout":
            return empty.bernoulli_(1.0 - dict(self.stack.zoneout)[name])
        keep = 1.0 - self.stack.recurrent_dropout
        return empty.bernoulli_(keep) / keep


def _drop_weights(known: Traced, weights: Mapping[str, Tensor], rate: float) -> Mapping[str, Tensor]:
    """DropConnect on the recurrent matrices (Merity et al. 2018): one mask for all steps of this run."""
    dropped = dict(weights)
    # Without repeats but in order (a set's order changes from process to process, and the masks drawn with it).
    for name, first, columns in dict.fromkeys((b.weight, b.column, b.columns) for b in known.recurrent_blocks()):
        mask = torch.ones_like(dropped[name])
        mask[:, first : first + columns] = drop(mask[:, first : first + columns], rate)
        dropped[name] = dropped[name] * mask
    return dropped
