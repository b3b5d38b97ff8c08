#pragma once
// The bitcode of every template source, by its path without extension:
// "host/attention_forward/attention_forward".
#include <cstddef>
#include <span>

namespace maskjit::templates {

struct EmbeddedTemplate {
  const char* name;
  const unsigned char* data;
  size_t size;
};

std::span<const EmbeddedTemplate> embedded_templates();

}  // namespace maskjit::templates
