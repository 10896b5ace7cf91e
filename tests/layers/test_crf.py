"""The conditional random field against all paths, written out, on every backend."""

from __future__ import annotations

import itertools

import pytest
import torch

from recurra.backends import BACKENDS, linear_chain
from recurra.errors import ConfigError, DataError, LengthsError, ShapeError
from recurra.layers import LinearChainCRF

SIZES = ((1, 1, 1), (6, 4, 1), (1, 3, 7), (7, 1, 2), (8, 6, 2), (4, 5, 7), (3, 4, 17))
NEVER = -float("inf")
NAMES = ("transitions", "start", "end")


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """Each backend; where it is native, PyTorch's loops fail, so that no result can be theirs."""
    if request.param == "native":
        request.getfixturevalue("native")
        for name in ("values", "marginals", "best_paths"):
            monkeypatch.setattr(linear_chain, name, lambda *_, **__: pytest.fail("the reference ran"))
    return request.param


def random_field(tags, backend, *, scale=1.0, seed=1, dtype=torch.float64, **forbidden):
    generator = torch.Generator().manual_seed(seed)
    crf = LinearChainCRF(tags, backend=backend, **forbidden).to(dtype)
    with torch.no_grad():
        for name in NAMES:
            weight = getattr(crf, name)
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) * scale)
    return crf


def random_batch(steps, batch, tags, *, scale=1.0, seed=2, dtype=torch.float64):
    """Emissions, tags and lengths; what lies after a sequence's end is nothing that could be computed with."""
    generator = torch.Generator().manual_seed(seed)
    emissions = (torch.randn(steps, batch, tags, generator=generator, dtype=torch.float64) * scale).to(dtype)
    lengths = torch.randint(1, steps + 1, (batch,), generator=generator)
    lengths[int(torch.randint(batch, (), generator=generator))] = steps
    gold = torch.randint(tags, (steps, batch), generator=generator)
    after = torch.arange(steps).unsqueeze(1) >= lengths
    emissions[after], gold[after] = float("nan"), -100
    return emissions, gold, lengths


def random_masks(tags, seed=3):
    """A third of all; every tag may follow itself, and the last tag may do all, so that there always is a path."""
    generator = torch.Generator().manual_seed(seed)
    between, start, end = (torch.rand(shape, generator=generator) < 0.35 for shape in ((tags, tags), (tags,), (tags,)))
    between.fill_diagonal_(False)
    between[-1], start[-1], end[-1] = False, False, False
    return {"forbidden": between, "forbidden_start": start, "forbidden_end": end}


def all_paths(crf, emissions, b, length):
    """Every path of sequence b [P, L] and its score [P], those of equal score in the order that `decode` promises."""
    paths = torch.tensor([p[::-1] for p in itertools.product(range(crf.num_tags), repeat=int(length))])
    transitions, start, end = (crf._scores(name) for name in NAMES)
    scores = start[paths[:, 0]]
    for t in range(int(length)):
        scores = scores + (transitions[paths[:, t - 1], paths[:, t]] if t else 0) + emissions[t, b, paths[:, t]]
    return paths, scores + end[paths[:, -1]]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_partition_marginals_and_loss_are_those_of_all_paths(backend, size, masked):
    masks = random_masks(size[2]) if masked else {}
    crf = random_field(size[2], backend, **masks)
    emissions, gold, lengths = random_batch(*size)
    partition, marginals = crf.partition(emissions, lengths), crf.marginals(emissions, lengths)
    for b, length in enumerate(lengths.tolist()):
        paths, scores = all_paths(crf, emissions, b, length)
        torch.testing.assert_close(partition[b], scores.logsumexp(0), rtol=1e-12, atol=1e-12)
        expected = torch.zeros(size[0], size[2], dtype=torch.float64)
        for t in range(length):
            expected[t].index_add_(0, paths[:, t], scores.softmax(0))
        torch.testing.assert_close(marginals[:, b], expected, rtol=1e-12, atol=1e-12)
        place = sum(int(tag) * size[2] ** t for t, tag in enumerate(gold[:length, b]))
        gold[:length, b] = paths[scores.argmax()] if scores[place].isinf() else gold[:length, b]
    each = crf.nll(emissions, gold, lengths, reduction="none")
    for b, length in enumerate(lengths.tolist()):
        paths, scores = all_paths(crf, emissions, b, length)
        score = scores[(paths == gold[:length, b]).all(1)].squeeze()
        torch.testing.assert_close(each[b], scores.logsumexp(0) - score, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(crf.nll(emissions, gold, lengths), each.sum())


@pytest.mark.parametrize("kind", ["scores", "ties", "masks"])
@pytest.mark.parametrize("k", [1, 2, 5, 60])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_best_paths_are_those_of_all(backend, size, k, kind):
    crf = random_field(size[2], backend, **(random_masks(size[2]) if kind == "masks" else {}))
    emissions, _, lengths = random_batch(*size)
    if kind == "ties":
        emissions = emissions.sign()
        for weight in crf.parameters():
            weight.data = weight.data.sign()
    tags, scores = crf.decode(emissions, lengths, k)
    assert (tags.shape, scores.shape, tags.dtype) == ((k, *size[:2]), (k, size[1]), torch.int64)
    for b, length in enumerate(lengths.tolist()):
        paths, values = all_paths(crf, emissions, b, length)
        order = values.sort(descending=True, stable=True).indices
        order = order[values[order] > NEVER][:k]
        expected = torch.full((k, size[0]), -1)
        expected[: len(order), :length] = paths[order]
        assert torch.equal(tags[:, :, b], expected)
        torch.testing.assert_close(scores[: len(order), b], values[order], rtol=1e-12, atol=1e-12)
        assert (scores[len(order) :, b] == NEVER).all()


def test_gradient_checks(backend, monkeypatch):
    monkeypatch.undo()  # gradients of gradients are the reference's
    for masks in ({}, random_masks(3)):
        crf = random_field(3, backend, **masks)
        emissions, gold, lengths = random_batch(4, 2, 3)
        emissions, gold[:] = emissions.nan_to_num(0.5), 2  # which nothing forbids
        inputs = [emissions.requires_grad_(), *(getattr(crf, name) for name in NAMES)]

        def loss(emissions, *_, crf=crf, gold=gold, lengths=lengths, reduction="sum"):
            return crf.nll(emissions, gold, lengths, reduction=reduction)

        def each(*given, loss=loss):
            return loss(*given, reduction="none")

        def partition(emissions, *_, crf=crf, lengths=lengths):
            return crf.partition(emissions, lengths)

        for function in (loss, each, partition):
            assert torch.autograd.gradcheck(function, inputs)
            assert torch.autograd.gradgradcheck(function, inputs)


def gradients(crf, emissions, gold, lengths, weights=None):
    leaf = emissions.clone().requires_grad_()
    loss = crf.nll(leaf, gold, lengths, reduction="sum" if weights is None else "none")
    return [loss.detach(), *torch.autograd.grad(loss, [leaf, *crf.parameters()], weights)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [(12, 9, 3), (30, 17, 17), (25, 3, 130)], ids=str)
def test_native_equals_the_reference(native, size, weighted):
    found = {}
    emissions, gold, lengths = random_batch(*size)
    weights = torch.rand(size[1], dtype=torch.float64) if weighted else None
    for backend in ("native", "reference"):
        found[backend] = gradients(random_field(size[2], backend), emissions, gold, lengths, weights)
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("k", [1, 7])
def test_native_decodes_to_the_bit_as_the_reference(native, k):
    emissions, _, lengths = random_batch(30, 20, 17, dtype=torch.float32)
    one, other = (
        random_field(17, b, dtype=torch.float32).decode(emissions, lengths, k) for b in ("native", "reference")
    )
    assert torch.equal(one.tags, other.tags)
    assert torch.equal(one.scores, other.scores)


def test_pytorch_crf_agrees(backend):
    torchcrf = pytest.importorskip("torchcrf")
    emissions, gold, lengths = random_batch(20, 11, 9)
    emissions, gold = emissions.nan_to_num(), gold.clamp(min=0)
    mask = torch.arange(20).unsqueeze(1) < lengths
    crf, theirs = random_field(9, backend), torchcrf.CRF(9).double()
    names = {"transitions": "transitions", "start": "start_transitions", "end": "end_transitions"}
    for name, other in names.items():
        getattr(theirs, other).data = getattr(crf, name).data.clone()
    leaf = emissions.clone().requires_grad_()
    loss = -theirs(leaf, gold, mask)
    loss.backward()
    wanted = [loss.detach(), leaf.grad, *(getattr(theirs, names[name]).grad for name, _ in crf.named_parameters())]
    for one, other in zip(gradients(crf, emissions, gold, lengths), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    tags = crf.decode(emissions, lengths).tags[0]
    for b, path in enumerate(theirs.decode(emissions, mask)):
        assert tags[: len(path), b].tolist() == path


def test_padding_and_order_change_nothing(backend):
    crf = random_field(13, backend, dtype=torch.float32)
    emissions, gold, lengths = random_batch(9, 12, 13, dtype=torch.float32)

    def results(emissions, gold, lengths):
        leaf = emissions.clone().requires_grad_()
        each = crf.nll(leaf, gold, lengths, reduction="none")
        (gradient,) = torch.autograd.grad(each.sum(), leaf)
        tags, scores = crf.decode(emissions, lengths, 3)
        by_sequence = [each, crf.partition(emissions, lengths), *scores]
        by_step = [gradient, crf.marginals(emissions, lengths), *tags]
        return [*by_sequence, *(t.transpose(0, 1) for t in by_step)]

    wanted = results(emissions, gold, lengths)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(5))
    padding = torch.full((4, 12, 13), float("inf"))
    padded = torch.cat([emissions, padding])[:, order]
    found = results(padded, torch.cat([gold, gold[:4] * 0 + 99])[:, order], lengths[order])
    exactly = backend == "native"
    for one, other in zip(found, wanted, strict=True):
        one = one[:, :9] if one.dim() > 1 else one
        if exactly:
            assert torch.equal(one, other[order])
        else:  # torch adds up in an order that depends on the batch
            torch.testing.assert_close(one, other[order])
    for b, length in enumerate(lengths.tolist()):
        alone = results(emissions[:length, b : b + 1], gold[:length, b : b + 1], lengths[b : b + 1])
        for one, other in zip(alone, wanted, strict=True):
            torch.testing.assert_close(one[0], other[b, :length] if other.dim() > 1 else other[b])


def test_what_is_forbidden_never_happens(backend):
    masks = random_masks(6)
    crf, free = random_field(6, backend, **masks), random_field(6, backend)
    emissions, gold, lengths = random_batch(9, 20, 6)
    gold[:] = 5
    loss, d_emissions, *d_weights = gradients(crf, emissions, gold, lengths)
    assert loss.isfinite()
    assert d_emissions.isfinite().all()
    for gradient, mask in zip(d_weights, masks.values(), strict=True):
        assert gradient.isfinite().all()
        assert not gradient[mask].any()
        assert gradient[~mask].any()
    tags = crf.decode(emissions, lengths, 4).tags
    started = tags[:, 0]
    assert not masks["forbidden_start"][started[started >= 0]].any()
    pairs = tags[:, 1:] >= 0
    assert not masks["forbidden"][tags[:, :-1][pairs], tags[:, 1:][pairs]].any()
    with torch.no_grad():  # very low scores do nearly the same
        for name, mask in zip(NAMES, masks.values(), strict=True):
            getattr(free, name)[mask] = -200.0
    torch.testing.assert_close(crf.partition(emissions, lengths), free.partition(emissions, lengths))
    torch.testing.assert_close(crf.marginals(emissions, lengths), free.marginals(emissions, lengths))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"forbidden": [(1, 2)]}, "tags: tag 2 may not follow tag 1, as at step 2 of sequence 1; correct"),
        ({"forbidden_start": [0]}, "tags: no sequence may begin with tag 0, as at step 0 of sequence 1; correct"),
        ({"forbidden_end": [2]}, "tags: no sequence may end with tag 2, as at step 2 of sequence 1; correct"),
    ],
    ids=str,
)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_gold_path_that_is_forbidden(backend, masks, message, reduction):
    made = {}
    for name, places in masks.items():
        made[name] = torch.zeros((3, 3) if name == "forbidden" else 3, dtype=torch.bool)
        for place in places:
            made[name][place] = True
    crf = random_field(3, backend, **made)
    gold = torch.tensor([[1, 0], [1, 1], [0, 2], [0, 2]])
    emissions = torch.zeros(4, 2, 3, dtype=torch.float64)
    with pytest.raises(DataError) as raised:
        crf.nll(emissions, gold, [4, 3], reduction=reduction)
    assert str(raised.value).startswith(message)
    assert crf.nll(emissions[:2], gold[:2].fliplr() * 0 + 1, [2, 1]).isfinite()


def test_no_path_at_all(backend):
    """Tags 0 and 1 may only alternate, and both ends are forbidden for one of them: no path of two steps."""
    masks = {"forbidden": torch.eye(2).bool(), "forbidden_start": [False, True], "forbidden_end": [False, True]}
    crf = random_field(2, backend, **masks)
    emissions = torch.zeros(3, 2, 2, dtype=torch.float64)
    assert (crf.partition(emissions, [2, 3]) == NEVER).tolist() == [True, False]
    assert crf.marginals(emissions, [2, 3]).sum(2).T.tolist() == [[0, 0, 0], [1, 1, 1]]
    tags, scores = crf.decode(emissions, [2, 3])
    assert tags[0].T.tolist() == [[-1, -1, -1], [0, 1, 0]]
    assert scores[0, 0] == NEVER


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_one_bad_emission_spoils_its_own_sequence(backend, number):
    crf = random_field(3, backend)
    emissions, gold, lengths = random_batch(4, 3, 3)
    emissions[0, 1, 2], gold[0, 1] = number, 0
    losses = crf.nll(emissions, gold, lengths, reduction="none")
    assert losses.isfinite().tolist() == [True, False, True]
    with pytest.raises(
        DataError, match="emissions: expected numbers or -inf, got NaN or infinity at step 0 of sequence 1"
    ):
        crf.decode(emissions, lengths)
    emissions[0, 1, 2] = NEVER
    assert crf.nll(emissions, gold, lengths).isfinite()
    assert crf.decode(emissions, lengths).tags[0, 0, 1] != 2
    crf.transitions.data[0, 0] = number
    with pytest.raises(DataError, match="transitions: expected numbers or -inf, got NaN or infinity"):
        crf.decode(emissions, lengths)


def test_autocast_and_narrow_types(backend):
    emissions, gold, lengths = random_batch(6, 4, 5, dtype=torch.bfloat16)
    crf = random_field(5, backend, dtype=torch.float32)
    wanted = gradients(crf, emissions.float(), gold, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(crf, emissions, gold, lengths)
        assert crf.marginals(emissions, lengths).dtype == torch.float32
        assert crf.decode(emissions, lengths).scores.dtype == torch.float32
    assert torch.equal(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1].bfloat16())
    for one, other in zip(found[2:], wanted[2:], strict=True):
        torch.testing.assert_close(one, other)
    narrow = crf.to(torch.bfloat16)
    loss, *rest = gradients(narrow, emissions, gold, lengths)
    assert loss.dtype == torch.float32
    assert {t.dtype for t in rest} == {torch.bfloat16}


WRONG = {
    "emissions: expected [T, B, 3], T and B at least 1, got [4, 2, 2]": {"emissions": torch.zeros(4, 2, 2)},
    "emissions: expected [T, B, 3], T and B at least 1, got [4, 3]": {"emissions": torch.zeros(4, 3)},
    "emissions: expected [T, B, 3], T and B at least 1, got [0, 2, 3]": {"emissions": torch.zeros(0, 2, 3)},
    "emissions: expected [T, B, 3], T and B at least 1, got [4, 0, 3]": {"emissions": torch.zeros(4, 0, 3)},
    "emissions: expected floating point, got torch.int64": {"emissions": torch.zeros(4, 2, 3).long()},
    "emissions: expected torch.float32 as the weights, got torch.float64; convert with x.to(...)": {
        "emissions": torch.zeros(4, 2, 3).double()
    },
    "tags: expected [4, 2] of int64, got [2, 4] of torch.int64": {"tags": torch.zeros(2, 4).long()},
    "tags: expected [4, 2] of int64, got [4, 2] of torch.int32": {"tags": torch.zeros(4, 2).int()},
    "tags: expected 0 to 2, got 3 at step 1 of sequence 1": {"tags": torch.tensor([[0, 0], [0, 3], [3, 0], [0, 0]])},
    "tags: expected 0 to 2, got -1 at step 0 of sequence 0": {"tags": torch.full((4, 2), -1)},
    "lengths: expected 1 to 4 (the steps of the batch), got 0": {"lengths": [4, 0]},
    "lengths: expected 1 to 4 (the steps of the batch), got 5": {"lengths": [5, 1]},
    "lengths: expected 2 (one per sequence of the batch), got 3": {"lengths": [4, 4, 4]},
    "lengths: expected whole numbers, got torch.float32": {"lengths": torch.tensor([4.0, 2.0])},
    "reduction: expected sum, none, got 'mean'": {"reduction": "mean"},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(backend, message):
    crf = LinearChainCRF(3, backend=backend)
    right = {"emissions": torch.zeros(4, 2, 3), "tags": torch.zeros(4, 2).long(), "lengths": [2, 4]}
    with pytest.raises((ShapeError, LengthsError, ConfigError, DataError)) as raised:
        crf.nll(**right | WRONG[message])
    assert str(raised.value) == message


@pytest.mark.parametrize("k", [0, -1, 1.0, True])
def test_wrong_numbers_of_paths(k):
    with pytest.raises(ConfigError, match="k: expected a whole number of at least 1, got"):
        LinearChainCRF(3).decode(torch.zeros(1, 1, 3), k=k)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_tags": 0}, "num_tags: expected a whole number of at least 1, got 0"),
        ({"num_tags": 2.0}, "num_tags: expected a whole number of at least 1, got 2.0"),
        (
            {"forbidden": torch.zeros(2, 3).bool()},
            "forbidden transitions: expected [2, 2] of bool, got [2, 3] of torch.b",
        ),
        ({"forbidden_end": [0, 1]}, "forbidden end: expected [2] of bool, got [2] of torch.int64"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError) as raised:
        LinearChainCRF(**{"num_tags": 2} | options)
    assert str(raised.value).startswith(message)


def test_masks_are_saved_with_the_weights():
    masks = random_masks(4)
    crf = LinearChainCRF(4, **masks)
    assert torch.equal(crf.state_dict()["forbidden_transitions"], masks["forbidden"])
    assert repr(crf) == "LinearChainCRF(4, forbidden transitions, forbidden start, forbidden end)"
    with torch.device("meta"):
        empty = LinearChainCRF(4, **masks)
    empty.load_state_dict(crf.state_dict(), assign=True)
    assert torch.equal(empty.forbidden_end, masks["forbidden_end"])
