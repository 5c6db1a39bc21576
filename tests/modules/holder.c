/* SPDX-License-Identifier: Apache-2.0 */
/* holder.c - test module: stamps a message with the entry's id, then says what it is told to say.
 */
#include <errno.h>
#include <postern/module.h>
#include <stddef.h>
#include <string.h>

enum { SAY_PASS, SAY_HOLD, SAY_REJECT, SAY_DISCARD };

struct holder {
	int say, then;
	int64_t most;
	const char *copy_to, *instead_of;
};

static const struct pn_choice words[] = { { "pass", SAY_PASS }, { "hold", SAY_HOLD },
	{ "reject", SAY_REJECT }, { "discard", SAY_DISCARD }, { NULL, 0 } };
static const struct pn_choice ends[] = { { "bounce", PN_HOLD_BOUNCE },
	{ "release", PN_HOLD_RELEASE }, { "delete", PN_HOLD_DELETE }, { NULL, 0 } };

static const struct pn_option holder_options[] = { PN_OPT_CHOICE("say", struct holder, say, "pass",
						       words, 0, "The verdict."),
	PN_OPT_CHOICE("then", struct holder, then, "bounce", ends, 0, "At the end of the time."),
	PN_OPT_DURATION("most", struct holder, most, "0s", 0, INT64_MAX, 0, "The time."),
	PN_OPT_STRING("copy_to", struct holder, copy_to, NULL, 0, "A recipient to add."),
	PN_OPT_STRING("instead_of", struct holder, instead_of, NULL, 0, "One to take off."),
	PN_OPT_END };

static int
edit(struct pn_call *call, const struct holder *cfg)
{
	int r = pn_header_prepend(call, "X-Seen-By", pn_entry(call));

	if (r == 0 && cfg->instead_of)
		r = pn_remove_recipient(call, cfg->instead_of);
	if (r == 0 && cfg->copy_to)
		r = pn_add_recipient(call, cfg->copy_to);
	return r == -EEXIST ? 0 : r;
}

static struct pn_verdict
holder_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct holder *cfg = pn_settings(call);
	int r = edit(call, cfg);

	if (r < 0)
		return pn_fault(call, r, "cannot edit");
	switch (cfg->say) {
	case SAY_HOLD:
		return pn_hold(
		    call, cfg->most, (enum pn_hold_end)cfg->then, "somebody has to look");
	case SAY_REJECT:
		return pn_reject(call, 550, "5.7.1", "Not like this");
	case SAY_DISCARD:
		return pn_discard(call, "not worth it");
	default:
		return pn_pass();
	}
}

static const struct pn_hook holder_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, holder_on_message },
	PN_HOOK_END,
};

PN_MODULE(holder) = {
	PN_MODULE_HEAD,
	.name = "holder",
	.summary = "Holds messages.",
	.flags = PN_MODIFIES | PN_HOLDS,
	.settings_size = sizeof(struct holder),
	.settings = holder_options,
	.hooks = holder_hooks,
};
