#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gavel/candidate.hpp"
#include "gavel/task.hpp"

namespace gavel {

/// The code without comments and with white space reduced to what separates words: two candidates with equal
/// normal forms are the same program but for layout. String and character literals are kept as they are; Python's
/// indentation is kept, since there it is meaning.
[[nodiscard]] std::string normal_form(std::string_view code, Language language);

/// For each candidate the index of the first one that is the same (same tokens, or same normal form): itself where
/// it is the first.
[[nodiscard]] std::vector<std::size_t> representatives(const std::vector<Candidate>& candidates, Language language);

}  // namespace gavel
