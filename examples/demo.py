"""The demo (`make demo`): a character LSTM on the English that every Python carries, its help texts.

Each step is a command that you can type yourself; it is printed before it runs. A second run reuses the text and the
trained model, and an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from pydoc_data.topics import topics

from recurra.cli.main import main

HOME = Path("runs/demo")
TEXT, MODEL = HOME / "topics.txt", HOME / "model"
PROMPT = "The default val"


def recurra(*words: str) -> None:
    """Print a command and run it; end the demo with its exit code where it fails."""
    print(f"\n$ recurra {shlex.join(words)}", flush=True)
    code = main(list(words))
    if code:
        sys.exit(code)


def prose() -> str:
    """The paragraphs of Python's help texts that are English, one per line: no tables, no code."""
    blocks = [" ".join(block.split()) for name in sorted(topics) for block in topics[name].split("\n\n")]
    return "".join(f"{block}\n" for block in blocks if block[:1].isupper() and block.endswith((".", ":")))


def prepare_text() -> None:
    text = prose()
    if TEXT.is_file() and TEXT.read_text(encoding="utf-8") == text:
        print(f"reusing the text {TEXT}")
        return
    HOME.mkdir(parents=True, exist_ok=True)
    TEXT.write_text(text, encoding="utf-8")
    print(f"wrote the prose of Python's help texts to {TEXT}: {len(text):,} characters")


def train() -> None:
    if (MODEL / "README.md").is_file():  # written last
        print(f"reusing the trained model {MODEL} (delete {HOME} to train anew)")
    elif (MODEL / "config.yaml").is_file():
        print(f"continuing the training in {MODEL}")
        recurra("train", "lm", "--resume", str(MODEL))
    else:
        network = "--hidden-size 256 --num-layers 1 --dropout 0.1"
        training = "--batch-size 16 --epochs 8 --learning-rate 0.005 --schedule cosine --min-learning-rate 0.0002"
        options = f"{network} {training} --log-every 100 --output-dir {MODEL}".split()
        recurra("train", "lm", str(TEXT), *options)


if __name__ == "__main__":
    prepare_text()
    train()
    recurra("evaluate", str(MODEL))
    recurra("generate", str(MODEL), "--n", "3", "--length", "200", "--temperature", "0.7", "--seed", "1")
    recurra("complete", str(MODEL), PROMPT, "-k", "5")
    print(f"""
The model is in {MODEL}; its README.md is the model card. What to try next:
  .venv/bin/recurra generate {MODEL} "class " --temperature 0.5
  .venv/bin/recurra score {MODEL} "the value of the argument" "value the argument of the" --rank
  .venv/bin/recurra summary {MODEL}
  .venv/bin/recurra train lm YOUR_TEXT.txt --cell gru""")
