/* SPDX-License-Identifier: Apache-2.0 */
/* wrong-size.c - test module: says ABI 1, but its tables are of another size. */
#include <postern/module.h>

PN_MODULE(wrong_size) = {
	.abi = PN_ABI,
	.size = sizeof(struct pn_module),
	.option_size = 8,
	.name = "wrong-size",
};
