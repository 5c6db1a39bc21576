/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.c - fuzz target: TXT records and policy files of MTA-STS. What is taken is bounded, and
 * printed it is the same policy again.
 */
#include <core/mail/sts.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_record(struct pn_slice bytes)
{
	char id[STS_ID_SIZE];

	if (sts_record(bytes, id) == 0 && (*id == '\0' || strlen(id) >= STS_ID_SIZE))
		abort();
}

static void
compare(const struct sts_policy *one, const struct sts_policy *other)
{
	if (one->mode != other->mode || one->max_age != other->max_age ||
	    one->count != other->count)
		abort();
	for (size_t i = 0; i < one->count; i++)
		if (strcmp(one->patterns[i], other->patterns[i]) != 0)
			abort();
}

static void
try_policy(struct pn_slice bytes)
{
	struct sts_policy policy, again;
	const char *why = NULL;
	char *text;

	if (sts_policy_parse(bytes, &policy, &why) < 0) {
		if (!why)
			abort();
		sts_policy_clear(&policy);
		return;
	}
	if (policy.max_age > STS_MAX_AGE_MOST || policy.count > STS_MX_MOST ||
	    (policy.count == 0 && policy.mode != STS_NONE))
		abort();
	for (size_t i = 0; i < policy.count; i++)
		if (*policy.patterns[i] != '*' && !sts_policy_allows(&policy, policy.patterns[i]))
			abort();
	text = sts_policy_print(&policy);
	if (!text || sts_policy_parse(pn_slice_of(text), &again, &why) < 0)
		abort();
	compare(&policy, &again);
	free(text);
	sts_policy_clear(&policy);
	sts_policy_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice bytes = pn_slice((const char *)data, size);

	try_record(bytes);
	try_policy(bytes);
	return 0;
}
