#include <fmt/format.h>

#include <map>

#include "engine/adapter.hpp"
#include "engine/bundle_files.hpp"
#include "gavel/error.hpp"
#include "gavel/ranker.hpp"
#include "sha256.hpp"
#include "team_file.hpp"

namespace gavel {
namespace {

namespace fs = std::filesystem;

/// The models of one team file: a bundle that is named several times, or whose adapters are, is opened once.
class Models {
 public:
  Models(const fs::path& team, const OpenOptions& options) : team_(team), options_(options) { options_.pin.clear(); }

  Model open(const TeamFile::Bundle& bundle) {
    const bool adapter = is_adapter(bundle.folder);
    const std::string found = sha256_hex(read_file(bundle.folder / (adapter ? "adapter.json" : "gavel.json")));
    if (found != bundle.digest)
      throw Error(
          ErrorCode::corrupt_bundle,
          fmt::format("{}: {} has digest {}, the team was fitted with {}; use the bundle it was fitted with, or "
                      "fit the team again with `gavel team fit`",
                      team_.string(), bundle.folder.string(), found, bundle.digest));
    return adapter ? adapted(bundle) : whole(bundle.folder, bundle.digest);
  }

 private:
  Model whole(const fs::path& folder, const std::string& digest) {
    const fs::path key = fs::canonical(folder);
    if (const auto known = opened_.find(key); known != opened_.end()) return known->second;
    OpenOptions pinned = options_;
    pinned.pin = digest;
    return opened_.emplace(key, Model::open(folder, pinned)).first->second;
  }

  Model adapted(const TeamFile::Bundle& bundle) {
    const fs::path key = fs::canonical(bundle.folder);
    if (const auto known = opened_.find(key); known != opened_.end()) return known->second;
    const fs::path base = key.parent_path().parent_path(), file = key / "adapter.json";
    const std::string manifest = read_file(base / "gavel.json");
    // The adapter says what its base is made of, and what is no such base is refused before its program runs.
    static_cast<void>(parse_adapter(read_file(file), manifest, parse_manifest(manifest, base / "gavel.json"), file));
    const Model model = whole(base, sha256_hex(manifest)).adapted(key);
    if (options_.self_test) model.self_test();
    return opened_.emplace(key, model).first->second;
  }

  const fs::path& team_;
  OpenOptions options_;
  std::map<fs::path, Model> opened_;
};

}  // namespace

Ranker Ranker::open(const fs::path& team_file, const OpenOptions& options) {
  const std::string text = read_file(team_file);
  if (!options.pin.empty())
    if (const std::string found = sha256_hex(text); found != options.pin)
      throw Error(ErrorCode::corrupt_bundle,
                  fmt::format("{} has SHA-256 {}, the caller pinned {}", team_file.string(), found, options.pin));
  const TeamFile team = parse_team(text, team_file);
  Models models(team_file, options);
  Ranker ranker = team.generator ? Ranker(Generator(models.open(*team.generator))) : Ranker();
  for (const TeamFile::Member& member : team.members) ranker.add(Judge(models.open(member.bundle), member.judge));
  ranker.options_ = team.options;
  return ranker;
}

}  // namespace gavel
