package dev.siskin

import java.lang.ref.PhantomReference
import java.lang.ref.ReferenceQueue
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicLong

/**
 * The native side of [owner]: a number, and how to let go of it. What was closed stays closed: every use after that is an
 * [IllegalStateException], from any thread. What was forgotten is freed after its owner was collected, whenever the next
 * handle is made; call `close()` all the same, a model is more than the collector knows.
 */
internal class Handle(owner: Any, private val what: String, value: Long, private val free: (Long) -> Unit) :
    PhantomReference<Any>(owner, forgotten) {
    private val value = AtomicLong(value)

    init {
        open.add(this)
        while (true) (forgotten.poll() as Handle? ?: break).close()
    }

    fun value(): Long {
        val value = value.get()
        check(value != 0L) { "this $what is closed" }
        return value
    }

    val isClosed: Boolean get() = value.get() == 0L

    fun close() {
        val value = value.getAndSet(0L)
        if (value == 0L) return
        open.remove(this)
        clear()
        free(value)
    }

    private companion object {
        val forgotten = ReferenceQueue<Any>()
        val open: MutableSet<Handle> = ConcurrentHashMap.newKeySet()
    }
}
