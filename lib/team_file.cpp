#include "team_file.hpp"

#include "engine/manifest_reader.hpp"

namespace gavel {
namespace {

namespace fs = std::filesystem;

TeamFile::Bundle read_bundle(const Reader& owner, const fs::path& folder) {
  const std::string path = owner.text("bundle"), digest = owner.text("digest");
  if (path.empty()) owner.refuse("bundle", "the path of a bundle or of an adapter in one", path);
  if (digest.size() != 64) owner.refuse("digest", "64 hexadecimal digits", digest);
  return {folder / path, digest};
}

JudgeKind read_kind(const Reader& member) {
  const std::string kind = member.text("kind");
  if (kind == "probe") return JudgeKind::probe;
  if (kind == "classifier") return JudgeKind::classifier;
  if (kind == "verbalizer") return JudgeKind::verbalizer;
  member.refuse("kind", "\"probe\", \"classifier\" or \"verbalizer\"", kind);
}

}  // namespace

TeamFile parse_team(std::string_view text, const fs::path& where) {
  const Json json = parse_json(text, where);
  const Reader root(json, "", where);
  root.require_format(TeamFile::format, "fit the team again");
  TeamFile team;
  const fs::path folder = where.parent_path();
  if (root.has("generator")) team.generator = read_bundle(root.object("generator"), folder);
  const Json& members = root.array("members");
  if (members.empty()) root.refuse("members", "one or more", members);
  for (const Json& each : members) {
    const Reader member(each, fmt::format("members[{}].", team.members.size()), where);
    team.members.push_back({read_bundle(member, folder), {}});
    team.members.back().judge.kind = read_kind(member);
    team.options.weights.push_back(member.number("weight"));
  }
  const Reader stacking = root.object("stacking");
  team.options.aggregation = Aggregation::stacked;
  team.options.stacking = {.bias = stacking.number("bias"),
                           .logprob_weight = stacking.number("logprob_weight"),
                           .logprob_mean = stacking.number("logprob_mean")};
  try {
    static_cast<void>(aggregate(team.options.aggregation, std::vector<Verdict>(team.members.size()),
                                team.options.weights, team.options.stacking));
  } catch (const Error& error) {
    throw Error(ErrorCode::corrupt_bundle, fmt::format("{}: {}", where.string(), error.what()));
  }
  return team;
}

}  // namespace gavel
