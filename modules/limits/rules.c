/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - from settings and an account to figures.
 *
 * Called by limits.c for each message and by command.c. Must never let an account that has not paid
 * have the figures of one that has.
 */
#include "limits.h"
#include <sys/param.h>

static int64_t
figure(int64_t setting)
{
	return setting == 0 ? NO_LIMIT : setting;
}

const struct limits_plan *
rules_plan(const struct limits *cfg, const struct pn_account *account)
{
	const struct limits_plan *plans = cfg->plans.values;

	for (size_t i = 0; account && account->plan && i < cfg->plans.count; i++)
		if (!strcmp(cfg->plans.keys[i], account->plan))
			return &plans[i];
	return NULL;
}

/* So many for each licence, but never more than `most`; without licences the latter alone. */
static int64_t
by_licence(const struct limits_account *cfg, int64_t licences)
{
	if (licences <= 0 || cfg->per_licence == 0 || licences > cfg->most / cfg->per_licence)
		return cfg->most;
	return licences * cfg->per_licence;
}

void
rules_make(const struct limits *cfg, const struct pn_account *account, struct rules *ret)
{
	const struct limits_plan *plan = rules_plan(cfg, account);
	bool fixed = cfg->window == WINDOW_FIXED;

	*ret = (struct rules){ .warn_percent = cfg->warn.at, .memory = cfg->memory };
	for (enum counter i = 0; i < COUNTERS; i++)
		ret->most[i] = NO_LIMIT;
	ret->span[ACCOUNT_MESSAGES] = ret->span[ACCOUNT_DAY] = (struct span){ cfg->account.per,
		fixed };
	ret->span[ACCOUNT_PEAK] = (struct span){ cfg->peak.per, fixed };
	ret->span[USER_MESSAGES] = ret->span[USER_UNIQUE] = (struct span){ cfg->user.per, fixed };
	if (!plan || plan->users) {
		ret->most[USER_MESSAGES] = figure(cfg->user.messages);
		ret->most[USER_UNIQUE] = figure(cfg->user.unique_recipients);
	}
	if (!account)
		return;
	if (plan)
		ret->most[ACCOUNT_MESSAGES] = figure(plan->messages);
	if (plan && !plan->recipients)
		return;
	ret->most[ACCOUNT_DAY] = account->paid ? by_licence(&cfg->account, account->licences)
					       : cfg->unpaid.recipients;
	ret->most[ACCOUNT_PEAK] = account->paid ? by_licence(&cfg->peak, account->licences)
						: cfg->unpaid.peak;
}

int64_t
rules_longest(const struct rules *rules)
{
	int64_t longest = 0;

	for (enum counter i = 0; i < COUNTERS; i++)
		longest = MAX(longest, rules->span[i].ms);
	return longest;
}
