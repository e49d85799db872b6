package dev.siskin

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Reads what `events.rs` of the native side writes, from one buffer that is used again and again. Not for two threads. */
internal class EventReader {
    val buffer: ByteBuffer = ByteBuffer.allocateDirect(CAPACITY).order(ByteOrder.nativeOrder())
    private val bytes = ByteArray(CAPACITY)

    /** The events in the first [length] bytes of the buffer. */
    fun read(length: Int): List<Event> {
        if (length == 0) return emptyList()
        val events = ArrayList<Event>(length / 12 + 1)
        val b = buffer
        b.clear()
        while (b.position() < length) {
            events += when (val kind = b.getInt()) {
                0 -> Event.Prefill(b.getInt(), b.getInt())
                1 -> Event.Token(b.getInt(), b.getFloat().takeUnless { it.isNaN() })
                2 -> Event.Text(text(b))
                3 -> Event.Done(
                    Outcome(StopReason.entries[b.getInt()], b.getInt(), b.getInt(), b.getLong(), b.getLong()),
                )
                else -> error("libsiskin.so is of another version: event $kind")
            }
        }
        return events
    }

    private fun text(b: ByteBuffer): String {
        val length = b.getInt()
        b.get(bytes, 0, length)
        b.position(b.position() + (-length and 3))
        return String(bytes, 0, length, Charsets.UTF_8)
    }

    private companion object {
        const val CAPACITY = 16 * 1024
    }
}
