"""Decoding: what a trained language model writes, how it completes a word, how likely it finds a sentence."""

from recurra.decoding.complete import Completions, complete
from recurra.decoding.generate import generate
from recurra.decoding.sample import Sampler
from recurra.decoding.score import Score, score

__all__ = ["Completions", "Sampler", "Score", "complete", "generate", "score"]
