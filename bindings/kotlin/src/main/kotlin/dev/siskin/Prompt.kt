package dev.siskin

/**
 * One message of a conversation. [fields]: further ones that templates read, as a JSON object. [pictures]: what it shows,
 * where [content] has `<start_of_image>` for each, else before it.
 */
public data class Message @JvmOverloads constructor(
    val role: String,
    val content: String,
    val fields: String? = null,
    val pictures: List<Picture> = emptyList(),
) {
    public companion object {
        @JvmStatic public fun system(text: String): Message = Message("system", text)
        @JvmStatic public fun user(text: String): Message = Message("user", text)
        @JvmStatic public fun user(text: String, pictures: List<Picture>): Message = Message("user", text, null, pictures)
        @JvmStatic public fun assistant(text: String): Message = Message("assistant", text)
    }
}

/** What a chat template is given besides the messages. */
public data class RenderOptions @JvmOverloads constructor(
    /** Whether the prompt shall end where the answer begins. */
    val addGenerationPrompt: Boolean = true,
    /** The tools that the model may call, as a JSON array. */
    val tools: String? = null,
    /** Further variables, as a JSON object. */
    val variables: String? = null,
    /** Local time in seconds since 1970, for templates that tell the model the date. */
    val now: Long? = null,
)

/** What comes before an answer. */
public sealed interface Prompt {
    /** These tokens, behind what the session holds. */
    public class Tokens(public val ids: IntArray) : Prompt

    /**
     * This text, behind what the session holds. Special tokens in it are text, unless [parseSpecial]; not for text from
     * users. [pictures] stand where it has `<start_of_image>` for each, if [parseSpecial], else before it.
     */
    public class Text @JvmOverloads constructor(
        public val text: String,
        public val parseSpecial: Boolean = false,
        public val pictures: List<Picture> = emptyList(),
    ) : Prompt

    /**
     * A whole conversation, by the model's template. What the session holds of it already is not computed again; the rest
     * of the session is forgotten. So keep the messages, add to them, and hand in all of them each time.
     */
    public class Chat @JvmOverloads constructor(
        public val messages: List<Message>,
        public val options: RenderOptions = RenderOptions(),
    ) : Prompt {
        /** A single question. */
        public constructor(question: String) : this(listOf(Message.user(question)))
    }
}

/** The arrays that `options::messages` and `options::render` of the native side read. */
internal class ChatArrays(messages: List<Message>, options: RenderOptions) {
    val messages: Array<ByteArray?> = arrayOfNulls(3 * messages.size)
    val json: Array<ByteArray?> = arrayOf(options.tools?.utf8(), options.variables?.utf8())
    val now: Long = options.now ?: Long.MIN_VALUE
    val pictures: LongArray = messages.flatMap { it.pictures }.handles()

    /** For each picture the number of its message. */
    val shown: IntArray = messages.flatMapIndexed { i, message -> message.pictures.map { i } }.toIntArray()

    init {
        messages.forEachIndexed { i, message ->
            this.messages[3 * i] = message.role.utf8()
            this.messages[3 * i + 1] = message.content.utf8()
            this.messages[3 * i + 2] = message.fields?.utf8()
        }
    }
}

internal fun List<Picture>.handles(): LongArray = LongArray(size) { this[it].value() }
