package dev.siskin

import android.content.ComponentCallbacks2
import android.content.Context
import android.content.res.AssetFileDescriptor
import android.content.res.Configuration
import android.os.Build
import android.os.ParcelFileDescriptor
import android.os.PowerManager
import dev.siskin.sample.Chat
import java.io.File
import java.io.FileInputStream
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** What names Android's classes, against the stubs; and the sample's conversation, without a screen. */
fun main() {
    val t = Harness()
    t.test("an asset in the middle of a package") {
        val bytes = File(scriptPath).readBytes()
        val apk = File.createTempFile("siskin", ".apk").apply { writeBytes(ByteArray(4099) { 7 } + bytes + ByteArray(50)) }
        fun descriptor(file: File): ParcelFileDescriptor = FileInputStream(file).let { ParcelFileDescriptor(it, it.number()) }
        Model.openAsset(AssetFileDescriptor(descriptor(apk), 4099, bytes.size.toLong())).use { model ->
            val maps = File("/proc/self/maps").readLines()
            holds(maps.any { apk.path in it }) { "the package is not mapped" }
            model.newSession().use { s -> same(SCRIPT_TEXT, s.job(Prompt.Chat("hi"), greedy()).use { it.toList() }.text()) }
        }
        Model.open(descriptor(File(scriptPath))).use { same("llama", it.info().architecture) }
        val file = descriptor(apk)
        same(ErrorKind.FORMAT, throws<SiskinException> { Model.openAsset(AssetFileDescriptor(file, 0, 1000)) }.kind)
        holds(!File("/proc/self/fd/${file.fd}").exists()) { "the descriptor was left open" }
        apk.delete()
    }
    t.test("memory and heat are handed on until it is closed") {
        for (sdk in listOf(24, 34)) {
            Build.VERSION.SDK_INT = sdk
            val context = FakeContext()
            val log = java.util.Collections.synchronizedList(ArrayList<String>())
            val model = Model.open(scriptPath, ModelOptions(threads = 2, log = { _, text -> log += text }))
            val following = model.follow(context)
            log.clear()
            context.callbacks.forEach { it.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN) }
            same(emptyList<String>(), log.toList(), "a hidden screen is no pressure")
            context.callbacks.forEach { it.onTrimMemory(15) }
            holds(log.any { "pressure" in it }) { "$log" }
            log.clear()
            @Suppress("DEPRECATION") context.callbacks.forEach { it.onLowMemory() }
            holds(log.any { "Critical" in it }) { "$log" }
            context.power.listener?.onThermalStatusChanged(4)
            same(if (sdk < 29) 2 else 1, model.info().activeThreads, "threads, API $sdk")
            val late = context.callbacks.toList()
            model.close()
            late.forEach { it.onTrimMemory(80) } // the model is closed: nothing
            context.power.listener?.onThermalStatusChanged(0)
            following.close()
            same(0 to null, context.callbacks.size to context.power.listener)
        }
    }
    t.test("the sample's conversation streams, stops, goes on and is cleared") {
        runBlocking {
            val scope = CoroutineScope(Dispatchers.Default)
            val chat = Chat(scope, greedy(12)) { Model.load(scriptPath) }
            suspend fun until(what: String, condition: (dev.siskin.sample.ChatState) -> Boolean) =
                try { withTimeout(10_000) { chat.state.first(condition) } } catch (e: Exception) { throw AssertionError("$what: ${chat.state.value}", e) }
            chat.send("too early")
            until("opens") { it.ready }
            same(0, chat.state.value.messages.size)
            chat.send("hi")
            val said = until("answers") { it.messages.size == 2 }
            same(" Hello 🐦,\uFFFD and\uFFFD bye", said.messages[1].content)
            same(null, said.answer)
            chat.send("again")
            chat.stop()
            until("stops") { it.answer == null && it.messages.size >= 3 }
            chat.clear()
            until("clears") { it.messages.isEmpty() && it.ready }
            chat.send("hi")
            until("answers again") { it.messages.size == 2 }
            chat.send("to be closed")
            holds(millis { chat.close() } < 50) { "closing waited" }
            scope.cancel()
            val broken = Chat(CoroutineScope(Dispatchers.Default)) { Model.open("/no/such/model") }
            withTimeout(10_000) { broken.state.first { it.problem != null } }
        }
    }
    t.finish("android")
}

private class FakeContext : Context() {
    val callbacks = ArrayList<ComponentCallbacks2>()
    val power = PowerManager()

    override fun getApplicationContext(): Context = this
    override fun registerComponentCallbacks(callbacks: ComponentCallbacks2) { this.callbacks += callbacks }
    override fun unregisterComponentCallbacks(callbacks: ComponentCallbacks2) { this.callbacks -= callbacks }
    override fun getSystemService(name: String): Any? = power.takeIf { name == POWER_SERVICE }
}
