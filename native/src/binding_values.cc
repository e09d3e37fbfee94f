#include "binding_values.h"

namespace nz::binding {

napi_value fail(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

bool array_buffer(napi_env env, napi_value object, const char* name, Bytes& bytes, napi_ref* reference) {
  napi_value value = nullptr;
  bool is_buffer = false;
  void* data = nullptr;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return false;
  if (napi_is_arraybuffer(env, value, &is_buffer) != napi_ok || !is_buffer) return false;
  if (napi_get_arraybuffer_info(env, value, &data, &bytes.size) != napi_ok) return false;
  bytes.data = static_cast<uint8_t*>(data);
  return napi_create_reference(env, value, 1, reference) == napi_ok;
}

double number_of(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  double result = 0;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_double(env, value, &result);
  return result;
}

bool bool_of(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  bool result = false;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_bool(env, value, &result);
  return result;
}

bool bytes_of(napi_env env, napi_value object, const char* name, Bytes& bytes) {
  napi_value value = nullptr;
  napi_typedarray_type type = napi_uint8_array;
  void* data = nullptr;
  bool is_array = false;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return false;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  if (napi_get_typedarray_info(env, value, &type, &bytes.size, &data, nullptr, nullptr) != napi_ok) return false;
  bytes.data = static_cast<uint8_t*>(data);
  return type == napi_uint8_array;
}

}  // namespace nz::binding
