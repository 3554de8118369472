// Ten candidates by one model, judged by the same model, and the best of them. Usage: best_of_ten_cpp BUNDLE
#include <exception>
#include <gavel/gavel.hpp>
#include <iostream>

void best_of_ten(const char* bundle) {
  const gavel::Model model = gavel::Model::open(bundle);
  gavel::Ranker team{gavel::Generator(model)};
  team.add(gavel::Judge(model));
  gavel::Task task;
  task.prompt = "def is_leap_year(year: int) -> bool:\n    \"\"\"Whether a year is a leap year.\"\"\"\n";
  task.language = gavel::Language::python;
  gavel::GenerateOptions options;
  options.candidates = 10;
  options.max_tokens = 64;
  const gavel::Ranking ranking = team.solve(task, options);
  std::cout << task.prompt << ranking.best().candidate.text << "\n" << ranking.reason << "\n";
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: best_of_ten_cpp BUNDLE\n";
    return 1;
  }
  try {
    best_of_ten(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
