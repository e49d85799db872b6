package dev.siskin.uniffitest

import kotlin.system.exitProcess
import uniffi.siskin.Event
import uniffi.siskin.GenerateOptions
import uniffi.siskin.Job
import uniffi.siskin.Model
import uniffi.siskin.ModelOptions
import uniffi.siskin.Prompt
import uniffi.siskin.SamplerConfig
import uniffi.siskin.SiskinException
import uniffi.siskin.version

/**
 * The generated Kotlin works, over JNA, with the scaffolding inside libsiskin.so: MODEL [TOKENS]. With a number of
 * tokens it tells what one costs, for `benches/languages/overhead`.
 */
fun main(arguments: Array<String>) {
    val started = System.nanoTime()
    val version = version()
    System.err.println("first call, JNA: %.1f ms".format((System.nanoTime() - started) / 1e6))
    var failed = 0
    fun check(what: String, holds: Boolean) {
        if (!holds) {
            failed++
            println("FAILED: $what")
        }
    }
    Model.open(arguments[0], ModelOptions(threads = 1u)).use { model ->
        val greedy = GenerateOptions(sampler = SamplerConfig(temperature = 0f))
        model.session().use { session ->
            if (arguments.size > 1) {
                for (n in listOf(arguments[1].toULong() / 4u, arguments[1].toULong())) {
                    session.truncate(0u)
                    val from = System.nanoTime()
                    val events = all(session.job(Prompt.Text("hi", false), greedy.copy(maxTokens = n, stopAtEndOfTurn = false)))
                    val seen = events.count { it is Event.Token }.toULong()
                    check("$seen of $n tokens", seen == n)
                    if (n == arguments[1].toULong()) println("jna-batches %.3f".format((System.nanoTime() - from) / 1e3 / n.toDouble()))
                }
                exitProcess(failed)
            }
            val text = all(session.job(Prompt.Text("hi", false), greedy)).filterIsInstance<Event.Text>().joinToString("") { it.text }
            check("text: $text", text == " Hello 🐦,\uFFFD and\uFFFD bye!\uFFFD")
        }
        check("version $version", version.count { it == '.' } == 2)
        check("errors", runCatching { Model.open("/no/such/file", ModelOptions()) }.exceptionOrNull() is SiskinException)
    }
    println("uniffi kotlin: ${3 - failed} passed, $failed failed")
    exitProcess(if (failed > 0) 1 else 0)
}

private fun all(job: Job): List<Event> = job.use { generateSequence { it.nextBatch(null).ifEmpty { null } }.flatten().toList() }
