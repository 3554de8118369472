#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "gavel.h"
#include "gavel/gavel.hpp"

/// What the opaque handles hold. Views that hand out borrowed texts keep them here.

struct gavel_cancel {
  std::stop_source source;
  std::stop_token token = source.get_token();
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

struct gavel_model {
  explicit gavel_model(gavel::Model from);
  gavel::Model model;
  std::string device;
  std::vector<gavel_text> adapters;
};

struct gavel_tokenizer {
  std::shared_ptr<const gavel::Tokenizer> tokenizer;
};

struct gavel_candidates {
  gavel::Generation generation;
};

struct gavel_generator {
  gavel::Generator generator;
};

struct gavel_judge {
  std::shared_ptr<gavel::Judge> judge;  // shared with the rankers it was added to
  gavel::JudgeInfo info;
  std::vector<gavel_text> labels;
};

struct gavel_verdicts {
  std::vector<gavel::Verdict> verdicts;
};

struct gavel_ranker {
  gavel::Ranker ranker;
  struct Judge {
    gavel::JudgeInfo info;
    std::vector<gavel_text> labels;
  };
  std::deque<Judge> judges;  // of the ranker; a deque, so that views of them stay
};

struct gavel_ranking {
  gavel::Ranking ranking;
  std::vector<std::vector<gavel_verdict>> verdicts;  // by place
  std::vector<std::vector<gavel_text>> labels;       // by judge
  std::string json;
};
