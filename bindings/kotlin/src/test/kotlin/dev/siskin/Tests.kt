package dev.siskin

fun main() {
    val t = Harness()
    streamTests(t)
    flowTests(t)
    seeingTests(t)
    val smol = smolPath
    if (smol == null) println("skipped: SmolLM2 is not here (make models)") else realModelTests(t, smol)
    t.finish("kotlin")
}
