#include <cmath>

#include "convert.hpp"

using namespace gavel::capi;

gavel_status gavel_cancel_create(gavel_cancel** out) {
  return guard([&] { need_out(out) = new gavel_cancel(); });
}

void gavel_cancel_destroy(gavel_cancel* cancel) {
  delete cancel;
}

gavel_status gavel_cancel_trigger(gavel_cancel* cancel) {
  return guard([&] { need(cancel, "cancel").source.request_stop(); });
}

gavel_status gavel_cancel_set_deadline(gavel_cancel* cancel, double seconds) {
  return guard([&] {
    need(cancel, "cancel").deadline.reset();
    if (std::isnan(seconds)) return;
    if (seconds < 0) refuse("deadline is " + std::to_string(seconds) + " seconds; pass 0 or more, or NaN for none");
    constexpr double century = 100.0 * 366 * 86400;  // beyond it the clock's own number would overflow
    if (seconds > century) return;
    using Clock = std::chrono::steady_clock;
    cancel->deadline =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  });
}

gavel_status gavel_cancel_is_due(int32_t* out, const gavel_cancel* cancel) {
  return guard([&] {
    need(cancel, "cancel");
    const bool late = cancel->deadline && std::chrono::steady_clock::now() >= *cancel->deadline;
    need(out, "out") = late || cancel->token.stop_requested() ? 1 : 0;
  });
}
