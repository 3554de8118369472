// Two threads, each with its own generator and judge on one loaded model: run under ThreadSanitizer by `tests/run
// tsan`, and everywhere for the equality of what they write. Usage: two_sessions BUNDLE

#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include "gavel/gavel.hpp"

namespace {

struct Work {
  std::vector<std::string> texts;
  std::vector<double> scores;
  bool operator==(const Work&) const = default;
};

Work work(const gavel::Model& model, std::uint64_t seed) {
  gavel::Task task;
  task.prompt = "def add(a, b):\n    \"\"\"Return the sum of a and b.\"\"\"\n";
  task.language = gavel::Language::python;
  gavel::GenerateOptions options;
  options.candidates = 3;
  options.max_tokens = 12;
  options.sampling.seed = seed;
  Work done;
  const auto generation = gavel::Generator(model).generate(task, options);
  std::vector<gavel::Candidate> candidates(1);
  candidates[0].text = "    return a + b\n";
  for (const auto& candidate : generation.candidates) {
    done.texts.push_back(candidate.raw);
    if (candidate.text.find_first_not_of(" \n") != std::string::npos) candidates.push_back(candidate);
  }
  gavel::JudgeOptions verbalizer;
  verbalizer.kind = gavel::JudgeKind::verbalizer;
  for (const auto& verdict : gavel::Judge(model, verbalizer).judge(task, candidates))
    done.scores.push_back(verdict.p_correct);
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: two_sessions BUNDLE\n", stderr);
    return 2;
  }
  try {
    const gavel::Model model = gavel::Model::open(argv[1]);
    const Work first = work(model, 1), second = work(model, 2);
    std::vector<Work> together(2);
    {
      std::jthread one([&] { together[0] = work(model, 1); }), two([&] { together[1] = work(model, 2); });
    }
    if (together[0] != first || together[1] != second) {
      std::fputs("two sessions at once wrote something else than one after the other\n", stderr);
      return 1;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::puts("two sessions on one model agree");
  return 0;
}
