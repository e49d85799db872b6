"""Answers as iterators. Each pull takes all events that wait, so a slow reader costs one call for many tokens."""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, Iterator, Optional

from ._native import siskin as native
from .objects import Job

# A pull waits in native code, where Python sees no Ctrl-C: it comes back now and then.
_WAIT_MS = 100


class _Pulled:
    """What `Answer` and `Texts` share: a job, the events that were pulled, and the end."""

    def __init__(self, job: Job):
        self._job = job
        self._waiting: Deque[native.Event] = deque()
        #: How the answer ended; None until it has.
        self.outcome: Optional[native.Outcome] = None

    def cancel(self) -> None:
        """Asks the answer to stop, from any thread; what was made until then still comes."""
        self._job.cancel()

    def close(self) -> None:
        """Cancels the answer and forgets the rest. Does not wait."""
        self._waiting.clear()
        self._job.cancel()
        self._job.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        if self.outcome is None:
            self.close()

    def _next(self) -> native.Event:
        if self.outcome is not None or "_handle" not in self._job.__dict__:
            raise StopIteration
        while not self._waiting:
            self._waiting.extend(self._job.next_batch(_WAIT_MS))
        event = self._waiting.popleft()
        if event.is_DONE():
            self.outcome = event.outcome  # type: ignore[attr-defined]
        return event


class Answer(_Pulled, Iterator[native.Event]):
    """The events of an answer, in order; the last is `Event.DONE`."""

    def __next__(self) -> native.Event:
        return self._next()


class Texts(_Pulled, Iterator[str]):
    """The text of an answer, piece by piece, in whole characters. `tokens` has the ids so far."""

    def __init__(
        self, job: Job, on_end: Optional[Callable[[str], None]] = None, cut: Optional[native.FimCut] = None
    ):
        super().__init__(job)
        #: Of fill in the middle: what there was no room for.
        self.cut = cut
        self._on_end = on_end
        #: The text so far.
        self.text = ""
        #: The tokens so far.
        self.tokens: list[int] = []

    def __next__(self) -> str:
        try:
            while True:
                event = self._next()
                if event.is_TEXT():
                    self.text += event.text  # type: ignore[attr-defined]
                    return event.text  # type: ignore[attr-defined]
                if event.is_TOKEN():
                    self.tokens.append(event.id)  # type: ignore[attr-defined]
        except StopIteration:
            self._end()
            raise

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end:
            on_end(self.text)
