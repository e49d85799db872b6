"""A conversation: the messages so far, and a session that answers the next."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from ._native import siskin as native
from .answers import Texts
from .objects import Session


class Chat:
    """Keeps the messages of a conversation. Earlier turns are not computed again: the session has them."""

    def __init__(self, session: Session, system: Optional[str] = None, render: Optional[native.RenderOptions] = None):
        self.session = session
        #: What the template is given besides: tools, variables.
        self.render = render or native.RenderOptions()
        #: The conversation so far.
        self.messages: List[native.Message] = []
        if system is not None:
            self.messages.append(native.Message(role="system", content=system))

    def ask(
        self, text: str, options: Optional[native.GenerateOptions] = None, *,
        pictures: Sequence[native.Picture] = (), **settings: Any,
    ) -> Texts:
        """Says `text` as the user, showing `pictures`, and gives the answer, which becomes part of the conversation when it ends (what there
        is of it, if it is closed)."""
        messages = [*self.messages, native.Message(role="user", content=text, pictures=list(pictures))]
        job = self.session.job(native.Prompt.MESSAGES(messages, self.render), options, **settings)

        def remember(answer: str) -> None:
            self.messages[:] = [*messages, native.Message(role="assistant", content=answer)]

        return Texts(job, remember)
