/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.c - the table of stages.
 *
 * Called by whoever runs hooks or tells of them. Knows no transaction.
 */
#include <core/policy/stage.h>

static const struct {
	const char *name;
	unsigned traits;
} stages[PN_STAGE_COUNT] = {
	[PN_STAGE_END] = { "start", 0 },
	[PN_STAGE_CONNECT] = { "connect", STAGE_IN_SESSION },
	[PN_STAGE_HELO] = { "helo", STAGE_IN_SESSION },
	[PN_STAGE_AUTH] = { "auth", STAGE_IN_SESSION },
	[PN_STAGE_SENDER] = { "sender", STAGE_IN_CHAIN },
	[PN_STAGE_RECIPIENT] = { "recipient", STAGE_IN_CHAIN | STAGE_RECIPIENT },
	[PN_STAGE_MESSAGE] = { "message", STAGE_IN_CHAIN | STAGE_MESSAGE },
	[PN_STAGE_COMMITTED] = { "committed", STAGE_EVERY | STAGE_MESSAGE | STAGE_EFFECTS },
	[PN_STAGE_ABORTED] = { "aborted", STAGE_EVERY | STAGE_MESSAGE | STAGE_EFFECTS },
	[PN_STAGE_SELECT] = { "select", STAGE_IN_CHAIN | STAGE_RECIPIENT },
	[PN_STAGE_PROTECT] = { "protect", STAGE_IN_CHAIN | STAGE_ALWAYS },
	[PN_STAGE_SEAL] = { "seal", STAGE_IN_CHAIN | STAGE_MESSAGE },
	[PN_STAGE_OUTCOME] = { "outcome", STAGE_EVERY | STAGE_RECIPIENT },
	[PN_STAGE_TICK] = { "tick", STAGE_EVERY | STAGE_ALWAYS | STAGE_ALONE },
	[PN_STAGE_FLUSH] = { "flush", STAGE_EVERY | STAGE_ALWAYS | STAGE_ALONE },
};

bool
stage_is(int32_t stage, enum stage_trait trait)
{
	return (stages[stage].traits & trait) != 0;
}

const char *
stage_name(int32_t stage)
{
	return stages[stage].name;
}
