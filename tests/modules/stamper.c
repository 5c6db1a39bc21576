/* SPDX-License-Identifier: Apache-2.0 */
/* stamper.c - test module: adds one header field, quickly. */
#include <postern/module.h>

struct stamper {
	const char *name, *value;
};

static const struct pn_option stamper_options[] = { PN_OPT_STRING("name", struct stamper, name,
							"X-Stamp", 0, "Name of the field."),
	PN_OPT_STRING("value", struct stamper, value, NULL, PN_REQUIRED | PN_SCOPED, "Its value."),
	PN_OPT_END };

/* Counts the stamps it finds, so that a test sees whether an edit reached the next entry. */
static struct pn_verdict
stamper_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct stamper *cfg = pn_settings(call);
	struct pn_header header;
	size_t seen = 0;
	int r;

	while (pn_header_find(txn, cfg->name, seen, &header))
		seen++;
	r = pn_header_prepend(call, cfg->name, cfg->value);
	return r < 0 ? pn_fault(call, r, "cannot add the field")
		     : pn_pass_because(call, "stamp %zu", seen + 1);
}

static const struct pn_hook stamper_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, stamper_on_message },
	PN_HOOK_END,
};

PN_MODULE(stamper) = {
	PN_MODULE_HEAD,
	.name = "stamper",
	.summary = "Adds one header field.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct stamper),
	.settings = stamper_options,
	.hooks = stamper_hooks,
};
