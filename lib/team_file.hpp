#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gavel/judge.hpp"
#include "gavel/ranker.hpp"

namespace gavel {

/// What a team file says, validated; bundles are where they are from here.
struct TeamFile {
  static constexpr int format = 1;

  struct Bundle {
    std::filesystem::path folder;
    std::string digest;
  };
  struct Member {
    Bundle bundle;
    JudgeOptions judge;  ///< of a named kind
  };
  std::optional<Bundle> generator;
  std::vector<Member> members;  ///< one or more
  RankOptions options;          ///< stacked, a weight for each member
};

/// Parses a team file that lies at `where`. Throws corrupt_bundle naming the field, what was found and what was
/// expected.
[[nodiscard]] TeamFile parse_team(std::string_view json, const std::filesystem::path& where);

}  // namespace gavel
