#pragma once
// What the disk cache may do: nothing, read, read and write, or also compile every hit again and
// compare.
namespace maskjit {

enum class CacheMode { Off, ReadOnly, ReadWrite, Check };

}  // namespace maskjit
