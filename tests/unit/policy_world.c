/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_world.c - makes what a module needs to run, without a relay around it.
 *
 * Used by the unit tests that load modules. Everything lives in one folder that goes at the end.
 */
#include "policy_world.h"
#include <check.h>
#include <core/store/tables.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char core_yaml[] = "relay:\n"
				"  hostname: relay.example.org\n"
				"  listeners:\n"
				"    - { name: submission, address: \"127.0.0.1:0\", tls: none }\n"
				"routes:\n"
				"  - { to: discard }\n"
				"pipeline:\n";

static const char *
module_path(void)
{
	static char path[2000];
	const char *build = getenv("POSTERN_BUILDDIR");

	if (!build)
		build = ".";
	snprintf(path, sizeof(path), "%s/tests/modules/.libs:%s/modules/.libs", build, build);
	return path;
}

const char *
world_path(const struct world *world, const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", world->folder, name);
	return path;
}

const char *
world_file(const struct world *world, const char *name)
{
	static char text[4000];
	FILE *file = fopen(world_path(world, name), "r");
	size_t len = 0;

	if (file) {
		len = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
	}
	text[len] = '\0';
	return text;
}

void
world_open(struct world *world)
{
	struct pn_error err = { 0 };

	memset(world, 0, sizeof(*world));
	strcpy(world->folder, "/tmp/postern-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(world->folder));
	ck_assert_int_eq(source_files(&world->source), 0);
	ck_assert_msg(
	    db_open(world_path(world, "postern.db"), false, &world->db, &err) == 0, "%s", err.text);
	ck_assert_msg(tables_migrate(world->db, &err) == 0, "%s", err.text);
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	return remove(path);
}

void
world_close(struct world *world)
{
	txn_free(&world->txn);
	if (world->generation)
		generation_stop(world->generation);
	generation_release(&world->generation);
	diags_free(&world->diags);
	db_close(&world->db);
	source_free(&world->source);
	nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
write_config(const struct world *world, const char *pipeline, const char *sections)
{
	FILE *file = fopen(world_path(world, "test.yaml"), "w");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "%s%s%s", core_yaml, pipeline, sections);
	ck_assert_int_eq(fclose(file), 0);
}

int
world_build(struct world *world, uint32_t role, const char *pipeline, const char *sections)
{
	struct generation *built = NULL;
	struct generation_how how = { world->source, world->folder, module_path(), role,
		role ? world->db : NULL, world->generation, world->trial };
	int r;

	write_config(world, pipeline, sections);
	diags_free(&world->diags);
	r = generation_build(&how, &world->diags, &built);
	if (r < 0)
		return r;
	txn_free(&world->txn);
	generation_release(&world->generation);
	world->generation = built;
	return 0;
}

const char *
world_diags(struct world *world)
{
	const char *text = "";

	diags_sort(&world->diags);
	for (size_t i = 0; i < world->diags.count; i++)
		text = arena_printf(&world->diags.arena, "%s%s\n", text,
		    diag_format(&world->diags.items[i], &world->diags.arena));
	return text;
}

void
world_run(struct world *world, const char *pipeline, const char *sections)
{
	int r = world_build(world, PN_ROLE_RELAY, pipeline, sections);

	ck_assert_msg(r == 0, "%s", world_diags(world));
}

void
world_begin(struct world *world)
{
	static const struct mail_facts facts = {
		.client_address = "192.0.2.7",
		.client_literal = "[192.0.2.7]",
		.listener = "submission",
		.helo = "client.example",
		.esmtp = true,
	};

	txn_free(&world->txn);
	world->txn = txn_new(world->generation, &facts);
	ck_assert_ptr_nonnull(world->txn);
	txn_begin(world->txn);
	world->txn->envelope.sender = world->txn->envelope.original_sender = "one@example.org";
}

void
world_message(struct world *world, const char *text)
{
	struct mail_bytes *bytes;

	ck_assert_int_eq(mail_bytes_new(strlen(text), &bytes), 0);
	ck_assert_int_eq(mail_bytes_append(bytes, text, strlen(text), 1 << 20), 0);
	ck_assert_int_eq(txn_set_message(world->txn, bytes, 1000), 0);
}

enum ruling_kind
world_stage(struct world *world, enum pn_stage stage)
{
	struct chain_run run = { 0 };
	bool may_block = false;

	for (world->hops = 0;
	     chain_run(&run, world->txn, stage, may_block, &world->ruling) == CHAIN_HOP;
	     world->hops++) {
		ck_assert(!may_block);
		may_block = true;
	}
	return world->ruling.kind;
}

enum ruling_kind
world_recipient(struct world *world, const char *address)
{
	struct pn_txn *txn = world->txn;
	enum ruling_kind kind;

	mail_envelope_add(&txn->envelope, &txn->arena, address);
	txn->recipient = (int32_t)txn->envelope.count - 1;
	kind = world_stage(world, PN_STAGE_RECIPIENT);
	if (kind != RULING_PASS)
		mail_envelope_remove(&txn->envelope, (size_t)txn->recipient);
	txn->recipient = -1;
	return kind;
}

unsigned
world_committed(struct world *world, const struct item *item)
{
	struct pn_txn *txn = txn_of_item(world->generation, item, item->bytes);
	struct chain_run run = { 0 };
	struct ruling ruling;

	ck_assert_int_eq(chain_run(&run, txn, PN_STAGE_COMMITTED, true, &ruling), CHAIN_DONE);
	txn_free(&txn);
	return run.faults;
}
