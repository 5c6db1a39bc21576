/* SPDX-License-Identifier: Apache-2.0 */
/* no-symbol.c - test module: a shared object that is no module. */
#include <postern/module.h>

PN_PUBLIC extern const int no_symbol_LTX_something;
const int no_symbol_LTX_something = 1;
