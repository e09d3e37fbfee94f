// Values of JS as the binding reads and makes them.
#pragma once

#define NAPI_VERSION 8
#include <node_api.h>

#include <cstddef>
#include <cstdint>

namespace nz::binding {

struct Bytes {
  uint8_t* data = nullptr;
  size_t size = 0;
};

// Throws in JS.
napi_value fail(napi_env env, const char* message);
napi_value number(napi_env env, double value);
// Of a property: 0 or false when it is none.
double number_of(napi_env env, napi_value object, const char* name);
bool bool_of(napi_env env, napi_value object, const char* name);
// False when the property is something else.
bool bytes_of(napi_env env, napi_value object, const char* name, Bytes& bytes);
// An ArrayBuffer that lives as long as `reference`.
bool array_buffer(napi_env env, napi_value object, const char* name, Bytes& bytes, napi_ref* reference);

}  // namespace nz::binding
