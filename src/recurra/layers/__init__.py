"""Layers: the recurrent stack as a torch module. `recurra.nn` has them with torch.nn's face."""

from recurra.layers.crf import LinearChainCRF
from recurra.layers.recurrent import Recurrent, map_state
from recurra.layers.softmax import linear_cross_entropy

__all__ = ["LinearChainCRF", "Recurrent", "linear_cross_entropy", "map_state"]
