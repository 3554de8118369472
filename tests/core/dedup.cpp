#include "gavel/dedup.hpp"

#include <random>

#include "catch.hpp"

using namespace gavel;

namespace {

bool same(Language language, std::string_view a, std::string_view b) {
  return normal_form(a, language) == normal_form(b, language);
}

Candidate candidate(std::string text, std::vector<std::int32_t> tokens = {}) {
  Candidate result;
  result.text = std::move(text);
  result.tokens = std::move(tokens);
  return result;
}

}  // namespace

TEST_CASE("Java and C++ programs that differ in layout and comments are the same", "[core]") {
  const auto language = GENERATE(Language::java, Language::cpp);
  CHECK(normal_form("int  x=1 ; // one\n/* two\n */ return\tx;\n", language) == "int x=1;return x;");
  CHECK(same(language, "if(a==b){f( x,y );}", "if (a == b)\n{\n  f(x, y);\n}\n"));
  CHECK(same(language, "int/**/x;", "int x;"));
  CHECK(same(language, "a=-b;", "a = -b;"));
  CHECK(same(language, "return\"s\";", "return \"s\";"));
  CHECK(same(language, "List<List<Integer>> x;", "List<List<Integer> > x;"));
  CHECK(same(language, "x; /* never closed", "x;"));
  CHECK(same(language, "", " // nothing\n"));
}

TEST_CASE("Java and C++ programs that mean something else stay apart", "[core]") {
  const auto language = GENERATE(Language::java, Language::cpp);
  CHECK_FALSE(same(language, "int x;", "intx;"));
  CHECK_FALSE(same(language, "a + ++b", "a++ + b"));
  CHECK_FALSE(same(language, "a - -b", "a-- b"));
  CHECK_FALSE(same(language, "a / /**/ /b", "a"));
  CHECK_FALSE(same(language, "\"a b\"", "\"a  b\""));
  CHECK_FALSE(same(language, "\"// x\"", "\"\""));
  CHECK_FALSE(same(language, "f(\"/*\"); g(); f(\"*/\");", "f(\"/*\"); h(); f(\"*/\");"));
  CHECK_FALSE(same(language, "c = '\"'; d(\" \");", "c = '\"'; d(\"  \");"));
  CHECK_FALSE(same(language, "s = \"\\\"  \";", "s = \"\\\" \";"));
  CHECK(normal_form("x = '\\''; // y", language) == "x='\\'';");
}

TEST_CASE("a string ends with its line", "[core]") {
  CHECK(same(Language::java, "char c = 'x;\n// comment\nint y;", "char c = 'x;\nint y;"));
  CHECK(same(Language::python, "x = 'abc\n# comment\ny = 1", "x = 'abc\ny = 1"));
}

TEST_CASE("Java text blocks are literals", "[core]") {
  CHECK_FALSE(same(Language::java, "s = \"\"\"\n  a \"b\" // c\n  \"\"\";", "s = \"\"\"\n  a \"b\"\n  \"\"\";"));
  CHECK(same(Language::java, "s = \"\"\"\n x\"\"\" ; // y", "s = \"\"\"\n x\"\"\";"));
  CHECK(same(Language::java, "s = \"\" + \"a\" ; // y", "s=\"\"+\"a\";"));
  CHECK(same(Language::java, "s = \"\"\"\n \\\"\"\" // in \"\"\"; // out", "s = \"\"\"\n \\\"\"\" // in \"\"\";"));
}

TEST_CASE("C++ raw strings, digit separators and directives", "[core]") {
  CHECK_FALSE(same(Language::cpp, "R\"(a // b)\"", "R\"(a )\""));
  CHECK(same(Language::cpp, "s = R\"x(\")\" // in )x\"; // out", "s=R\"x(\")\" // in )x\";"));
  CHECK(same(Language::cpp, "int n = 1'000'000; // million", "int n=1'000'000;"));
  CHECK_FALSE(same(Language::cpp, "int n = 1'000; f();", "int n = 1'000; g();"));
  CHECK(same(Language::cpp, "u8'a' // c", "u8'a'"));
  CHECK(same(Language::cpp, "// a \\\n still a comment\nx;", "x;"));
  CHECK_FALSE(same(Language::cpp, "#define A 1\nint x;", "#define A 1 int x;"));
  CHECK_FALSE(same(Language::cpp, "#define F (x)\n", "#define F(x)\n"));
  CHECK(same(Language::cpp, "#include  <map> // m\n\n\nint x;", "#include <map>\nint x;"));
  CHECK(same(Language::cpp, "#define A \\\n  1\nint x;", "#define A 1\nint x;"));
  CHECK(normal_form("int a; #\n#if 1\nb\n#endif", Language::cpp) == "int a;#\n#if 1\nb\n#endif");
}

TEST_CASE("Python keeps indentation and strings", "[core]") {
  const auto same = [](std::string_view a, std::string_view b) { return ::same(Language::python, a, b); };
  CHECK(normal_form("def f( x ):  # c\n\n    return x+1   \n", Language::python) == "def f(x):\n    return x+1");
  CHECK(same("x = 1\n# a comment\n\ny = 2", "x=1\ny=2\n"));
  CHECK_FALSE(same("if a:\n  b()\nc()", "if a:\n  b()\n  c()"));
  CHECK_FALSE(same("    return x", "return x"));
  CHECK(same("f(a,\n  b)", "f(a, b)"));
  CHECK(same("x = 1 + \\\n    2", "x = 1 + 2"));
  CHECK(same("x = 1 + \\\r\n    2\r\n", "x = 1 + 2"));
  CHECK_FALSE(same("s = '# a'", "s = '# b'"));
  CHECK_FALSE(same("def f():\n  \"\"\"doc\"\"\"\n  pass", "def f():\n  pass"));
  CHECK_FALSE(same("s = '''a\n  # b\n'''", "s = '''a\n'''"));
  CHECK(same("s = ''  # empty", "s = ''"));
  CHECK(same("a // b", "a//b"));
  CHECK_FALSE(same("not a", "nota"));
  CHECK(same("return'x'", "return 'x'"));
}

TEST_CASE("of an unknown language only line ends are white space", "[core]") {
  CHECK(same(Language::any, "a  b \n\n c\r\n", "a  b\n c"));
  CHECK_FALSE(same(Language::any, "a  b", "a b"));
  CHECK_FALSE(same(Language::any, "a // b", "a"));
}

TEST_CASE("a normal form is its own normal form, and no bytes are too strange", "[core]") {
  std::mt19937 random(5);
  const std::string_view alphabet = "ab1 \t\n\r\"'`/*#\\(){};.+-<>=&R\xC3\xA9\xFF";
  for (const Language language : {Language::java, Language::cpp, Language::python, Language::any})
    for (int round = 0; round < 5000; ++round) {
      std::string text;
      for (std::size_t i = random() % 40; i > 0; --i) text += alphabet[random() % alphabet.size()];
      const std::string form = normal_form(text, language);
      CHECK(form.size() <= 2 * text.size());
    }
  for (const std::string_view text : {"int x = 1;\nreturn x++ + ++x;", "s = \"a\" + 'b'; // c"})
    for (const Language language : {Language::java, Language::cpp})
      CHECK(same(language, text, normal_form(text, language)));
}

TEST_CASE("the first of the same candidates stands for them", "[core]") {
  CHECK(representatives({}, Language::java).empty());
  const std::vector<Candidate> candidates{candidate("return a;"),   candidate("return b;", {1, 2}),
                                          candidate("return  a; "), candidate("return c;", {1, 2}),
                                          candidate("return c;"),   candidate("return d;", {3})};
  // 3 has the tokens of 1, and 4 the text of 3.
  CHECK(representatives(candidates, Language::java) == std::vector<std::size_t>{0, 1, 0, 1, 1, 5});
}
