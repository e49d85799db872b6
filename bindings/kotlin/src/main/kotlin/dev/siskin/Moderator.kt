package dev.siskin

/**
 * A rule that a text may violate. Without a [guideline] one that the model was trained with: `dangerous_content`,
 * `harassment`, `hate_speech` or `sexually_explicit`.
 */
public data class Policy @JvmOverloads constructor(val name: String, val guideline: String? = null) {
    public companion object {
        /** Those that the model was trained with. */
        @JvmField
        public val KNOWN: List<Policy> =
            listOf("dangerous_content", "harassment", "hate_speech", "sexually_explicit").map { Policy(it) }
    }
}

/** How a text stands to a policy: the probability that it violates it, 0 to 1. */
public data class Score(val policy: String, val probability: Double)

/**
 * Tells how probable it is that texts violate policies, with a model that was trained for it (ShieldGemma). Any thread may
 * use it; one call at a time, another meanwhile throws with [ErrorKind.BUSY]. Computing blocks: not on the main thread.
 */
public class Moderator internal constructor(handle: Long) : AutoCloseable {
    private val handle = Handle(this, "moderator", handle, Native::moderatorFree)

    /**
     * How probable it is that a text violates each of [policies]: the [response] that a chatbot gave to [prompt], or without
     * one the prompt, which a user wrote. A text that is too long is refused, never cut.
     */
    @JvmOverloads
    public fun moderate(prompt: String, response: String? = null, policies: List<Policy> = Policy.KNOWN): List<Score> {
        val texts = policies.flatMap { listOf(it.name.utf8(), it.guideline?.utf8()) }.toTypedArray()
        val probabilities = Native.moderate(handle.value(), prompt.utf8(), response?.utf8(), texts)
        return policies.mapIndexed { i, policy -> Score(policy.name, probabilities[i]) }
    }

    /** Cancels the call that runs, if one does; from any thread. */
    public fun cancel(): Unit = Native.moderatorCancel(handle.value())

    /** Lets go of the moderator, at once; a call that runs goes on. Closing twice does nothing. */
    override fun close(): Unit = handle.close()
}
