package dev.siskin

/** What happens while an answer is made. The last event of an answer is [Done]. */
public sealed interface Event {
    /** [done] of the prompt's [total] tokens were taken in. */
    public data class Prefill(val done: Int, val total: Int) : Event

    /** A token was chosen. [logprob] only on request ([GenerateOptions.logprobs]). */
    public data class Token(val id: Int, val logprob: Float?) : Event

    /** Text became certain: never half a character, never part of a stop text. */
    public data class Text(val text: String) : Event

    /** The end. */
    public data class Done(val outcome: Outcome) : Event
}

/** How an answer ended. */
public data class Outcome(
    val reason: StopReason,
    val promptTokens: Int,
    val generatedTokens: Int,
    val prefillNanos: Long,
    val decodeNanos: Long,
)

public enum class StopReason { // the order is that of android/jni/src/events.rs
    /** The model ended its turn. */
    END_OF_TURN,

    /** A stop text appeared. */
    STOP_STRING,
    MAX_TOKENS,
    CONTEXT_FULL,
    CANCELLED,

    /** A handler of events said stop; only from C and Rust. */
    CALLER,
}
