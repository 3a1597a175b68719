/*
 * The thread-local of current.h.
 */
#include "base/current.h"

_Thread_local struct current current;
