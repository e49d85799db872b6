// A conversation in the terminal, in plain Java: no coroutines. Each line of input is a message.
//
//   java -Dsiskin.library=libsiskin.so -cp siskin.jar:kotlin-stdlib.jar Chat.java MODEL.gguf
import dev.siskin.Event;
import dev.siskin.GenerateOptions;
import dev.siskin.Job;
import dev.siskin.Message;
import dev.siskin.Model;
import dev.siskin.Prompt;
import dev.siskin.Sampler;
import dev.siskin.Session;
import dev.siskin.SiskinException;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

public final class Chat {
    /** Set by tests: so many greedy tokens per answer, and a line with their ids. */
    private static final String TEST_TOKENS = System.getenv("SISKIN_TOKENS");

    public static void main(String[] arguments) throws IOException {
        if (arguments.length == 0) {
            System.err.println("usage: Chat MODEL.gguf");
            System.exit(2);
        }
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        GenerateOptions options = TEST_TOKENS == null
                ? new GenerateOptions()
                : new GenerateOptions(Integer.valueOf(TEST_TOKENS), Sampler.GREEDY);
        List<Message> messages = new ArrayList<>();
        messages.add(Message.system("You are a helpful assistant."));

        try (Model model = Model.open(arguments[arguments.length - 1]);
                Session session = model.newSession()) {
            System.err.print("> ");
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                messages.add(Message.user(line));
                StringBuilder answer = new StringBuilder();
                List<String> tokens = new ArrayList<>();
                // The whole conversation each time: what the session has of it already is not computed again.
                try (Job job = session.job(new Prompt.Chat(messages), options)) {
                    for (Event event : job) {
                        if (event instanceof Event.Text text) {
                            out.print(text.getText());
                            out.flush();
                            answer.append(text.getText());
                        } else if (event instanceof Event.Token token) {
                            tokens.add(Integer.toString(token.getId()));
                        }
                    }
                    System.err.print("\n[" + job.getOutcome().getReason() + "]");
                }
                out.println();
                if (TEST_TOKENS != null) out.println("tokens: " + String.join(",", tokens));
                messages.add(Message.assistant(answer.toString()));
                System.err.print("> ");
            }
        } catch (SiskinException e) {
            System.err.println(e.getKind() + ": " + e.getMessage());
            System.exit(1);
        }
    }
}
