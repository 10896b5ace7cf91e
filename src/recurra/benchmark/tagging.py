"""Training a tagger on drawn sentences, beside the same network as it is written with torch.nn."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.benchmark.clock import Contender
from recurra.benchmark.rows import LeftOut
from recurra.benchmark.workloads import Workload
from recurra.config import TrainingOptions
from recurra.data import ExampleBatches, Examples
from recurra.data.word_forms import WordForms, WordVocabulary
from recurra.layers.recurrent import Recurrent
from recurra.models.tagger import IGNORED, Tagger
from recurra.models.word_features import CHARACTER_DIM, KERNEL, WordFeatures
from recurra.tasks.examples import to_tensors
from recurra.training.clipping import clip_gradients
from recurra.training.optimisers import make_optimiser

EMBEDDING, CHARACTERS, TAGS = 100, 64, 17
"""Width of the word embedding and of what characters give; the tags are as many as UPOS has."""
DROPOUT = 0.4
OPTIONS = TrainingOptions.make(optimizer="adam", learning_rate=1e-3, max_grad_norm=5.0)


class Drawn(NamedTuple):
    """Sentences of drawn words: the words' spelling, and the examples."""

    forms: WordForms
    examples: Examples


def draw(w: Workload) -> Drawn:
    """Words by Zipf's law, rarer ones longer (4 characters on average, as in the treebank), tags at random."""
    random = np.random.default_rng(2)
    ranks = np.arange(1, w.vocabulary + 1)
    shares = 1 / ranks
    sizes = np.maximum(1, np.round(1 + 0.6 * np.log(ranks))).astype(int)
    letters = np.array(list(string.ascii_lowercase))
    words = [f"{''.join(random.choice(letters, size))}{rank}"[-size - 2 :] for rank, size in enumerate(sizes)]
    vocabulary = WordVocabulary(list(dict.fromkeys(words)), list(string.ascii_lowercase + string.digits))
    forms = WordForms(vocabulary)
    places = forms.add(words)
    lengths = np.array(w.lengths)
    total = int(lengths.sum())
    chosen = places[random.choice(w.vocabulary, total, p=shares / shares.sum())]
    tags = random.integers(0, TAGS, total)
    return Drawn(forms, Examples(lengths, {"word": chosen, "tag": tags}, {}))


class TorchTagger(nn.Module):
    """A tagger as it is written with torch.nn: words, and the characters of every one of them."""

    def __init__(self, w: Workload, words: int, characters: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDING)
        self.spelling = nn.Embedding(characters, CHARACTER_DIM, padding_idx=0)
        self.recurrent = w.characters == "lstm"
        self.characters: nn.Module = (
            nn.LSTM(CHARACTER_DIM, CHARACTERS // 2, bidirectional=True)
            if self.recurrent
            else nn.Conv1d(CHARACTER_DIM, CHARACTERS, KERNEL, padding=KERNEL // 2)
        )
        self.dropout = nn.Dropout(dropout)
        self.stack = nn.LSTM(EMBEDDING + CHARACTERS, w.size, w.layers, bidirectional=True)
        self.output = nn.Linear(2 * w.size, TAGS)

    def forward(self, words: Tensor, characters: Tensor, sizes: Tensor, lengths: Tensor) -> Tensor:
        """words, sizes [T, B], characters [T, B, L] -> [T, B, TAGS]"""
        spelled = self.spelling(characters.flatten(0, 1))  # [T*B, L, E]
        if self.recurrent:
            packed = pack_padded_sequence(spelled.transpose(0, 1), sizes.flatten(), enforce_sorted=False)
            _, (h, _) = self.characters(packed)
            read = torch.cat([h[0], h[1]], -1)  # [T*B, CHARACTERS]
        else:
            found = self.characters(spelled.transpose(1, 2)).transpose(1, 2)  # [T*B, L, CHARACTERS]
            behind = torch.arange(found.shape[1]) >= sizes.flatten().unsqueeze(1)
            read = found.masked_fill(behind.unsqueeze(-1), -torch.inf).amax(1).relu()
        features = torch.cat([self.embedding(words), read.unflatten(0, words.shape)], -1)
        packed = pack_padded_sequence(self.dropout(features), lengths, enforce_sorted=False)
        output, _ = pad_packed_sequence(self.stack(packed)[0])
        logits: Tensor = self.output(self.dropout(output))
        return logits


def torch_tagger(w: Workload, drawn: Drawn, dropout: float) -> TorchTagger:
    torch.manual_seed(1)
    known = drawn.forms.vocabulary
    return TorchTagger(w, 1 + len(known.words), 1 + len(known.characters), dropout)


def our_tagger(w: Workload, backend: str, drawn: Drawn, peer: TorchTagger, dropout: float) -> Tagger:
    """recurra's tagger with the weights of torch's, whose two biases are one here."""
    features = WordFeatures(
        drawn.forms, EMBEDDING, characters=w.characters, char_size=CHARACTERS, shapes=False, backend=backend
    )
    stack = Recurrent("lstm", features.output_size, w.size, w.layers, bidirectional=True, backend=backend)
    model = Tagger(features, stack, TAGS, dropout=dropout)
    theirs = peer.state_dict()
    weights = {
        "encoder.embedding.weight": theirs["embedding.weight"],
        "encoder.characters.embedding.weight": theirs["spelling.weight"],
        **{f"output.{name}": theirs[f"output.{name}"] for name in ("weight", "bias")},
        **_layers(theirs, "stack", "stack"),
    }
    if peer.recurrent:
        weights |= _layers(theirs, "characters", "encoder.characters.layer")
    else:
        filters = theirs["characters.weight"]  # [CHARACTERS, E, KERNEL] -> [CHARACTERS, KERNEL * E]
        weights["encoder.characters.filters.weight"] = filters.transpose(1, 2).flatten(1)
        weights["encoder.characters.filters.bias"] = theirs["characters.bias"]
    model.load_state_dict(weights)
    return model


def _layers(theirs: dict[str, Tensor], before: str, after: str) -> dict[str, Tensor]:
    """The weights of an nn.LSTM by recurra's names."""
    found = {}
    for name in [name.removeprefix(f"{before}.weight_ih") for name in theirs if name.startswith(f"{before}.weight_ih")]:
        found[f"{after}.W_ih{name}"] = theirs[f"{before}.weight_ih{name}"]
        found[f"{after}.W_hh{name}"] = theirs[f"{before}.weight_hh{name}"]
        found[f"{after}.b{name}"] = theirs[f"{before}.bias_ih{name}"] + theirs[f"{before}.bias_hh{name}"]
    return found


def train(w: Workload, backends: Sequence[str], threads: int, dropout: float = DROPOUT) -> list[Contender | LeftOut]:
    """One epoch: for each batch forward, loss, backward, clip by norm, Adam."""
    drawn = draw(w)
    peer = torch_tagger(w, drawn, dropout)
    entries: list[Contender | LeftOut] = [
        Contender(f"recurra ({backend})", _our_epoch(our_tagger(w, backend, drawn, peer, dropout), drawn, w))
        for backend in backends
    ]
    return [*entries, Contender("torch.nn", _torch_epoch(peer, drawn, w))]


def _batches(drawn: Drawn, w: Workload) -> ExampleBatches:
    return ExampleBatches(drawn.examples, w.batch, shuffle=False, padding={"tag": IGNORED})


def _our_epoch(model: Tagger, drawn: Drawn, w: Workload) -> Callable[[], float]:
    """As recurra's training loop does it, from the examples on."""
    optimiser = make_optimiser(model.parameters(), OPTIONS)
    device = torch.device("cpu")

    def losses() -> Iterator[float]:
        for batch in map(partial(to_tensors, device=device), _batches(drawn, w)):
            optimiser.zero_grad()
            nats = model.nats(batch, batch.steps["tag"])
            (nats / int(batch.lengths.sum())).backward()
            clip_gradients(model.parameters(), OPTIONS.max_grad_norm, None)
            optimiser.step()
            yield nats.item()

    return lambda: sum(losses()) / len(drawn.examples.steps["tag"])


def _torch_epoch(model: TorchTagger, drawn: Drawn, w: Workload) -> Callable[[], float]:
    """From tensors that are there: words, their characters, sizes, lengths and tags."""
    optimiser = torch.optim.Adam(model.parameters(), OPTIONS.learning_rate)
    prepared = [_prepared(batch, drawn.forms) for batch in _batches(drawn, w)]

    def losses() -> Iterator[float]:
        for *inputs, tags in prepared:
            optimiser.zero_grad()
            loss = cross_entropy(model(*inputs).flatten(0, 1), tags.flatten(), ignore_index=IGNORED)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), OPTIONS.max_grad_norm or torch.inf)
            optimiser.step()
            yield loss.item() * int(inputs[-1].sum())

    return lambda: sum(losses()) / len(drawn.examples.steps["tag"])


def _prepared(batch: Any, forms: WordForms) -> tuple[Tensor, ...]:
    ids = batch.steps["word"]
    sizes = forms.sizes[ids]
    arrays = forms.words[ids], forms.characters[ids][..., : sizes.max()], sizes, batch.lengths, batch.steps["tag"]
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
