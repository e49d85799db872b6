package dev.siskin

import java.io.File
import kotlin.math.abs

/** Pictures, fill in the middle, moderation; with what `cargo xtask seeing-model` writes. */
fun seeingTests(t: Harness) {
    val folder = System.getProperty("seeing.model")
    val options = GenerateOptions(12, Sampler.GREEDY, stopAtEndOfTurn = false)
    val answers = File(folder, "answers.txt").readLines().associate { it.substringBefore(' ') to it.substringAfter(' ') }
    val pixels = File(folder, "picture.rgb").readBytes()

    fun seeing(body: (Model, Vision) -> Unit) = Model.open("$folder/model.gguf").use { model ->
        model.openVision("$folder/mmproj.gguf").use { vision -> body(model, vision) }
    }

    fun answer(session: Session, pictures: List<Picture>): Pair<String, Long> {
        val prompt = Prompt.Chat(listOf(Message.user("what is this", pictures)))
        return session.job(prompt, options).use { job ->
            val ids = job.asSequence().filterIsInstance<Event.Token>().map { it.id }.joinToString(",")
            ids to job.outcome!!.promptTokens.toLong()
        }
    }

    fun refused(kind: ErrorKind, words: String, body: () -> Any?) {
        val e = throws<SiskinException> { body() }
        same(kind, e.kind)
        holds(words in e.message!!) { e.message!! }
    }

    t.test("pictures are seen") {
        seeing { model, vision ->
            same(VisionInfo(40, 25, 2, vision.info.encodeBytes, vision.info.heapBytes), vision.info)
            val rgb = vision.picture(64, 48, pixels)
            val argb = vision.picture(64, 48, IntArray(64 * 48) { i ->
                fun value(channel: Int) = pixels[3 * i + channel].toInt() and 0xFF
                0x7F shl 24 or (value(0) shl 16) or (value(1) shl 8) or value(2)
            })
            vision.close()
            model.newSession().use { session ->
                same(answers["none"], answer(session, emptyList()).first)
                same(answers["rgb"], answer(session, listOf(rgb)).first)
                same(answers["rgb"] to 1L, answer(session, listOf(argb)), "the same pixels are there already")
            }
            rgb.close()
            throws<IllegalStateException> { model.newSession().job(Prompt.Text("x", pictures = listOf(rgb))) }
        }
    }

    t.test("long pictures are seen in parts") {
        seeing { model, vision ->
            same(PanAndScan(256, 4, 1.2), vision.panAndScan)
            same(PanAndScan(), vision.panAndScan)
            val crops = PanAndScan(minCropSize = 8)
            val parts = vision.picture(64, 48, pixels, crops)
            same(3, parts.images)
            same(3, vision.picture(64, 48, IntArray(64 * 48), crops).images)
            same(1, vision.picture(64, 48, pixels).images)
            model.newSession().use { session -> same(answers["crops"], answer(session, listOf(parts)).first) }
            for (wrong in listOf(PanAndScan(0), PanAndScan(-8), PanAndScan(8, 0), PanAndScan(8, 17), PanAndScan(8, 4, Double.NaN))) {
                refused(ErrorKind.ARGUMENT, "pan and scan") { vision.picture(64, 48, pixels, wrong) }
            }
        }
    }

    t.test("towers from descriptors and bytes; what is refused") {
        seeing { model, vision ->
            val tower = File(folder, "mmproj.gguf").readBytes()
            model.openVision(tower).use { same(25, it.info.positions) }
            refused(ErrorKind.ARGUMENT, "-1") { model.openVision(-1, 0, 1) }
            refused(ErrorKind.SHAPE, "belongs to another model") { model.openVision("$folder/other.gguf") }
            refused(ErrorKind.UNSUPPORTED, "no vision tower") { model.openVision("$folder/model.gguf") }
            refused(ErrorKind.ARGUMENT, "0 x 0") { vision.picture(0, 0, ByteArray(0)) }
            refused(ErrorKind.ARGUMENT, "0 x") { vision.picture(-1, 48, pixels) }
            refused(ErrorKind.ARGUMENT, "${Int.MAX_VALUE}") { vision.picture(Int.MAX_VALUE, Int.MAX_VALUE, pixels) }
            refused(ErrorKind.ARGUMENT, "64 x 48") { vision.picture(64, 48, IntArray(9)) }
            Model.open(scriptPath).use { blind ->
                refused(ErrorKind.UNSUPPORTED, "does not see") { blind.openVision("$folder/mmproj.gguf") }
                val prompt = Prompt.Chat(listOf(Message.user("x", listOf(vision.picture(64, 48, pixels)))))
                refused(ErrorKind.ARGUMENT, "another model") { blind.newSession().job(prompt) }
                model.newSession().job(prompt).use { job ->
                    job.cancel()
                    job.forEach { }
                    same(StopReason.CANCELLED, job.outcome!!.reason)
                }
            }
        }
    }

    t.test("fills in the middle") {
        Model.open(scriptPath, ModelOptions(experts = Experts.STREAM)).use { model ->
            holds(model.info().fillsIn && model.info().generates && model.info().pooling == null) { "${model.info()}" }
            model.newSession().use { session ->
                val request = FimRequest("int main", "return", "a.c", null, listOf(FimFile("b.c", "x")))
                val made = session.fim(request, GenerateOptions(64, Sampler.GREEDY))
                same(FimCut(0, 0, 0), made.cut)
                same(SCRIPT_TEXT, made.job.asSequence().filterIsInstance<Event.Text>().joinToString("") { it.text })
                val cut = session.fim(FimRequest("a".repeat(9000), "b")).cut
                holds(cut.prefixTokens > 4000) { "$cut" }
            }
        }
        seeing { model, _ ->
            same(false, model.info().fillsIn)
            refused(ErrorKind.UNSUPPORTED, "fill in the middle") { model.newSession().fim(FimRequest("a", "b")) }
        }
    }

    t.test("moderates") {
        Model.open(scriptPath).use { model ->
            refused(ErrorKind.UNSUPPORTED, "policies") { model.newModerator() }
            model.newModerator(anyModel = true).use { moderator ->
                moderator.cancel() // nothing runs
                val scores = moderator.moderate("hello") + moderator.moderate("hello", "hi", listOf(Policy("mine", "No shouting.")))
                same(Policy.KNOWN.map { it.name } + "mine", scores.map { it.policy })
                holds(scores.all { abs(it.probability - 0.7561) < 1e-4 }) { "$scores" }
                refused(ErrorKind.ARGUMENT, "spam") { moderator.moderate("hello", null, listOf(Policy("spam"))) }
            }
        }
    }
}
