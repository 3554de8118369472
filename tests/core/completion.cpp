#include "completion.hpp"

#include <random>

#include "catch.hpp"
#include "gavel/error.hpp"

using namespace gavel;

namespace {

/// The part of `text` that completes `prompt`; "(open)" where it is not complete. Checked with every way to cut it in
/// two.
std::string completed(std::string_view prompt, std::string_view text, Language language) {
  const auto end = completion_end(prompt, text, language);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    CompletionScanner scanner(prompt, language);
    scanner.push(text.substr(0, cut));
    CHECK(scanner.push(text.substr(cut)) == end);
  }
  return end ? std::string(text.substr(0, *end)) : "(open)";
}

}  // namespace

TEST_CASE("a Java completion ends with its method", "[core]") {
  const std::string prompt = "import java.util.*;\n\nclass A {\n  /** it's { a brace */\n  static int f(int x) {\n";
  const auto end = [&](std::string_view text) { return completed(prompt, text, Language::java); };
  CHECK(end("    return x;\n  }\n}\n\nclass B {}") == "    return x;\n  }");
  CHECK(end("    return x;\n") == "(open)");
  CHECK(end("    if (x > 0) { x--; }\n    return x;\n  }\n  int g() { return 1; }\n}X") ==
        "    if (x > 0) { x--; }\n    return x;\n  }");
  CHECK(end("char c = '}'; String s = \"}}\\\"}\"; // }}\n/* } */ }}z") ==
        "char c = '}'; String s = \"}}\\\"}\"; // }}\n/* } */ }");
  CHECK(end("s = \"\"\"\n } \"} \\\"\"\" }\n\"\"\"; }}z") == "s = \"\"\"\n } \"} \\\"\"\" }\n\"\"\"; }");
  CHECK(end("s = \"\"; }}z") == "s = \"\"; }");
  CHECK(end("s = \"open }\n }}z") == "s = \"open }\n }");
  CHECK(end("") == "(open)");
  CHECK(completed("class A {\n  int f()\n", "  { return 1; }\n  int g", Language::java) == "  { return 1; }");
  CHECK(completed("class A { void f() { new B() { void g() {", "} }; } }", Language::java) == "} }; }");
  CHECK(completed("class A { int[] a = {1}; int f(int[] b)\n throws X {", "} }", Language::java) == "}");
}

TEST_CASE("a Java completion outside all methods ends with its type", "[core]") {
  CHECK(completed("class A {\n  int x;\n", "  int f() { return 1; }\n}\nclass B", Language::java) ==
        "  int f() { return 1; }\n}");
  CHECK(completed("@Named(\"x\") class A {\n", "  int f() { return 1; }\n}\n", Language::java) ==
        "  int f() { return 1; }\n}");
  CHECK(completed("record A(int x) {\n", "  int f() { return 1; }\n}\n", Language::java) ==
        "  int f() { return 1; }\n}");
  CHECK(completed("", "class A { } class B { }", Language::java) == "class A { }");
  CHECK(completed("class A { } ", "} x", Language::java).empty());
  CHECK(completed("class A { /* {", " } */ } x", Language::java) == " } */ }");
}

TEST_CASE("a C++ completion ends with its function or type", "[core]") {
  const std::string function = "#include <string>\nint f(std::string s) {\n";
  const auto end = [&](std::string_view text) { return completed(function, text, Language::cpp); };
  CHECK(end("  return 1;\n}\nint main() {}") == "  return 1;\n}");
  CHECK(end("auto r = R\"x(}\")})x\"; int n = 1'000; char c = '}'; }z") ==
        "auto r = R\"x(}\")})x\"; int n = 1'000; char c = '}'; }");
  CHECK(end("struct P { int x; }; return 1; }z") == "struct P { int x; }; return 1; }");
  CHECK(end("// } \\\n }\n}z") == "// } \\\n }\n}");

  CHECK(completed("class A {\n public:\n", "int x;\n};\nint y;", Language::cpp) == "int x;\n};");
  CHECK(completed("struct A {\n", "int x; } ;z", Language::cpp) == "int x; } ;");
  CHECK(completed("struct A {\n", "int x; }\n", Language::cpp) == "(open)");
  CHECK(completed("struct A {\n", "int x; }\nint y;", Language::cpp) == "int x; }");
  CHECK(completed("template <class T>\nT f(T x) {\n", "return x; }\n;", Language::cpp) == "return x; }");
  CHECK(completed("struct B {};\nint f() {\n", "return 1; } ;", Language::cpp) == "return 1; }");
  CHECK(completed("struct B {};\nint f()", " { return 1; } ;", Language::cpp) == " { return 1; }");
  CHECK(completed("struct A {\n  int f() {\n", "return 1; }\n};", Language::cpp) == "return 1; }");
}

TEST_CASE("what stands around a completed function is closed", "[core]") {
  const auto closing = [](std::string_view prompt, Language language) {
    return CompletionScanner(prompt, language).closing();
  };
  CHECK(closing("class A {\n  int f() {\n", Language::java) == "\n}");
  CHECK(closing("class A {\n  interface B {\n    default int f() {\n      if (x) {\n", Language::java) == "\n}\n}");
  CHECK(closing("class A {\n  int f()", Language::java) == "\n}");
  CHECK(closing("class A {\n  int x;\n", Language::java).empty());
  CHECK(closing("int f() {\n", Language::cpp).empty());
  CHECK(closing("namespace n {\nstruct A : B<int> {\n  int f(int x = {}) const {\n", Language::cpp) == "\n};\n}");
  CHECK(closing("template <class T>\nT f(T x) {\n", Language::cpp).empty());
  CHECK(closing("class A:\n    def f(self):\n", Language::python).empty());
}

TEST_CASE("a Python completion ends before the next line of the function's indentation", "[core]") {
  const std::string prompt =
      "import x\n\ndef help(a):\n    return a\n\n\ndef f(a):\n    \"\"\"Doc:\ndef no\n    \"\"\"\n";
  const auto end = [&](std::string_view text) { return completed(prompt, text, Language::python); };
  CHECK(end("    return a\n\nprint(f(1))") == "    return a\n\n");
  CHECK(end("    return a\n") == "(open)");
  CHECK(end("    return a\n\n# comment\n  # another\n    \ndef g():") ==
        "    return a\n\n# comment\n  # another\n    \n");
  CHECK(end("    s = '''\nx\n'''\n    t = (1,\n2)\n    u = 1 + \\\n2\n    return s\nx") ==
        "    s = '''\nx\n'''\n    t = (1,\n2)\n    u = 1 + \\\n2\n    return s\n");
  CHECK(end("    s = '#'\n    d = {  # {\n}\n    return s\n@x") == "    s = '#'\n    d = {  # {\n}\n    return s\n");
  CHECK(end("\treturn a\r\n\r\nx = 1") == "\treturn a\r\n\r\n");
  CHECK(end("\"\"\"string\"\"\"").empty());
  CHECK(end("return a").empty());

  CHECK(completed("class A:\n    def f(self):\n        '''d'''\n", "        return 1\n\n    def g(self):\n",
                  Language::python) == "        return 1\n\n");
  CHECK(completed("class A:\n    '''d'''\n", "    x = 1\n    def f(self): pass\ny", Language::python) ==
        "    x = 1\n    def f(self): pass\n");
  CHECK(completed("def f(x):\n    ", "return x\nz", Language::python) == "return x\n");
  CHECK(completed("def f(x):", " return x\nz", Language::python) == " return x\n");
  CHECK(completed("def f(x,\n", "y):\n    return x\nz", Language::python) == "y):\n    return x\n");
  CHECK(completed("async def f(x):\n", "    return x\nz", Language::python) == "    return x\n");
  CHECK(completed("def f(x):\n    def g():\n", "        return x\n    return g\nz", Language::python) ==
        "        return x\n    return g\n");
  CHECK(completed("x = 1\n", "y = 2\nz = 3", Language::python) == "(open)");
}

TEST_CASE("a completion in no known language has no end of its own", "[core]") {
  CHECK(completed("f {", "} }", Language::any) == "(open)");
}

TEST_CASE("code is taken out of a chat answer", "[core]") {
  CHECK(extract_code("Sure:\n```java\nclass A {}\n```\nDone.", Language::java) == "class A {}\n");
  CHECK(extract_code("```bash\nrun\n```\n```python\nx = 1\n\n```", Language::python) == "x = 1\n\n");
  CHECK(extract_code("```sh\nrun\n```\n```\nx\n```", Language::python) == "x\n");
  CHECK(extract_code("```sh\nrun\n```\n```js\nx\n```", Language::python) == "run\n");
  CHECK(extract_code("```sh\nrun\n```\n```js\nx\n```", Language::any) == "run\n");
  CHECK(extract_code("```C++\nint x;", Language::cpp) == "int x;");
  CHECK(extract_code("```py {.x}\na\n```\n```py\nb\n```", Language::python) == "a\n");
  CHECK(extract_code("````java\n```\nx\n````", Language::java) == "```\nx\n");
  CHECK(extract_code("~~~java\nx\n~~~", Language::java) == "x\n");
  CHECK(extract_code("1. So:\n   ```python\n   if a:\n       b\n   ```\n", Language::python) == "if a:\n    b\n");
  CHECK(extract_code("```java\r\nx\r\n```\r\n", Language::java) == "x\r\n");
  CHECK(extract_code("\n  int x; \n", Language::java) == "int x;");
  CHECK(extract_code("use ```x``` here", Language::java) == "use ```x``` here");
  CHECK(extract_code("```java\n```", Language::java).empty());
  CHECK(extract_code("", Language::java).empty());
  CHECK(extract_code(" \n ", Language::java).empty());
}

TEST_CASE("stop strings are found across pieces", "[core]") {
  StopFinder finder({"\n\n", "END"});
  CHECK_FALSE(finder.push("a\n"));
  CHECK(finder.safe_length() == 1);
  CHECK_FALSE(finder.push("bE"));
  CHECK(finder.safe_length() == 3);
  CHECK_FALSE(finder.push("N"));
  CHECK_FALSE(finder.push("x"));
  CHECK(finder.safe_length() == 6);
  CHECK_FALSE(finder.push("E"));
  CHECK_FALSE(finder.push("N"));
  CHECK(finder.push("D and on") == 6);
  CHECK(finder.safe_length() == 6);
  CHECK(finder.push("\n\n") == 6);

  CHECK(StopFinder({"aab"}).push("aaab") == 1);
  CHECK(StopFinder({"bc", "abcd"}).push("xabcd") == 1);
  StopFinder none({});
  CHECK_FALSE(none.push("abc"));
  CHECK(none.safe_length() == 3);
  CHECK_THROWS_AS(StopFinder({"a", ""}), Error);
}

TEST_CASE("stop strings are found as a plain search would, however the text is cut", "[core]") {
  std::mt19937 random(11);
  const auto word = [&](std::size_t longest) {
    std::string text;
    for (std::size_t i = 1 + random() % longest; i > 0; --i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::vector<std::string> stops{word(6), word(8)};
    const std::string text = word(30);
    StopFinder finder(stops);
    std::size_t at = 0;
    while (at < text.size()) {
      const std::size_t step = std::min<std::size_t>(1 + random() % 4, text.size() - at);
      const auto found = finder.push(std::string_view(text).substr(at, step));
      at += step;
      const std::size_t expected = std::min(text.substr(0, at).find(stops[0]), text.substr(0, at).find(stops[1]));
      REQUIRE(found.value_or(std::string::npos) == expected);
      // What was called safe is never cut off by a stop string that is completed later.
      const std::size_t safe = finder.safe_length();
      REQUIRE(safe <= std::min(text.find(stops[0]), text.find(stops[1])));
    }
  }
}
