"""A conversation in the terminal: chat.py MODEL. Ctrl-C stops an answer, Ctrl-D ends.

With SISKIN_TOKENS=24 in the environment it answers greedily with at most 24 tokens and prints their ids after each answer.
"""

import os
import sys

import siskin

SYSTEM = "You are a helpful assistant."


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    settings = {}
    if "SISKIN_TOKENS" in os.environ:
        settings = {"max_tokens": int(os.environ["SISKIN_TOKENS"]), "temperature": 0}
    with siskin.Model.open(sys.argv[1]) as model, model.session() as session:
        fit = session.fit()
        print(f"{model.info().name}: {fit.context} tokens of context, {fit.dirty >> 20} MiB besides the file", file=sys.stderr)
        chat = siskin.Chat(session, system=SYSTEM)
        for line in sys.stdin:
            answer = chat.ask(line.rstrip("\n"), **settings)
            try:
                for text in answer:
                    print(text, end="", flush=True)
            except KeyboardInterrupt:
                answer.close()
            print()
            if settings:
                print("tokens:", ",".join(map(str, answer.tokens)))


if __name__ == "__main__":
    try:
        main()
    except siskin.SiskinError as e:
        sys.exit(f"error: {e}")
