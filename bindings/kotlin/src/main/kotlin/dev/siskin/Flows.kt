package dev.siskin

import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ProducerScope
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.mapNotNull
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** [Model.open] without blocking the caller. */
public suspend fun Model.Companion.load(path: String, options: ModelOptions = ModelOptions()): Model =
    withContext(Dispatchers.IO) { open(path, options) }

/**
 * An answer as a cold flow: collecting it starts the work, the last event is [Event.Done]. Cancelling the collector, or
 * its leaving early, cancels the work at once, also before the first token and inside a long prompt; when the flow has
 * ended, however, the session is free again.
 *
 * Events cross from the library in batches: a slow collector gets many at a time, and one that stops collecting stops the
 * work after a while instead of filling memory.
 */
public fun Session.generate(prompt: Prompt, options: GenerateOptions = GenerateOptions()): Flow<Event> =
    events { job(prompt, options) }

/** The events of the job that [prepare] makes. */
internal fun events(prepare: () -> Job): Flow<Event> {
    val batches = channelFlow {
        // Whoever closes the session after cancelling the collector has ended it: what fails by then is not news.
        try {
            pull(prepare())
        } catch (e: Exception) {
            ensureActive()
            throw e
        }
    }
    // One batch under way: what waits, waits in the library, where it is bounded.
    val pulled = batches.buffer(Channel.RENDEZVOUS).flowOn(Dispatchers.IO)
    return flow { pulled.collect { batch -> batch.forEach { emit(it) } } }
}

/** Sends the events of [prepared] in batches, and closes it. */
private suspend fun ProducerScope<List<Event>>.pull(prepared: Job) {
    prepared.use { job ->
        // Runs where the cancelling happens, so that it counts at once, whatever the pulling thread does.
        val watch = launch(Dispatchers.Unconfined, CoroutineStart.UNDISPATCHED) {
            try {
                awaitCancellation()
            } finally {
                job.cancel()
            }
        }
        try {
            do {
                val batch = job.next()
                send(batch)
            } while (batch.last() !is Event.Done)
        } finally {
            watch.cancel()
            job.end()
        }
    }
}

/** Cancels a job and waits until it is out of the session: one step of one layer, or nothing if it has ended. */
private fun Job.end() {
    cancel()
    try {
        while (outcome == null) next()
    } catch (_: SiskinException) {
        // Ended by failing, which the collector has been told or need not know any more.
    }
}

/** Only the text of an answer. */
public fun Flow<Event>.texts(): Flow<String> = mapNotNull { (it as? Event.Text)?.text }

/** The whole answer. Cancelling works as for [generate]. */
public suspend fun Session.answer(prompt: Prompt, options: GenerateOptions = GenerateOptions()): Answer {
    val text = StringBuilder()
    val tokens = ArrayList<Int>()
    var outcome: Outcome? = null
    generate(prompt, options).collect { event ->
        when (event) {
            is Event.Text -> text.append(event.text)
            is Event.Token -> tokens += event.id
            is Event.Done -> outcome = event.outcome
            is Event.Prefill -> {}
        }
    }
    return Answer(text.toString(), tokens, checkNotNull(outcome) { "a flow ends with Done" })
}

/** A whole answer. [tokens] has the token that ended the turn, too. */
public data class Answer(val text: String, val tokens: List<Int>, val outcome: Outcome)
