package dev.siskin

import java.io.File
import java.io.FileInputStream
import kotlin.concurrent.thread
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** The same tokens as everywhere, and how long cancelling takes, with a real model. */
fun realModelTests(t: Harness, path: String) {
    t.test("SmolLM2 says the same as on the command line") {
        Model.open(path).use { model ->
            model.newSession().use { session ->
                same(SMOL_TOKENS, session.job(Prompt.Text("The capital of France is"), greedy(8)).use { it.toList() }.tokens())
            }
        }
    }
    t.test("SmolLM2 from the middle of a file") {
        FileInputStream(path).use { f ->
            Model.open(f.number(), 0, File(path).length()).use { model ->
                model.newSession().use { session ->
                    same(SMOL_TOKENS, session.job(Prompt.Text("The capital of France is"), greedy(8)).use { it.toList() }.tokens())
                }
            }
        }
    }
    t.test("cancelled inside a long prompt") {
        Model.open(path).use { model ->
            model.newSession().use { session ->
                within(50.0, "cancel in prefill, Job") {
                    session.truncate(0)
                    val job = session.job(longPrompt(3000), greedy())
                    job.start()
                    Thread.sleep(100)
                    millis { job.cancel(); same(StopReason.CANCELLED, (job.last() as Event.Done).outcome.reason) }
                }
                within(50.0, "cancel in prefill, another thread pulls") {
                    session.truncate(0)
                    val job = session.job(longPrompt(3000), greedy())
                    val pulling = thread { job.toList() }
                    Thread.sleep(100)
                    millis { job.cancel(); pulling.join() }
                }
                within(50.0, "cancel in prefill, Flow: cancelAndJoin") {
                    session.truncate(0)
                    runBlocking {
                        val collecting = launch(Dispatchers.Default) { session.generate(longPrompt(3000), greedy()).collect() }
                        delay(100)
                        millis { collecting.cancelAndJoin() }.also { session.position }
                    }
                }
                within(50.0, "cancel while it answers, Flow") {
                    session.truncate(0)
                    runBlocking {
                        val flow = session.generate(Prompt.Text("Once upon a time"), greedy())
                        flow.first { it is Event.Token }
                        val collecting = launch(Dispatchers.Default) { flow.collect() }
                        delay(100)
                        millis { collecting.cancelAndJoin() }
                    }
                }
            }
        }
    }
    t.test("a busy session is closed at once, and its job ends") {
        Model.open(path).use { model ->
            within(5.0, "close of a session in a long prefill") {
                val session = model.newSession()
                val job = session.job(longPrompt(3000), greedy())
                job.start()
                Thread.sleep(100)
                val closing = millis { session.close() }
                val ending = millis { same(StopReason.CANCELLED, (job.last() as Event.Done).outcome.reason) }
                holds(ending < 500) { "the job took $ending ms to end" }
                closing
            }
            within(5.0, "close of a job in a long prefill, another thread pulls") {
                val session = model.newSession()
                val job = session.job(longPrompt(3000), greedy())
                val pulling = thread { runCatching { job.toList() } }
                Thread.sleep(100)
                val closing = millis { job.close() }
                val ending = millis { pulling.join() }
                holds(ending < 500) { "the thread took $ending ms to come back" }
                session.close()
                closing
            }
        }
    }
}
