"""See inside: what a layer computes, and how."""

from recurra.inspection.plan import describe_plans

__all__ = ["describe_plans"]
