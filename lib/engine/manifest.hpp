#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gavel/calibration.hpp"
#include "gavel/operating_curve.hpp"
#include "gavel/prompt.hpp"

namespace gavel {

/// What gavel.json says, validated: the only thing believed about a bundle before its hashes are checked.
struct Manifest {
  static constexpr int format = 2;

  struct File {
    std::uint64_t bytes = 0;
    std::string sha256;
  };
  /// What an encoder's judge leaves out of a task and candidate longer than it reads.
  enum class Truncate { task, end, refuse };
  struct JudgeSpec {
    std::string type;  ///< "verbalizer" or "classifier"
    Truncate truncate = Truncate::refuse;
    std::vector<std::int64_t> positive, negative;
    bool trained = false;
    Calibration calibration;
    DecisionRule rule;
    std::optional<OperatingCurve> curve;  ///< where it was calibrated
  };
  struct SelfTest {
    std::string prompt;
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> logit_ids;
    std::vector<float> logits;
    std::vector<std::int64_t> written_ids;  ///< an encoder's decoder: logits of the first token it writes
    std::vector<float> written;
    double tolerance = 0;
    struct Judged {
      std::string prompt, language, code;
      double p_correct = 0, tolerance = 0;  ///< P(correct) before calibration, which may come later
    };
    std::optional<Judged> judge;
  };

  std::string kind;  ///< "decoder", "encoder" or "encoder_decoder"
  std::string name, family, precision;
  std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocabulary = 0,
               context = 0, rotary_dim = 0;
  std::int64_t rope_switch = 0;     ///< sequences longer than this use the second set of rotary frequencies; 0: one set
  std::int64_t decoder_layers = 0;  ///< of an encoder_decoder
  std::optional<std::int32_t> start;  ///< the token an encoder's decoder begins to write with, where it can write
  bool tied = false, gated = true;
  std::string tokenizer_file;
  std::int32_t tokenizer_size = 0;
  std::vector<std::int32_t> stop_tokens;
  std::map<std::string, Prompt, std::less<>> prompts;
  std::string head;  ///< "lm" or "classifier"
  std::vector<std::string> labels;
  std::int64_t positive_label = 0;
  std::optional<JudgeSpec> judge;
  std::optional<std::string> probe_file;
  std::vector<SelfTest> self_tests;
  std::map<std::string, File, std::less<>> files;

  /// The prompt by name; throws unsupported where the bundle has none.
  [[nodiscard]] const Prompt& prompt(std::string_view which) const;

  /// Whether the model reads a whole text at once and classifies it; it cannot continue a prompt.
  [[nodiscard]] bool encodes() const { return kind != "decoder"; }
};

/// Parses and validates a manifest. Throws corrupt_bundle naming the field, what was found and what was expected.
[[nodiscard]] Manifest parse_manifest(std::string_view json, const std::filesystem::path& where);

/// A probe: log-odds linear in pooled states of the candidate's tokens, its standardisation folded in.
struct ProbeSpec {
  enum class Pooling {
    mean,      ///< over all tokens
    tail,      ///< over the last quarter of the tokens, rounded up
    last,      ///< the last token
    attention  ///< weighted by the softmax over tokens of query . state
  };
  struct Term {
    std::size_t tap = 0;  ///< index into `layers`
    Pooling pooling = Pooling::mean;
    std::vector<float> weights;  ///< [hidden]
    std::vector<float> query;    ///< [hidden], of attention
  };
  /// bias + the sum over terms of weights . pooled states.
  struct Head {
    std::vector<Term> terms;
    double bias = 0;
    Calibration calibration;
    std::int64_t tokens = 0;  ///< an early one: how many of the candidate's first tokens it reads
  };

  std::vector<std::int64_t> layers;  ///< what all heads read, each once
  Head whole;                        ///< of a whole candidate
  std::vector<Head> early;           ///< while it is written, by growing `tokens`
  DecisionRule rule;
  std::optional<OperatingCurve> curve;  ///< where it was validated
};

/// Parses probe.json against the manifest's sizes. Throws corrupt_bundle.
[[nodiscard]] ProbeSpec parse_probe(std::string_view json, const Manifest& manifest,
                                    const std::filesystem::path& where);

}  // namespace gavel
