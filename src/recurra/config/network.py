"""The recurrent layers of any model."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from recurra.config.base import DEEPEST, WIDEST, Config, Scalar
from recurra.errors import ConfigError


class StackOptions(Config):
    """The recurrent layers."""

    title: ClassVar[str] = "Network"

    cell: str = Field("lstm", description="Recurrent cell, by name.")
    cell_options: dict[str, Scalar] = Field(
        {}, description="Options of the cell's equations, as name=value: peephole=true projection=64."
    )
    hidden_size: int = Field(256, ge=1, le=WIDEST, description="Units in each layer.")
    num_layers: int = Field(2, ge=1, le=DEEPEST, description="Recurrent layers.")
    sizes: list[int] | None = Field(
        None,
        min_length=1,
        max_length=DEEPEST,
        description="Units of each layer, in place of hidden_size and num_layers: 512 256.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout between layers, at input and output.")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the state, one mask per sequence.")
    zoneout: float = Field(0.0, ge=0, lt=1, description="Chance that a unit keeps its last state.")
    weight_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the recurrent weights.")
    residual: bool = Field(False, description="Add each layer's input to its output.")
    skip: bool = Field(False, description="Connect the input to every layer and every layer to the output.")
    dilation: list[int] | None = Field(
        None,
        min_length=1,
        description="Steps back to the state a layer sees; one for all, or one per layer: 1 2 4.",
    )
    recompute: bool = Field(
        False, description="Keep states every sqrt(T) steps and compute the rest again: less memory, more time."
    )
    init_range: float | None = Field(None, gt=0, description="Draw every weight from U(-r, r).")
    forget_bias: float | None = Field(None, description="Initial bias of the forget gate.")

    @model_validator(mode="after")
    def _check_stack(self) -> Self:
        for name in ("sizes", "dilation"):
            if any(not 1 <= number <= WIDEST for number in getattr(self, name) or ()):
                raise ConfigError(f"{name}: each must be from 1 to {WIDEST}, got {getattr(self, name)}")
        given = self.model_fields_set & {"hidden_size", "num_layers"}
        if self.sizes is not None and given:
            raise ConfigError(f"sizes gives the units of each layer; leave out {' and '.join(sorted(given))}")
        layers = len(self.sizes or []) or self.num_layers
        if self.dilation is not None and len(self.dilation) not in (1, layers):
            raise ConfigError(f"dilation: expected 1 number or {layers}, one per layer, got {self.dilation}")
        return self

    def replaced(self) -> set[str]:
        return set() if self.sizes is None else {"hidden_size", "num_layers"}
