/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.c - the words for methods.
 *
 * Called where renderings are made, and by reports. Must never promise more of TLS than one hop.
 */
#include <core/mail/label.h>
#include <string.h>

enum mail_label
mail_label_of(const struct mail_plan *plan, bool requiretls)
{
	const char *method = mail_plan_method(plan);

	if (!strcmp(method, "tls"))
		return MAIL_LABEL_TLS;
	if (!strcmp(method, MAIL_METHOD_OPT_OUT))
		return MAIL_LABEL_OPT_OUT;
	if (mail_demand_is_any(&plan->demand) || requiretls)
		return MAIL_LABEL_DEMANDED;
	return plan->entry ? MAIL_LABEL_INSECURE : MAIL_LABEL_PLAIN;
}

const char *
mail_label_text(enum mail_label label)
{
	switch (label) {
	case MAIL_LABEL_INSECURE:
		return "none (protection was wanted and no method applied)";
	case MAIL_LABEL_OPT_OUT:
		return "opt-out (the sender did not want protection)";
	case MAIL_LABEL_TLS:
		return "TLS (protection was wanted; from this relay to the next hop only)";
	case MAIL_LABEL_DEMANDED:
		return "TLS (demanded here; from this relay to the next hop only)";
	case MAIL_LABEL_PLAIN:
	case MAIL_LABEL_COUNT:
		break;
	}
	return NULL;
}

static const struct {
	const char *method, *word, *text;
} methods[] = {
	{ "none", "none", NULL },
	{ "tls", "TLS", NULL },
	{ MAIL_METHOD_OPT_OUT, "opt-out", NULL },
	{ "smime", "S/MIME", "S/MIME (protection was wanted; encrypted for its recipients)" },
	{ "smime-gcm", "S/MIME", "S/MIME (protection was wanted; encrypted for its recipients)" },
	{ "pgp", "PGP", "PGP (protection was wanted; encrypted for its recipients)" },
	{ "escrow", "escrow", "escrow (protection was wanted; to be picked up)" },
};

const char *
mail_label_provided(const char *method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (!strcmp(methods[i].method, method))
			return methods[i].text;
	return NULL;
}

const char *
mail_method_word(const char *method)
{
	for (size_t i = 0; method && i < sizeof(methods) / sizeof(*methods); i++)
		if (!strcmp(methods[i].method, method))
			return methods[i].word;
	return method ? method : "none";
}

const char *
mail_plan_word(const struct mail_plan *plan)
{
	bool none = !strcmp(mail_plan_method(plan), "none");

	return none && mail_demand_is_any(&plan->demand) ? "TLS" : mail_method_word(plan->method);
}
