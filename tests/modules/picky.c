/* SPDX-License-Identifier: Apache-2.0 */
/* picky.c - test module: refuses some recipients, and counts and changes others. */
#include <postern/module.h>
#include <stdio.h>

struct picky {
	const char *refuse;
	const char *copy_to, *redirect_to;
	bool count;
};

static const struct pn_option picky_options[] = { PN_OPT_STRING("refuse", struct picky, refuse,
						      NULL, 0, "Recipient to refuse."),
	PN_OPT_STRING("copy_to", struct picky, copy_to, NULL, 0, "Recipient to add."),
	PN_OPT_STRING("redirect_to", struct picky, redirect_to, NULL, 0, "Replaces recipients."),
	PN_OPT_BOOL("count", struct picky, count, "no", 0, "Stage how many have passed."),
	PN_OPT_END };

static int
change(struct pn_call *call, struct pn_txn *txn, const struct picky *cfg)
{
	char text[40];
	int r = pn_tag(call, "picked");

	if (r == 0 && cfg->copy_to)
		r = pn_add_recipient(call, cfg->copy_to);
	if (r == 0 && cfg->redirect_to)
		r = pn_edit_recipient(call, cfg->redirect_to);
	if (r == 0 && cfg->count) {
		snprintf(text, sizeof(text), "%zu", pn_txn_recipient_count(txn));
		r = pn_effect_stage(call, "count", pn_slice_of(text));
	}
	return r;
}

static struct pn_verdict
picky_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	const struct picky *cfg = pn_settings(call);
	int r;

	if (cfg->refuse && strcmp(pn_txn_recipient(txn), cfg->refuse) == 0)
		return pn_reject(call, 550, "5.1.1", "Not to this one\r\n250 Ok \xc3\xa4 \xff");
	r = change(call, txn, cfg);
	return r < 0 ? pn_fault(call, r, "cannot change") : pn_pass();
}

static const struct pn_hook picky_hooks[] = {
	{ PN_STAGE_RECIPIENT, PN_QUICK, picky_on_recipient },
	PN_HOOK_END,
};

PN_MODULE(picky) = {
	PN_MODULE_HEAD,
	.name = "picky",
	.summary = "Refuses some recipients.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct picky),
	.settings = picky_options,
	.hooks = picky_hooks,
};
