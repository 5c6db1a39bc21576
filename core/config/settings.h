/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - fills a settings struct from a tree by a table of options.
 *
 * Every problem goes to `diags` with its mark: unknown keys with the nearest valid one, wrong
 * types, values out of range, required keys left out (at the mark of the map that lacks them).
 */
#ifndef CORE_CONFIG_SETTINGS_H
#define CORE_CONFIG_SETTINGS_H

#include <core/config/tree.h>
#include <postern/settings.h>

/* Where each value of a filled struct came from: for pn_complain() by path. */
struct settings_marks;

struct settings {
	void *values; /* a struct of the table's size, in `arena` */
	struct settings_marks *marks;
};

/*
 * `where` is how the section is called in diagnostics ("relay.tls"). `node` NULL: defaults only,
 * at `mark`. `row_size` is sizeof(struct pn_option) in the module's eyes. Secrets are in memory
 * that `settings_secrets_free` wipes: they are chained to the arena's owner through `secrets`.
 *
 * A top-level key `enabled` that the table lacks is passed over: it is the pipeline's switch. 0, or
 * -EINVAL where an error was added; `ret` is filled as far as it goes and outlives the tree.
 */
struct settings_secrets;
int settings_fill(const struct config_tree *tree, const char *where, struct config_node *node,
    struct config_mark mark, const struct pn_option *rows, size_t row_size, size_t size,
    struct arena *arena, struct settings_secrets **secrets, struct diags *diags,
    struct settings *ret);
void settings_secrets_free(struct settings_secrets **secrets);

/* The mark of a path such as "rules[2].regex", or of the nearest thing above it. */
struct config_mark settings_mark(const struct settings *settings, const char *path);

/* Complaints of a module's check and prepare. */
struct blob_access; /* the policy part's */
struct pn_check {
	const struct settings *settings;
	const char *where;
	struct diags *diags;
	struct blob_access *blobs; /* NULL: none */
};

/* Help for people: every option, its type, range, unit, default. Text in `ret`. */
int settings_help(const struct pn_option *rows, size_t row_size, struct buf *ret);
/* The same as a list of mdoc(7), for man pages. */
int settings_mdoc(const struct pn_option *rows, size_t row_size, struct buf *ret);
/*
 * A table's own consistency, for tests and before a stranger's table is used: "text: no help". NULL
 * when sound; what comes back is good until this thread's next call.
 */
const char *settings_table_fault(const struct pn_option *rows, size_t row_size);
/* The same, and that every field lies inside a struct of `size`. */
const char *settings_struct_fault(const struct pn_option *rows, size_t row_size, size_t size);

#endif
