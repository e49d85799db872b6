"""What a token costs through the Python package: MODEL TOKENS -> lines `label microseconds`. See overhead beside this file."""

import sys
import time

import siskin


def main() -> None:
    path, tokens = sys.argv[1], int(sys.argv[2])
    with siskin.Model.open(path, threads=1) as model, model.session() as session:
        for n in (tokens // 10, tokens):
            for label in ("events", "texts", "batches"):
                session.truncate(0)
                settings = dict(max_tokens=n, temperature=0, stop_at_end_of_turn=False)
                started = time.perf_counter()
                seen = 0
                if label == "events":
                    seen = sum(event.is_TOKEN() for event in session.generate("hi", **settings))
                elif label == "texts":
                    answer = session.ask(siskin.Prompt.TEXT("hi", False), **settings)
                    for _ in answer:
                        pass
                    seen = len(answer.tokens)
                else:
                    job = session.job("hi", **settings)
                    while events := job.next_batch():
                        seen += sum(event.is_TOKEN() for event in events)
                took = time.perf_counter() - started
                assert seen == n, (seen, n)
                if n == tokens:
                    print(f"python-{label} {took * 1e6 / n:.3f}")


main()
