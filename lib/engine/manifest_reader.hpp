#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/manifest.hpp"
#include "gavel/error.hpp"

namespace gavel {

using Json = nlohmann::json;

/// Reads typed fields of one object of gavel.json and its kin, and says where a wrong one stands.
class Reader {
 public:
  Reader(const Json& json, std::string path, const std::filesystem::path& file)
      : json_(json), path_(std::move(path)), file_(file) {
    if (!json.is_object()) refuse("", "an object", json);
  }

  [[nodiscard]] const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end())
      throw Error(ErrorCode::corrupt_bundle,
                  fmt::format("{}: {}{} is missing; make it again with this version", file_.string(), path_, key));
    return *found;
  }

  [[nodiscard]] bool has(const char* key) const {
    const auto found = json_.find(key);
    return found != json_.end() && !found->is_null();
  }

  [[nodiscard]] Reader object(const char* key) const { return {at(key), path_ + key + ".", file_}; }

  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  [[nodiscard]] std::string text(const char* key) const {
    const Json& value = at(key);
    if (!value.is_string()) refuse(key, "a string", value);
    return value.get<std::string>();
  }

  [[nodiscard]] bool flag(const char* key) const {
    const Json& value = at(key);
    if (!value.is_boolean()) refuse(key, "true or false", value);
    return value.get<bool>();
  }

  [[nodiscard]] double number(const char* key) const {
    const Json& value = at(key);
    if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(key, "a finite number", value);
    return value.get<double>();
  }

  [[nodiscard]] std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const {
    return checked(key, at(key), least, most);
  }

  /// Refuses another format than `expected`; `remedy` says what to do with "this version".
  void require_format(std::int64_t expected, std::string_view remedy) const {
    if (const auto found = integer("format", 0, 1'000'000); found != expected)
      throw Error(ErrorCode::corrupt_bundle,
                  fmt::format("{}: format version {}, this library reads {}; {} with this version", file_.string(),
                              found, expected, remedy));
  }

  template <class T>
  [[nodiscard]] std::vector<T> integers(const char* key, std::int64_t least, std::int64_t most) const {
    std::vector<T> values;
    for (const Json& value : array(key)) values.push_back(static_cast<T>(checked(key, value, least, most)));
    return values;
  }

  template <class T = float>
  [[nodiscard]] std::vector<T> numbers(const char* key) const {
    std::vector<T> values;
    for (const Json& value : array(key)) {
      if (!value.is_number()) refuse(key, "numbers", value);
      values.push_back(value.get<T>());
    }
    return values;
  }

  [[nodiscard]] const Json& array(const char* key) const {
    const Json& value = at(key);
    if (!value.is_array()) refuse(key, "a list", value);
    return value;
  }

  [[noreturn]] void refuse(std::string_view key, std::string_view expected, const Json& found) const {
    std::string shown = found.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (shown.size() > 80) shown = shown.substr(0, 77) + "...";
    throw Error(ErrorCode::corrupt_bundle,
                fmt::format("{}: {}{} is {}, expected {}", file_.string(), path_, key, shown, expected));
  }

 private:
  std::int64_t checked(const char* key, const Json& value, std::int64_t least, std::int64_t most) const {
    if (!value.is_number_integer() || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
      refuse(key, fmt::format("a whole number from {} to {}", least, most), value);
    return value.get<std::int64_t>();
  }

  const Json& json_;
  std::string path_;
  const std::filesystem::path& file_;
};

inline Json parse_json(std::string_view text, const std::filesystem::path& where) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::corrupt_bundle, fmt::format("{} is not JSON: {}", where.string(), error.what()));
  }
}

/// Size and hash of one of the files a manifest vouches for.
[[nodiscard]] Manifest::File read_file_entry(const Reader& files, const std::string& name);

/// How a judge's or a probe's object says that its log-odds become a probability and a decision, and what its
/// validation found, where it has one.
[[nodiscard]] Calibration read_calibration(const Reader& owner);
[[nodiscard]] DecisionRule read_rule(const Reader& owner);
[[nodiscard]] std::optional<OperatingCurve> read_curve(const Reader& owner);

}  // namespace gavel
