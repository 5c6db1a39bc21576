/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipient_restrictions.c - who may write to whom, and to how many at once.
 *
 * Called at the recipient stage, once per recipient, and at the message stage where a recipient may
 * be written to only together with another. Must never judge by a header field: what counts are the
 * recipients that get the message.
 */
#include "../common/patterns.h"
#include <errno.h>
#include <string.h>

enum surplus { DEFER, REJECT };
enum reach { ANYONE, INTERNAL, EXTERNAL };

struct recipient_restrictions {
	struct pn_strings allow, deny, allow_via_cc, exempt;
	int64_t recipients;
	int only, surplus;
	const char *text;
};

/* What `prepare` makes of the settings. */
struct prepared {
	struct patterns allow, deny, via, exempt;
};

static const struct pn_choice surpluses[] = {
	{ "defer", DEFER, "452 4.5.3: clients send to the others in a message of their own" },
	{ "reject", REJECT, "550 5.5.3: nothing goes to the others" },
	{ NULL, 0, NULL },
};

static const struct pn_choice reaches[] = {
	{ "anyone", ANYONE, "no matter where" },
	{ "internal", INTERNAL, "addresses in the domains of the sender's account" },
	{ "external", EXTERNAL, "all other addresses" },
	{ NULL, 0, NULL },
};

#define PATTERNS \
	" As addresses, domains with all that is below them, or with asterisks: " \
	"\"*@example.com\"."

static const struct pn_option recipient_restrictions_options[] = {
	PN_OPT_STRINGS("allow", struct recipient_restrictions, allow, NULL, PN_SCOPED,
	    "Nobody else may be written to; left out: anybody." PATTERNS),
	PN_OPT_STRINGS("deny", struct recipient_restrictions, deny, NULL, PN_SCOPED,
	    "Who may not be written to, even if `allow` has them." PATTERNS),
	PN_OPT_CHOICE("only", struct recipient_restrictions, only, "anyone", reaches, PN_SCOPED,
	    "Who may be written to, beside what the lists say. Of senders without account, the "
	    "domain of their own address is internal, with all below it."),
	PN_OPT_STRINGS("allow_via_cc", struct recipient_restrictions, allow_via_cc, NULL, PN_SCOPED,
	    "Where one of these is a recipient too (To, Cc or Bcc), so may be anybody." PATTERNS),
	PN_OPT_STRINGS("exempt", struct recipient_restrictions, exempt, NULL, PN_SCOPED,
	    "Users who logged in and whom none of this concerns." PATTERNS),
	PN_OPT_INT("recipients", struct recipient_restrictions, recipients, "0", 0, 1000000,
	    PN_SCOPED, "Most recipients of one message; 0: as many as relay.limits.recipients."),
	PN_OPT_CHOICE("surplus", struct recipient_restrictions, surplus, "defer", surpluses,
	    PN_SCOPED, "What recipients past `recipients` get."),
	PN_OPT_STRING("text", struct recipient_restrictions, text, NULL, PN_SCOPED,
	    "What the client is told of a recipient who may not be written to; left out: why, in "
	    "English."),
	PN_OPT_END
};

/* ---- settings -------------------------------------------------------------------------------- */

static void
recipient_restrictions_release(void *derived)
{
	struct prepared *prepared = derived;

	patterns_clear(&prepared->allow);
	patterns_clear(&prepared->deny);
	patterns_clear(&prepared->via);
	patterns_clear(&prepared->exempt);
	g_free(prepared);
}

static int
recipient_restrictions_prepare(struct pn_check *check, const void *settings, void **ret)
{
	const struct recipient_restrictions *cfg = settings;
	struct prepared *prepared = g_new0(struct prepared, 1);
	int r = 0;

	r |= patterns_compile(&cfg->allow, "allow", check, &prepared->allow);
	r |= patterns_compile(&cfg->deny, "deny", check, &prepared->deny);
	r |= patterns_compile(&cfg->allow_via_cc, "allow_via_cc", check, &prepared->via);
	r |= patterns_compile(&cfg->exempt, "exempt", check, &prepared->exempt);
	if (r < 0) {
		recipient_restrictions_release(prepared);
		return -EINVAL;
	}
	*ret = prepared;
	return 0;
}

/* ---- one message ----------------------------------------------------------------------------- */

struct question {
	struct pn_call *call;
	const struct pn_txn *txn;
	const struct recipient_restrictions *cfg;
	const struct prepared *prepared;
};

static struct question
begin(struct pn_call *call, const struct pn_txn *txn)
{
	return (struct question){ call, txn, pn_settings(call), pn_derived(call) };
}

static bool
is_exempt(const struct question *question)
{
	const char *user = pn_txn_user(question->txn);

	return user && patterns_match(&question->prepared->exempt, user);
}

static bool
is_internal(const struct question *question, const char *recipient)
{
	const char *user = pn_txn_user(question->txn);
	char to[PN_ADDRESS_SIZE], own[PN_ADDRESS_SIZE];
	struct pn_account account, other;
	const char *at, *home;

	if (pn_address_canonical(recipient, to) < 0 || !(at = strrchr(to, '@')))
		return false;
	if (pn_txn_account(question->txn, &account))
		return pn_domain_account(question->call, at + 1, &other) &&
		       !strcmp(other.name, account.name);
	if (!user)
		user = pn_txn_original_sender(question->txn);
	home = pn_address_canonical(user, own) == 0 ? strrchr(own, '@') : NULL;
	return home && pn_domain_within(at + 1, home + 1);
}

/* Why nobody may write there; NULL: they may. */
static const char *
objection(const struct question *question, const char *recipient)
{
	const struct prepared *prepared = question->prepared;
	enum reach only = (enum reach)question->cfg->only;

	if (only == INTERNAL && !is_internal(question, recipient))
		return "You may write only to addresses in your own domains";
	if (only == EXTERNAL && is_internal(question, recipient))
		return "You may write only to addresses outside of your own domains";
	if (patterns_match(&prepared->deny, recipient))
		return "Mail from you to this recipient is not allowed here";
	if (prepared->allow.count > 0 && !patterns_match(&prepared->allow, recipient))
		return "You may write to certain recipients only, and this is none of them";
	return NULL;
}

static bool
has_chaperon(const struct question *question)
{
	const struct pn_txn *txn = question->txn;

	for (size_t i = 0; i < pn_txn_recipient_count(txn); i++)
		if (patterns_match(&question->prepared->via, pn_txn_recipient_at(txn, i)))
			return true;
	return false;
}

static struct pn_verdict
refuse(const struct question *question, const char *why)
{
	const char *text = question->cfg->text;

	return pn_reject(question->call, 550, "5.7.1", "%s", text && *text ? text : why);
}

static struct pn_verdict
refuse_surplus(const struct question *question)
{
	if (question->cfg->surplus == REJECT)
		return pn_reject(question->call, 550, "5.5.3",
		    "A message may have no more than %lld recipients",
		    (long long)question->cfg->recipients);
	return pn_defer(question->call, 452, "4.5.3",
	    "Too many recipients; send to the others in another message");
}

/* What the message stage is to know: somebody was let in who needs company. */
static void
tag_name(const struct question *question, char ret[65])
{
	g_snprintf(ret, 65, "%s-company", pn_entry(question->call));
}

static struct pn_verdict
ask_for_company(const struct question *question, const char *why)
{
	char tag[65];
	int r;

	if (question->prepared->via.count == 0)
		return refuse(question, why);
	tag_name(question, tag);
	r = pn_tag(question->call, tag);
	if (r < 0)
		return pn_fault(question->call, r, "cannot tag the message");
	return pn_pass_because(question->call, has_chaperon(question)
						   ? "allowed by allow_via_cc"
						   : "to be allowed by allow_via_cc, or not");
}

static struct pn_verdict
recipient_restrictions_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	struct question question = begin(call, txn);
	int64_t most = question.cfg->recipients;
	const char *why;

	if (is_exempt(&question))
		return pn_pass_because(call, "the user is exempt");
	if (most > 0 && pn_txn_recipient_count(txn) > (size_t)most)
		return refuse_surplus(&question);
	why = objection(&question, pn_txn_recipient(txn));
	return why ? ask_for_company(&question, why) : pn_pass();
}

static struct pn_verdict
recipient_restrictions_on_message(struct pn_call *call, struct pn_txn *txn)
{
	struct question question = begin(call, txn);
	char tag[65];

	tag_name(&question, tag);
	if (!pn_txn_has_tag(txn, tag) || has_chaperon(&question))
		return pn_pass();
	for (size_t i = 0; i < pn_txn_recipient_count(txn); i++)
		if (objection(&question, pn_txn_recipient_at(txn, i)))
			return refuse(&question,
			    "One of the recipients may be written to only together with those whom "
			    "your administrator has named for it");
	return pn_pass();
}

static const struct pn_hook recipient_restrictions_hooks[] = {
	{ PN_STAGE_RECIPIENT, PN_QUICK, recipient_restrictions_on_recipient },
	{ PN_STAGE_MESSAGE, PN_QUICK, recipient_restrictions_on_message }, PN_HOOK_END
};

PN_MODULE(recipient_restrictions) = {
	PN_MODULE_HEAD,
	.name = "recipient-restrictions",
	.summary = "Says who may write to whom, and to how many at once.",
	.settings_size = sizeof(struct recipient_restrictions),
	.settings = recipient_restrictions_options,
	.prepare = recipient_restrictions_prepare,
	.release = recipient_restrictions_release,
	.hooks = recipient_restrictions_hooks,
};
