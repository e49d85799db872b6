package dev.siskin

/**
 * What went wrong, and where: [file], metadata [key], [tensor] and byte [offset], as far as the library knows. [message]
 * says all of it in words. Neither prompts nor answers ever stand in it.
 */
public class SiskinException internal constructor(
    code: Int,
    message: String,
    public val file: String?,
    public val key: String?,
    public val tensor: String?,
    offset: Long,
) : RuntimeException(message) {
    public val kind: ErrorKind = ErrorKind.entries.getOrElse(code) { ErrorKind.INTERNAL }
    public val offset: Long? = offset.takeIf { it >= 0 }

    private companion object {
        private const val serialVersionUID = 1L
    }
}

/** What kind of failure a [SiskinException] is. Later versions may add kinds. */
public enum class ErrorKind { // the order is that of android/jni/src/failure.rs
    /** A mistake in Siskin. */
    INTERNAL,

    /** The system refused: no such file, no permission. */
    IO,

    /** Not a well-formed model file. */
    FORMAT,

    /** A value beyond what this library accepts. */
    LIMIT,

    /** A valid file of a kind that this version does not run. */
    UNSUPPORTED,

    /** A metadata key or tensor is absent. */
    MISSING,

    /** A tensor or metadata value does not fit the model. */
    SHAPE,

    /** Text or ids that the tokenizer cannot handle. */
    TOKENIZER,

    /** The chat template failed. */
    TEMPLATE,

    /** An argument that makes no sense. */
    ARGUMENT,

    /** A job has the session. */
    BUSY,

    /** No room in the context. */
    CONTEXT_FULL,

    /** Cancelled. A cancelled job is no failure: its [Outcome] says so. */
    CANCELLED,

    /** The model file changed while it was in use. */
    FILE_CHANGED,

    /** The model produced something that is no number. */
    NUMERIC,

    /** An earlier failure left this object unusable. */
    POISONED,
}
