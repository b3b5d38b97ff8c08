#include "runtime/api/engine.h"
