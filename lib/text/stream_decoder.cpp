#include "gavel/tokenizer.hpp"
#include "utf8.hpp"

namespace gavel {

std::string StreamDecoder::push(std::int32_t id) {
  const std::string_view bytes = tokenizer_->bytes(id);
  if (first_ && !bytes.empty()) {
    first_ = false;
    // Where decoding drops the space that the tokenizer put before the text, so does the stream.
    const std::string alone = !continues_ && bytes.front() == ' ' ? tokenizer_->decode({id}) : std::string(bytes);
    pending_ += alone.size() < bytes.size() ? std::string_view(alone) : bytes;
  } else {
    pending_ += bytes;
  }
  std::string out;
  pending_.erase(0, text::append_lossy_utf8(out, pending_));
  return out;
}

std::string StreamDecoder::finish() {
  std::string out = text::lossy_utf8(pending_);
  pending_.clear();
  first_ = true;
  return out;
}

}  // namespace gavel
