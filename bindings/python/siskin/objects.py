"""Models, sessions and jobs as context managers, with Python's ways of saying what is meant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, Iterable, Iterator, Optional, Sequence, Union

from ._native import siskin as native

if TYPE_CHECKING:
    from .answers import Answer, Texts

#: What a job may start from: text or tokens behind what the session holds, or a conversation.
PromptLike = Union[str, native.Prompt, Sequence[int], Sequence[native.Message]]


class Closed(native.SiskinError):
    """The object was closed."""

    def __init__(self, what: str):
        super().__init__(what)
        self.reason = f"this {what} is closed"
        self.file = self.key = self.tensor = self.offset = None


class _Handle:
    """What closes: freed by `close`, at the end of a `with` block, or when dropped; never waits for computing."""

    def close(self) -> None:
        """Frees it, also while it is in use. Closing again does nothing."""
        handle = self.__dict__.pop("_handle", None)
        if handle is not None:
            native._uniffi_rust_call(self._free, handle)  # type: ignore[attr-defined]

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _uniffi_clone_handle(self):
        if "_handle" not in self.__dict__:
            raise Closed(type(self).__name__.lower())
        return super()._uniffi_clone_handle()  # type: ignore[misc]


def _own(cls: type, generated: Any) -> Any:
    """The same object as an instance of our class."""
    return cls._uniffi_make_instance(generated.__dict__.pop("_handle"))  # type: ignore[attr-defined]


def _part(file: Union[int, BinaryIO], offset: int, length: Optional[int]) -> tuple[int, int, int]:
    """Descriptor, offset and length of what lies inside a file, to its end if no length is given."""
    fd = file if isinstance(file, int) else file.fileno()
    return fd, offset, max(os.fstat(fd).st_size - offset, 0) if length is None else length


class Model(_Handle, native.Model):
    """An opened model: immutable, shared freely between threads and sessions. The weights stay in the mapped file."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_model

    @classmethod
    def open(cls, path: Union[str, os.PathLike], options: Optional[native.ModelOptions] = None, **settings: Any) -> Model:
        """Opens the GGUF file at `path`. `settings` are fields of `ModelOptions`."""
        return _own(cls, native.Model.open(os.fspath(path), options or native.ModelOptions(**settings)))

    @classmethod
    def open_file(
        cls, file: Union[int, BinaryIO], offset: int = 0, length: Optional[int] = None,
        options: Optional[native.ModelOptions] = None, **settings: Any,
    ) -> Model:
        """Opens a model that lies inside an open file or descriptor, from `offset` on; mapped, not copied. The file
        may be closed afterwards."""
        part = _part(file, offset, length)
        return _own(cls, native.Model.open_fd(*part, options or native.ModelOptions(**settings)))

    @classmethod
    def open_bytes(cls, data: bytes, options: Optional[native.ModelOptions] = None, **settings: Any) -> Model:
        """Opens a model that is in memory; copied once."""
        return _own(cls, native.Model.open_bytes(data, options or native.ModelOptions(**settings)))

    def session(self, options: Optional[native.SessionOptions] = None, **settings: Any) -> Session:
        """Starts an empty session. `settings` are fields of `SessionOptions`."""
        return _own(Session, super().session(options or native.SessionOptions(**settings)))

    def embedder(self, options: Optional[native.EmbedOptions] = None, **settings: Any) -> Embedder:
        """Starts an embedder: texts to vectors. `settings` are fields of `EmbedOptions`."""
        return _own(Embedder, super().embedder(options or native.EmbedOptions(**settings)))


    def moderator(self, any_model: bool = False) -> Moderator:
        """Starts a moderator; with `any_model` also of a model that does not say it is a classifier of this kind."""
        return _own(Moderator, super().moderator(native.ModerateOptions(any_model=any_model)))

    def vision(self, path: Union[str, os.PathLike]) -> Vision:
        """Opens the model's eyes: the vision tower in the GGUF file at `path` ("mmproj"), or in the folder of a model that
        sees."""
        return _own(Vision, super().vision(os.fspath(path)))

    def vision_file(self, file: Union[int, BinaryIO], offset: int = 0, length: Optional[int] = None) -> Vision:
        """The same from an open file or descriptor, from `offset` on; mapped, not copied."""
        return _own(Vision, super().vision_fd(*_part(file, offset, length)))

    def vision_bytes(self, data: bytes) -> Vision:
        """The same from memory; copied once."""
        return _own(Vision, super().vision_bytes(data))


class Moderator(_Handle, native.Moderator):
    """Tells how probable it is that texts violate policies. One call at a time; while one runs, another raises
    `SiskinError.Busy`."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_moderator


class Vision(_Handle, native.Vision):
    """A model's eyes, which make pictures for it to see."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_vision

    def picture(
        self, source: Union[str, os.PathLike, bytes], pan_and_scan: Union[bool, native.PanAndScan, None] = None
    ) -> Picture:
        """A picture from a PNG or JPEG file: its path or its bytes. With `pan_and_scan` (`True`, or numbers of your own) parts of
        a long one are shown behind the whole; each takes as much time and context as a picture."""
        if not isinstance(source, (bytes, bytearray, memoryview)):
            with open(source, "rb") as file:
                source = file.read()
        return _own(Picture, self.picture_file(bytes(source), self._crops(pan_and_scan)))

    def picture_rgb(
        self, width: int, height: int, pixels: bytes, pan_and_scan: Union[bool, native.PanAndScan, None] = None
    ) -> Picture:
        """A picture of `width` x `height` pixels, three bytes for each: `PIL.Image.convert("RGB").tobytes()`. `pan_and_scan` as
        for `picture`."""
        return _own(Picture, super().picture_rgb(width, height, bytes(pixels), self._crops(pan_and_scan)))

    def _crops(self, pan_and_scan: Union[bool, native.PanAndScan, None]) -> Optional[native.PanAndScan]:
        """The numbers that are meant: `True` stands for those that the model was published with."""
        if isinstance(pan_and_scan, native.PanAndScan):
            return pan_and_scan
        return self.pan_and_scan() if pan_and_scan else None


class Picture(_Handle, native.Picture):
    """A picture for a model to see, in any number of messages: `Message(..., pictures=[picture])`. The first answer turns it
    into embeddings, which it keeps."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_picture


class Embedder(_Handle, native.Embedder):
    """Turns texts into vectors. One call at a time; while one runs, another raises `SiskinError.Busy`."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_embedder

    def embed_all(self, texts: Iterable[str]) -> Iterator[list[float]]:
        """The vectors of `texts`, one after the other, as they are asked for."""
        return map(self.embed, texts)


class Session(_Handle, native.Session):
    """A conversation's state. One job at a time works on it; while one does, the other calls raise `SiskinError.Busy`."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_session

    def __init__(self, model: Model, options: Optional[native.SessionOptions] = None, **settings: Any):
        super().__init__(model, options or native.SessionOptions(**settings))

    def job(self, prompt: PromptLike, options: Optional[native.GenerateOptions] = None, **settings: Any) -> Job:
        """Prepares an answer to `prompt`; see `generate`."""
        job = _own(Job, super().job(_prompt(prompt), options or _options(settings)))
        job._session = self  # freeing a session cancels its job: whoever reads an answer keeps the session
        return job

    def generate(self, prompt: PromptLike, options: Optional[native.GenerateOptions] = None, **settings: Any) -> Answer:
        """Makes an answer to `prompt` and gives its events. Text and tokens go behind what the session holds; messages
        are a whole conversation, of which the session keeps what it has already.

        `settings` are fields of `GenerateOptions` and `SamplerConfig`: `max_tokens=100, temperature=0`."""
        from .answers import Answer

        return Answer(self.job(prompt, options, **settings))

    def ask(
        self, question: PromptLike, options: Optional[native.GenerateOptions] = None, *,
        pictures: Sequence[native.Picture] = (), **settings: Any,
    ) -> Texts:
        """The text of an answer, piece by piece. A string is what a user says, alone, with `pictures` before it or where it
        has "<start_of_image>"; see `Chat` for conversations."""
        from .answers import Texts

        if isinstance(question, str):
            question = [native.Message(role="user", content=question, pictures=list(pictures))]
        elif pictures:
            raise TypeError("pictures go with a question that is a string; messages have their own")
        return Texts(self.job(question, options, **settings))


    def fim(
        self, prefix: str, suffix: str, options: Optional[native.GenerateOptions] = None, *, path: Optional[str] = None,
        repo: Optional[str] = None, files: Sequence[native.FimFile] = (), **settings: Any,
    ) -> Texts:
        """The text that goes between `prefix` and `suffix`, piece by piece; its `cut` says what there was no room for. The
        session is that text's from then on."""
        from .answers import Texts

        request = native.FimRequest(prefix=prefix, suffix=suffix, path=path, repo=repo, files=list(files))
        made = super().fim(request, options or _options(settings))
        job = _own(Job, made.job)
        job._session = self
        return Texts(job, cut=made.cut)


class Job(_Handle, native.Job):
    """One answer in the making, pulled in batches of events. Dropping it cancels it."""

    _free = native._UniffiLib.uniffi_siskin_bindings_fn_free_job


def _prompt(prompt: PromptLike) -> native.Prompt:
    if isinstance(prompt, str):
        return native.Prompt.TEXT(prompt)
    if isinstance(prompt, native.Prompt):
        return prompt
    items = list(prompt)
    if items and isinstance(items[0], native.Message):
        return native.Prompt.MESSAGES(items, native.RenderOptions())
    return native.Prompt.TOKENS(items)


_SAMPLER = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "frequency_penalty", "presence_penalty",
    "penalty_last_n", "logit_bias", "seed",
)


def _options(settings: dict) -> native.GenerateOptions:
    sampler = {name: settings.pop(name) for name in _SAMPLER if name in settings}
    if sampler:
        settings["sampler"] = native.SamplerConfig(**sampler)
    return native.GenerateOptions(**settings)
