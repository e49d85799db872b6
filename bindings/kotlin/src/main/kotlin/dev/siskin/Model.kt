package dev.siskin

/**
 * An opened model. Immutable; any thread may use it, and sessions on any thread share it. Weights stay in the mapped file,
 * which must be neither shortened nor written to while the model is open (replacing it by renaming is fine).
 *
 * Opening takes some ten milliseconds and blocks: not on the main thread; `Model.load` suspends instead.
 */
public class Model private constructor(handle: Long) : AutoCloseable {
    private val handle = Handle(this, "model", handle, Native::modelFree)

    /** Starts an empty session. */
    @JvmOverloads
    public fun newSession(options: SessionOptions = SessionOptions()): Session =
        Session(Native.sessionNew(handle.value(), options.context ?: -1, options.batch ?: -1, options.kvType.ordinal))

    /** Starts an embedder: texts to vectors. */
    @JvmOverloads
    public fun newEmbedder(options: EmbedOptions = EmbedOptions()): Embedder {
        val dimensions = options.dimensions ?: -1
        require(options.dimensions == null || dimensions > 0) { "there cannot be $dimensions dimensions" }
        return Embedder(
            Native.embedderNew(
                handle.value(), options.pooling?.ordinal ?: -1, options.normalize, dimensions, options.truncate,
            ),
        )
    }

    /** Starts a moderator; with [anyModel] also of a model that does not say that it is a classifier of this kind. */
    @JvmOverloads
    public fun newModerator(anyModel: Boolean = false): Moderator = Moderator(Native.moderatorNew(handle.value(), anyModel))

    /** Opens the model's eyes: the vision tower in the file at [path] ("mmproj"), or in the folder of a model that sees. */
    public fun openVision(path: String): Vision = Vision(Native.visionPath(handle.value(), path.utf8()))

    /** The same from [length] bytes from [offset] of an open file; the descriptor must be open during the call. */
    public fun openVision(fd: Int, offset: Long, length: Long): Vision =
        Vision(Native.visionDescriptor(handle.value(), fd, offset, length))

    /** The same from a file in memory, which is copied. */
    public fun openVision(bytes: ByteArray): Vision = Vision(Native.visionBytes(handle.value(), bytes))

    /** What a session with these options will take, before anything is allocated. */
    @JvmOverloads
    public fun fit(options: SessionOptions = SessionOptions()): Fit =
        Fit(Native.fit(handle.value(), options.context ?: -1, options.batch ?: -1, options.kvType.ordinal))

    /** What the model is, and how it runs now. */
    public fun info(): ModelInfo = ModelInfo(Native.modelNames(handle.value()), Native.modelNumbers(handle.value()))

    /** Keys of the file's metadata, in its order. */
    public fun metadataKeys(): List<String> = Native.metadataKeys(handle.value()).asList()

    /** A value of the file's metadata as JSON (a string has its quotes), or null if there is no such key. */
    public fun metadataJson(key: String): String? =
        Native.metadataJson(handle.value(), key.utf8())?.toString(Charsets.UTF_8)

    /** [text] as tokens. [parseSpecial]: texts of special tokens become those tokens; not for text from users. */
    @JvmOverloads
    public fun tokenize(text: String, addSpecial: Boolean = true, parseSpecial: Boolean = false): IntArray =
        Native.tokenize(handle.value(), text.utf8(), addSpecial, parseSpecial)

    /** [tokens] as text; what is no UTF-8 becomes U+FFFD. */
    @JvmOverloads
    public fun detokenize(tokens: IntArray, showSpecial: Boolean = false): String =
        Native.detokenize(handle.value(), tokens, showSpecial).toString(Charsets.UTF_8)

    /** Whether [token] ends a turn. */
    public fun isEnd(token: Int): Boolean = Native.isEnd(handle.value(), token)

    /** The text that the model's template makes of a conversation. */
    @JvmOverloads
    public fun render(messages: List<Message>, options: RenderOptions = RenderOptions()): String {
        val chat = ChatArrays(messages, options)
        return Native.render(handle.value(), chat.messages, chat.shown, options.addGenerationPrompt, chat.json, chat.now)
            .toString(Charsets.UTF_8)
    }

    /** The tokens that a conversation becomes. */
    @JvmOverloads
    public fun conversation(messages: List<Message>, options: RenderOptions = RenderOptions()): IntArray {
        val chat = ChatArrays(messages, options)
        return Native.conversation(handle.value(), chat.messages, chat.shown, options.addGenerationPrompt, chat.json, chat.now)
    }

    /**
     * Tells how hot the device is, as `PowerManager.getCurrentThermalStatus()` says it (0 none to 6 shutdown). Fewer
     * threads work when it is hot; answers do not depend on it.
     */
    public fun setThermalStatus(status: Int): Unit = Native.setThermal(handle.value(), status)

    /**
     * Tells how short of memory the device is, in the levels of `onTrimMemory`. Weights go back to the system and are
     * read again when used. `TRIM_MEMORY_UI_HIDDEN` is not taken for pressure.
     */
    public fun trimMemory(level: Int): Unit = Native.relieve(handle.value(), level)

    /** Lets go of the model, at once. Sessions of it go on. Closing twice does nothing. */
    override fun close(): Unit = handle.close()

    public companion object {
        /** Opens the model file at [path] (any part of a split one). */
        @JvmStatic
        @JvmOverloads
        public fun open(path: String, options: ModelOptions = ModelOptions()): Model = Model(
            Native.openPath(
                path.utf8(), threads(options), options.kernels?.utf8(), options.experts.ordinal, options.logLevel.ordinal, options.log,
            ),
        )

        /**
         * Opens [length] bytes from [offset] of the open file that the descriptor [fd] stands for, mapped where they lie.
         * The descriptor must be open during the call and can be closed after it.
         */
        @JvmStatic
        @JvmOverloads
        public fun open(fd: Int, offset: Long, length: Long, options: ModelOptions = ModelOptions()): Model = Model(
            Native.openDescriptor(
                fd, offset, length, threads(options), options.kernels?.utf8(), options.experts.ordinal, options.logLevel.ordinal, options.log,
            ),
        )

        /** Opens a model file that is in memory, and copies it. */
        @JvmStatic
        @JvmOverloads
        public fun open(bytes: ByteArray, options: ModelOptions = ModelOptions()): Model = Model(
            Native.openBytes(bytes, threads(options), options.kernels?.utf8(), options.experts.ordinal, options.logLevel.ordinal, options.log),
        )

        private fun threads(options: ModelOptions): Int {
            val threads = options.threads ?: return -1
            require(threads > 0) { "there cannot be $threads threads" }
            return threads
        }
    }
}

/** What a model is, and how it runs. */
public data class ModelInfo(
    val architecture: String,
    val name: String,
    val layers: Int,
    val width: Int,
    val vocabulary: Int,
    /** Tokens of context that it was trained for. */
    val context: Int,
    /** Numbers in all tensors. */
    val parameters: Long,
    val weightBytes: Long,
    val kernels: String,
    val threads: Int,
    /** Threads that work for now: fewer when the device is hot. */
    val activeThreads: Int,
    val hasChatTemplate: Boolean,
    val beginToken: Int?,
    val endToken: Int?,
    /** Whether it generates text; if not, it only embeds. */
    val generates: Boolean,
    /** How it was trained to embed texts, if its file says so. */
    val pooling: Pooling?,
    /** Whether it was trained to fill in the middle. */
    val fillsIn: Boolean,
) {
    internal constructor(s: Array<String>, n: LongArray) : this(
        s[0], s[1], n[0].toInt(), n[1].toInt(), n[2].toInt(), n[3].toInt(), n[4], n[5], s[2], n[6].toInt(), n[7].toInt(),
        n[8] != 0L, token(n[9]), token(n[10]), n[11] != 0L, token(n[12])?.let { Pooling.entries[it] },
        n[13] != 0L,
    )

    private companion object {
        fun token(n: Long): Int? = n.takeIf { it != Long.MAX_VALUE }?.toInt()
    }
}
