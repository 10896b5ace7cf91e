"""How text is generated."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from recurra.config.base import LARGEST, Config
from recurra.errors import ConfigError


class GenerationOptions(Config):
    """How text is generated from a trained model."""

    title: ClassVar[str] = "Generation"

    length: int = Field(200, ge=1, le=LARGEST, description="Tokens to generate, at most.")
    n: int = Field(1, ge=1, le=LARGEST, description="Samples.")
    temperature: float = Field(1.0, gt=0, description="Below 1: safer; above 1: bolder.")
    top_k: int | None = Field(None, ge=1, le=LARGEST, description="Choose among the k likeliest tokens.")
    top_p: float | None = Field(None, gt=0, le=1, description="Choose among the likeliest with this probability.")
    greedy: bool = Field(False, description="Always take the likeliest token.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Seed of the choices; unset: another each time.")
    stop: str | None = Field(None, min_length=1, description="End a sample where this text appears.")

    @model_validator(mode="after")
    def _check_generation(self) -> Self:
        if self.greedy:
            for name in ("n", "temperature", "top_k", "top_p", "seed"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ConfigError(f"{name} has no effect with greedy; leave one of them out")
        return self
