// Next-token logits of a bundle, for comparing with reference implementations: gavel_logits BUNDLE < PROMPTS > FLOATS
// A prompt is a line of token ids. Where it has a `|`, what stands before is the shared prefix of this line and the
// lines after it that begin with `|`; these are read together, as candidates are. Out come float32 rows in the lines'
// order.

#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/session.hpp"
#include "gavel/model.hpp"

namespace {

std::vector<std::int32_t> ids(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::int32_t> found;
  for (std::int32_t id = 0; in >> id;) found.push_back(id);
  return found;
}

void write(std::span<const float> values) {
  std::fwrite(values.data(), sizeof(float), values.size(), stdout);
}

void run(const gavel::Model& model, const std::vector<std::int32_t>& prefix,
         const std::vector<std::vector<std::int32_t>>& own) {
  if (prefix.empty()) return;
  std::size_t longest = 1;
  for (const auto& tokens : own) longest = std::max(longest, tokens.size());
  gavel::Session session(
      model, {static_cast<std::int64_t>(prefix.size()), static_cast<std::int64_t>(std::max<std::size_t>(own.size(), 1)),
              static_cast<std::int64_t>(longest)});
  session.prefill(prefix, {});
  if (own.empty()) return write(session.logits());
  std::vector<gavel::Session::Append> appends;
  for (std::size_t i = 0; i < own.size(); ++i) appends.push_back({static_cast<std::int64_t>(i), own[i]});
  session.extend(appends, {});
  write(session.logits());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: gavel_logits BUNDLE < PROMPTS > FLOATS");
    const gavel::Model model = gavel::Model::open(argv[1]);
    std::vector<std::int32_t> prefix;
    std::vector<std::vector<std::int32_t>> own;
    for (std::string line; std::getline(std::cin, line);) {
      const auto bar = line.find('|');
      if (bar != 0) {
        run(model, prefix, own);
        own.clear();
        prefix = ids(line.substr(0, bar));
      }
      if (bar != std::string::npos) own.push_back(ids(line.substr(bar + 1)));
    }
    run(model, prefix, own);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
