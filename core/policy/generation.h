/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.h - one accepted configuration: the core's settings, the pipeline with its modules,
 * the routes. Immutable and counted by reference; `pn_state` alone survives from one to the next.
 */
#ifndef CORE_POLICY_GENERATION_H
#define CORE_POLICY_GENERATION_H

#include <core/config/relay.h>
#include <core/config/roster.h>
#include <core/policy/loader.h>

struct generation;
struct blobs;
struct db;
struct overrides;
struct pn_console;

struct generation_how {
	struct source *source;     /* borrowed while building */
	const char *folder;        /* of the YAML files */
	const char *module_path;   /* folders, separated by ':' */
	uint32_t role;             /* PN_ROLE_RELAY, PN_ROLE_CTL; 0: check only, nothing starts */
	struct db *db;             /* NULL when checking */
	struct generation *before; /* whose states are taken over; NULL: none */
	bool trial;                /* its calls change nothing outside: pn_is_trial() */
	struct blobs *blobs; /* what was compiled before, and where to keep it; NULL: nowhere */
	const struct overrides *overrides; /* what the database has; NULL: nothing */
	/* the directory as somebody has it already; NULL: that of the files and of `db` */
	const struct generation *directory;
};

/* Loads, checks, prepares, starts. All problems in `diags`; -EINVAL if there were errors. */
int generation_build(
    const struct generation_how *how, struct diags *diags, struct generation **ret);
/*
 * `how->before` once more, with other overrides: the same files, modules and settings of the core,
 * without reading any of them; source, folder and module_path are not used.
 */
int generation_again(
    const struct generation_how *how, struct diags *diags, struct generation **ret);
struct generation *generation_hold(struct generation *generation);
void generation_release(struct generation **generation); /* any thread */
/* Calls every entry's `stop`: at the end of the process, when no hook runs any more. */
void generation_stop(struct generation *generation);

const struct config_core *generation_core(const struct generation *generation);
/* The directory as it was when the generation was made. */
const struct roster *generation_roster(const struct generation *generation);
/* records.h: of what the database had; 0 without one. */
int64_t generation_directory_version(const struct generation *generation);
/* True: the database has rows of the directory server by other settings; the roster is older. */
bool generation_directory_held(const struct generation *generation);
uint64_t generation_number(const struct generation *generation);

struct clients;
struct entry_state; /* what `start` made, shared by the generations that use it */

struct entry_scopes;

struct chain_entry {
	const struct config_entry *config;
	const struct pn_module *module;
	bool enabled;             /* for whoever has no overrides */
	struct settings settings; /* the same */
	void *derived;
	const char *fault; /* NULL, or why what the database has for everybody does not fit */
	const struct scopes *layers; /* section and overrides as they were read */
	struct entry_scopes *scopes; /* NULL: nobody has overrides */
	void *state;
	struct pn_verdict (*hooks[PN_STAGE_COUNT])(struct pn_call *, struct pn_txn *);
	uint32_t hook_flags[PN_STAGE_COUNT];
	struct pn_metric *hook_seconds[PN_STAGE_COUNT], *hook_faults[PN_STAGE_COUNT];
	struct entry_state *shared; /* NULL: nothing was started */
	struct clients *clients;    /* NULL: only checked */
	struct slots *slots;        /* calls that may block; NULL where nothing runs (a check) */
};
/* In the order of the pipeline; one that is switched off for everybody has no hooks. */
size_t generation_entries(const struct generation *generation, const struct chain_entry **ret);
/* True if any entry has a hook at that stage. */
bool generation_has(const struct generation *generation, enum pn_stage stage);
/* Milliseconds: the least of all entries' timeouts; INT64_MAX without entries. */
int64_t generation_shortest_timeout(const struct generation *generation);
struct blobs *generation_blobs(const struct generation *generation);
struct db *generation_db(const struct generation *generation);
/* The ways its mail takes, held; before other threads see it. NULL until then, and in a trial. */
struct routes;
void generation_take_routes(struct generation *generation, struct routes *routes);
const struct routes *generation_routes(const struct generation *generation);
bool generation_is_trial(const struct generation *generation);

/*
 * A command of a module of the pipeline by its words ("user", "passwd", ...): the entry and the
 * command, and in `ret_words` how many words name it; NULL if no module has such a command.
 */
const struct pn_command *generation_command(const struct generation *generation, int argc,
    char *const *argv, const struct chain_entry **ret_entry, int *ret_words);
/* Runs it with the arguments behind its name. -EINVAL: the wrong number of them. */
/* `who` asks: the first change it makes goes with a row of the audit log. */
int generation_command_run(struct generation *generation, const char *who,
    const struct chain_entry *entry, const struct pn_command *command, struct pn_console *console,
    int argc, char **argv, struct pn_error *err);

#endif
