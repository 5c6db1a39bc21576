/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - what each stage is about and what it may do: a table, since the stages' numbers only
 * tell when they joined the contract.
 */
#ifndef CORE_POLICY_STAGE_H
#define CORE_POLICY_STAGE_H

#include <postern/module.h>

enum stage_trait {
	STAGE_EVERY = 0x01,     /* every entry runs whatever others said; faults are only logged */
	STAGE_RECIPIENT = 0x02, /* about txn->recipient */
	STAGE_MESSAGE = 0x04,  /* behind the last RCPT: `when` asks whether any recipient matches */
	STAGE_IN_CHAIN = 0x08, /* its time counts against the chain's */
	STAGE_IN_SESSION = 0x10, /* before MAIL: has a time of its own */
	STAGE_EFFECTS = 0x20,    /* sees what the entry staged */
	STAGE_ALWAYS = 0x40,     /* `when` is not asked */
	STAGE_ALONE = 0x80,      /* never twice at a time for one entry */
};

bool stage_is(int32_t stage, enum stage_trait trait);
/* "message"; "start" outside hooks. */
const char *stage_name(int32_t stage);

#endif
