/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protection.c - whether protection is wanted for mail, and what becomes of a recipient for whom no
 * method applies.
 *
 * The section `protection` puts it at the end of the pipeline, so that it has the last word: every
 * other entry has been asked for a method before it speaks of failure. Must never let somebody opt
 * out who may not, nor where the same message asks for protection.
 */
#include "../common/trigger.h"
#include <glib.h>
#include <string.h>

enum wanted { WHEN_ASKED, ALWAYS, NEVER };
enum failure { BOUNCE, SEND_INSECURELY };

struct opt_out {
	struct trigger by;
	const char *confirm;
	struct pn_strings allowed_groups;
};

struct protection {
	int wanted, failure;
	struct trigger ask;
	struct opt_out opt_out;
};

static const struct pn_choice wanteds[] = {
	{ "when-asked", WHEN_ASKED, "where the sender asks, or another module" },
	{ "always", ALWAYS, "for everything, unless the sender may and does opt out" },
	{ "never", NEVER, "the sender cannot ask; another module still can" },
	{ NULL, 0, NULL },
};

static const struct pn_choice failures[] = {
	{ "bounce", BOUNCE,
	    "refused while the client is there, or a report to the sender that names the "
	    "recipient" },
	{ "send-insecurely", SEND_INSECURELY, "it leaves as if nothing had been wanted" },
	{ NULL, 0, NULL },
};

static const struct pn_option ask_options[] = {
	PN_OPT_STRING("subject", struct trigger, subject, NULL, 0,
	    "A word anywhere in the subject, such as \"[secure]\"; case and spaces do not count."),
	PN_OPT_STRING("header", struct trigger, header, NULL, 0,
	    "A field with its value, such as \"X-Protect: yes\"."),
	PN_OPT_END
};

static const struct pn_option opt_out_options[] = {
	PN_OPT_STRING("subject", struct opt_out, by.subject, NULL, 0,
	    "A word at the beginning of the subject, such as \"[plain]\", or at the end of one "
	    "that "
	    "is no reply."),
	PN_OPT_STRING("header", struct opt_out, by.header, NULL, 0,
	    "A field with its value, such as \"X-Protect: no\"."),
	PN_OPT_STRING("confirm", struct opt_out, confirm, NULL, 0,
	    "A second word, anywhere in the subject, by which the sender confirms that nothing in "
	    "the message must be protected; without it there is no opting out."),
	PN_OPT_STRINGS("allowed_groups", struct opt_out, allowed_groups, NULL, 0,
	    "Groups of the directory whose members may opt out, if they logged in; \"*\": "
	    "everybody "
	    "who did. Left out: nobody."),
	PN_OPT_END
};

static const struct pn_option protection_options[] = { PN_OPT_CHOICE("wanted", struct protection,
							   wanted, "when-asked", wanteds, PN_SCOPED,
							   "For which mail protection is wanted."),
	PN_OPT_GROUP("ask", struct protection, ask, struct trigger, ask_options, PN_SCOPED,
	    "How a sender asks for protection."),
	PN_OPT_GROUP("opt_out", struct protection, opt_out, struct opt_out, opt_out_options,
	    PN_SCOPED, "How a sender opts a message out. One that also asks is protected."),
	PN_OPT_CHOICE("failure", struct protection, failure, "bounce", failures, PN_SCOPED,
	    "What becomes of a recipient for whom no method applies."),
	PN_OPT_END };

static void
protection_check(struct pn_check *check, const void *settings)
{
	const struct protection *cfg = settings;
	const struct opt_out *out = &cfg->opt_out;

	trigger_check(check, "ask", &cfg->ask);
	trigger_check(check, "opt_out", &out->by);
	if (out->confirm && out->confirm[strspn(out->confirm, " \t")] == '\0')
		pn_complain(check, "opt_out.confirm", "is empty; leave it out");
	if (out->allowed_groups.count > 0 && !out->by.subject && !out->by.header)
		pn_complain(check, "opt_out.allowed_groups",
		    "there is no way to opt out; set opt_out.subject or opt_out.header");
	if (cfg->failure == SEND_INSECURELY)
		pn_warn(check, "failure",
		    "mail for which protection is wanted leaves without it where no method "
		    "applies");
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static bool
may_opt_out(const struct pn_call *call, const struct pn_txn *txn, const struct opt_out *out)
{
	const char *user = pn_txn_user(txn);

	for (size_t i = 0; user && i < out->allowed_groups.count; i++) {
		const char *group = out->allowed_groups.items[i];

		if (strcmp(group, "*") == 0 || pn_user_in_group(call, user, group))
			return true;
	}
	return false;
}

static struct pn_verdict
want(struct pn_call *call, const char *why)
{
	int r = pn_want_protection(call, why);

	return r < 0 ? pn_fault(call, r, "cannot say that protection is wanted")
		     : pn_pass_because(call, "protection is wanted: %s", why);
}

/*
 * Recipients whom nobody can serve are refused at once only where the message cannot opt out of
 * being protected.
 */
static struct pn_verdict
protection_on_sender(struct pn_call *call, struct pn_txn *txn)
{
	const struct protection *cfg = pn_settings(call);

	return cfg->wanted == ALWAYS && !may_opt_out(call, txn, &cfg->opt_out)
		   ? want(call, "always")
		   : pn_pass();
}

/* Why it does not count that the sender opted out; NULL: it does. */
static const char *
objection(struct pn_call *call, const struct pn_txn *txn, const struct opt_out *out)
{
	if (!may_opt_out(call, txn, out))
		return "the sender opts out and may not";
	if (out->confirm && !trigger_in_subject(call, out->confirm, TRIGGER_ANYWHERE))
		return "the sender opts out and does not confirm it in the subject";
	return NULL;
}

static struct pn_verdict
opt_out(struct pn_call *call, const char *how)
{
	int r = pn_opt_out(call, how);

	return r < 0 ? pn_fault(call, r, "cannot opt out")
		     : pn_pass_because(call, "opted out by %s", how);
}

static struct pn_verdict
protection_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct protection *cfg = pn_settings(call);
	const char *asked = trigger_find(call, &cfg->ask, TRIGGER_ANYWHERE);
	const char *out = trigger_find(call, &cfg->opt_out.by, TRIGGER_OWN);
	const char *why = out ? objection(call, txn, &cfg->opt_out) : NULL;

	if (asked && cfg->wanted != NEVER)
		return want(call, asked);
	if (out && !why)
		return opt_out(call, out);
	if (cfg->wanted == ALWAYS)
		return want(call, why ? why : "always");
	return why ? pn_pass_because(call, "%s", why) : pn_pass();
}

static struct pn_verdict
protection_on_select(struct pn_call *call, struct pn_txn *txn)
{
	const struct protection *cfg = pn_settings(call);

	return cfg->failure == SEND_INSECURELY
		   ? pn_choose(call, "none", pn_slice(NULL, 0),
			 "no method applies, and the configuration lets it go insecurely")
		   : pn_pass_because(call, "no method applies");
}

static const struct pn_hook protection_hooks[] = {
	{ PN_STAGE_SENDER, PN_QUICK, protection_on_sender },
	{ PN_STAGE_MESSAGE, PN_QUICK, protection_on_message },
	{ PN_STAGE_SELECT, PN_QUICK, protection_on_select },
	PN_HOOK_END,
};

PN_MODULE(protection) = {
	PN_MODULE_HEAD,
	.name = "protection",
	.summary = "Says for which mail protection is wanted, and what if it cannot be had.",
	.flags = PN_WANTS,
	.settings_size = sizeof(struct protection),
	.settings = protection_options,
	.check = protection_check,
	.hooks = protection_hooks,
};
