package dev.siskin

import java.io.File
import java.io.FileInputStream
import java.util.concurrent.CyclicBarrier
import kotlin.concurrent.thread

/** Streaming, text, errors and life cycles, on the model that always says its script. */
fun streamTests(t: Harness) {
    t.test("text arrives in whole characters") {
        Model.open(scriptPath).use { model ->
            model.newSession().use { session ->
                val events = session.job(Prompt.Chat("hi"), greedy()).use { it.toList() }
                same(SCRIPT_TEXT, events.text())
                same(SCRIPT_TOKENS, events.tokens())
                holds("🐦" in events.filterIsInstance<Event.Text>().map { it.text }) { "the bird came in pieces: $events" }
                for (e in events.filterIsInstance<Event.Text>()) {
                    same(e.text, String(e.text.toByteArray(Charsets.UTF_16LE), Charsets.UTF_16LE), "lone surrogates")
                }
                val done = events.last() as Event.Done
                same(StopReason.END_OF_TURN, done.outcome.reason)
                same(SCRIPT_TOKENS.size, done.outcome.generatedTokens)
                holds(events.first() is Event.Prefill) { "$events" }
            }
        }
    }
    t.test("log-probabilities on request only") {
        Model.open(scriptPath).use { model ->
            fun logprobs(o: GenerateOptions) = model.newSession().use { s ->
                s.job(Prompt.Chat("hi"), o).use { it.toList() }.filterIsInstance<Event.Token>().map { it.logprob }
            }
            holds(logprobs(greedy()).all { it == null }) { "not asked for" }
            holds(logprobs(greedy().copy(logprobs = true)).all { it != null && it <= 0f }) { "asked for" }
        }
    }
    t.test("options reach the library") {
        Model.open(scriptPath).use { model ->
            fun run(o: GenerateOptions) = model.newSession().use { s -> s.job(Prompt.Chat("hi"), o).use { it.toList() } }
            same(StopReason.MAX_TOKENS, (run(greedy(3)).last() as Event.Done).outcome.reason)
            same(" Hello ", run(greedy().copy(stop = listOf("🐦"))).text())
            val banned = greedy(5).copy(sampler = Sampler(temperature = 0f, logitBias = mapOf(288 to Float.NEGATIVE_INFINITY)))
            holds(288 !in run(banned).tokens()) { "the banned token came" }
            same(60, run(greedy(60).copy(stopAtEndOfTurn = false)).tokens().size)
            same(run(greedy().copy(sampler = Sampler(seed = 7))).tokens(), run(greedy().copy(sampler = Sampler(seed = 7))).tokens())
            val e = throws<SiskinException> { run(GenerateOptions(sampler = Sampler(temperature = -1f))) }
            same(ErrorKind.ARGUMENT, e.kind)
            throws<IllegalArgumentException> { run(greedy(-3)) }
        }
    }
    t.test("tokens and text of strings beyond the basic plane") {
        Model.open(scriptPath).use { model ->
            val ids = model.tokenize("a🐦", addSpecial = false)
            same("a🐦", model.detokenize(ids).trimStart())
            same("\uFFFD", model.detokenize(intArrayOf(261)), "a byte that is no UTF-8")
            holds(model.isEnd(2) && !model.isEnd(288)) { "end tokens" }
            same("<|user|>x</s><|assistant|>", model.render(listOf(Message.user("x"))))
            same(model.conversation(listOf(Message.user("🐦"))).toList(),
                model.tokenize(model.render(listOf(Message.user("🐦"))), parseSpecial = true).toList())
            same("llama", model.info().architecture)
            same("A script for tests", model.info().name)
            same("\"A script for tests\"", model.metadataJson("general.name"))
            holds("general.name" in model.metadataKeys() && model.metadataJson("no.such") == null) { "metadata" }
            same(512, model.fit(SessionOptions(context = 512)).context)
        }
    }
    t.test("texts become vectors") {
        Model.open(scriptPath).use { model ->
            same(ErrorKind.UNSUPPORTED, throws<SiskinException> { model.newEmbedder() }.kind, "the file does not say how")
            val embedder = model.newEmbedder(EmbedOptions(Pooling.LAST))
            embedder.cancel() // nothing runs
            val vector = embedder.embed("hello")
            same(128, embedder.dimensions)
            same(List(128) { if (it == 14) 1f else 0f }, vector.toList(), "the last token's axis")
            same(15, model.newEmbedder(EmbedOptions(Pooling.MEAN, dimensions = 15)).use { it.embed("x") }.size)
            same(ErrorKind.CONTEXT_FULL, throws<SiskinException> { embedder.embed("a".repeat(9000)) }.kind, "too long")
            throws<IllegalArgumentException> { model.newEmbedder(EmbedOptions(Pooling.LAST, dimensions = 0)) }
            embedder.close()
            throws<IllegalStateException> { embedder.embed("x") }
        }
    }
    t.test("opened at any offset of a descriptor") {
        val bytes = File(scriptPath).readBytes()
        val file = File.createTempFile("siskin", ".apk")
        try {
            file.writeBytes(ByteArray(77) { 1 } + bytes + ByteArray(99) { 2 })
            val model = FileInputStream(file).use { Model.open(it.number(), 77, bytes.size.toLong()) } // closed from here
            model.newSession().use { s -> same(SCRIPT_TEXT, s.job(Prompt.Chat("hi"), greedy()).use { it.toList() }.text()) }
            model.close()
            val e = FileInputStream(file).use { f -> throws<SiskinException> { Model.open(f.number(), 78, bytes.size.toLong()) } }
            same(ErrorKind.FORMAT, e.kind)
            same(ErrorKind.ARGUMENT, FileInputStream(file).use { f -> throws<SiskinException> { Model.open(f.number(), 77, 1L shl 40) } }.kind)
            same(ErrorKind.ARGUMENT, throws<SiskinException> { Model.open(-1, 0, 1) }.kind)
            same(ErrorKind.IO, throws<SiskinException> { Model.open(99999, 0, 1) }.kind)
        } finally {
            file.delete()
        }
        Model.open(bytes).use { same("llama", it.info().architecture) }
    }
    t.test("errors say what and where") {
        val missing = throws<SiskinException> { Model.open("/no/such/mödel🐦.gguf") }
        same(ErrorKind.IO, missing.kind)
        same("/no/such/mödel🐦.gguf", missing.file)
        same(ErrorKind.FORMAT, throws<SiskinException> { Model.open("no model".toByteArray()) }.kind)
        val bytes = File(scriptPath).readBytes()
        val cut = throws<SiskinException> { Model.open(bytes.copyOf(bytes.size - 100)) }
        holds(cut.tensor != null || cut.offset != null) { "neither tensor nor offset: $cut" }
        println("errors: ${cut.kind} ${cut.tensor} ${cut.offset}: ${cut.message}")
        val kernels = throws<SiskinException> { Model.open(scriptPath, ModelOptions(kernels = "abacus")) }
        same(ErrorKind.ARGUMENT, kernels.kind)
    }
    t.test("closed is closed") {
        val model = Model.open(scriptPath)
        val session = model.newSession()
        val job = session.job(Prompt.Chat("hi"))
        model.close()
        model.close()
        throws<IllegalStateException> { model.newSession() }
        throws<IllegalStateException> { model.info() }
        job.next() // the session has the model still
        job.close()
        job.close()
        job.cancel()
        throws<IllegalStateException> { job.next() }
        session.close()
        session.close()
        throws<IllegalStateException> { session.position }
        throws<IllegalStateException> { session.job(Prompt.Chat("hi")) }
    }
    t.test("one job at a time") {
        Model.open(scriptPath).use { model ->
            model.newSession().use { session ->
                val first = session.job(Prompt.Chat("hi"), greedy().copy(stopAtEndOfTurn = false))
                first.next()
                same(ErrorKind.BUSY, throws<SiskinException> { session.position }.kind)
                val second = session.job(Prompt.Chat("hi"), greedy())
                same(ErrorKind.BUSY, throws<SiskinException> { second.next() }.kind)
                first.cancel()
                same(StopReason.CANCELLED, (first.last() as Event.Done).outcome.reason)
                same(SCRIPT_TEXT, second.toList().text(), "the same job, tried again")
                holds(session.position > 0 && session.room > 0) { "free again" }
                same(session.position, session.tokens().size)
                same(0, session.truncate(0))
            }
        }
    }
    t.test("cancelled before the start, twice, and after the end") {
        Model.open(scriptPath).use { model ->
            model.newSession().use { session ->
                val early = session.job(Prompt.Chat("hi"))
                repeat(2) { early.cancel() }
                same(listOf(Event.Done(early.next().let { (it.last() as Event.Done).outcome })), early.next())
                same(StopReason.CANCELLED, early.outcome?.reason)
                val done = session.job(Prompt.Chat("hi"), greedy())
                same(SCRIPT_TEXT, done.toList().text())
                done.cancel()
                same(StopReason.END_OF_TURN, done.outcome?.reason)
            }
        }
    }
    t.test("a wait can be bounded") {
        Model.open(scriptPath).use { model ->
            model.newSession().use { session ->
                session.job(Prompt.Chat("hi"), greedy()).use { job ->
                    while (job.outcome == null) job.next(timeoutMillis = 0)
                    same(StopReason.END_OF_TURN, job.outcome?.reason)
                }
            }
        }
    }
    t.test("who does not pull stops the work, not the memory") {
        Model.open(scriptPath).use { model ->
            val session = model.newSession(SessionOptions(context = 8192))
            val job = session.job(Prompt.Chat("hi"), greedy().copy(stopAtEndOfTurn = false))
            job.start()
            Thread.sleep(300)
            holds(millis { session.close() } < 20) { "closing waited" }
            val events = job.toList()
            same(StopReason.CANCELLED, (events.last() as Event.Done).outcome.reason)
            holds(events.size < 3000) { "${events.size} events had piled up" }
        }
    }
    t.test("eight threads, each with a session") {
        Model.open(scriptPath).use { model ->
            val barrier = CyclicBarrier(8)
            val texts = arrayOfNulls<String>(8)
            List(8) { i ->
                thread {
                    model.newSession().use { session ->
                        barrier.await()
                        repeat(20) { texts[i] = session.job(Prompt.Chat("hi"), greedy()).use { it.toList() }.text() }
                    }
                }
            }.forEach { it.join() }
            same(List(8) { SCRIPT_TEXT }, texts.toList())
        }
    }
    t.test("eight threads on the same objects, closing them under each other") {
        repeat(20) {
            val model = Model.open(scriptPath)
            val session = model.newSession()
            val job = session.job(Prompt.Chat("hi"), greedy().copy(stopAtEndOfTurn = false))
            val barrier = CyclicBarrier(8)
            val unexpected = java.util.concurrent.ConcurrentLinkedQueue<Throwable>()
            List(8) { i ->
                thread {
                    barrier.await()
                    try {
                        when (i) {
                            0 -> { Thread.sleep(2); job.close() }
                            1 -> { Thread.sleep(1); session.close() }
                            2 -> model.close()
                            3 -> repeat(50) { job.cancel() }
                            4 -> repeat(50) { session.position }
                            5 -> model.newSession().close()
                            else -> repeat(50) { job.next() }
                        }
                    } catch (e: IllegalStateException) {
                        // closed
                    } catch (e: SiskinException) {
                        if (e.kind != ErrorKind.BUSY && e.kind != ErrorKind.ARGUMENT) unexpected += e
                    } catch (e: Throwable) {
                        unexpected += e
                    }
                }
            }.forEach { it.join() }
            holds(unexpected.isEmpty()) { "$unexpected" }
        }
    }
    t.test("log messages arrive, and their sink may fail") {
        val heard = java.util.Collections.synchronizedList(ArrayList<String>())
        Model.open(scriptPath, ModelOptions(log = { _, text -> heard += text; error("a bad sink") })).use { model ->
            model.newSession().use { s -> s.job(Prompt.Chat("hi"), greedy()).use { it.toList() } }
        }
        holds(heard.any { "opened" in it } && heard.any { "job ended" in it }) { "$heard" }
        holds(heard.none { "hi" == it || "Hello" in it }) { "text in the log: $heard" }
    }
    t.test("heat takes threads, pressure pages, neither changes the answer") {
        Model.open(scriptPath, ModelOptions(threads = 2)).use { model ->
            val answers = listOf(0, 3, 4, 6, 0).map { status ->
                model.setThermalStatus(status)
                listOf(20, 5, 15, 80).forEach { model.trimMemory(it) }
                model.info().activeThreads to model.newSession().use { s -> s.job(Prompt.Chat("hi"), greedy()).use { it.toList() }.text() }
            }
            same(listOf(2, 1, 1, 1, 2), answers.map { it.first })
            same(setOf(SCRIPT_TEXT), answers.map { it.second }.toSet())
        }
    }
    t.test("what is forgotten is freed") {
        repeat(50) { Model.open(scriptPath).newSession().job(Prompt.Chat("hi")) }
        val maps = { File("/proc/self/maps").readLines().count { scriptPath in it } }
        holds(maps() > 0) { "the models are mapped" }
        for (i in 1..50) {
            System.gc()
            Thread.sleep(20)
            Model.open(scriptPath).close() // looks at what was collected
            if (maps() == 0) break
        }
        same(0, maps(), "mappings left")
    }
}
