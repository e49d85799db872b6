package dev.siskin;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** The library from Java: as a user writes it, and the native methods as nobody should call them. */
final class JavaTests {
    private static int passed;
    private static int failed;

    private interface Body {
        void run() throws Exception;
    }

    private static void test(String name, Body body) {
        try {
            body.run();
            passed++;
        } catch (Throwable e) {
            failed++;
            System.out.println("FAILED: " + name + ": " + e);
            e.printStackTrace(System.out);
        }
    }

    private static void same(Object want, Object got) {
        if (!want.equals(got)) throw new AssertionError("wanted " + want + ", got " + got);
    }

    public static void main(String[] args) {
        String path = System.getProperty("script.model");
        test("streams whole UTF-16", () -> {
            StringBuilder text = new StringBuilder();
            List<Integer> tokens = new ArrayList<>();
            try (Model model = Model.open(path);
                    Session session = model.newSession();
                    Job job = session.job(new Prompt.Chat("hi"), new GenerateOptions(64, Sampler.GREEDY))) {
                for (Event event : job) {
                    if (event instanceof Event.Text t) text.append(t.getText());
                    if (event instanceof Event.Token t) tokens.add(t.getId());
                }
                same(StopReason.END_OF_TURN, job.getOutcome().getReason());
            }
            same(" Hello \uD83D\uDC26,\uFFFD and\uFFFD bye!\uFFFD", text.toString());
            same(0x1F426, text.toString().codePointAt(7));
            same(15, tokens.size());
        });
        test("errors are exceptions with a kind", () -> {
            try (Model model = Model.open("/no/such/file")) {
                throw new AssertionError("opened " + model);
            } catch (SiskinException e) {
                same(ErrorKind.IO, e.getKind());
                same("/no/such/file", e.getFile());
            }
        });
        test("every native method refuses what is no handle, and null", JavaTests::abuse);
        test("a buffer that is not direct, too small or absent", () -> {
            long m = Native.openPath(path.getBytes(), -1, null, 0, 0, null);
            long s = Native.sessionNew(m, -1, -1, 0);
            long j = Native.jobText(s, "hi".getBytes(), false, new long[0], new long[] {5, 40, 64, 0, 1, 0, 0},
                    new float[] {0, 1, 0, 1, 1, 0, 0}, new byte[0][], new int[0], new float[0]);
            for (ByteBuffer bad : new ByteBuffer[] {null, ByteBuffer.allocate(4096), ByteBuffer.allocateDirect(16)}) {
                try {
                    throw new AssertionError("wrote " + Native.jobNext(j, bad, -1));
                } catch (SiskinException e) {
                    same(ErrorKind.ARGUMENT, e.getKind());
                }
            }
            int calls = 0;
            for (ByteBuffer small = ByteBuffer.allocateDirect(64); calls < 100; calls++) {
                int n = Native.jobNext(j, small, -1);
                if (n <= 0 || n > 64) throw new AssertionError(n + " bytes");
            }
            Native.jobFree(j);
            Native.sessionFree(s);
            Native.modelFree(m);
            for (Runnable stale : new Runnable[] {() -> Native.jobFree(j), () -> Native.sessionFree(s), () -> Native.modelFree(m),
                    () -> Native.modelFree(s), () -> Native.position(m)}) {
                try {
                    stale.run();
                    throw new AssertionError("a stale handle was taken");
                } catch (IllegalStateException e) {
                    // as it should be
                }
            }
        });
        test("text that is not UTF-8 is refused", () -> {
            try {
                Native.openPath(new byte[] {'a', (byte) 0xFF}, -1, null, 0, 0, null);
                throw new AssertionError("taken");
            } catch (SiskinException e) {
                same(ErrorKind.ARGUMENT, e.getKind());
            }
        });
        System.out.println("java: " + passed + " passed, " + failed + " failed");
        System.exit(failed > 0 || passed == 0 ? 1 : 0);
    }

    /** Calls each native method with handles that are none and with nulls for whatever can be null. */
    private static void abuse() throws IllegalAccessException {
        int calls = 0;
        for (Method method : Native.class.getDeclaredMethods()) {
            if (!java.lang.reflect.Modifier.isNative(method.getModifiers())) continue;
            for (long handle : new long[] {0, 1, -1, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 60 | 1L << 28, 2L << 60, 3L << 60 | 7}) {
                Object[] arguments = new Object[method.getParameterCount()];
                for (int i = 0; i < arguments.length; i++) {
                    Class<?> type = method.getParameterTypes()[i];
                    if (type == long.class) arguments[i] = handle;
                    else if (type == int.class) arguments[i] = (int) handle;
                    else if (type == boolean.class) arguments[i] = true;
                }
                calls++;
                try {
                    Object result = method.invoke(null, arguments);
                    throw new AssertionError(method.getName() + " took " + handle + " and said " + result);
                } catch (InvocationTargetException e) {
                    Throwable cause = e.getCause();
                    if (!(cause instanceof IllegalStateException || cause instanceof SiskinException)) {
                        throw new AssertionError(method.getName() + " " + handle, cause);
                    }
                    if (cause instanceof SiskinException s && s.getKind() == ErrorKind.INTERNAL) {
                        throw new AssertionError(method.getName() + " " + handle, cause);
                    }
                }
            }
        }
        if (calls < 200) throw new AssertionError("only " + calls + " calls");
    }
}
