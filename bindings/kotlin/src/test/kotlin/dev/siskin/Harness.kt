package dev.siskin

import kotlin.system.exitProcess

/** What a test run needs and JUnit would bring: names, counts, a reason for each skip. */
class Harness {
    private val only = System.getProperty("only")
    private var passed = 0
    private var failed = 0

    fun test(name: String, body: () -> Unit) {
        if (only != null && only !in name) return
        try {
            body()
            passed++
        } catch (e: Throwable) {
            failed++
            println("FAILED: $name: $e")
            e.printStackTrace(System.out)
        }
    }

    fun finish(what: String): Nothing {
        println("$what: $passed passed, $failed failed")
        exitProcess(if (failed > 0 || passed == 0) 1 else 0)
    }
}

fun <T> same(want: T, got: T, what: String = "") {
    if (want != got) throw AssertionError("$what: wanted $want, got $got")
}

fun holds(condition: Boolean, what: () -> String) {
    if (!condition) throw AssertionError(what())
}

inline fun <reified E : Throwable> throws(body: () -> Any?): E {
    try {
        val result = body()
        throw AssertionError("wanted ${E::class.simpleName}, got $result")
    } catch (e: Throwable) {
        if (e is E) return e
        throw e
    }
}

/** Milliseconds that [body] takes. */
inline fun millis(body: () -> Unit): Double {
    val start = System.nanoTime()
    body()
    return (System.nanoTime() - start) / 1e6
}

/** Runs [measure] five times, prints all, and requires the median to be within [limit] milliseconds. */
fun within(limit: Double, what: String, measure: () -> Double) {
    val times = List(5) { measure() }
    println("$what: ${times.joinToString { "%.1f".format(it) }} ms")
    holds(times.sorted()[2] <= limit) { "$what: the median is above $limit ms" }
}
