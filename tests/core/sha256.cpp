#include "sha256.hpp"

#include "catch.hpp"

using gavel::sha256_hex;

TEST_CASE("SHA-256 gives the standard's digests", "[core]") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes come", "[core]") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 37);
  for (const std::size_t step : {1U, 63U, 64U, 65U, 999U}) {
    gavel::Sha256 hash;
    for (std::size_t i = 0; i < bytes.size(); i += step) hash.update(std::string_view(bytes).substr(i, step));
    CHECK(hash.hex() == sha256_hex(bytes));
  }
}
