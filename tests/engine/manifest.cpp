#include "engine/manifest.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "catch.hpp"
#include "gavel/error.hpp"

using gavel::parse_manifest;
using Json = nlohmann::json;

namespace {

Json good() {
  const Json file{{"bytes", 1}, {"sha256", std::string(64, 'a')}};
  return {{"format", 2},
          {"name", "m"},
          {"kind", "decoder"},
          {"architecture",
           {{"family", "llama"},
            {"layers", 2},
            {"hidden", 64},
            {"heads", 4},
            {"kv_heads", 2},
            {"head_dim", 16},
            {"intermediate", 128},
            {"vocabulary", 100},
            {"context", 256},
            {"rotary_dim", 16},
            {"rope_switch", 0},
            {"gated", true},
            {"tied", true}}},
          {"precision", "fp32"},
          {"tokenizer", {{"file", "tokenizer.json"}, {"type", "bpe"}, {"size", 99}}},
          {"tokens", {{"bos", nullptr}, {"stop", {2}}}},
          {"prompts", {{"completion", {{{"token", 1}}, {{"slot", "prompt"}}}}}},
          {"head", {{"type", "lm"}}},
          {"judge",
           {{"type", "verbalizer"},
            {"positive", {3}},
            {"negative", {4}},
            {"trained", false},
            {"calibration", {{"scale", 1.0}, {"shift", 0.0}}},
            {"threshold", 0.5},
            {"abstain_band", 0.0}}},
          {"probe", nullptr},
          {"selftest", Json::array()},
          {"files", {{"program.pt", file}, {"weights.safetensors", file}, {"tokenizer.json", file}}}};
}

/// The message parse_manifest refuses this with; empty where it accepts it.
std::string refusal(const Json& manifest) {
  try {
    (void)parse_manifest(manifest.dump(), "gavel.json");
    return "";
  } catch (const gavel::Error& error) {
    REQUIRE(error.code() == gavel::ErrorCode::corrupt_bundle);
    return error.what();
  }
}

std::string refusal_with(const Json::json_pointer& where, const Json& value) {
  Json manifest = good();
  manifest[where] = value;
  return refusal(manifest);
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a good manifest is read", "[engine]") {
  const auto manifest = parse_manifest(good().dump(), "gavel.json");
  REQUIRE(manifest.layers == 2);
  REQUIRE(manifest.prompt("completion").size() == 2);
  REQUIRE(manifest.judge->positive == std::vector<std::int64_t>{3});
  REQUIRE_THROWS_AS((void)manifest.prompt("chat"), gavel::Error);
}

TEST_CASE("a manifest that contradicts itself is refused by field, found and expected", "[engine]") {
  using namespace nlohmann::literals;
  REQUIRE(mentions(refusal_with("/format"_json_pointer, 1), "format version 1, this library reads 2"));
  REQUIRE(mentions(refusal_with("/precision"_json_pointer, "int3"), "int3"));
  REQUIRE(mentions(refusal_with("/architecture/kv_heads"_json_pointer, 3), "kv_heads"));
  REQUIRE(mentions(refusal_with("/architecture/layers"_json_pointer, -1), "architecture.layers is -1"));
  REQUIRE(mentions(refusal_with("/architecture/hidden"_json_pointer, "64"), "expected a whole number"));
  REQUIRE(mentions(refusal_with("/tokenizer/size"_json_pointer, 101), "tokenizer.size"));
  REQUIRE(mentions(refusal_with("/tokens/stop/0"_json_pointer, 100), "stop"));
  REQUIRE(mentions(refusal_with("/judge/positive"_json_pointer, Json::array()), "at least one token"));
  REQUIRE(mentions(refusal_with("/judge/type"_json_pointer, "classifier"), "verbalizer"));
  REQUIRE(mentions(refusal_with("/judge/threshold"_json_pointer, 1.5), "within [0, 1]"));
  REQUIRE(mentions(refusal_with("/files/program.pt/sha256"_json_pointer, "xyz"), "64 lower-case"));
  Json missing = good();
  missing.erase("head");
  REQUIRE(mentions(refusal(missing), "head is missing"));
}

TEST_CASE("an encoder's manifest says what it leaves out and how it writes", "[engine]") {
  using namespace nlohmann::literals;
  Json encoder = good();
  encoder["kind"] = "encoder_decoder";
  encoder["architecture"]["family"] = "t5";
  encoder["architecture"]["head_dim"] = 20;  // no kernel of the decoder's reads it
  encoder["architecture"]["decoder_layers"] = 3;
  encoder["tokens"]["start"] = 0;
  encoder["head"] = {{"type", "classifier"}, {"labels", {"Correct", "Wrong"}}, {"positive", 0}};
  encoder["judge"]["type"] = "classifier";
  encoder["judge"]["truncate"] = "task";
  const auto manifest = parse_manifest(encoder.dump(), "gavel.json");
  REQUIRE(manifest.encodes());
  REQUIRE(manifest.decoder_layers == 3);
  REQUIRE(manifest.start == 0);
  REQUIRE(manifest.judge->truncate == gavel::Manifest::Truncate::task);
  const auto with = [&](const Json::json_pointer& where, const Json& value) {
    Json changed = encoder;
    changed[where] = value;
    return refusal(changed);
  };
  REQUIRE(mentions(with("/kind"_json_pointer, "encoders"), "encoder_decoder"));
  REQUIRE(mentions(with("/judge/truncate"_json_pointer, "middle"), "\"task\", \"end\" or \"refuse\""));
  REQUIRE(mentions(with("/judge"_json_pointer, nullptr), "judge"));
  REQUIRE(mentions(with("/head"_json_pointer, {{"type", "lm"}}), "classifier"));
  REQUIRE(mentions(with("/tokens/start"_json_pointer, 100), "start"));
  REQUIRE(mentions(with("/tokens/stop"_json_pointer, Json::array()), "stop"));
  REQUIRE(mentions(with("/architecture/decoder_layers"_json_pointer, 0), "decoder_layers"));
  encoder["judge"].erase("truncate");
  REQUIRE(mentions(refusal(encoder), "judge.truncate is missing"));
}

TEST_CASE("a manifest cannot name a file outside its folder", "[engine]") {
  for (const char* name : {"../weights.safetensors", "/etc/passwd", "sub/program.pt", ".."}) {
    Json manifest = good();
    manifest["files"][name] = {{"bytes", 1}, {"sha256", std::string(64, 'a')}};
    REQUIRE(mentions(refusal(manifest), name));
  }
  Json manifest = good();
  manifest["tokenizer"]["file"] = "../tokenizer.json";
  REQUIRE_FALSE(refusal(manifest).empty());
}

TEST_CASE("text that is not JSON is refused", "[engine]") {
  REQUIRE_THROWS_AS(parse_manifest("{\"format\": 2", "gavel.json"), gavel::Error);
  REQUIRE_THROWS_AS(parse_manifest("[]", "gavel.json"), gavel::Error);
  REQUIRE_THROWS_AS(parse_manifest("", "gavel.json"), gavel::Error);
}

TEST_CASE("a probe must fit its model", "[engine]") {
  const auto manifest = parse_manifest(good().dump(), "gavel.json");
  Json probe{{"format", 1},
             {"layers", {1}},
             {"weights", Json::array({std::vector<float>(64, 0.5F)})},
             {"bias", 0.25},
             {"calibration", {{"scale", 1.0}, {"shift", 0.0}}},
             {"threshold", 0.5},
             {"abstain_band", 0.0}};
  const auto first = gavel::parse_probe(probe.dump(), manifest, "probe.json");
  REQUIRE(first.layers == std::vector<std::int64_t>{1});
  REQUIRE(first.whole.terms.at(0).pooling == gavel::ProbeSpec::Pooling::mean);
  REQUIRE(first.whole.terms.at(0).weights.size() == 64);
  REQUIRE(first.early.empty());
  probe["layers"] = {3};
  REQUIRE_THROWS_AS(gavel::parse_probe(probe.dump(), manifest, "probe.json"), gavel::Error);
  probe["layers"] = {2};
  probe["weights"][0].erase(0);
  REQUIRE_THROWS_AS(gavel::parse_probe(probe.dump(), manifest, "probe.json"), gavel::Error);
}

TEST_CASE("a probe reads several layers and poolings, and early ones fewer tokens", "[engine]") {
  using Pooling = gavel::ProbeSpec::Pooling;
  const auto manifest = parse_manifest(good().dump(), "gavel.json");
  const Json row(std::vector<float>(64, 0.5F)), calibration{{"scale", 2.0}, {"shift", 0.1}};
  const auto term = [&](int layer, const char* pooling) {
    return Json{{"layer", layer}, {"pooling", pooling}, {"weights", row}, {"query", row}};
  };
  const auto early = [&](int tokens) {
    return Json{{"tokens", tokens}, {"terms", {term(0, "mean")}}, {"bias", 0.5}, {"calibration", calibration}};
  };
  Json probe = early(0);
  probe.update({{"format", 2}, {"threshold", 0.5}, {"abstain_band", 0.0}});
  probe["terms"] = {term(2, "mean"), term(2, "last"), term(1, "tail"), term(1, "attention")};
  probe["early"] = {early(16), early(32)};
  const auto parse = [&] { return gavel::parse_probe(probe.dump(), manifest, "probe.json"); };
  const auto spec = parse();
  REQUIRE(spec.layers == std::vector<std::int64_t>{2, 1, 0});
  const std::vector<std::pair<std::size_t, Pooling>> expected{
      {0, Pooling::mean}, {0, Pooling::last}, {1, Pooling::tail}, {1, Pooling::attention}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    REQUIRE(spec.whole.terms.at(i).tap == expected[i].first);
    REQUIRE(spec.whole.terms.at(i).pooling == expected[i].second);
  }
  REQUIRE(spec.whole.terms.at(3).query.size() == 64);
  REQUIRE(spec.early.size() == 2);
  REQUIRE(spec.early.at(1).tokens == 32);
  REQUIRE(spec.early.at(1).terms.at(0).tap == 2);
  REQUIRE(spec.early.at(1).bias == 0.5);

  const Json kept = probe;
  const auto refused = [&](const auto& spoil) {
    probe = kept;
    spoil();
    REQUIRE_THROWS_AS(parse(), gavel::Error);
  };
  refused([&] { probe["format"] = 3; });
  refused([&] { probe["terms"] = Json::array(); });
  refused([&] { probe["terms"][0]["pooling"] = "median"; });
  refused([&] { probe["terms"][3].erase("query"); });
  refused([&] { probe["terms"][3]["query"].erase(0); });
  refused([&] { probe["early"][1]["tokens"] = 16; });
  refused([&] { probe["early"][0]["tokens"] = 0; });
}

TEST_CASE("a manifest may hold an isotonic calibration and what thresholds are worth", "[engine]") {
  using namespace nlohmann::literals;
  Json calibrated = good();
  calibrated["judge"]["calibration"] = {{"logits", {-1.5, 0.0, 2.0}}, {"p_correct", {0.0, 0.25, 1.0}}};
  calibrated["judge"]["validation"] = {
      {"candidates", 40}, {"curve", {{"thresholds", {0.25, 0.5}}, {"selected", {40, 10}}, {"correct", {12, 8}}}}};
  const auto manifest = parse_manifest(calibrated.dump(), "gavel.json");
  REQUIRE(manifest.judge->calibration.probability(1) == Approx(0.625));
  REQUIRE(manifest.judge->curve->counts.size() == 2);
  REQUIRE(manifest.judge->curve->point(manifest.judge->curve->counts[1]).precision == Approx(0.8));
  REQUIRE_FALSE(parse_manifest(good().dump(), "gavel.json").judge->curve);
  const auto with = [&](const Json::json_pointer& where, const Json& value) {
    Json changed = calibrated;
    changed["judge"][where] = value;
    return refusal(changed);
  };
  REQUIRE(mentions(with("/calibration/logits/1"_json_pointer, 2.5), "judge.calibration.logits is 2.0, expected"));
  REQUIRE(mentions(with("/calibration/p_correct/1"_json_pointer, 1.5), "within [0, 1] that never fall"));
  REQUIRE(mentions(with("/calibration/p_correct/2"_json_pointer, 0.1), "never fall"));
  REQUIRE(mentions(with("/calibration/p_correct"_json_pointer, {0.5}), "3 numbers"));
  REQUIRE(mentions(with("/calibration/logits"_json_pointer, Json::array()), "one at least"));
  REQUIRE(mentions(with("/validation/candidates"_json_pointer, 0), "judge.validation.candidates is 0"));
  REQUIRE(mentions(with("/validation/curve/thresholds/1"_json_pointer, 0.25), "numbers within [0, 1] that rise"));
  REQUIRE(mentions(with("/validation/curve/selected/1"_json_pointer, 41), "selected"));
  REQUIRE(mentions(with("/validation/curve/correct/1"_json_pointer, 11), "no more than were selected"));
  REQUIRE(mentions(with("/validation/curve/correct"_json_pointer, {12}), "as many as"));
}
