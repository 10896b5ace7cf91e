"""The language model from file to use: truth is a slower computation, token by token."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stories import SMALL, story, train

import recurra
import recurra.tasks
from recurra.config import read_yaml
from recurra.data import IGNORED
from recurra.errors import ConfigError, DataError
from recurra.layers.recurrent import map_state
from recurra.models.language_model import LanguageModel
from recurra.tasks.lm.data import prepare
from recurra.tasks.lm.job import StreamJob, in_direction, line_end
from recurra.tasks.lm.network import build
from recurra.tasks.lm.options import LMConfig
from recurra.tasks.lm.run import LanguageModelRun
from recurra.training import Saved
from recurra.training.tensor_files import read_tensors, write_tensors


@torch.no_grad()
def nats_one_by_one(model: LanguageModel, tokens: list[int], before: int) -> list[float]:
    """Minus the log-probability of each token, the model stepped token by token from zero states."""
    state, last, nats = None, before, []
    for token in tokens:
        features, state = model(torch.tensor([[last]]), state)
        nats.append(-torch.log_softmax(model.logits(features)[0, 0], -1)[token].item())
        last = token
    return nats


def test_the_plans_of_a_trained_model(characters: LanguageModelRun) -> None:
    described = recurra.tasks.describe_plans(characters.config, characters.tokenizer.size)
    assert characters.plans() == described
    assert [layer["input_size"] for layer in described] == [SMALL["hidden_size"]]


def test_recompute_trains_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    plain, again = (
        train(corpus, tmp_path / str(recompute), max_steps=3, dtype="float64", recompute=recompute)
        for recompute in (False, True)
    )
    assert again.model.stack.stack.recompute
    assert not plain.model.stack.stack.recompute
    torch.testing.assert_close(again.model.state_dict(), plain.model.state_dict(), rtol=1e-9, atol=1e-12)


def test_evaluate_scores_each_token_once(characters: LanguageModelRun, corpus: Path, tmp_path: Path) -> None:
    text = story(40)[:-1] + "!"  # an unseen character, and no line end
    path = tmp_path / "text.txt"
    path.write_text(text)
    tokens = characters.tokenizer.encode(text).tolist()
    start = line_end(characters.tokenizer)
    assert start is not None
    nats = nats_one_by_one(characters.model, tokens, start)
    for rows in (1, 3, 32, 5000):
        metrics = characters.evaluate(path, batch_size=rows)
        assert metrics["characters"] == len(text)
        assert metrics["unknown_rate"] == 1 / len(text)
        tolerance = 1e-6 if rows == 1 else 0.02  # rows after the first know only some of what came before
        assert metrics["nats_per_character"] == pytest.approx(math.fsum(nats) / len(nats), rel=tolerance)


def test_the_two_forms_of_perplexity_are_one(characters: LanguageModelRun) -> None:
    """2^H with H the mean bits, and exp of the mean negative log-likelihood."""
    metrics = characters.evaluate()
    assert 2 ** metrics["bits_per_character"] == pytest.approx(metrics["perplexity_per_character"], rel=1e-12)
    assert math.exp(metrics["nats_per_character"]) == pytest.approx(metrics["perplexity_per_character"], rel=1e-12)


def test_sentences_are_scored_as_wholes(words: LanguageModelRun, tmp_path: Path) -> None:
    lines = story(30).splitlines()
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(lines))  # blank lines are no sentences
    metrics = [words.evaluate(path, batch_size=rows) for rows in (1, 7, 64)]
    scores = words.score(lines)
    count = sum(len(one.tokens) for one in scores)
    for found in metrics:
        assert found["words"] == count
        assert found["nats_per_word"] == pytest.approx(-sum(one.log_prob for one in scores) / count, rel=1e-6)
        characters = sum(len(line) + 1 for line in lines)
        assert found["bits_per_character"] == pytest.approx(
            found["nats_per_word"] * count / math.log(2) / characters, rel=1e-9
        )


def test_score_ranks_what_was_seen_first(words: LanguageModelRun) -> None:
    good, bad = "On day 3 Dora brings tea to Emil.", "day On to 3 brings tea Dora Emil."
    ranked = sorted(words.score([bad, good]), key=lambda one: -one.log_prob)
    assert [one.text for one in ranked] == [good, bad]
    assert words.score([good], end=False)[0].log_prob > words.score([good])[0].log_prob


def test_a_model_of_text_without_line_ends_cannot_start(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "flat.txt"
    path.write_text(story(100).replace("\n", " "))
    run = train(path, tmp_path / "run", max_steps=2)
    assert run.start == []
    with pytest.raises(DataError, match="knows no line end"):
        run.score(["On day"])
    with pytest.raises(DataError, match="give a prompt"):
        run.generate()
    assert len(run.generate("On", length=5)[0]) == 5


def test_generate_repeats_with_a_seed_and_never_writes_unknown(characters: LanguageModelRun) -> None:
    first = characters.generate("On day", n=3, length=60, seed=4)
    assert first == characters.generate("On day", n=3, length=60, seed=4)
    assert len(set(first)) == 3
    assert not any("[UNK]" in text or "�" in text for text in first)
    pieces: list[str] = []
    (whole,) = characters.generate("On day", length=60, seed=4, on_text=pieces.append)
    assert "".join(pieces) == whole
    assert len(pieces) > 1


def job_of(corpus: Path, folder: Path, **options: object) -> StreamJob:
    values = {k: v for k, v in SMALL.items() if k != "on_event"}
    config = LMConfig.make(data=corpus, dtype="float64", **{**values, "num_layers": 2, **options})
    torch.manual_seed(0)
    text = prepare(config, folder)
    return StreamJob(config, build(config, text.tokenizer.size), text.train, dict, lambda: None)


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 8), (3, 7), (4, 9), (1, 5)])
def test_truncated_backpropagation(corpus: Path, tmp_path: Path, k1: int, k2: int) -> None:
    """Every k1 steps: gradients of the last k1 losses, back through the last k2 steps, from a cut state there."""
    job = job_of(corpus, tmp_path / "data", bptt=k1, bptt_window=k2)
    model, stream = job.model, job.batches
    whole, targets = stream.columns(0, 40)
    state = None
    for batch in stream:
        stop = batch.start + len(batch.inputs)
        if stop > 40:
            break
        model.zero_grad()
        result = job.loss(batch, state)
        result.loss.backward()
        state = result.state and map_state(torch.Tensor.detach, result.state)
        found = [p.grad.clone() for p in model.parameters()]

        model.zero_grad()
        first = max(0, stop - k2)
        cut = None
        if first:
            with torch.no_grad():
                _, cut = model(torch.from_numpy(whole[:first].copy()))
        features, _ = model(torch.from_numpy(whole[first:stop].copy()), cut)
        last = torch.from_numpy(targets[batch.start : stop].copy())
        (model.nats(features[batch.start - first :], last) / last.numel()).backward()
        for ours, p in zip(found, model.parameters(), strict=True):
            assert torch.allclose(ours, p.grad, rtol=1e-9, atol=1e-12)


def test_sum_reduction_is_over_time_and_mean_over_rows(corpus: Path, tmp_path: Path) -> None:
    job = job_of(corpus, tmp_path / "data", loss_reduction="sum")
    batch = next(iter(job.batches))
    result = job.loss(batch, None)
    assert result.loss.item() == pytest.approx(result.nats / batch.inputs.shape[1], rel=1e-12)


def test_a_backward_model_reads_from_the_end(corpus: Path, tmp_path: Path) -> None:
    run = train(corpus, tmp_path / "run", direction="backward", epochs=2)
    text = "On day 5 Bert brings milk to Anna."
    tokens = run.tokenizer.encode(text)[::-1].tolist()
    start = line_end(run.tokenizer)
    assert start is not None
    expected = nats_one_by_one(run.model, [*tokens, start], start)
    assert run.score([text])[0].log_prob == pytest.approx(-math.fsum(expected), rel=1e-5)
    written = run.generate("Anna.", length=12, seed=1)[0]
    assert len(written) == 12
    with pytest.raises(ConfigError, match="backward"):
        run.complete("On")
    with pytest.raises(ConfigError, match="stop"):
        run.generate("Anna.", stop="x")


def test_direction_reverses_the_training_text() -> None:
    tokens = np.arange(5)
    assert in_direction(tokens, LMConfig.make(direction="backward")).tolist() == [4, 3, 2, 1, 0]


def test_a_loaded_model_gives_the_same_to_the_bit(characters: LanguageModelRun) -> None:
    again = recurra.load(characters.folder)
    assert again.score(["On day 1"])[0].log_probs == characters.score(["On day 1"])[0].log_probs
    assert again.evaluate() == characters.evaluate()


def test_the_folder_holds_what_the_docs_say(characters: LanguageModelRun) -> None:
    folder = characters.folder
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"] == pytest.approx(characters.evaluate())
    assert {"step", "epoch", "valid", "test"} == set(metrics)
    config = read_yaml(folder / "config.yaml")
    assert config["task"] == "lm"
    assert Path(config["data"]).is_absolute()
    curve = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "evaluated"} <= {one["event"] for one in curve}
    assert "| nats_per_character |" in (folder / "README.md").read_text()
    log = (folder / "train.log").read_text()
    assert log.count("finished after") == 1  # with the test text's score
    assert f"{metrics['test']['nats_per_character']:.4f}" in log


def test_evaluate_takes_no_other_text_for_the_test_text(corpus: Path, tmp_path: Path) -> None:
    """What lies where the text once was may be another text by now."""
    run = train(corpus, tmp_path / "run", max_steps=3)
    shutil.rmtree(run.folder / "data")
    with pytest.raises(DataError, match="has no test text in its data folder; give a file to evaluate on"):
        run.evaluate()
    assert run.evaluate(corpus)["characters"] == len(corpus.read_text())
    assert not (run.folder / "data").exists()


def test_fine_tuning_starts_from_the_other_model(characters: LanguageModelRun, corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(story(200).replace("brings", "takes"))
    tuned = train(
        other, tmp_path / "tuned", init_from=characters.folder, max_steps=1, learning_rate=1e-9, hidden_size=24
    )
    for name, value in characters.model.state_dict().items():
        assert torch.allclose(tuned.model.state_dict()[name], value, atol=1e-7)
    assert tuned.tokenizer.to_json() == characters.tokenizer.to_json()
    with pytest.raises(ConfigError, match="hidden_size=25"):
        train(other, tmp_path / "wrong", init_from=characters.folder, hidden_size=25)


@pytest.mark.parametrize("unit", ["byte", "bpe"])
def test_every_unit_trains_and_writes(unit: str, corpus: Path, tmp_path: Path) -> None:
    size = {"vocabulary_size": 300} if unit == "bpe" else {}
    run = train(corpus, tmp_path / unit, unit=unit, max_steps=20, **size)
    metrics = run.evaluate()
    assert metrics["unknown_rate"] == 0
    assert metrics["bits_per_character"] > 0
    found = run.complete("On day 3 Do", 3)
    assert all(0 <= probability <= 1 for _, probability in found.words)
    assert run.generate("On day", length=20, seed=1)


def test_windows_slide_over_sentences(corpus: Path, tmp_path: Path) -> None:
    run = train(corpus, tmp_path / "run", unit="word", mode="sentences", window=4, max_steps=5)
    assert run.evaluate()["words"] > 0


def test_weights_of_the_textbook_questions() -> None:
    """Counted by the formulas of the layers, from the sizes alone."""
    rnn = recurra.tasks.summarize(LMConfig.make(cell="rnn", hidden_size=4, num_layers=1, embedding="one-hot"), 1003)
    assert rnn["weights"] == (4 * 1003 + 4 * 4 + 4) + (1003 * 4 + 1003)
    shape = {"hidden_size": 100, "num_layers": 4}

    def stack(gates: int, extra: int) -> int:
        return 50_000 * 100 + 4 * (gates * (100 * 100 + 100 * 100 + 100) + extra) + (50_000 * 100 + 50_000)

    lstm = recurra.tasks.summarize(LMConfig.make(cell="lstm", **shape), 50_000)
    peephole = recurra.tasks.summarize(LMConfig.make(cell="lstm", cell_options={"peephole": True}, **shape), 50_000)
    plain = recurra.tasks.summarize(LMConfig.make(cell="rnn", **shape), 50_000)
    assert (lstm["weights"], peephole["weights"], plain["weights"]) == (stack(4, 0), stack(4, 300), stack(1, 0))
    tied = recurra.tasks.summarize(LMConfig.make(hidden_size=8, tie_weights=True, num_layers=1), 10)
    assert tied["weights"] == 10 * 8 + 4 * (8 * 8 + 8 * 8 + 8) + 10


def test_padding_is_not_scored(words: LanguageModelRun) -> None:
    features = torch.randn(3, 2, words.model.output.in_features)
    targets = torch.tensor([[1, 2], [3, IGNORED], [IGNORED, IGNORED]])
    each = words.model.nats(features, targets, reduction="none")
    assert each[targets == IGNORED].abs().sum() == 0
    assert words.model.nats(features, targets).item() == pytest.approx(each.sum().item(), rel=1e-6)


def test_evaluation_leaves_the_mode_alone(characters: LanguageModelRun) -> None:
    characters.model.train()
    characters.evaluate()
    assert characters.model.training
    characters.model.eval()


def test_a_resumed_run_is_the_same_to_the_bit_at_awkward_sizes(corpus: Path, tmp_path: Path) -> None:
    """Three rows of 17 units, stopped inside an epoch: the carried state must come back as aligned as it was."""
    options = {k: v for k, v in SMALL.items() if k != "on_event"}
    options |= {"hidden_size": 17, "batch_size": 3, "max_steps": 14, "save_every": 5, "dropout": 0.1}
    whole = train(corpus, tmp_path / "whole", **options)
    config = LMConfig.make(data=corpus, output_dir=tmp_path / "stopped", **options)
    for event in recurra.tasks.start("lm", config).events():
        if isinstance(event, Saved) and event.step == 10:
            break
    resumed = recurra.train("lm", resume=tmp_path / "stopped", on_event=lambda event: None)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_what_is_read_from_a_file_is_aligned(tmp_path: Path) -> None:
    write_tensors(
        tmp_path / "x.safetensors", {name: torch.rand(size) for name, size in zip("abcd", (3, 1, 7, 5), strict=True)}
    )
    found, _ = read_tensors(tmp_path / "x.safetensors")
    assert all(value.data_ptr() % 64 == 0 for value in found.values())


@pytest.mark.parametrize("options", [{"cell_options": {"projection": 10}}, {"skip": True, "num_layers": 2}])
def test_tied_weights_take_the_width_of_the_stacks_output(options: dict[str, Any]) -> None:
    model = build(LMConfig.make(tie_weights=True, hidden_size=12, **{"num_layers": 1, **options}), 30)
    assert model.embedding is not None
    assert model.embedding.weight is model.output.weight
    assert model.embedding.weight.shape == (30, model.stack.output_size)


@pytest.mark.parametrize("name", ["init_range", "forget_bias"])
def test_fine_tuning_refuses_what_it_would_not_apply(name: str, characters: LanguageModelRun, corpus: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} has no effect with init_from"):
        recurra.train("lm", corpus, init_from=characters.folder, **{name: 0.1})


def test_fractions_that_cut_nothing_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"test_frac=0\.1 has no effect"):
        train(corpus, tmp_path / "run", valid=corpus, test_frac=0.1)
    assert not (tmp_path / "run").exists()
