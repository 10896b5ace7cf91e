"""Layers: the recurrent stack as a torch module. `recurra.nn` has them with torch.nn's face."""

from recurra.layers.recurrent import Recurrent, map_state

__all__ = ["Recurrent", "map_state"]
