package dev.siskin

import java.io.File
import java.io.FileDescriptor
import java.io.FileInputStream

/** What `cargo xtask script-model` says: an emoji over four tokens, and bytes that are no UTF-8. */
const val SCRIPT_TEXT = " Hello \uD83D\uDC26,\uFFFD and\uFFFD bye!\uFFFD"
val SCRIPT_TOKENS = listOf(288, 289, 246, 165, 150, 172, 290, 261, 291, 232, 136, 292, 293, 201, 2)

/** What SmolLM2 says after "The capital of France is", as the command and every other language have it. */
val SMOL_TOKENS = listOf(7042, 30, 198, 198, 504, 1797, 1918, 553)

val scriptPath: String = System.getProperty("script.model") ?: error("-Dscript.model= is missing")
val smolPath: String? = System.getProperty("smol.model")?.takeIf { File(it).exists() }

fun greedy(max: Int? = null) = GenerateOptions(maxTokens = max, sampler = Sampler.GREEDY)

fun List<Event>.text(): String = filterIsInstance<Event.Text>().joinToString("") { it.text }

fun List<Event>.tokens(): List<Int> = filterIsInstance<Event.Token>().map { it.id }

/** A prompt whose prefill takes a second or so: [n] tokens. */
fun longPrompt(n: Int) = Prompt.Tokens(IntArray(n) { 1000 + it % 5000 })

/** The number of an open file, as Android's ParcelFileDescriptor has it. */
fun FileInputStream.number(): Int =
    FileDescriptor::class.java.getDeclaredField("fd").apply { isAccessible = true }.getInt(fd)
