/* SPDX-License-Identifier: Apache-2.0 */
/* wrong-name.c - test module: calls itself something else. */
#include <postern/module.h>

PN_MODULE(wrong_name) = {
	PN_MODULE_HEAD,
	.name = "right-name",
	.summary = "Is not what its file is called.",
};
