/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_policy.c - what a kept policy of MTA-STS, or an override of it, makes of a domain's hosts.
 *
 * Called by posternctl tls-probe: what the relay has found is in the database, and nothing is
 * fetched here. Must never take a policy that cannot be read for none.
 */
#include <core/base/clock.h>
#include <core/ctl/explain.h>
#include <core/mail/sts.h>
#include <core/store/sts.h>
#include <errno.h>

struct overriding {
	const char *domain;
	int64_t now_us;
	bool found;
	enum sts_mode mode;
};

static void
look(void *arg, const struct sts_override *override)
{
	struct overriding *ret = arg;

	if (strcmp(override->domain, ret->domain) == 0 && override->until_us > ret->now_us)
		ret->found = sts_mode_parse(pn_slice_of(override->mode), &ret->mode) == 0;
}

/* Where TLSA records speak for a host, the policy does not. */
static void
apply(struct mx_list *list, const struct sts_policy *policy)
{
	list->by_policy = policy && policy->count > 0;
	for (size_t i = 0; i < list->count; i++) {
		struct mx_host *host = &list->hosts[i];

		if (host->unsafe || host->terms.tlsa_count > 0)
			continue;
		host->terms.sts = !policy || sts_policy_allows(policy, host->name);
		host->terms.unnamed = !list->by_policy;
		host->unsafe = !host->terms.sts;
		if (host->unsafe)
			g_strlcpy(host->why, "the policy of the domain (MTA-STS) does not name it",
			    sizeof(host->why));
	}
}

int
probe_policy(struct db *db, struct mx_list *list, struct arena *arena, struct pn_error *err)
{
	struct overriding override = { .domain = list->domain, .now_us = clock_wall_us() };
	struct sts_policy policy = { 0 };
	struct sts_kept kept;
	const char *why = "";
	int r = sts_overrides_each(db, look, &override, err);
	bool has = false;

	if (r == 0)
		r = sts_find(db, list->domain, arena, &kept, err);
	if (r == 0 && kept.expires_us > override.now_us) {
		has = sts_policy_parse(pn_slice_of(kept.policy), &policy, &why) == 0;
		if (!has)
			r = pn_error_set(
			    err, -EINVAL, "the policy of %s that is kept: %s", list->domain, why);
	}
	if ((r == 0 || r == -ENOENT) && !list->refusal &&
	    (override.found ? override.mode : policy.mode) == STS_ENFORCE &&
	    (has || override.found))
		apply(list, has ? &policy : NULL);
	sts_policy_clear(&policy);
	return r == -ENOENT ? 0 : r;
}
