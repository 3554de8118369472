#include <set>

#include "gavel/error.hpp"
#include "json_parts.hpp"
#include "model_json.hpp"

namespace gavel::text {

std::vector<AddedToken> read_added_tokens(const nlohmann::json& value, std::string_view name) {
  static const std::set<std::string> known = {"id",     "content",    "special", "single_word",
                                              "lstrip", "normalized", "rstrip"};
  std::vector<AddedToken> tokens;
  if (value.is_null()) return tokens;
  std::set<std::int64_t> ids;
  std::set<std::string> contents;
  for (const nlohmann::json& entry : value) {
    for (const auto& [member, _] : entry.items()) {
      if (known.count(member) == 0) refuse_part(name, "added token's member", member);
    }
    AddedToken token;
    const auto id = entry.at("id").get<std::int64_t>();
    token.content = entry.at("content").get<std::string>();
    token.special = entry.at("special").get<bool>();
    token.single_word = entry.at("single_word").get<bool>();
    token.lstrip = entry.at("lstrip").get<bool>();
    token.rstrip = entry.at("rstrip").get<bool>();
    token.normalized = entry.at("normalized").get<bool>();
    if (id < 0 || id >= largest_id || token.content.empty() || !ids.insert(id).second ||
        !contents.insert(token.content).second) {
      throw Error(ErrorCode::corrupt_bundle, std::string(name) + ": added token \"" + token.content + "\" with id " +
                                                 std::to_string(id) +
                                                 " is empty, out of range or there twice; export the bundle again");
    }
    token.id = static_cast<std::int32_t>(id);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace gavel::text
