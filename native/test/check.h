// The smallest test runner that names what failed and where.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace nz::test {

// Also from the threads of engines.
inline std::atomic<int> g_checks = 0;

struct Case {
  const char* name;
  void (*run)();
  Case* next;
};
inline Case* g_cases = nullptr;

struct Register {
  Case entry;
  Register(const char* name, void (*run)()) : entry{name, run, g_cases} { g_cases = &entry; }
};

}  // namespace nz::test

#define NZ_JOIN_(a, b) a##b
#define NZ_JOIN(a, b) NZ_JOIN_(a, b)
#define TEST(name)                                                              \
  static void NZ_JOIN(test_, __LINE__)();                                       \
  static nz::test::Register NZ_JOIN(register_, __LINE__)(name, &NZ_JOIN(test_, __LINE__)); \
  static void NZ_JOIN(test_, __LINE__)()

#define CHECK(fact)                                                             \
  do {                                                                          \
    nz::test::g_checks += 1;                                                    \
    if (!(fact)) {                                                              \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);   \
      std::abort();                                                             \
    }                                                                           \
  } while (false)
