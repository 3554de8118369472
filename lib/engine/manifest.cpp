#include "engine/manifest.hpp"

#include <algorithm>
#include <set>

#include "engine/manifest_reader.hpp"

namespace gavel {
namespace {

Prompt read_prompt(const Reader& prompts, const std::string& name, std::int64_t vocabulary,
                   const std::filesystem::path& where) {
  Prompt prompt;
  for (const Json& item : prompts.array(name.c_str())) {
    const Reader segment(item, "prompts." + name + "[].", where);
    if (segment.has("text"))
      prompt.push_back({Segment::Kind::text, segment.text("text"), -1});
    else if (segment.has("token"))
      prompt.push_back(
          {Segment::Kind::token, "", static_cast<std::int32_t>(segment.integer("token", 0, vocabulary - 1))});
    else
      prompt.push_back({Segment::Kind::slot, segment.text("slot"), -1});
  }
  return prompt;
}

Manifest::Truncate read_truncate(const Reader& judge) {
  const std::string word = judge.text("truncate");
  if (word == "task") return Manifest::Truncate::task;
  if (word == "end") return Manifest::Truncate::end;
  if (word != "refuse") judge.refuse("truncate", "\"task\", \"end\" or \"refuse\"", judge.at("truncate"));
  return Manifest::Truncate::refuse;
}

Manifest::SelfTest read_self_test(const Json& item, std::int64_t vocabulary, const std::filesystem::path& where) {
  const Reader read(item, "selftest[].", where);
  Manifest::SelfTest test;
  test.prompt = read.text("prompt");
  test.ids = read.integers<std::int32_t>("ids", 0, vocabulary - 1);
  test.tolerance = read.number("tolerance");
  const auto read_logits = [&](const char* key, std::vector<std::int64_t>& ids, std::vector<float>& values) {
    if (!read.has(key)) return;
    const Reader logits = read.object(key);
    ids = logits.integers<std::int64_t>("ids", 0, vocabulary - 1);
    values = logits.numbers("values");
    if (values.size() != ids.size())
      logits.refuse("values", fmt::format("{} numbers, one for each id", ids.size()), logits.at("values"));
  };
  read_logits("logits", test.logit_ids, test.logits);
  read_logits("written", test.written_ids, test.written);
  if (read.has("judge")) {
    const Reader judge = read.object("judge");
    test.judge = {judge.text("prompt"), judge.text("language"), judge.text("code"), judge.number("p_correct"),
                  judge.number("tolerance")};
  }
  return test;
}

}  // namespace

Manifest::File read_file_entry(const Reader& files, const std::string& name) {
  const Reader entry = files.object(name.c_str());
  Manifest::File file{static_cast<std::uint64_t>(entry.integer("bytes", 0, std::int64_t{1} << 50)),
                      entry.text("sha256")};
  if (file.sha256.size() != 64 || file.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
    entry.refuse("sha256", "64 lower-case hexadecimal digits", entry.at("sha256"));
  return file;
}

const Prompt& Manifest::prompt(std::string_view which) const {
  const auto found = prompts.find(which);
  if (found == prompts.end())
    throw Error(ErrorCode::unsupported, fmt::format("bundle \"{}\" has no prompt named \"{}\"", name, which));
  return found->second;
}

Manifest parse_manifest(std::string_view text, const std::filesystem::path& where) {
  const Json json = parse_json(text, where);
  const Reader root(json, "", where);
  root.require_format(Manifest::format, "export the bundle again");
  Manifest m;
  m.kind = root.text("kind");
  if (m.kind != "decoder" && m.kind != "encoder" && m.kind != "encoder_decoder")
    root.refuse("kind", "\"decoder\", \"encoder\" or \"encoder_decoder\"", root.at("kind"));
  m.name = root.text("name");
  m.precision = root.text("precision");
  if (!std::set<std::string>{"fp32", "bf16", "fp16", "int8"}.contains(m.precision))
    root.refuse("precision", "fp32, bf16, fp16 or int8", root.at("precision"));

  const Reader shape = root.object("architecture");
  constexpr std::int64_t large = 1 << 24;
  m.family = shape.text("family");
  m.layers = shape.integer("layers", 1, 1024);
  m.hidden = shape.integer("hidden", 1, large);
  m.heads = shape.integer("heads", 1, 4096);
  m.kv_heads = m.encodes() ? m.heads : shape.integer("kv_heads", 1, m.heads);
  m.head_dim = shape.integer("head_dim", m.encodes() ? 1 : 16, 4096);
  m.intermediate = shape.integer("intermediate", 1, large);
  m.vocabulary = shape.integer("vocabulary", 1, large);
  m.context = shape.integer("context", 1, large);
  if (!m.encodes()) {
    m.rotary_dim = shape.integer("rotary_dim", 0, m.head_dim);
    m.rope_switch = shape.integer("rope_switch", 0, large);
  }
  m.tied = shape.flag("tied");
  m.gated = shape.flag("gated");
  if (m.heads % m.kv_heads != 0)
    shape.refuse("kv_heads", fmt::format("a divisor of {} heads", m.heads), shape.at("kv_heads"));
  if (m.kind == "encoder_decoder") m.decoder_layers = shape.integer("decoder_layers", 1, 1024);
  if (!m.encodes() && m.head_dim % 16 != 0) shape.refuse("head_dim", "a multiple of 16", shape.at("head_dim"));

  const Reader tokenizer = root.object("tokenizer");
  m.tokenizer_file = tokenizer.text("file");
  m.tokenizer_size = static_cast<std::int32_t>(tokenizer.integer("size", 1, m.vocabulary));
  const Reader tokens = root.object("tokens");
  m.stop_tokens = tokens.integers<std::int32_t>("stop", 0, m.vocabulary - 1);
  if (m.kind == "encoder_decoder" && tokens.has("start")) {
    m.start = static_cast<std::int32_t>(tokens.integer("start", 0, m.vocabulary - 1));
    if (m.stop_tokens.empty()) tokens.refuse("stop", "at least one token, since the model writes", tokens.at("stop"));
  }

  const Reader prompts = root.object("prompts");
  for (const auto& [name, value] : root.at("prompts").items())
    m.prompts.emplace(name, read_prompt(prompts, name, m.vocabulary, where));

  const Reader head = root.object("head");
  m.head = head.text("type");
  if (m.head == "classifier") {
    for (const Json& label : head.array("labels")) {
      if (!label.is_string()) head.refuse("labels", "strings", label);
      m.labels.push_back(label.get<std::string>());
    }
    if (m.labels.empty()) head.refuse("labels", "at least one label", head.at("labels"));
    m.positive_label = head.integer("positive", 0, static_cast<std::int64_t>(m.labels.size()) - 1);
  } else if (m.head != "lm") {
    head.refuse("type", "\"lm\" or \"classifier\"", head.at("type"));
  }
  if (m.encodes() && m.head != "classifier") head.refuse("type", "\"classifier\" in an encoder", head.at("type"));
  if (m.encodes() && !root.has("judge")) root.refuse("judge", "a judge in an encoder", nullptr);

  if (root.has("judge")) {
    const Reader judge = root.object("judge");
    Manifest::JudgeSpec spec;
    spec.type = judge.text("type");
    spec.trained = judge.flag("trained");
    spec.calibration = read_calibration(judge);
    spec.rule = read_rule(judge);
    spec.curve = read_curve(judge);
    if (spec.type == "verbalizer") {
      spec.positive = judge.integers<std::int64_t>("positive", 0, m.vocabulary - 1);
      spec.negative = judge.integers<std::int64_t>("negative", 0, m.vocabulary - 1);
      if (spec.positive.empty()) judge.refuse("positive", "at least one token", judge.at("positive"));
      if (spec.negative.empty()) judge.refuse("negative", "at least one token", judge.at("negative"));
    }
    if (spec.type != (m.head == "lm" ? "verbalizer" : "classifier"))
      judge.refuse("type", m.head == "lm" ? "\"verbalizer\" with this head" : "\"classifier\" with this head",
                   judge.at("type"));
    if (m.encodes()) spec.truncate = read_truncate(judge);
    m.judge = std::move(spec);
  }
  if (root.has("probe")) m.probe_file = root.object("probe").text("file");
  for (const Json& item : root.array("selftest")) {
    m.self_tests.push_back(read_self_test(item, m.vocabulary, where));
    if (!m.self_tests.back().written.empty() && !m.start)
      root.refuse("selftest[].written", "none in a model that does not write", item.at("written"));
  }

  // Only these names, so that no manifest can point outside its folder.
  static const std::set<std::string> known{"program.pt", "weights.safetensors", "tokenizer.json", "tokenizer.model",
                                           "probe.json"};
  const Reader files = root.object("files");
  for (const auto& [name, value] : root.at("files").items()) {
    if (!known.contains(name))
      files.refuse(name, "one of program.pt, weights.safetensors, tokenizer.json, tokenizer.model, probe.json", name);
    m.files.emplace(name, read_file_entry(files, name));
  }
  for (const std::string& needed : {std::string("program.pt"), std::string("weights.safetensors"), m.tokenizer_file})
    if (!m.files.contains(needed)) files.refuse(needed, "an entry for this file", nullptr);
  if (m.tokenizer_file != "tokenizer.json" && m.tokenizer_file != "tokenizer.model")
    tokenizer.refuse("file", "\"tokenizer.json\" or \"tokenizer.model\"", tokenizer.at("file"));
  if (m.probe_file && (*m.probe_file != "probe.json" || !m.files.contains("probe.json")))
    root.refuse("probe", "{\"file\": \"probe.json\"} with its entry in files", root.at("probe"));
  return m;
}

namespace {

std::vector<float> read_state(const Reader& term, const char* key, const Manifest& manifest) {
  std::vector<float> values = term.numbers(key);
  if (values.size() != static_cast<std::size_t>(manifest.hidden))
    term.refuse(key, fmt::format("{} numbers", manifest.hidden), values.size());
  return values;
}

std::size_t tap_of(std::vector<std::int64_t>& layers, std::int64_t layer) {
  const auto found = std::find(layers.begin(), layers.end(), layer);
  const auto tap = static_cast<std::size_t>(found - layers.begin());
  if (found == layers.end()) layers.push_back(layer);
  return tap;
}

ProbeSpec::Term read_term(const Reader& term, const Manifest& manifest, std::vector<std::int64_t>& layers) {
  ProbeSpec::Term read;
  read.tap = tap_of(layers, term.integer("layer", 0, manifest.layers));
  read.weights = read_state(term, "weights", manifest);
  const std::string pooling = term.text("pooling");
  if (pooling == "tail") {
    read.pooling = ProbeSpec::Pooling::tail;
  } else if (pooling == "last") {
    read.pooling = ProbeSpec::Pooling::last;
  } else if (pooling == "attention") {
    read.pooling = ProbeSpec::Pooling::attention;
    read.query = read_state(term, "query", manifest);
  } else if (pooling != "mean") {
    term.refuse("pooling", "\"mean\", \"tail\", \"last\" or \"attention\"", term.at("pooling"));
  }
  return read;
}

/// Format 1's layers and weights, which are means.
std::vector<ProbeSpec::Term> read_means(const Reader& root, const Manifest& manifest,
                                        std::vector<std::int64_t>& layers) {
  const auto named = root.integers<std::int64_t>("layers", 0, manifest.layers);
  const Json& weights = root.array("weights");
  if (weights.size() != named.size())
    root.refuse("weights", fmt::format("{} rows, one for each layer", named.size()), weights.size());
  std::vector<ProbeSpec::Term> terms;
  for (std::size_t i = 0; i < named.size(); ++i) {
    const Json term{{"layer", named[i]}, {"pooling", "mean"}, {"weights", weights[i]}};
    terms.push_back(read_term({term, "", root.file()}, manifest, layers));
  }
  return terms;
}

ProbeSpec::Head read_head(const Reader& root, int format, const Manifest& manifest, std::vector<std::int64_t>& layers) {
  ProbeSpec::Head head;
  if (format == 1)
    head.terms = read_means(root, manifest, layers);
  else
    for (const Json& term : root.array("terms"))
      head.terms.push_back(read_term({term, "terms[].", root.file()}, manifest, layers));
  if (head.terms.empty()) root.refuse(format == 1 ? "layers" : "terms", "at least one", nullptr);
  head.bias = root.number("bias");
  head.calibration = read_calibration(root);
  return head;
}

}  // namespace

ProbeSpec parse_probe(std::string_view text, const Manifest& manifest, const std::filesystem::path& where) {
  const Json json = parse_json(text, where);
  const Reader root(json, "", where);
  const auto format = root.integer("format", 0, 1'000'000);
  if (format != 1 && format != 2) root.refuse("format", "1 or 2", root.at("format"));
  ProbeSpec probe;
  probe.whole = read_head(root, static_cast<int>(format), manifest, probe.layers);
  if (root.has("early")) {
    for (const Json& item : root.array("early")) {
      const Reader early(item, "early[].", where);
      const std::int64_t least = probe.early.empty() ? 1 : probe.early.back().tokens + 1;
      probe.early.push_back(read_head(early, 2, manifest, probe.layers));
      probe.early.back().tokens = early.integer("tokens", least, manifest.context);
    }
  }
  probe.rule = read_rule(root);
  probe.curve = read_curve(root);
  return probe;
}

}  // namespace gavel
