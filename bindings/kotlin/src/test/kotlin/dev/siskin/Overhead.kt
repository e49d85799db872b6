package dev.siskin

import kotlinx.coroutines.flow.count
import kotlinx.coroutines.runBlocking

/** What a token costs, for `benches/languages/overhead`: MODEL TOKENS -> lines `label microseconds`. */
fun main(arguments: Array<String>) {
    val tokens = arguments[1].toInt()
    val started = System.nanoTime()
    Model.open(arguments[0], ModelOptions(threads = 1)).use { model ->
        System.err.println("first call, JNI: %.1f ms".format((System.nanoTime() - started) / 1e6))
        model.newSession().use { session ->
            for (n in listOf(tokens / 4, tokens / 4, tokens, tokens)) { // the last is told; the compiler of the JVM needs some
                val options = GenerateOptions(n, Sampler.GREEDY, stopAtEndOfTurn = false)
                val prompt = Prompt.Text("hi")
                val last = n == tokens
                measure("jni-batches", n, last, session) {
                    var seen = 0
                    session.job(prompt, options).use { job ->
                        do {
                            val batch = job.next()
                            for (event in batch) if (event is Event.Token) seen++
                        } while (batch.last() !is Event.Done)
                    }
                    seen
                }
                measure("kotlin-flow", n, last, session) {
                    runBlocking { session.generate(prompt, options).count { it is Event.Token } }
                }
            }
            drained(session)
        }
    }
}

private val told = HashSet<String>()

private fun measure(label: String, n: Int, last: Boolean, session: Session, body: () -> Int) {
    session.truncate(0)
    val started = System.nanoTime()
    same(n, body(), label)
    val micros = (System.nanoTime() - started) / 1e3 / n
    if (last && !told.add(label)) println("$label %.3f".format(micros))
}

/**
 * The way across alone: 300 tokens wait in the library, and are taken, two events each. No thread of the library computes
 * meanwhile, so this holds on a busy machine, too. What it leaves out is that waiting threads wake up once per batch.
 */
private fun drained(session: Session) {
    val n = 300
    fun median(collect: (Job) -> Int): Double {
        val times = List(200) {
            session.truncate(0)
            session.job(Prompt.Text("hi"), GenerateOptions(n, Sampler.GREEDY, stopAtEndOfTurn = false)).use { job ->
                job.start()
                while (runCatching { session.position }.isFailure) Thread.sleep(1) // busy until it has ended
                val started = System.nanoTime()
                val tokens = collect(job)
                val micros = (System.nanoTime() - started) / 1e3 / n
                same(n, tokens)
                micros
            }
        }
        return times.drop(100).sorted()[50]
    }
    println("jni-crossing %.3f".format(median { job -> job.count { it is Event.Token } }))
    println("kotlin-flow-crossing %.3f".format(median { job -> runBlocking { events { job }.count { it is Event.Token } } }))
}
