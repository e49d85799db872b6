package dev.siskin

import java.nio.ByteBuffer

/**
 * The native methods of `libsiskin.so`. Text crosses as UTF-8 bytes, objects as handles; what the arrays hold is said
 * in the Rust files under `android/jni`. Public only for the virtual machine's sake.
 */
internal object Native {
    init {
        val path = System.getProperty("siskin.library")
        if (path == null) System.loadLibrary("siskin") else System.load(path)
    }

    @JvmStatic external fun openPath(path: ByteArray, threads: Int, kernels: ByteArray?, experts: Int, level: Int, sink: LogSink?): Long
    @JvmStatic external fun openDescriptor(fd: Int, offset: Long, length: Long, threads: Int, kernels: ByteArray?, experts: Int, level: Int, sink: LogSink?): Long
    @JvmStatic external fun openBytes(bytes: ByteArray, threads: Int, kernels: ByteArray?, experts: Int, level: Int, sink: LogSink?): Long
    @JvmStatic external fun modelFree(model: Long)
    @JvmStatic external fun modelNames(model: Long): Array<String>
    @JvmStatic external fun modelNumbers(model: Long): LongArray
    @JvmStatic external fun metadataKeys(model: Long): Array<String>
    @JvmStatic external fun metadataJson(model: Long, key: ByteArray): ByteArray?
    @JvmStatic external fun fit(model: Long, context: Int, batch: Int, kvType: Int): LongArray
    @JvmStatic external fun tokenize(model: Long, text: ByteArray, addSpecial: Boolean, parseSpecial: Boolean): IntArray
    @JvmStatic external fun detokenize(model: Long, tokens: IntArray, showSpecial: Boolean): ByteArray
    @JvmStatic external fun isEnd(model: Long, token: Int): Boolean
    @JvmStatic external fun render(model: Long, messages: Array<ByteArray?>, shown: IntArray, prompt: Boolean, json: Array<ByteArray?>, now: Long): ByteArray
    @JvmStatic external fun conversation(model: Long, messages: Array<ByteArray?>, shown: IntArray, prompt: Boolean, json: Array<ByteArray?>, now: Long): IntArray
    @JvmStatic external fun setThermal(model: Long, status: Int)
    @JvmStatic external fun relieve(model: Long, level: Int)

    @JvmStatic external fun sessionNew(model: Long, context: Int, batch: Int, kvType: Int): Long
    @JvmStatic external fun sessionFree(session: Long)
    @JvmStatic external fun sessionFit(session: Long): LongArray
    @JvmStatic external fun position(session: Long): Int
    @JvmStatic external fun room(session: Long): Int
    @JvmStatic external fun tokens(session: Long): IntArray
    @JvmStatic external fun logits(session: Long): FloatArray
    @JvmStatic external fun truncate(session: Long, n: Int): Int

    @JvmStatic external fun embedderNew(model: Long, pooling: Int, normalize: Boolean, dimensions: Int, truncate: Boolean): Long
    @JvmStatic external fun embedderFree(embedder: Long)
    @JvmStatic external fun dimensions(embedder: Long): Int
    @JvmStatic external fun embed(embedder: Long, text: ByteArray): FloatArray
    @JvmStatic external fun embedderCancel(embedder: Long)

    @JvmStatic external fun moderatorNew(model: Long, anyModel: Boolean): Long
    @JvmStatic external fun moderatorFree(moderator: Long)
    @JvmStatic external fun moderate(moderator: Long, prompt: ByteArray, response: ByteArray?, policies: Array<ByteArray?>): DoubleArray
    @JvmStatic external fun moderatorCancel(moderator: Long)

    @JvmStatic external fun visionPath(model: Long, path: ByteArray): Long
    @JvmStatic external fun visionDescriptor(model: Long, fd: Int, offset: Long, length: Long): Long
    @JvmStatic external fun visionBytes(model: Long, bytes: ByteArray): Long
    @JvmStatic external fun visionFree(vision: Long)
    @JvmStatic external fun visionNumbers(vision: Long): LongArray
    @JvmStatic external fun visionPanAndScan(vision: Long): DoubleArray
    @JvmStatic external fun pictureRgb(vision: Long, width: Int, height: Int, pixels: ByteArray, crops: DoubleArray): Long
    @JvmStatic external fun pictureArgb(vision: Long, width: Int, height: Int, pixels: IntArray, crops: DoubleArray): Long
    @JvmStatic external fun pictureImages(picture: Long): Int
    @JvmStatic external fun pictureFree(picture: Long)

    @JvmStatic external fun jobTokens(session: Long, tokens: IntArray, counts: LongArray, reals: FloatArray, stop: Array<ByteArray?>, bias: IntArray, values: FloatArray): Long
    @JvmStatic external fun jobText(session: Long, text: ByteArray, parseSpecial: Boolean, pictures: LongArray, counts: LongArray, reals: FloatArray, stop: Array<ByteArray?>, bias: IntArray, values: FloatArray): Long
    @JvmStatic external fun jobMessages(session: Long, messages: Array<ByteArray?>, pictures: LongArray, shown: IntArray, prompt: Boolean, json: Array<ByteArray?>, now: Long, counts: LongArray, reals: FloatArray, stop: Array<ByteArray?>, bias: IntArray, values: FloatArray): Long
    @JvmStatic external fun jobFim(session: Long, texts: Array<ByteArray?>, cut: LongArray, counts: LongArray, reals: FloatArray, stop: Array<ByteArray?>, bias: IntArray, values: FloatArray): Long
    @JvmStatic external fun jobStart(job: Long)
    @JvmStatic external fun jobNext(job: Long, buffer: ByteBuffer, timeout: Long): Int
    @JvmStatic external fun jobCancel(job: Long)
    @JvmStatic external fun jobFree(job: Long)
}

internal fun String.utf8(): ByteArray = toByteArray(Charsets.UTF_8)
