#pragma once

namespace maskjit {

// Address and undefined-behaviour sanitizers look at each access and operation, not at results, and
// take ten times as long: what is exhaustive elsewhere is sampled under them.
#if __has_feature(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace maskjit
