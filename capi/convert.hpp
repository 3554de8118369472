#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "handles.hpp"
#include "structs.hpp"

namespace gavel::capi {

/// Values of the ABI from the library's, and back. What comes in is checked; what goes out is borrowed.

[[nodiscard]] std::string to_string(gavel_text text, const char* name);
[[nodiscard]] inline gavel_text view(std::string_view text) {
  return {text.data(), text.size()};
}

/// A copy for the caller to gavel_free, with a NUL behind it.
[[nodiscard]] char* allocate_copy(std::string_view text);

/// The path an argument means.
[[nodiscard]] std::filesystem::path to_path(const char* path, const char* name = "path");

[[nodiscard]] Language to_language(std::int32_t value);
[[nodiscard]] Task to_task(const gavel_task* task);
[[nodiscard]] gavel_task view(const Task& task);

[[nodiscard]] Candidate to_candidate(const gavel_candidate* candidate);
[[nodiscard]] gavel_candidate view(const Candidate& candidate);

[[nodiscard]] GenerateOptions to_options(const gavel_generate_options* options);
[[nodiscard]] JudgeOptions to_options(const gavel_judge_options* options);
[[nodiscard]] RankOptions to_options(const gavel_rank_options* options);
[[nodiscard]] gavel_rank_options view(const RankOptions& options);
[[nodiscard]] OpenOptions to_options(const gavel_open_options* options);

[[nodiscard]] Cancel to_cancel(const gavel_cancel* cancel);
[[nodiscard]] StreamCallback to_callback(gavel_stream_fn stream, void* payload);

[[nodiscard]] gavel_operating_point view(const OperatingPoint& point);
[[nodiscard]] Verdict to_verdict(const gavel_verdict& verdict, std::size_t index);
[[nodiscard]] gavel_verdict view(const Verdict& verdict);
[[nodiscard]] Verdict to_verdict(const gavel_explanation* explanation, std::size_t index);
[[nodiscard]] gavel_explanation explain(const Verdict& verdict);
[[nodiscard]] std::vector<gavel_text> views(const std::vector<std::string>& texts);
[[nodiscard]] JudgeInfo to_info(const gavel_judge_info* info);
[[nodiscard]] gavel_judge_info view(const JudgeInfo& info, const std::vector<gavel_text>& labels);
[[nodiscard]] gavel_generate_stats view(const GenerateStats& stats);

/// Defaults of the sized structs a caller fills; `size` is left 0.
[[nodiscard]] gavel_open_options default_open_options();
[[nodiscard]] gavel_task default_task();
[[nodiscard]] gavel_candidate default_candidate();
[[nodiscard]] gavel_generate_options default_generate_options();
[[nodiscard]] gavel_judge_options default_judge_options();
[[nodiscard]] gavel_operating_point default_operating_point();
[[nodiscard]] gavel_explanation default_explanation();
[[nodiscard]] gavel_rank_options default_rank_options();

}  // namespace gavel::capi
