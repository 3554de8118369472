import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.Writer;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/**
 * Compiles one program after the other in one warm javac. Standard input: for each program two texts, the candidate's and
 * the test's, each as length (4 bytes) and UTF-8. Standard output: one byte 1 when ready; then for each program 0, length
 * and a jar of its classes, or 1, length and the first error as FILE, tab, LINE, tab, message.
 */
public class CompileServer {
  /**
   * Runs the program's tests. It reads a word before it touches the candidate and says it only after the tests, so that
   * leaving early does not look like success; the word is in no argument, file, field or environment.
   */
  private static final String LAUNCHER =
      """
      class GavelLauncher {
        public static void main(String[] arguments) throws Throwable {
          java.io.PrintStream out = System.out;
          String word = new java.io.BufferedReader(new java.io.InputStreamReader(System.in)).readLine();
          System.setIn(java.io.InputStream.nullInputStream());
          out.println("gavel ready");
          out.flush();
          String said;
          try {
            Main.main(new String[0]);
            boolean alone = !arguments[0].equals("alone") || ProcessHandle.allProcesses().count() <= 2;
            said = alone ? word : "failed\\tLeftProcesses\\t\\t0\\tprocesses of its own were still running";
          } catch (Throwable thrown) {
            said = "failed\\t" + thrown.getClass().getName() + "\\t" + place(thrown) + "\\t" + message(thrown);
          }
          out.println("\\n" + said);
          out.flush();
          Runtime.getRuntime().halt(0);
        }

        private static String place(Throwable thrown) {
          for (StackTraceElement at : thrown.getStackTrace()) {
            String file = String.valueOf(at.getFileName());
            if (file.equals("Candidate.java") || file.equals("Main.java")) return file + "\\t" + at.getLineNumber();
          }
          return "\\t0";
        }

        private static String message(Throwable thrown) {
          try {
            String text = String.valueOf(thrown.getMessage());
            return text.substring(0, Math.min(text.length(), 500)).replaceAll("\\s+", " ");
          } catch (Throwable of_its_own) {
            return "";
          }
        }
      }
      """;

  public static void main(String[] arguments) throws IOException {
    DataInputStream in = new DataInputStream(System.in);
    DataOutputStream out = new DataOutputStream(System.out);
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    JavaFileManager platform = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8);
    out.writeByte(1);
    out.flush();
    while (true) {
      String candidate, test;
      try {
        candidate = read(in);
        test = read(in);
      } catch (EOFException end) {
        return;
      }
      Classes classes = new Classes(platform);
      String errors = compile(compiler, classes, candidate, test);
      byte[] answer = errors == null ? classes.jar() : errors.getBytes(StandardCharsets.UTF_8);
      out.writeByte(errors == null ? 0 : 1);
      out.writeInt(answer.length);
      out.write(answer);
      out.flush();
    }
  }

  private static String read(DataInputStream in) throws IOException {
    return new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8);
  }

  private static String compile(JavaCompiler compiler, Classes classes, String candidate, String test) {
    DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
    List<String> options = List.of("-proc:none", "-nowarn", "-implicit:none");
    List<Source> sources =
        List.of(
            new Source("Candidate", candidate), new Source("Main", test), new Source("GavelLauncher", LAUNCHER));
    try {
      if (compiler.getTask(Writer.nullWriter(), classes, found, options, null, sources).call()) return null;
    } catch (RuntimeException | StackOverflowError | OutOfMemoryError error) {
      return "\t0\tjavac gave up: " + error;
    }
    for (Diagnostic<? extends JavaFileObject> diagnostic : found.getDiagnostics()) {
      if (diagnostic.getKind() == Diagnostic.Kind.ERROR && diagnostic.getSource() != null) {
        String file = diagnostic.getSource().getName().replaceAll(".*/", "");
        return file + "\t" + diagnostic.getLineNumber() + "\t" + diagnostic.getMessage(Locale.ENGLISH);
      }
    }
    return "\t0\tjavac gave no reason";
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String name, String text) {
      super(URI.create("string:///" + name + ".java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }

  /** Keeps what javac writes in memory; everything else comes from the platform. */
  private static final class Classes extends ForwardingJavaFileManager<JavaFileManager> {
    private final Map<String, ByteArrayOutputStream> written = new LinkedHashMap<>();

    Classes(JavaFileManager platform) {
      super(platform);
    }

    @Override
    public JavaFileObject getJavaFileForOutput(Location where, String name, JavaFileObject.Kind kind, FileObject near) {
      return new SimpleJavaFileObject(URI.create("memory:///" + name.replace('.', '/') + kind.extension), kind) {
        @Override
        public OutputStream openOutputStream() {
          ByteArrayOutputStream bytes = new ByteArrayOutputStream();
          written.put(name, bytes);
          return bytes;
        }
      };
    }

    byte[] jar() throws IOException {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
        zip.setLevel(0);
        for (Map.Entry<String, ByteArrayOutputStream> one : written.entrySet()) {
          zip.putNextEntry(new ZipEntry(one.getKey().replace('.', '/') + ".class"));
          one.getValue().writeTo(zip);
        }
      }
      return bytes.toByteArray();
    }
  }
}
