#include "sha256.hpp"

#include <openssl/evp.h>

#include <cstdio>
#include <vector>

#include "shortfall/error.hpp"

namespace shortfall {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  SHORTFALL_ASSERT(state_->context != nullptr);
  SHORTFALL_ASSERT(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::add(const void* bytes, std::size_t byte_count) {
  SHORTFALL_ASSERT(EVP_DigestUpdate(state_->context, bytes, byte_count) == 1);
}

std::string Sha256::finish_hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  SHORTFALL_ASSERT(EVP_DigestFinal_ex(state_->context, digest, &size) == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

std::string sha256_of_file(const std::filesystem::path& file) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rb"),
                                                           std::fclose);
  if (!in) throw OperatingError("cannot read " + file.string() + " to hash it");
  Sha256 hash;
  std::vector<char> chunk(1 << 18);
  while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), in.get()))
    hash.add(chunk.data(), size);
  if (std::ferror(in.get())) throw OperatingError("cannot read " + file.string() + " to hash it");
  return hash.finish_hex();
}

}  // namespace shortfall
