package dev.siskin

import java.util.concurrent.ConcurrentLinkedQueue
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** Coroutines over the same model. */
fun flowTests(t: Harness) {
    t.test("a flow has all events, the last is the end") {
        runBlocking {
            Model.load(scriptPath).use { model ->
                model.newSession().use { session ->
                    val flow = session.generate(Prompt.Chat("hi"), greedy())
                    repeat(2) { // cold: collecting again answers again
                        val events = flow.toList()
                        same(SCRIPT_TEXT, events.text())
                        same(SCRIPT_TOKENS, events.tokens())
                        holds(events.last() is Event.Done) { "$events" }
                    }
                    same(SCRIPT_TEXT, flow.texts().toList().joinToString(""))
                    val answer = session.answer(Prompt.Chat("hi"), greedy())
                    same(SCRIPT_TEXT to SCRIPT_TOKENS, answer.text to answer.tokens)
                }
            }
        }
    }
    t.test("who leaves early leaves the session free") {
        runBlocking {
            Model.load(scriptPath).use { model ->
                model.newSession().use { session ->
                    val endless = session.generate(Prompt.Chat("hi"), greedy().copy(stopAtEndOfTurn = false))
                    repeat(20) {
                        same(3, endless.take(3).toList().size)
                        session.position // or it would be busy
                    }
                    throws<ArithmeticException> { runBlocking { endless.onEach { throw ArithmeticException() }.collect() } }
                    session.position
                    throws<SiskinException> { runBlocking { session.generate(Prompt.Chat("hi"), GenerateOptions(sampler = Sampler(-1f))).collect() } }
                }
            }
        }
    }
    t.test("a session that is closed after its collector was cancelled fails nobody") {
        Model.open(scriptPath).use { model ->
            repeat(200) { i ->
                val failures = ConcurrentLinkedQueue<Throwable>()
                val scope = CoroutineScope(Dispatchers.Default + CoroutineExceptionHandler { _, e -> failures += e })
                val session = model.newSession()
                val answer = scope.launch { session.generate(Prompt.Chat("hi"), greedy().copy(stopAtEndOfTurn = false)).collect() }
                if (i % 3 > 0) Thread.sleep(0, i % 50 * 20_000)
                answer.cancel()
                session.close()
                runBlocking { answer.join() }
                holds(failures.isEmpty()) { "try $i: $failures" }
            }
        }
    }
    t.test("cancelled at once, before it starts, in the middle") {
        runBlocking {
            Model.load(scriptPath).use { model ->
                model.newSession().use { session ->
                    val endless = session.generate(Prompt.Chat("hi"), greedy().copy(stopAtEndOfTurn = false))
                    repeat(50) { i ->
                        val job = launch(Dispatchers.Default, if (i % 2 == 0) CoroutineStart.DEFAULT else CoroutineStart.LAZY) { endless.collect() }
                        if (i % 5 == 0) delay(i.toLong())
                        job.cancelAndJoin()
                        session.position
                    }
                }
            }
        }
    }
    t.test("a slow collector gets everything") {
        runBlocking {
            Model.load(scriptPath).use { model ->
                model.newSession().use { session ->
                    val flow = session.generate(Prompt.Chat("hi"), greedy(300).copy(stopAtEndOfTurn = false))
                    var n = 0
                    val events = flow.onEach { if (n++ % 50 == 0) delay(20) }.toList()
                    same(SCRIPT_TEXT.repeat(20), events.text())
                }
            }
        }
    }
    t.test("a failure in the library reaches the collector") {
        runBlocking {
            Model.load(scriptPath).use { model ->
                model.newSession(SessionOptions(context = 16)).use { session ->
                    val e = throws<SiskinException> { runBlocking { session.answer(longPrompt(100)) } }
                    holds(e.kind == ErrorKind.CONTEXT_FULL || e.kind == ErrorKind.ARGUMENT) { "$e" }
                    session.close()
                    throws<IllegalStateException> { runBlocking { session.answer(Prompt.Chat("hi")) } }
                }
            }
        }
    }
    t.test("eight flows at a time") {
        runBlocking(Dispatchers.Default) {
            Model.load(scriptPath).use { model ->
                val answers = List(8) { async { model.newSession().use { it.answer(Prompt.Chat("hi"), greedy()).text } } }
                same(List(8) { SCRIPT_TEXT }, answers.awaitAll())
            }
        }
    }
}
