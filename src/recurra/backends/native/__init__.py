"""The native backend: plans run by compiled kernels on the CPU, forward, backward and step by step."""
