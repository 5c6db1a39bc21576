/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_world.h - a folder with a configuration, a database, a generation and a transaction, for
 * the tests of policy and of modules. What cannot be made fails the test.
 */
#ifndef TESTS_UNIT_POLICY_WORLD_H
#define TESTS_UNIT_POLICY_WORLD_H

#include <core/config/source.h>
#include <core/policy/chain.h>
#include <core/store/directory.h>

struct world {
	char folder[64];
	struct source *source;
	struct db *db;
	struct diags diags; /* of the last world_build() */
	struct generation *generation;
	struct pn_txn *txn;
	bool trial;           /* for the next world_build() */
	struct ruling ruling; /* of the last stage */
	unsigned hops;        /* how often it asked for a thread */
};

#define WORLD_MESSAGE \
	"From: one@example.org\r\nTo: two@example.org\r\nSubject: hello\r\n\r\nFirst line.\r\n"

void world_open(struct world *world);
void world_close(struct world *world);
/*
 * Builds a generation from `pipeline` (YAML behind "pipeline:") and sections, in place of the one
 * there was, whose states it takes over. Returns what generation_build() does.
 */
int world_build(struct world *world, uint32_t role, const char *pipeline, const char *sections);
/* The same; it must work. */
void world_run(struct world *world, const char *pipeline, const char *sections);
/* All diagnostics, a line each. Borrowed until the next build. */
const char *world_diags(struct world *world);
/* A path in the folder, in a static buffer. */
const char *world_path(const struct world *world, const char *name);
/* All of a file in the folder; "" where there is none; a static buffer. */
const char *world_file(const struct world *world, const char *name);

/* A transaction after MAIL from one@example.org, a session on "submission" from 192.0.2.7. */
void world_begin(struct world *world);
void world_message(struct world *world, const char *bytes);
/* Runs a stage to its end, on the loop as far as that goes. The ruling. */
enum ruling_kind world_stage(struct world *world, enum pn_stage stage);
/* RCPT: adds, runs the stage, takes it away again if it was refused. */
enum ruling_kind world_recipient(struct world *world, const char *address);
/* Runs the committed hooks of an accepted item: how many could not. */
unsigned world_committed(struct world *world, const struct item *item);

#endif
