/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first-abi.c - test module: what a module built against ABI 1 looks like. Its description ends
 * where that of 2026-11-22 ended; it goes on loading for ever.
 */
#include <postern/module.h>

static struct pn_verdict
first_abi_on_message(struct pn_call *call, struct pn_txn *txn)
{
	int r = pn_header_prepend(call, "X-Abi", "1");

	(void)txn;
	return r < 0 ? pn_fault(call, r, "cannot add the field") : pn_pass();
}

static const struct pn_hook first_abi_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, first_abi_on_message },
	PN_HOOK_END,
};

/* Field by field as it was, not as it is. */
struct module_of_abi_1 {
	uint32_t abi;
	uint32_t size;
	uint16_t option_size, hook_size, command_size, migration_size;
	const char *name, *summary, *needs;
	uint32_t roles;
	uint32_t flags;
	size_t settings_size;
	const void *settings;
	void (*check)(void);
	void (*prepare)(void);
	void (*release)(void);
	void (*start)(void);
	void (*stop)(void);
	const struct pn_hook *hooks;
	const void *commands;
	const void *migrations;
};

extern PN_PUBLIC const struct module_of_abi_1 first_abi_LTX_postern_module;
const struct module_of_abi_1 first_abi_LTX_postern_module = {
	.abi = 1,
	.size = sizeof(struct module_of_abi_1),
	.option_size = 72,
	.hook_size = 16,
	.command_size = 40,
	.migration_size = 16,
	.name = "first-abi",
	.summary = "Built long ago.",
	.flags = PN_MODIFIES,
	.hooks = first_abi_hooks,
};
