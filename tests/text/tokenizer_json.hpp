#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gavel/error.hpp"
#include "gavel/tokenizer.hpp"

/// Small tokenizer.json files, made where a test needs them.
namespace tokenizer_json {

using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

inline Json added(int id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

/// GPT-2's alphabet: how a byte is written in a byte-level vocabulary.
inline std::string written(int byte) {
  static const std::vector<int> table = [] {
    std::vector<int> codes(256);
    int next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      codes[static_cast<std::size_t>(b)] = printable ? b : next++;
    }
    return codes;
  }();
  const int code = table[static_cast<std::size_t>(byte)];
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

/// Byte-level BPE: byte b is id b; then "ab" 256, "Ġab" 257, "abc" 258; 259 is the special <|end|>, 260 the plain
/// <tool>.
inline Json byte_level() {
  Json vocabulary = Json::object();
  for (int b = 0; b < 256; ++b) vocabulary[written(b)] = b;
  const std::string space = written(' ');
  vocabulary["ab"] = 256;
  vocabulary[space + "ab"] = 257;
  vocabulary["abc"] = 258;
  return {
      {"version", "1.0"},
      {"added_tokens", {added(259, "<|end|>", true), added(260, "<tool>", false)}},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array({{"a", "b"}, {space, "ab"}, {"ab", "c"}})}}}};
}

/// Character BPE as Llama's files have it: <unk> 0, <s> 1, byte b is id 3 + b, then "▁" 259, "a" 260, "b" 261, "▁a"
/// 262.
inline Json byte_fallback() {
  Json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {"▁", 259}, {"a", 260}, {"b", 261}, {"▁a", 262}};
  for (int b = 0; b < 256; ++b) {
    const std::string digits = "0123456789ABCDEF";
    vocabulary[std::string("<0x") + digits[static_cast<std::size_t>(b / 16)] +
               digits[static_cast<std::size_t>(b % 16)] + ">"] = 3 + b;
  }
  const Json space = {{"String", " "}}, mark = {{"String", "▁"}};
  return {{"added_tokens", {added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", "▁"}}, {{"type", "Replace"}, {"pattern", space}, {"content", "▁"}}}}}},
          {"pre_tokenizer", nullptr},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocabulary},
            {"merges", {"▁ a"}}}}};
}

/// Unigram as T5's files have it: <unk> 0, </s> 1, <pad> 2, "▁" 3, "▁a" 4, "a" 5, "b" 6, "▁ab" 7, with their scores.
inline Json unigram() {
  const Json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}, {"split", true}};
  Json vocabulary = Json::array();
  const std::vector<std::pair<std::string, double>> scores = {{"<unk>", 0.0}, {"</s>", 0.0}, {"<pad>", 0.0},
                                                              {"▁", -2.0},    {"▁a", -1.0},  {"a", -2.5},
                                                              {"b", -3.0},    {"▁ab", -3.0}};
  for (const auto& [token, score] : scores) vocabulary.push_back(Json::array({token, score}));
  return {{"added_tokens", {added(0, "<unk>", true), added(1, "</s>", true), added(2, "<pad>", true)}},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Sequence"}, {"pretokenizers", Json::array({{{"type", "WhitespaceSplit"}}, metaspace})}}},
          {"decoder", metaspace},
          {"model", {{"type", "Unigram"}, {"unk_id", 0}, {"byte_fallback", false}, {"vocab", vocabulary}}}};
}

inline std::shared_ptr<const gavel::Tokenizer> open(const Json& json) {
  return gavel::Tokenizer::from_bytes(json.dump(), "tokenizer.json");
}

/// The Error that `action` throws; a test that expects one fails where it throws none.
inline gavel::Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const gavel::Error& error) {
    return error;
  }
  return {gavel::ErrorCode::internal, "nothing was thrown"};
}

inline bool mentions(const gavel::Error& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

}  // namespace tokenizer_json
