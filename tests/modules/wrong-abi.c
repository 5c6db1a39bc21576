/* SPDX-License-Identifier: Apache-2.0 */
/* wrong-abi.c - test module: from a future that this Postern does not know. */
#include <postern/module.h>

PN_MODULE(wrong_abi) = {
	.abi = PN_ABI + 41,
	.size = sizeof(struct pn_module),
	.name = "wrong-abi",
};
