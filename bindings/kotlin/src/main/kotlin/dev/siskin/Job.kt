package dev.siskin

/**
 * One answer in the making, pulled: [next] from one thread at a time, [cancel] and [close] from any. Iterating goes over
 * all events, the last of which is [Event.Done]:
 * ```java
 * try (Job job = session.job(new Prompt.Chat("What is a finch?"))) {
 *     for (Event event : job) if (event instanceof Event.Text text) System.out.print(text.getText());
 * }
 * ```
 * The work is done by threads of the library, none of which calls into the virtual machine.
 */
public class Job internal constructor(handle: Long) : AutoCloseable, Iterable<Event> {
    private val handle = Handle(this, "job", handle, Native::jobFree)
    private val reader = EventReader()
    private var end: List<Event>? = null

    /** How the answer ended, once [Event.Done] was pulled. */
    @Volatile
    public var outcome: Outcome? = null
        private set

    /** Starts the work before the first [next] does. */
    public fun start(): Unit = Native.jobStart(handle.value())

    /**
     * All events that wait, at least one: waits for it up to [timeoutMillis], or as long as it takes if that is negative;
     * empty if the time was over first. After the end, [Event.Done] again.
     */
    @JvmOverloads
    public fun next(timeoutMillis: Long = -1): List<Event> = synchronized(reader) {
        end ?: reader.read(Native.jobNext(handle.value(), reader.buffer, timeoutMillis)).also { events ->
            val last = events.lastOrNull()
            if (last is Event.Done) {
                outcome = last.outcome
                end = listOf(last)
            }
        }
    }

    /** Cancels the work: any thread, any time, any number of times, also before the start or after the end. */
    public fun cancel() {
        try {
            Native.jobCancel(handle.value())
        } catch (_: IllegalStateException) {
            // Closed, hence cancelled.
        }
    }

    /** Lets go of the job, at once; work that runs is cancelled. A thread that waits in [next] gets the end. Closing twice does nothing. */
    override fun close(): Unit = handle.close()

    override fun iterator(): Iterator<Event> = iterator {
        do {
            val batch = next()
            yieldAll(batch)
        } while (batch.last() !is Event.Done)
    }
}
