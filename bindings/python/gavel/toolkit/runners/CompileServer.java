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
 * Compiles one program after the other in one warm javac. Standard input: length (4 bytes) and source, UTF-8. Standard
 * output: one byte 1 when ready; then for each program 0, length and a jar of its classes, or 1, length and the errors.
 */
public class CompileServer {
  /** Runs the program's tests, and only after them says the word, so that leaving early does not look like success. */
  private static final String LAUNCHER =
      "class GavelLauncher { public static void main(String[] word) throws Throwable {"
          + " Main.main(new String[0]); System.out.println(); System.out.println(word[0]); } }";

  public static void main(String[] arguments) throws IOException {
    DataInputStream in = new DataInputStream(System.in);
    DataOutputStream out = new DataOutputStream(System.out);
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    JavaFileManager platform = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8);
    out.writeByte(1);
    out.flush();
    while (true) {
      byte[] source;
      try {
        source = in.readNBytes(in.readInt());
      } catch (EOFException end) {
        return;
      }
      Classes classes = new Classes(platform);
      String errors = compile(compiler, classes, new String(source, StandardCharsets.UTF_8));
      byte[] answer = errors == null ? classes.jar() : errors.getBytes(StandardCharsets.UTF_8);
      out.writeByte(errors == null ? 0 : 1);
      out.writeInt(answer.length);
      out.write(answer);
      out.flush();
    }
  }

  private static String compile(JavaCompiler compiler, Classes classes, String source) {
    DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
    List<String> options = List.of("-proc:none", "-nowarn", "-implicit:none");
    List<Source> sources = List.of(new Source("Main", source), new Source("GavelLauncher", LAUNCHER));
    try {
      if (compiler.getTask(Writer.nullWriter(), classes, found, options, null, sources).call()) return null;
    } catch (RuntimeException | StackOverflowError | OutOfMemoryError error) {
      return "javac gave up: " + error;
    }
    List<String> lines = new ArrayList<>();
    for (Diagnostic<?> diagnostic : found.getDiagnostics()) {
      if (diagnostic.getKind() == Diagnostic.Kind.ERROR && lines.size() < 10) {
        lines.add("line " + diagnostic.getLineNumber() + ": " + diagnostic.getMessage(null));
      }
    }
    return String.join("\n", lines);
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
