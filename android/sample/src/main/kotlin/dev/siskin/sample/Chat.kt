package dev.siskin.sample

import dev.siskin.Event
import dev.siskin.GenerateOptions
import dev.siskin.Message
import dev.siskin.Model
import dev.siskin.Prompt
import dev.siskin.Session
import dev.siskin.SiskinException
import dev.siskin.StopReason
import dev.siskin.generate
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch

/** What the screen shows. */
data class ChatState(
    val ready: Boolean = false,
    val messages: List<Message> = emptyList(),
    /** The answer that is being made; null when none is. */
    val answer: String? = null,
    /** How far the prompt is, 0 to 1, before the first word. */
    val progress: Float? = null,
    val problem: String? = null,
)

/**
 * The conversation behind the screen. Knows no Android class, so that it is tested on any machine; [ChatViewModel] ties it
 * to the app's life. [open] opens the model, and may take its time.
 */
class Chat(private val scope: CoroutineScope, private val options: GenerateOptions = GenerateOptions(maxTokens = 512), private val open: suspend () -> Model) : AutoCloseable {
    private val mutable = MutableStateFlow(ChatState())
    val state: StateFlow<ChatState> = mutable.asStateFlow()

    private var model: Model? = null
    private var session: Session? = null
    private var answering: Job? = null

    init {
        scope.launch {
            try {
                val opened = open().also { model = it }
                session = opened.newSession()
                mutable.update { it.copy(ready = true) }
            } catch (e: SiskinException) {
                mutable.update { it.copy(problem = e.message) }
            }
        }
    }

    fun send(text: String) {
        val session = session ?: return
        if (mutable.value.answer != null) return // one at a time
        mutable.update { it.copy(messages = it.messages + Message.user(text), answer = "", problem = null) }
        val conversation = mutable.value.messages
        // Begins at once, so that stopping it, however early, comes by `finally`.
        answering = scope.launch(start = CoroutineStart.UNDISPATCHED) {
            try {
                // The whole conversation each time: the session keeps what it has seen of it.
                session.generate(Prompt.Chat(conversation), options).collect { event ->
                    mutable.update { it.after(event) }
                }
            } catch (e: SiskinException) {
                mutable.update { it.copy(problem = e.message) }
            } finally { // also when stopped: what was said stays said
                mutable.update { it.answered() }
            }
        }
    }

    /** Stops the answer, wherever it is. */
    fun stop() {
        answering?.cancel()
    }

    /** Forgets the conversation. */
    fun clear() {
        scope.launch {
            answering?.cancelAndJoin()
            session?.truncate(0)
            mutable.update { ChatState(ready = it.ready) }
        }
    }

    /** At once, whatever is going on; the work ends by itself. */
    override fun close() {
        answering?.cancel()
        session?.close()
        model?.close()
    }
}

private fun ChatState.after(event: Event): ChatState = when (event) {
    is Event.Prefill -> copy(progress = event.done.toFloat() / event.total.coerceAtLeast(1))
    is Event.Text -> copy(answer = answer.orEmpty() + event.text, progress = null)
    is Event.Token -> this
    is Event.Done -> if (event.outcome.reason == StopReason.CONTEXT_FULL) copy(problem = "The conversation is as long as it can be.") else this
}

private fun ChatState.answered(): ChatState {
    val said = answer.orEmpty()
    val messages = if (said.isEmpty()) messages else messages + Message.assistant(said)
    return copy(messages = messages, answer = null, progress = null)
}
