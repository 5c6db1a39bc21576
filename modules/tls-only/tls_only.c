/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_only.c - TLS to the next hop as the protection of a message, and partners for whom nothing
 * else will do.
 *
 * Called at the recipient stage, where partners' demands are made, and at selection. Must never
 * call a hop end-to-end encryption, nor probe: what a next hop can is what its last session showed.
 */
#include "../common/patterns.h"
#include "../common/trigger.h"
#include "terms.h"
#include <errno.h>
#include <string.h>

enum mode { FORCED, EXCLUSIVE, OPPORTUNISTIC };

struct tls_only {
	int mode, on_weak;
	struct terms terms;
	struct trigger opt_out;
	struct pn_strings partners, exclude;
	struct pn_list partner_terms; /* struct agreed */
};

/* What is agreed with some partners beyond what all of them get. */
struct agreed {
	struct pn_strings partners;
	struct terms terms;
};

/* What `prepare` makes of the settings. */
struct prepared {
	struct patterns partners, exclude;
	size_t agreed_count;
	struct patterns *agreed; /* in the order of partner_terms */
};

static const struct pn_choice modes[] = {
	{ "forced", FORCED,
	    "TLS counts as protection; where it is not to be had, the next entry is asked" },
	{ "exclusive", EXCLUSIVE, "the same, but nobody else is asked: without TLS no delivery" },
	{ "opportunistic", OPPORTUNISTIC,
	    "TLS alone does not count as protection; what leaves uses it where it is offered" },
	{ NULL, 0, NULL },
};

static const struct pn_choice weaknesses[] = {
	{ "bounce", 0, "a report with 503 5.7.0 at once" },
	{ "defer", PN_TLS_WAIT, "403 4.7.0: tried again until the message is too old" },
	{ NULL, 0, NULL },
};

static const struct pn_option opt_out_options[] = {
	PN_OPT_STRING("subject", struct trigger, subject, NULL, 0,
	    "A word at the beginning of the subject, such as \"[no-tls-only]\", or at the end of "
	    "one "
	    "that is no reply."),
	PN_OPT_STRING("header", struct trigger, header, NULL, 0,
	    "A field with its value, such as \"X-TLS-Only: no\"."),
	PN_OPT_END
};

#define PATTERNS \
	" As addresses, domains with all that is below them, or with asterisks: " \
	"\"*@example.com\"."

static const struct pn_option agreed_options[] = { PN_OPT_STRINGS("partners", struct agreed,
						       partners, NULL, PN_REQUIRED,
						       "Whom it is agreed with." PATTERNS),
	TERMS_ROWS(struct agreed, 0), PN_OPT_END };

static const struct pn_option tls_only_options[] = {
	PN_OPT_CHOICE("mode", struct tls_only, mode, "forced", modes, PN_SCOPED,
	    "What TLS to the next hop is worth where protection is wanted."),
	PN_OPT_GROUP("opt_out", struct tls_only, opt_out, struct trigger, opt_out_options,
	    PN_SCOPED,
	    "How a sender asks for something more secure than TLS; the next entries are asked."),
	TERMS_ROWS(struct tls_only, PN_SCOPED),
	PN_OPT_CHOICE("on_weak", struct tls_only, on_weak, "bounce", weaknesses, PN_SCOPED,
	    "What becomes of mail whose next hop has too weak TLS or none, where nothing else is "
	    "to be tried."),
	PN_OPT_STRINGS("partners", struct tls_only, partners, NULL, PN_SCOPED,
	    "Who gets mail by such TLS or not at all, whether or not protection is wanted. An "
	    "empty entry: everyone." PATTERNS),
	PN_OPT_LIST("partner_terms", struct tls_only, partner_terms, struct agreed, agreed_options,
	    PN_SCOPED,
	    "Partners, too, each with terms of their own. Whoever is in several, or in partners, "
	    "gets the safest of each."),
	PN_OPT_STRINGS("exclude", struct tls_only, exclude, NULL, PN_SCOPED,
	    "Whose mail TLS does not protect well enough, as with providers of free mail: the next "
	    "entry is asked." PATTERNS),
	PN_OPT_END
};

/* ---- settings -------------------------------------------------------------------------------- */

static void
tls_only_release(void *derived)
{
	struct prepared *prepared = derived;

	patterns_clear(&prepared->partners);
	patterns_clear(&prepared->exclude);
	for (size_t i = 0; i < prepared->agreed_count; i++)
		patterns_clear(&prepared->agreed[i]);
	g_free(prepared->agreed);
	g_free(prepared);
}

/* -EINVAL */
static int
prepare_agreed(struct pn_check *check, const struct pn_list *list, struct prepared *ret)
{
	const struct agreed *agreed = list->items;
	char at[64];
	int r = 0;

	ret->agreed_count = list->count;
	ret->agreed = g_new0(struct patterns, list->count);
	for (size_t i = 0; i < list->count; i++) {
		g_snprintf(at, sizeof(at), "partner_terms[%zu].partners", i);
		r |= patterns_compile(&agreed[i].partners, at, check, &ret->agreed[i]);
	}
	return r;
}

/* An empty entry is everyone; g_free. */
static const char **
with_everyone(const struct pn_strings *from)
{
	const char **items = g_new(const char *, from->count + 1);

	for (size_t i = 0; i < from->count; i++)
		items[i] = *from->items[i] ? from->items[i] : "*";
	return items;
}

static int
tls_only_prepare(struct pn_check *check, const void *settings, void **ret)
{
	const struct tls_only *cfg = settings;
	struct prepared *prepared = g_new0(struct prepared, 1);
	const char **items = with_everyone(&cfg->partners);
	const struct pn_strings partners = { cfg->partners.count, items };
	int r = 0;

	r |= patterns_compile(&partners, "partners", check, &prepared->partners);
	r |= patterns_compile(&cfg->exclude, "exclude", check, &prepared->exclude);
	r |= prepare_agreed(check, &cfg->partner_terms, prepared);
	g_free(items);
	if (r < 0) {
		tls_only_release(prepared);
		return -EINVAL;
	}
	*ret = prepared;
	return 0;
}

static void
check_agreed(struct pn_check *check, const struct pn_list *list)
{
	const struct agreed *agreed = list->items;
	char at[64];

	for (size_t i = 0; i < list->count; i++) {
		g_snprintf(at, sizeof(at), "partner_terms[%zu].", i);
		terms_check(check, at, &agreed[i].terms);
	}
}

static void
tls_only_check(struct pn_check *check, const void *settings)
{
	const struct tls_only *cfg = settings;

	trigger_check(check, "opt_out", &cfg->opt_out);
	terms_check(check, "", &cfg->terms);
	check_agreed(check, &cfg->partner_terms);
	for (size_t i = 0; i < cfg->partners.count; i++) {
		const char *item = cfg->partners.items[i];
		char at[64];

		if (*item && strcmp(item, "*") != 0)
			continue;
		g_snprintf(at, sizeof(at), "partners[%zu]", i);
		pn_warn(check, at,
		    "everyone: mail to whoever has no TLS of %d bits will not be delivered",
		    cfg->terms.minimum_bits);
	}
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static struct pn_verdict
tls_only_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	const struct tls_only *cfg = pn_settings(call);
	const struct prepared *prepared = pn_derived(call);
	const struct agreed *agreed = cfg->partner_terms.items;
	const char *recipient = pn_txn_recipient(txn);
	int r = 0, bits = 0;

	if (patterns_match(&prepared->partners, recipient)) {
		r = terms_demand(call, &cfg->terms, cfg->on_weak);
		bits = cfg->terms.minimum_bits;
	}
	for (size_t i = 0; i < prepared->agreed_count && r == 0; i++) {
		if (!patterns_match(&prepared->agreed[i], recipient))
			continue;
		r = terms_demand(call, &agreed[i].terms, cfg->on_weak);
		bits = MAX(bits, agreed[i].terms.minimum_bits);
	}
	if (r < 0)
		return pn_fault(call, r, "cannot demand TLS");
	return bits > 0 ? pn_pass_because(call, "a TLS partner: %d bits or no delivery", bits)
			: pn_pass();
}

/* Why TLS is not this recipient's protection; NULL: it is. Until the call ends. */
static const char *
objection(struct pn_call *call, struct pn_txn *txn)
{
	const struct tls_only *cfg = pn_settings(call);
	const struct prepared *prepared = pn_derived(call);

	if (cfg->mode == OPPORTUNISTIC)
		return "TLS alone does not count here";
	if (patterns_match(&prepared->exclude, pn_txn_recipient(txn)))
		return "the recipient is excluded";
	/* At RCPT there is no header yet. */
	if (!pn_txn_is_provisional(txn) && trigger_find(call, &cfg->opt_out, TRIGGER_OWN))
		return "the sender asks for more than TLS";
	return NULL;
}

static struct pn_verdict
tls_only_on_select(struct pn_call *call, struct pn_txn *txn)
{
	const struct tls_only *cfg = pn_settings(call);
	const char *why = objection(call, txn);
	int had = pn_recipient_tls_bits(call), r;
	bool alone = cfg->mode == EXCLUSIVE;

	if (why)
		return pn_pass_because(call, "%s", why);
	if (had >= 0 && had < cfg->terms.minimum_bits && !alone)
		return pn_pass_because(call,
		    "the next hop's last session had %d bits, less than %d", had,
		    cfg->terms.minimum_bits);
	r = terms_demand(call, &cfg->terms, cfg->on_weak);
	if (r < 0)
		return pn_fault(call, r, "cannot demand TLS");
	return pn_choose(call, "tls", pn_slice_of(alone ? PN_CHOICE_EXCLUSIVE : ""),
	    "TLS of %d bits to the next hop", cfg->terms.minimum_bits);
}

static const struct pn_hook tls_only_hooks[] = {
	{ PN_STAGE_RECIPIENT, PN_QUICK, tls_only_on_recipient },
	{ PN_STAGE_SELECT, PN_QUICK, tls_only_on_select },
	PN_HOOK_END,
};

PN_MODULE(tls_only) = {
	PN_MODULE_HEAD,
	.name = "tls-only",
	.summary = "Takes TLS to the next hop as protection, and demands it for partners.",
	.settings_size = sizeof(struct tls_only),
	.settings = tls_only_options,
	.check = tls_only_check,
	.prepare = tls_only_prepare,
	.release = tls_only_release,
	.hooks = tls_only_hooks,
};
