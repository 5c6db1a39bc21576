/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ways.c - test module: provides smime, pgp and escrow, and shows what was chosen for whom; whose
 * address begins with "bad" has a bad key. Built again as portal.so, it provides escrow alone.
 */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>

static int
show_choice(struct pn_call *call, struct pn_txn *txn)
{
	int r = pn_render_header(call, "X-Way", pn_group_method(txn));

	for (size_t i = 0; i < pn_group_count(txn) && r == 0; i++) {
		struct pn_slice choice = pn_group_choice(txn, i);
		char text[900];

		snprintf(text, sizeof(text), "%s %.*s", pn_group_recipient(txn, i), (int)choice.len,
		    choice.len ? choice.data : "");
		r = pn_render_header(call, "X-Choice", text);
	}
	return r;
}

static int
refuse_bad(struct pn_call *call, struct pn_txn *txn, size_t *ret_left)
{
	bool keyed = strcmp(pn_group_method(txn), "escrow") != 0;
	int r = 0;

	*ret_left = 0;
	for (size_t i = 0; i < pn_group_count(txn) && r == 0; i++) {
		if (keyed && strncmp(pn_group_recipient(txn, i), "bad", 3) == 0)
			r = pn_group_refuse(call, i, "the key is bad");
		else
			++*ret_left;
	}
	return r;
}

static struct pn_verdict
ways_render(struct pn_call *call, struct pn_txn *txn)
{
	static const char *const less[] = { "Subject", NULL };
	size_t left;
	int r = refuse_bad(call, txn, &left);

	if (r == 0 && left == 0)
		return pn_pass();
	if (r == 0)
		r = pn_render_copy_header(call, less);
	if (r == 0)
		r = show_choice(call, txn);
	if (r == 0)
		r = pn_render_body(call, pn_slice_of("unreadable\r\n"));
	return r < 0 ? pn_fault(call, r, "cannot render") : pn_pass();
}

static const struct pn_provider ways_providers[] = {
#ifndef PORTAL
	{ .method = "smime", .render = ways_render },
	{ .method = "pgp", .render = ways_render },
#endif
	{ .method = "escrow", .flags = PN_ONE_PER_RECIPIENT, .render = ways_render },
	{ .method = NULL },
};

static const struct pn_hook ways_hooks[] = { PN_HOOK_END };

#ifdef PORTAL
PN_MODULE(portal) = {
	PN_MODULE_HEAD,
	.name = "portal",
	.summary = "Provides escrow.",
	.hooks = ways_hooks,
	.providers = ways_providers,
};
#else
PN_MODULE(ways) = {
	PN_MODULE_HEAD,
	.name = "ways",
	.summary = "Provides smime, pgp and escrow.",
	.hooks = ways_hooks,
	.providers = ways_providers,
};
#endif
