"""Models: a task's network, made of layers."""
