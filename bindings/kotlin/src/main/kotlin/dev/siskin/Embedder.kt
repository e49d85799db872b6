package dev.siskin

/** How the states of a text's tokens become one: their mean, the first token's, the last token's. */
public enum class Pooling { MEAN, CLS, LAST }

/** How texts become vectors. */
public data class EmbedOptions @JvmOverloads constructor(
    /** By default what the file says; a model whose file does not say (it was not made for this) needs one. */
    val pooling: Pooling? = null,
    /** Whether vectors have length 1, so that the product of two is their cosine. */
    val normalize: Boolean = true,
    /** Only the first so many numbers, for models that were trained for that; by default all. */
    val dimensions: Int? = null,
    /** Whether a text that is too long is cut instead of refused. */
    val truncate: Boolean = false,
)

/**
 * Turns texts into vectors. Any thread may use it; one call at a time, another meanwhile throws with [ErrorKind.BUSY].
 * Computing blocks: not on the main thread.
 */
public class Embedder internal constructor(handle: Long) : AutoCloseable {
    private val handle = Handle(this, "embedder", handle, Native::embedderFree)

    /** How many numbers a vector has. */
    public val dimensions: Int get() = Native.dimensions(handle.value())

    /**
     * The vector of [text]. Words that the model expects before a text are the caller's to write; what looks like a
     * special token in it is taken literally.
     */
    public fun embed(text: String): FloatArray = Native.embed(handle.value(), text.utf8())

    /** Cancels the call that runs, if one does; from any thread. */
    public fun cancel(): Unit = Native.embedderCancel(handle.value())

    /** Lets go of the embedder, at once; a call that runs goes on. Closing twice does nothing. */
    override fun close(): Unit = handle.close()
}
