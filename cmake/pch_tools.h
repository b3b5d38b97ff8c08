#pragma once
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "pch_std.h"
