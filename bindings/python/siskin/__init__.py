"""Siskin: an on-device language-model runtime.

    with siskin.Model.open("model.gguf") as model, model.session() as session:
        for text in session.ask("What is a finch?", max_tokens=128):
            print(text, end="", flush=True)

A `Model` is immutable and shared; a `Session` is one conversation's state; a `Chat` keeps its messages. Answers are
iterators: closing or dropping one cancels the answer. Every failure is a `SiskinError` with its kind as a subclass
(`SiskinError.Io`, `SiskinError.Busy`, ...) and the file, key, tensor and offset as attributes.
"""

from ._native.siskin import (
    EmbedOptions,
    Event,
    Experts,
    FimCut,
    FimFile,
    Fit,
    GenerateOptions,
    KvType,
    LogFailure,
    LogLevel,
    LogSink,
    Message,
    ModelInfo,
    ModelOptions,
    Outcome,
    PanAndScan,
    Policy,
    Pooling,
    Pressure,
    Prompt,
    RenderOptions,
    SamplerConfig,
    Score,
    SessionOptions,
    SiskinError,
    SpecialTokens,
    Stats,
    StopReason,
    Thermal,
    TokenBias,
    TokenKind,
    VisionInfo,
    version,
)
from .answers import Answer, Texts
from .chat import Chat
from .objects import Closed, Embedder, Job, Model, Moderator, Picture, Session, Vision

# The generated classes show all attributes; their sentence says it already, with the place.
SiskinError.__str__ = lambda self: self.reason  # type: ignore[method-assign,attr-defined]

__version__ = version()
__all__ = [
    "Answer", "Chat", "Closed", "EmbedOptions", "Embedder", "Event", "Experts", "FimCut", "FimFile", "Fit", "GenerateOptions", "Job", "KvType", "LogFailure", "LogLevel", "LogSink",
    "Message", "Model", "ModelInfo", "ModelOptions", "Moderator", "Outcome", "PanAndScan", "Picture", "Policy", "Pooling", "Pressure", "Prompt", "RenderOptions", "SamplerConfig", "Score",
    "Session", "SessionOptions", "SiskinError", "SpecialTokens", "Stats", "StopReason", "Texts", "Thermal", "TokenBias",
    "TokenKind", "Vision", "VisionInfo", "version",
]
