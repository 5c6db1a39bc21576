/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effective.h - an entry's settings as they are for one sender, with what `prepare` made of them.
 *
 * Made when they are first asked for and kept with the generation, one per distinct set of
 * overrides: two senders whom the same overrides concern share one. Counted by reference, so that
 * a call may go on with them whatever else happens. Any thread.
 */
#ifndef CORE_POLICY_EFFECTIVE_H
#define CORE_POLICY_EFFECTIVE_H

#include <core/config/scopes.h>
#include <core/policy/generation.h>
#include <core/policy/txn.h>

struct effective {
	uint32_t references; /* atomic */
	const struct pn_module *module;
	struct arena arena;
	struct settings settings;
	void *derived;
	bool enabled;
	const char *scope; /* "user ada@clinic.example, group doctors": strongest first */
	const char *fault; /* NULL, or why these settings cannot be used */
};

/* The scopes of one entry and what was made of them so far. */
struct entry_scopes;

/* For an entry whose module and layers are known. NULL: no memory. */
struct entry_scopes *entry_scopes_new(const struct chain_entry *entry, struct blobs *blobs);
void entry_scopes_free(struct entry_scopes **scopes);
/*
 * Fills in every set of overrides that the configuration can tell, follows all that is to be read
 * from files, and complains of what does not fit; what was complained of at the same place before
 * is not said twice. `thorough`: with `check` and `prepare`. What is
 * stored in the database is only warned of.
 */
void entry_scopes_check(struct entry_scopes *scopes, struct settings_secrets **secrets,
    bool thorough, struct diags *diags);
/* Is this about something that is stored in the database? */
bool effective_is_stored(const struct diag *diag);
/* After the check: does any set of overrides leave the entry switched on? */
bool entry_scopes_any_enabled(const struct entry_scopes *scopes);

enum effective_step {
	EFFECTIVE_ON,  /* the hook is to run; `ret` is what it sees, NULL: the entry's own */
	EFFECTIVE_OFF, /* switched off for this sender, by `ret` or (NULL) by the section */
	EFFECTIVE_MAKE /* the module's own code has to run first, as a hook does: for `ret_stack` */
};
/* What holds for the transaction's sender at this stage. `ret` is held for the caller. */
enum effective_step effective_find(const struct chain_entry *entry, struct pn_txn *txn,
    int32_t stage, struct scope_stack *ret_stack, struct effective **ret);
/* What holds for the mail of somebody, made in here: for commands. Held; NULL: the entry's own. */
struct effective *effective_for(const struct chain_entry *entry, const struct config_scope *scope);
/* The same of settings that are at hand. */
enum effective_step effective_step(const struct effective *effective, int32_t stage);

/*
 * No two threads make the same settings. On a thread that may block: waits until monotonic
 * `until_ms` for whoever makes them, but not longer than he was given.
 */
enum effective_claim {
	EFFECTIVE_FOUND,  /* `ret` is held */
	EFFECTIVE_YOURS,  /* effective_make() has to follow */
	EFFECTIVE_NOT_YET /* somebody else's, who is late */
};
enum effective_claim effective_claim(const struct chain_entry *entry,
    const struct scope_stack *stack, int64_t until_ms, struct effective **ret);
/*
 * Runs the module's `check` and `prepare`: what is to be done around hooks has to be done around
 * this. Held; never NULL. It is kept for the others even where nobody waits for it any more.
 */
struct effective *effective_make(const struct chain_entry *entry, const struct scope_stack *stack);
/* "user ada@clinic.example, group doctors" */
const char *effective_scope(
    const struct chain_entry *entry, const struct scope_stack *stack, struct arena *arena);
struct effective *effective_hold(struct effective *effective);
void effective_release(struct effective **effective);

#endif
