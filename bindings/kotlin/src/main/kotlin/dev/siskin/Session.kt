package dev.siskin

/**
 * A conversation's state: the tokens so far, and what was computed of them. Any thread may use it; one job at a time has
 * it, and whatever else is asked of it meanwhile fails with [ErrorKind.BUSY], without a wait.
 */
public class Session internal constructor(handle: Long) : AutoCloseable {
    private val handle = Handle(this, "session", handle, Native::sessionFree)

    /** What this session takes. */
    public val fit: Fit get() = Fit(Native.sessionFit(handle.value()))

    /** Tokens fed so far. */
    public val position: Int get() = Native.position(handle.value())

    /** Tokens that still fit. */
    public val room: Int get() = Native.room(handle.value())

    /** The tokens fed so far. */
    public fun tokens(): IntArray = Native.tokens(handle.value())

    /** The logits of the last token fed, one per token of the vocabulary; empty if there are none. */
    public fun logits(): FloatArray = Native.logits(handle.value())

    /** Forgets every token from [n] on. Says how many are left: [n], or 0 if the model cannot go back that far. */
    public fun truncate(n: Int): Int = Native.truncate(handle.value(), n)

    /**
     * Prepares an answer, to be pulled by a thread that may block: from Java, or where there are no coroutines. In
     * coroutines, collect `generate` instead.
     */
    @JvmOverloads
    public fun job(prompt: Prompt, options: GenerateOptions = GenerateOptions()): Job {
        val o = GenerateArrays(options)
        val session = handle.value()
        return Job(
            when (prompt) {
                is Prompt.Tokens -> Native.jobTokens(session, prompt.ids, o.counts, o.reals, o.stop, o.bias, o.values)
                is Prompt.Text -> Native.jobText(
                    session, prompt.text.utf8(), prompt.parseSpecial, prompt.pictures.handles(), o.counts, o.reals, o.stop, o.bias, o.values,
                )
                is Prompt.Chat -> {
                    val chat = ChatArrays(prompt.messages, prompt.options)
                    Native.jobMessages(
                        session, chat.messages, chat.pictures, chat.shown, prompt.options.addGenerationPrompt, chat.json, chat.now,
                        o.counts, o.reals, o.stop, o.bias, o.values,
                    )
                }
            },
        )
    }

    /**
     * Prepares what goes between the prefix and the suffix of [request]. The session is that text's from then on: what it
     * holds of the prompt already is not computed again, the rest is forgotten. If there is more text than room, its far
     * ends are cut.
     */
    @JvmOverloads
    public fun fim(request: FimRequest, options: GenerateOptions = GenerateOptions()): FimJob {
        val o = GenerateArrays(options)
        val cut = LongArray(3)
        val job = Native.jobFim(handle.value(), request.texts(), cut, o.counts, o.reals, o.stop, o.bias, o.values)
        return FimJob(Job(job), FimCut(cut[0], cut[1], cut[2]))
    }

    /** Lets go of the session, at once; a job that runs is cancelled and ends by itself. Closing twice does nothing. */
    override fun close(): Unit = handle.close()
}
