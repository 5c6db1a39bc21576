/* SPDX-License-Identifier: Apache-2.0 */
/* selector.c - test module: wants protection and chooses methods by rules in its settings. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>

enum { NEVER, AT_SENDER, AT_RECIPIENT, AT_MESSAGE };

struct selector {
	int want, opt_out;
	struct pn_strings rules;
	int64_t bits, level;
	const char *keys;
};

static const struct pn_choice stages[] = {
	{ "never", NEVER, NULL },
	{ "sender", AT_SENDER, NULL },
	{ "recipient", AT_RECIPIENT, NULL },
	{ "message", AT_MESSAGE, NULL },
	{ NULL, 0, NULL },
};

static const struct pn_option selector_options[] = {
	PN_OPT_CHOICE("want", struct selector, want, "never", stages, 0,
	    "Where protection is wanted; at message only with the header X-Protect."),
	PN_OPT_CHOICE("opt_out", struct selector, opt_out, "never", stages, 0,
	    "Where the sender opts out; at message only with the header X-Opt-Out."),
	PN_OPT_STRINGS("rules", struct selector, rules, NULL, 0,
	    "end of address=method; instead of a method also reject, defer, fault."),
	PN_OPT_INT("bits", struct selector, bits, "0", 0, 1000, 0, "Demanded at RCPT."),
	PN_OPT_INT("level", struct selector, level, "0", 0, 10, 0, "Demanded at RCPT."),
	PN_OPT_STRING("keys", struct selector, keys, NULL, PN_PATH,
	    "Folder of files named after recipients, whose contents are the choice."),
	PN_OPT_END
};

static int
say(struct pn_call *call, const struct selector *cfg, int where)
{
	int r = cfg->want == where ? pn_want_protection(call, "a rule") : 0;

	return r == 0 && cfg->opt_out == where ? pn_opt_out(call, "the sender") : r;
}

static struct pn_verdict
answer(struct pn_call *call, int r)
{
	return r < 0 ? pn_fault(call, r, "cannot say so") : pn_pass();
}

static struct pn_verdict
selector_on_sender(struct pn_call *call, struct pn_txn *txn)
{
	return answer(call, say(call, pn_settings(call), AT_SENDER));
}

static struct pn_verdict
selector_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	const struct selector *cfg = pn_settings(call);
	int r = say(call, cfg, AT_RECIPIENT);

	if (r == 0 && (cfg->bits || cfg->level))
		r = pn_demand_tls(call, (int)cfg->bits, (enum pn_tls_level)cfg->level);
	return answer(call, r);
}

static struct pn_verdict
selector_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct selector *cfg = pn_settings(call);
	struct pn_header header;
	int r = 0;

	if (cfg->want == AT_MESSAGE && pn_header_find(txn, "X-Protect", 0, &header))
		r = pn_want_protection(call, "the header");
	if (r == 0 && cfg->opt_out == AT_MESSAGE && pn_header_find(txn, "X-Opt-Out", 0, &header))
		r = pn_opt_out(call, "the header");
	return answer(call, r);
}

/* The method of the first rule whose end fits; NULL: none. */
static const char *
rule_for(const struct selector *cfg, const char *recipient)
{
	size_t len = strlen(recipient);

	for (size_t i = 0; i < cfg->rules.count; i++) {
		const char *rule = cfg->rules.items[i], *method = strchr(rule, '=');
		size_t end = method ? (size_t)(method - rule) : len + 1;

		if (end <= len && !strncmp(recipient + len - end, rule, end))
			return method + 1;
	}
	return NULL;
}

/* What is in the recipient's file; without one, the address. */
static struct pn_slice
choice_for(const struct selector *cfg, const char *recipient, char room[8192])
{
	char path[1024];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", cfg->keys ? cfg->keys : "", recipient);
	file = cfg->keys ? fopen(path, "re") : NULL;
	if (!file)
		return pn_slice_of(recipient);
	len = fread(room, 1, 8192, file);
	fclose(file);
	return pn_slice(room, len);
}

static struct pn_verdict
selector_on_select(struct pn_call *call, struct pn_txn *txn)
{
	const char *method = rule_for(pn_settings(call), pn_txn_recipient(txn));
	char room[8192];

	if (!method)
		return pn_pass_because(call, "no rule");
	if (!strcmp(method, "reject"))
		return pn_reject(call, 550, "5.7.2", "Nothing is good enough here");
	if (!strcmp(method, "defer"))
		return pn_defer(call, 451, "4.7.2", "Ask again later");
	if (!strcmp(method, "fault"))
		return pn_fault(call, -EIO, "broken on purpose");
	if (!strcmp(method, "tls-unless-seen-without")) {
		if (pn_recipient_tls_bits(call) == 0)
			return pn_pass_because(call, "the next hop has no TLS");
		method = "tls";
	}
	return pn_choose(
	    call, method, choice_for(pn_settings(call), pn_txn_recipient(txn), room), "by rule");
}

static const struct pn_hook selector_hooks[] = {
	{ PN_STAGE_SENDER, PN_QUICK, selector_on_sender },
	{ PN_STAGE_RECIPIENT, PN_QUICK, selector_on_recipient },
	{ PN_STAGE_MESSAGE, PN_QUICK, selector_on_message },
	{ PN_STAGE_SELECT, 0, selector_on_select },
	PN_HOOK_END,
};

PN_MODULE(selector) = {
	PN_MODULE_HEAD,
	.name = "selector",
	.summary = "Chooses how mail is protected, by rules.",
	.flags = PN_WANTS,
	.settings_size = sizeof(struct selector),
	.settings = selector_options,
	.hooks = selector_hooks,
};
