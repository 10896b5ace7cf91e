"""Whatever is wrong is told in one line on stderr, with exit code 2 and no traceback."""

import pytest

from recurra.errors import DataError
from recurra.tasks.lm import LMConfig

WRONG = [
    ("trian lm", "unknown command 'trian'; did you mean 'train'?"),
    (
        "xx",
        "unknown command 'xx'; "
        "known: train, check, evaluate, predict, generate, score, complete, summary, bench, doctor",
    ),
    ("train llm", "unknown command 'llm'; did you mean 'lm'?"),
    ("train lm c.txt --hiden-size 3", "unknown option '--hiden-size'; did you mean '--hidden-size'?"),
    ("train lm c.txt --hiden-size=3", "unknown option '--hiden-size'; did you mean '--hidden-size'?"),
    ("train lm c.txt --hid 3", "unknown option '--hid'; did you mean '--hidden-size'?"),
    ("train lm c.txt --qqqq", "unknown option '--qqqq'; see `recurra train lm --help`"),
    ("generate x --beam", "unknown option '--beam'; see `recurra generate --help`"),
    ("generate x --temprature 1", "unknown option '--temprature'; did you mean '--temperature'?"),
    ("train lm", "no data; give a text file, as in `recurra train lm DATA`"),
    ("train lm c.txt d.txt", "unexpected argument 'd.txt'; see `recurra train lm --help`"),
    ("train lm c.txt --hidden-size x", 'invalid value for --hidden-size: unable to convert "x" into int.'),
    ("train lm c.txt --hidden-size 0", "hidden_size: must be greater than or equal to 1, got 0"),
    ("train lm c.txt --hidden-size", 'command "train lm" parameter --hidden-size requires an argument.'),
    (
        "train lm c.txt --lowercase=maybe",
        'invalid value for --lowercase: unable to convert "maybe" into bool.',
    ),
    (
        "train lm c.txt --mode strem",
        'invalid value "strem" for --mode. Choose from: "stream", "sentences". Did you mean "stream"?',
    ),
    ("train lm --sizes 8 8 c.txt", 'invalid value for --sizes: unable to convert "c.txt" into int.'),
    (
        "train lm c.txt --sizes 8 8 --num-layers 2",
        "sizes gives the units of each layer; leave out num_layers",
    ),
    ("train lm c.txt --window 3", "window has no effect with mode=stream; it needs mode=sentences"),
    ("train lm --cell-options a=1 c.txt", "cell_options: expected name=value, got 'c.txt'"),
    ("train lm c.txt --cell-options =1", "cell_options: expected name=value, got '=1'"),
    (
        "train lm c.txt --config /nonexistent.yaml",
        "/nonexistent.yaml: cannot be read (No such file or directory); give a YAML file of options",
    ),
    (
        "train lm --resume /nonexistent",
        "/nonexistent: expected a run folder, found nothing; give a folder that recurra made",
    ),
    (
        "train lm --resume /nonexistent --hidden-size 3",
        "--resume continues with the options saved in /nonexistent; leave out --hidden-size, "
        "or start from that model with --init-from /nonexistent",
    ),
    ("evaluate", 'command "evaluate" parameter FOLDER requires an argument.'),
    ("evaluate x --batch-size 0", 'invalid value "0" for --batch-size. Must be >= 1.'),
    ("complete x y -k 0", 'invalid value "0" for -k. Must be >= 1.'),
    ("generate x --n 0", "n: must be greater than or equal to 1, got 0"),
    ("generate x --greedy --top-k 3", "top_k has no effect with greedy; leave one of them out"),
    ("score x", "no sentences; give some, or --file F with one per line (- is stdin)"),
    ("score x --file /nonexistent", "/nonexistent: cannot be read (No such file or directory); check path and rights"),
    ("summary", "summary needs a model's folder, or --vocabulary and the options of a network"),
    ("summary x --cell gru", "summary takes a model's folder or the options of a network, not both"),
    ("summary x --vocabulary 3", "summary takes a model's folder or the options of a network, not both"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_command_lines(words, message, recurra_command):
    result = recurra_command(*words.split())
    assert (result.code, result.out, result.err) == (2, "", f"recurra: {message}\n")


def test_no_config_in_the_folder_to_resume(recurra_command, tmp_path):
    result = recurra_command("train", "lm", "--resume", str(tmp_path))
    assert result.err == (
        f"recurra: {tmp_path}: expected a run folder, found a folder without config.yaml; "
        "give a folder that recurra made\n"
    )


def test_unknown_option_in_a_file(recurra_command, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("optimiser: sgd\n")
    result = recurra_command("train", "lm", "c.txt", "--config", str(file))
    assert result.err == f"recurra: {file}: unknown option 'optimiser'; did you mean 'optimizer'?\n"


def test_invalid_utf8_in_sentences(recurra_command, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_bytes(b"ab\xff\n")
    result = recurra_command("score", "x", "--file", str(file))
    assert result.err == (
        f"recurra: {file}: expected UTF-8 text, got byte 0xff at byte offset 2; "
        "convert the file first, e.g. iconv -f latin1 -t utf-8\n"
    )


def test_error_from_below_becomes_one_line(recurra_command, trained, monkeypatch):
    def evaluate(path, **options):
        raise DataError("c.txt: is empty;\n give a text")

    monkeypatch.setattr(trained, "evaluate", evaluate)
    result = recurra_command("evaluate", "x", "c.txt")
    assert (result.code, result.err) == (2, "recurra: c.txt: is empty; give a text\n")


def test_traceback_on_request(recurra_command, monkeypatch):
    monkeypatch.setenv("RECURRA_TRACEBACK", "1")
    with pytest.raises(ValueError, match="no data"):
        recurra_command("train", "lm")


def test_a_fault_of_our_own_is_not_hidden(recurra_command, trained, monkeypatch):
    def complete(prompt, k):
        raise ZeroDivisionError

    monkeypatch.setattr(trained, "complete", complete)
    with pytest.raises(ZeroDivisionError):
        recurra_command("complete", "x", "y")


def test_interrupt_outside_training(recurra_command, trained, monkeypatch):
    def complete(prompt, k):
        raise KeyboardInterrupt

    monkeypatch.setattr(trained, "complete", complete)
    result = recurra_command("complete", "x", "y")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_the_mistaken_option_is_found_among_all(recurra_command):
    """Dropping any one letter of any flag still finds the flag, or one at least as near."""
    for name in LMConfig.model_fields:
        flag = "--" + name.replace("_", "-")
        if len(flag) < 8 or name == "data":
            continue
        wrong = flag[:4] + flag[5:]
        result = recurra_command("train", "lm", "c.txt", wrong, "1")
        assert f"did you mean '{flag}'?" in result.err, result.err
