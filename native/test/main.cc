#include "check.h"

int main() {
  int count = 0;
  for (nz::test::Case* entry = nz::test::g_cases; entry != nullptr; entry = entry->next) {
    std::fprintf(stderr, "# %s\n", entry->name);
    entry->run();
    count += 1;
  }
  std::printf("%d cases, %d checks\n", count, nz::test::g_checks.load());
  return 0;
}
