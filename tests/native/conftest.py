"""What tests of threads leave behind them: nothing."""

import pytest
import torch

import recurra


@pytest.fixture(autouse=True)
def own_number():
    threads = torch.get_num_threads()
    yield
    recurra.set_num_threads(None)
    torch.set_num_threads(threads)
