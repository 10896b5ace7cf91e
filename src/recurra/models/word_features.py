"""What a network reads of words: embedding, characters, shape, beginnings and endings, joined for each token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, pad, relu

from recurra.data.word_forms import SHAPES, UNKNOWN, WordForms
from recurra.layers.recurrent import Recurrent

CHARACTER_DIM = 32
"""E, the width of a character's embedding."""
AFFIX_DIM = 16
"""The width of the embedding of a beginning or ending."""
KERNEL = 3
"""Characters side by side that a convolution reads."""


class RecurrentCharacters(nn.Module):
    """Words by their characters: the last state of an LSTM and the first of one from the end (Ling et al. 2015,
    arXiv:1508.02096; Lample et al. 2016, arXiv:1603.01360).

    Shapes: characters [U, L], sizes [U] -> [U, size]
    """

    def __init__(self, characters: int, size: int, backend: str | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, CHARACTER_DIM)
        self.layer = Recurrent("lstm", CHARACTER_DIM, size // 2, bidirectional=True, backend=backend)
        self.output_size = size // 2 * 2

    def forward(self, characters: Tensor, sizes: Tensor) -> Tensor:
        _, (first, last) = self.layer(self.embedding(characters.T), None, sizes)  # [U, L] -> [L, U, E]
        return torch.cat([first["h"], last["h"]], -1)


class ConvolvedCharacters(nn.Module):
    """Words by their characters: a convolution, the largest over the word (dos Santos & Zadrozny 2014; Ma & Hovy 2016,
    arXiv:1603.01354).

    There are few different characters, so each is multiplied with the filters once; a window is then a sum of three
    rows of the products.

    Shapes: characters [U, L], sizes [U] -> [U, size]
    """

    def __init__(self, characters: int, size: int, backend: str | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, CHARACTER_DIM)
        self.filters = nn.Linear(KERNEL * CHARACTER_DIM, size)
        self.output_size = size

    def forward(self, characters: Tensor, sizes: Tensor) -> Tensor:
        nothing, length = self.embedding.num_embeddings, characters.shape[1]
        real = torch.arange(length, device=sizes.device) < sizes.unsqueeze(1)  # [U, L]
        around = pad(characters.where(real, nothing), (KERNEL // 2, KERNEL // 2), value=nothing)
        places = [around[:, at : at + length] + at * (nothing + 1) for at in range(KERNEL)]
        windows = torch.stack(places, -1)[real]  # [N, KERNEL], N characters in all words
        filters = self.filters.weight.unflatten(1, (KERNEL, CHARACTER_DIM)).permute(1, 2, 0)
        products = pad(self.embedding.weight, (0, 0, 0, 1)) @ filters  # [KERNEL, characters + 1, size]
        found = embedding_bag(windows, products.flatten(0, 1), mode="sum")  # [N, size]
        return relu(torch.segment_reduce(found, "max", lengths=sizes.long()) + self.filters.bias)


CHARACTERS: dict[str, type[RecurrentCharacters] | type[ConvolvedCharacters]] = {
    "lstm": RecurrentCharacters,
    "cnn": ConvolvedCharacters,
}
"""By the option `char_features`."""


class WordFeatures(nn.Module):
    """Features of tokens from the forms of their words.

    Characters, shape and affixes are computed once for each form in a batch; the word's embedding is that of an unknown
    word where `word_dropout` strikes, anew for each token (Kiperwasser & Goldberg 2016, arXiv:1603.04351).

    Args:
        forms: the table that batches refer to; it may grow.
        embedding_dim: width of the word embedding.
        characters: "lstm", "cnn" or "none"; char_size: their width.
        shapes: whether shape features are read.
        word_dropout: probability that a word of the training is read as an unknown one.

    Shapes: steps["word"] [T, B], numbers of forms -> [T, B, output_size].
    """

    def __init__(
        self,
        forms: WordForms,
        embedding_dim: int,
        *,
        characters: str = "cnn",
        char_size: int = 64,
        shapes: bool = True,
        word_dropout: float = 0.0,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        known = forms.vocabulary
        self.forms, self.word_dropout = forms, word_dropout
        self.embedding = nn.Embedding(1 + len(known.words), embedding_dim)
        nn.init.uniform_(self.embedding.weight, -((3 / embedding_dim) ** 0.5), (3 / embedding_dim) ** 0.5)
        kind = CHARACTERS.get(characters)
        self.characters = None if kind is None else kind(1 + len(known.characters), char_size, backend)
        self.with_shapes = shapes
        sizes = [1 + len(known.beginnings), 1 + len(known.endings)]
        self.affixes = nn.ModuleList(nn.Embedding(size, AFFIX_DIM) for size in sizes for _ in known.affix_lengths)
        self.output_size = (
            embedding_dim
            + (self.characters.output_size if self.characters is not None else 0)
            + (len(SHAPES) if shapes else 0)
            + AFFIX_DIM * len(self.affixes)
        )
        self._tables: tuple[int, dict[str, Tensor]] = (0, {})

    def forward(self, batch: Any) -> Tensor:
        ids: Tensor = batch.steps["word"]
        forms, places = torch.unique(ids, return_inverse=True)  # [U], [T, B]
        tables = self.tables(ids.device)
        words = tables["words"].index_select(0, forms)
        parts = self.of_forms(forms, tables)
        if self.training and self.word_dropout:
            words = words[places]  # [T, B]
            dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
            read = self.embedding(words.masked_fill(dropped, UNKNOWN))
            return torch.cat([read, embedding(places, torch.cat(parts, -1))], -1) if parts else read
        return embedding(places, torch.cat([self.embedding(words), *parts], -1))  # [U, .] -> [T, B, .]

    def of_forms(self, forms: Tensor, tables: dict[str, Tensor]) -> list[Tensor]:
        """What is computed once for each form: [U, .] each."""
        parts = []
        if self.characters is not None:
            sizes = tables["sizes"].index_select(0, forms)
            spelled = tables["characters"].index_select(0, forms)[:, : int(sizes.max())]
            parts.append(self.characters(spelled, sizes))
        if self.with_shapes:
            parts.append(tables["shapes"].index_select(0, forms).to(self.embedding.weight.dtype))
        affixes = tables["affixes"].index_select(0, forms)
        parts += [layer(affixes[:, place]) for place, layer in enumerate(self.affixes)]
        return parts

    def tables(self, device: torch.device) -> dict[str, Tensor]:
        """The table of forms on the device; made again once it has grown."""
        size, tables = self._tables
        if size != len(self.forms) or tables["words"].device != device:
            names = ("words", "characters", "sizes", "shapes", "affixes")
            tables = {name: torch.from_numpy(getattr(self.forms, name)).to(device) for name in names}
            self._tables = (len(self.forms), tables)
        return tables
