/* SPDX-License-Identifier: Apache-2.0 */
/* talker.c - test module: an AUTH mechanism of two rounds, whose user is what the client says. */
#include <errno.h>
#include <postern/module.h>
#include <stdlib.h>

struct talker {
	const char *word;
};

static const struct pn_option talker_options[] = { PN_OPT_STRING("word", struct talker, word, NULL,
						       PN_REQUIRED, "What it waits for."),
	PN_OPT_END };

static struct pn_verdict
talker_on_helo(struct pn_call *call, struct pn_txn *txn)
{
	return pn_auth_offer(call, "X-TALK") < 0 || pn_auth_offer(call, "X-TALK") < 0
		   ? pn_fault(call, -EINVAL, "cannot offer")
		   : pn_pass();
}

/* Asks in the first round only if it is spoken to; else the next entry may. */
static struct pn_verdict
talker_on_auth(struct pn_call *call, struct pn_txn *txn)
{
	const struct talker *cfg = pn_settings(call);
	const char *kept = pn_auth_kept(txn);
	struct pn_slice said = pn_auth_response(txn);
	char *copy;

	if (kept && strcmp(kept, cfg->word) != 0)
		return pn_fault(call, -EINVAL, "found what another entry kept");
	if (kept)
		return pn_slice_equals(said, pn_slice_of("yes")) ? pn_identified(call, kept)
								 : pn_pass();
	if (!pn_slice_equals(said, pn_slice_of(cfg->word)))
		return pn_pass();
	copy = strdup(cfg->word);
	if (!copy || pn_auth_keep(call, copy, free) < 0)
		return pn_fault(call, -ENOMEM, "cannot keep");
	return pn_challenge(call, pn_slice_of("sure?"));
}

static const struct pn_hook talker_hooks[] = {
	{ PN_STAGE_HELO, PN_QUICK, talker_on_helo },
	{ PN_STAGE_AUTH, PN_QUICK, talker_on_auth },
	PN_HOOK_END,
};

PN_MODULE(talker) = {
	PN_MODULE_HEAD,
	.name = "talker",
	.summary = "Talks before it identifies.",
	.settings_size = sizeof(struct talker),
	.settings = talker_options,
	.hooks = talker_hooks,
};
