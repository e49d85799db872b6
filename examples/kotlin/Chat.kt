// A conversation in the terminal: each line of input is a message, each answer streams as it is made.
//
//   java -Dsiskin.library=libsiskin.so -cp siskin.jar:... ChatKt MODEL.gguf
//
// `bindings/kotlin/build` compiles it; in a project of yours the library is the AAR (Android) or siskin.jar with
// libsiskin.so (other systems).
import dev.siskin.Event
import dev.siskin.GenerateOptions
import dev.siskin.Message
import dev.siskin.Model
import dev.siskin.ModelOptions
import dev.siskin.Prompt
import dev.siskin.Sampler
import dev.siskin.SiskinException
import dev.siskin.generate
import dev.siskin.load
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

/** Set by tests: so many greedy tokens per answer, and a line with their ids. */
val testTokens: Int? = System.getenv("SISKIN_TOKENS")?.toInt()

suspend fun chat(path: String) {
    val input = System.`in`.bufferedReader() // UTF-8, whatever the system says
    val options = if (testTokens == null) GenerateOptions() else GenerateOptions(testTokens, Sampler.GREEDY)
    Model.load(path, ModelOptions()).use { model ->
        val fit = model.fit()
        System.err.println("${model.info().architecture}, ${fit.context} tokens of context, ${fit.dirty shr 20} MiB besides the file")
        model.newSession().use { session ->
            val messages = mutableListOf(Message.system("You are a helpful assistant."))
            while (true) {
                System.err.print("> ")
                messages += Message.user(input.readLine() ?: break)
                val answer = StringBuilder()
                val tokens = mutableListOf<Int>()
                // The whole conversation each time: what the session has of it already is not computed again.
                session.generate(Prompt.Chat(messages), options).collect { event ->
                    when (event) {
                        is Event.Text -> {
                            print(event.text)
                            System.out.flush()
                            answer.append(event.text)
                        }
                        is Event.Token -> tokens += event.id
                        is Event.Prefill -> {}
                        is Event.Done -> System.err.print("\n[${event.outcome.reason}]")
                    }
                }
                println()
                if (testTokens != null) println("tokens: " + tokens.joinToString(","))
                messages += Message.assistant(answer.toString())
            }
        }
    }
}

fun main(arguments: Array<String>) {
    System.setOut(java.io.PrintStream(java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8"))
    val path = arguments.lastOrNull() ?: run {
        System.err.println("usage: siskin-chat MODEL.gguf")
        exitProcess(2)
    }
    try {
        runBlocking { chat(path) }
    } catch (e: SiskinException) {
        System.err.println("${e.kind}: ${e.message}")
        exitProcess(1)
    }
}
