package dev.siskin

/**
 * How a model is run. [threads]: by default one per fast core. [kernels]: by default the fastest of the processor.
 * [experts]: how those of a model that has some come into memory.
 */
public data class ModelOptions @JvmOverloads constructor(
    val threads: Int? = null,
    val log: LogSink? = null,
    val logLevel: LogLevel = LogLevel.INFO,
    val kernels: String? = null,
    val experts: Experts = Experts.AUTO,
)

/**
 * How experts come into memory: [MAP] like everything else; [STREAM] one by one, the system being told which come next;
 * [AUTO] as [STREAM] if the file is larger than the memory that is left.
 */
public enum class Experts { AUTO, MAP, STREAM }

/** Where messages of the library go. It is called on whatever thread has something to say; what it throws is dropped. */
public fun interface LogSink {
    /** [level] is the ordinal of a [LogLevel]. */
    public fun log(level: Int, message: String)
}

public enum class LogLevel { ERROR, WARN, INFO, DEBUG }

/** Sizes of a session. [context] in tokens: by default 4096, or what the model was trained for if that is less. */
public data class SessionOptions @JvmOverloads constructor(
    val context: Int? = null,
    val batch: Int? = null,
    val kvType: KvType = KvType.F16,
)

/** How keys and values are stored: as floats, or in 8 bits, with about half the memory and slightly different answers. */
public enum class KvType { F16, F32, Q8 }

/** What a session takes: sizes in tokens, memory in bytes. */
public data class Fit(
    val context: Int,
    val batch: Int,
    val threads: Int,
    /** The model file: shared with the page cache, given back under pressure. */
    val mapped: Long,
    val kvCache: Long,
    val buffers: Long,
    val tables: Long,
    /** Bytes of weights that a token reads. */
    val bytesPerToken: Long,
) {
    /** Memory that only this process has and that cannot be dropped. */
    val dirty: Long get() = kvCache + buffers + tables

    internal constructor(n: LongArray) : this(n[0].toInt(), n[1].toInt(), n[2].toInt(), n[3], n[4], n[5], n[6], n[7])
}

/** What is generated, and how tokens are chosen. */
public data class GenerateOptions @JvmOverloads constructor(
    /** Most tokens to generate; null for as many as the context holds. */
    val maxTokens: Int? = null,
    val sampler: Sampler = Sampler(),
    /** Texts that end the answer; they are not part of it. */
    val stop: List<String> = emptyList(),
    /** Whether [Event.Token] carries the log-probability that the model gave the token. */
    val logprobs: Boolean = false,
    val stopAtEndOfTurn: Boolean = true,
    val showSpecial: Boolean = false,
)

/** How tokens are chosen. [temperature] 0 always takes the most probable one. */
public data class Sampler @JvmOverloads constructor(
    val temperature: Float = 0.8f,
    val seed: Long = 0,
    val topK: Int = 40,
    val topP: Float = 0.95f,
    val minP: Float = 0.05f,
    val typicalP: Float = 1f,
    val repeatPenalty: Float = 1f,
    val frequencyPenalty: Float = 0f,
    val presencePenalty: Float = 0f,
    val penaltyLastN: Int = 64,
    /** Added to the logits of these tokens; negative infinity bans one. */
    val logitBias: Map<Int, Float> = emptyMap(),
) {
    public companion object {
        /** Always the most probable token. */
        @JvmField public val GREEDY: Sampler = Sampler(temperature = 0f)
    }
}

/** The arrays that `options::generate` of the native side reads. */
internal class GenerateArrays(options: GenerateOptions) {
    val counts: LongArray
    val reals: FloatArray
    val stop: Array<ByteArray?> = Array(options.stop.size) { options.stop[it].utf8() }
    val bias: IntArray
    val values: FloatArray

    init {
        fun flag(on: Boolean) = if (on) 1L else 0L
        val s = options.sampler
        val max = options.maxTokens ?: -1
        require(options.maxTokens == null || max >= 0) { "maxTokens cannot be $max" }
        counts = longArrayOf(
            max.toLong(), s.topK.toLong(), s.penaltyLastN.toLong(), s.seed,
            flag(options.stopAtEndOfTurn), flag(options.logprobs), flag(options.showSpecial),
        )
        reals = floatArrayOf(
            s.temperature, s.topP, s.minP, s.typicalP, s.repeatPenalty, s.frequencyPenalty, s.presencePenalty,
        )
        bias = s.logitBias.keys.toIntArray()
        values = s.logitBias.values.toFloatArray()
    }
}
