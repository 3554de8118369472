#include "pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>

#include "gavel/error.hpp"

namespace gavel::text {

namespace {

struct Release {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct MatchMemory::Data {
  std::unique_ptr<pcre2_match_data, Release> match{pcre2_match_data_create(1, nullptr)};
};

MatchMemory::MatchMemory() : data_(std::make_unique<Data>()) {
  if (!data_->match) throw std::bad_alloc();
}
MatchMemory::~MatchMemory() = default;

struct Pattern::Code {
  std::unique_ptr<pcre2_code, Release> compiled;
};

Pattern::Pattern(const std::string& pattern) : code_(std::make_unique<Code>()) {
  const std::unique_ptr<pcre2_compile_context, Release> context(pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // whatever this PCRE2 was built with
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MULTILINE: Oniguruma's ^ and $ match at every line.
  constexpr std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  code_->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error,
                                      &offset, context.get()));
  if (!code_->compiled) {
    throw Error(ErrorCode::unsupported,
                "pattern \"" + pattern + "\": " + message_of(error) + " at byte " + std::to_string(offset));
  }
  // Without a just-in-time compiler the same matches are found, only slower.
  (void)pcre2_jit_compile(code_->compiled.get(), PCRE2_JIT_COMPLETE);
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

std::optional<Match> Pattern::find(std::string_view text, std::size_t from, MatchMemory& memory) const {
  pcre2_match_data* data = memory.data_->match.get();
  const auto run = [&](std::uint32_t options) {
    return pcre2_match(code_->compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, options,
                       data, nullptr);
  };
  int result = run(PCRE2_NO_UTF_CHECK);
  // The interpreter keeps its backtracking on the heap, where the compiled matcher has a small stack.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  if (result < 0) {
    throw Error(ErrorCode::invalid_argument,
                "splitting the text into words failed: " + message_of(result) + "; shorten the text");
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
  return Match{bounds[0], bounds[1]};
}

}  // namespace gavel::text
