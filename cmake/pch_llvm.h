#pragma once
#include "cmake/pch_std.h"
// LLVM's headers do not compile without warnings under our flags.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wall"
#include <llvm/IR/Constants.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/Error.h>
#pragma clang diagnostic pop
