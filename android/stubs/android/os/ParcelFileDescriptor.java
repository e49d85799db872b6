package android.os;

public class ParcelFileDescriptor implements java.io.Closeable {
    private final java.io.FileInputStream stream;
    private final int number;

    public ParcelFileDescriptor(java.io.FileInputStream stream, int number) {
        this.stream = stream;
        this.number = number;
    }

    public int getFd() {
        return number;
    }

    public long getStatSize() {
        try {
            return stream.getChannel().size();
        } catch (java.io.IOException e) {
            return -1;
        }
    }

    @Override
    public void close() throws java.io.IOException {
        stream.close();
    }
}
