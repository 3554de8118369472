#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <new>
#include <string>
#include <string_view>

#include "gavel/error.hpp"

namespace gavel {

/// Runs `work` and turns what torch throws into gavel::Error, saying what was being done.
template <class Work>
auto guarded(std::string_view doing, const Work& work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("{}: out of device memory; ask for fewer candidates or tokens ({})", doing,
                            error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::out_of_memory, fmt::format("{}: out of memory; ask for fewer candidates or tokens", doing));
  } catch (const c10::Error& error) {
    const std::string_view what = error.what_without_backtrace();
    if (what.find("can't allocate memory") != std::string_view::npos)
      throw Error(ErrorCode::out_of_memory,
                  fmt::format("{}: out of memory; ask for fewer candidates or tokens ({})", doing, what));
    throw Error(ErrorCode::internal, fmt::format("{}: {}", doing, what));
  } catch (const std::exception& error) {
    throw Error(ErrorCode::internal, fmt::format("{}: {}", doing, error.what()));
  }
}

}  // namespace gavel
