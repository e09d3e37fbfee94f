// Runs a fuzz target without libFuzzer: the corpus as it is, then mutations of it by a seeded generator, so that a
// failure comes again with the same words. Usage: <program> <corpus> <runs> <seed>
#include <dirent.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxBytes = 8'192;

std::vector<std::string> read_corpus(const char* folder) {
  std::vector<std::string> names;
  if (DIR* directory = opendir(folder); directory != nullptr) {
    for (dirent* entry = readdir(directory); entry != nullptr; entry = readdir(directory))
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    closedir(directory);
  }
  std::sort(names.begin(), names.end());
  std::vector<std::string> corpus;
  for (const std::string& name : names) {
    std::ifstream file(std::string(folder) + "/" + name, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

std::string mutate(std::string bytes, const std::vector<std::string>& corpus, std::mt19937& random) {
  const auto below = [&random](size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (size_t i = 0, count = 1 + below(8); i < count; ++i) {
    switch (below(6)) {
      case 0:
        if (!bytes.empty()) bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:
        bytes.insert(below(bytes.size() + 1), 1 + below(16), static_cast<char>(random()));
        break;
      case 2:
        if (!bytes.empty()) bytes.erase(below(bytes.size()), 1 + below(16));
        break;
      case 3:
        if (!bytes.empty()) bytes[below(bytes.size())] = "\x00\x01\x7f\x80\xff\x10\x0c\x04"[below(8)];
        break;
      case 4:
        if (!corpus.empty()) {
          const std::string& other = corpus[below(corpus.size())];
          const size_t at = below(other.size());
          bytes.insert(below(bytes.size() + 1), other.substr(at, below(other.size() - at + 1)));
        }
        break;
      default:
        for (size_t n = below(24); n > 0; --n) bytes.push_back(static_cast<char>(random()));
    }
  }
  bytes.resize(std::min(bytes.size(), kMaxBytes));
  return bytes;
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  std::vector<std::string> corpus = read_corpus(words[1]);
  const long runs = std::atol(words[2]);
  std::mt19937 random(static_cast<unsigned>(std::atol(words[3])));
  for (const std::string& each : corpus) LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(each.data()), each.size());
  if (corpus.empty()) corpus.emplace_back();
  for (long run = 0; run < runs; ++run) {
    const std::string input = mutate(corpus[random() % corpus.size()], corpus, random);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
    // Some of what ran well is built upon.
    if (corpus.size() < 512 && random() % 64 == 0) corpus.push_back(input);
  }
  std::printf("%ld runs\n", runs);
  return 0;
}
