package android.os;

public final class Build {
    public static final class VERSION {
        public static int SDK_INT = 34;
    }

    public static final class VERSION_CODES {
        public static final int Q = 29;
    }
}
