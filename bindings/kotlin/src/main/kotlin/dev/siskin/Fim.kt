package dev.siskin

/** A file of a project that the model is to know about. */
public data class FimFile(val path: String, val text: String)

/** What is to be completed: what goes between [prefix] and [suffix]. */
public data class FimRequest @JvmOverloads constructor(
    val prefix: String,
    val suffix: String,
    /** Where the text is from, within its project. Models that know no files are not told. */
    val path: String? = null,
    /** Name of the project. Models that know no repositories are not told. */
    val repo: String? = null,
    /** Other files of the project, the most important one last: what does not fit is left out from the front. */
    val files: List<FimFile> = emptyList(),
) {
    internal fun texts(): Array<ByteArray?> {
        val head = listOf(prefix, suffix, path, repo)
        return (head + files.flatMap { listOf(it.path, it.text) }).map { it?.utf8() }.toTypedArray()
    }
}

/** What a prompt had no room for: tokens at the start of the prefix, at the end of the suffix, the first files. */
public data class FimCut(val prefixTokens: Long, val suffixTokens: Long, val files: Long)

/** An answer that fills in the middle, and what its prompt had no room for. */
public class FimJob internal constructor(public val job: Job, public val cut: FimCut)
