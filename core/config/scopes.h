/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scopes.h - one entry's settings for accounts, domains, groups and users.
 *
 *	legal:
 *	  text: "for everybody"
 *	  users: { "ada@clinic.example": { text: "for Ada" } }
 *
 * What a scope overrides is a layer over the section; layers lie over one another, weakest below:
 * account, domain, groups, user. Maps merge by key, scalars and lists replace. Only keys that the
 * table flags PN_SCOPED can be overridden, and `enabled`.
 *
 * Read once per configuration on one thread; from then on read-only, and any thread may fill.
 */
#ifndef CORE_CONFIG_SCOPES_H
#define CORE_CONFIG_SCOPES_H

#include <core/config/roster.h>
#include <core/config/settings.h>

/* Weakest first. */
enum config_scope_kind {
	SCOPE_DEFAULT,
	SCOPE_ACCOUNT,
	SCOPE_DOMAIN,
	SCOPE_GROUP,
	SCOPE_USER,
	SCOPE_KINDS
};
/* "account"; "default" for the section itself. */
const char *scope_word(enum config_scope_kind kind);
/* "accounts"; NULL for SCOPE_DEFAULT. */
const char *scope_key(enum config_scope_kind kind);
/* The name in the form in which layers are compared. -EINVAL: not a domain, not an address. */
int scope_name(enum config_scope_kind kind, const char *name, char ret[MAIL_ADDRESS_SIZE]);

/*
 * May a row be overridden per scope? `inherited`: a PN_SCOPED group of options stands above it.
 * For whoever writes help, man pages or schemas out of tables.
 */
static inline bool
scope_allows(const struct pn_option *row, bool inherited)
{
	return inherited || row->flags & PN_SCOPED;
}
/* What makes a row's place in a table a wrong one: a key named like a scope. NULL when sound. */
const char *scopes_table_fault(const struct pn_option *rows, size_t row_size);

struct scope_layer {
	enum config_scope_kind kind;
	const char *name;               /* as scope_name() gives it */
	const char *where;              /* "legal.users.ada@clinic.example", in diagnostics */
	const char *text;               /* "user ada@clinic.example", in the trace */
	const struct config_node *node; /* a map of what it overrides */
	const char *fault;              /* NULL, or why what is stored for it does not fit */
};

/*
 * A value that the database has. It does not refuse a configuration: one that does not fit (any
 * more) is warned of, and whoever it was for gets a fault, never weaker settings than it says.
 */
struct stored_setting {
	enum config_scope_kind kind;
	const char *name, *path, *value; /* `value` is YAML */
	const char
	    *label; /* NULL; else it is about to be stored: complaints are errors, in LABEL */
};
/* What stands in a mark instead of a file's name, with line 0. */
#define SCOPES_STORED "database"
/* And for the path of what is about to be stored, whose value is in LABEL. */
#define SCOPES_KEY "the key"

struct scopes_how {
	const struct config_tree *tree;
	const struct config_directory *directory; /* what YAML may name */
	const struct roster *roster;              /* what there is besides */
	const char *where;                        /* the entry's id */
	struct config_mark mark;                  /* of the entry, where it has no section */
	const struct pn_option *rows;
	size_t row_size, size;
	struct arena *arena; /* the tree's life, or longer */
	const struct stored_setting *stored;
	size_t stored_count;
};

/* The plan of whom the scope is in, where it is without the entry; NULL: it is not, or nobody's. */
const char *scopes_plan_without(
    const struct scopes_how *how, enum config_scope_kind kind, const char *name);

struct scopes {
	struct scopes_how how;
	const struct config_node *section; /* without the scopes; NULL: none, or empty */
	const struct config_node *plain;   /* the same without what is stored */
	const char *fault;                 /* as a layer's, for everybody */
	size_t count;
	struct scope_layer *layers; /* by kind and name */
};

/* Reads the section of the tree and the scopes in it. Complains; what is left is sound. */
void scopes_read(const struct scopes_how *how, struct diags *diags, struct scopes *ret);

/* Indexes of layers, weakest first: what applies to a sender. */
#define SCOPES_GROUPS 256 /* that have overrides in one section: YAML's and the database's */
#define SCOPES_DEEP   (SCOPE_KINDS - 2 + SCOPES_GROUPS)
struct scope_stack {
	size_t count;
	uint32_t layers[SCOPES_DEEP];
};
void scopes_match(
    const struct scopes *scopes, const struct config_scope *sender, struct scope_stack *ret);

/* Where to fill to. */
struct scopes_fill {
	struct arena *arena;
	struct settings_secrets **secrets;
	struct diags *diags;
};
/*
 * The effective settings of a stack, an empty one for the default. `ret_enabled`: the switch.
 * `ret_lacking` is for the default: the path of a required key that only scopes may give, with
 * which the settings are not to be used; NULL where the key must be there. 0, or -EINVAL where an
 * error was added.
 */
int scopes_fill(const struct scopes *scopes, const struct scope_stack *stack,
    const struct scopes_fill *to, struct settings *ret, bool *ret_enabled,
    const char **ret_lacking);

/* As its settings are called in complaints: by the strongest of its layers. */
const char *scopes_where(const struct scopes *scopes, const struct scope_stack *stack);
/* Complaints from number `first` on then go by the layer in which the place stands they name. */
void scopes_blame(const struct scopes *scopes, const struct scope_stack *stack, struct diags *diags,
    size_t first);

/* One setting of a stack as people read it. */
struct scope_value {
	const char *key;         /* "limits.level" */
	const char *value;       /* YAML on one line; what is secret is not told */
	const char *scope;       /* "user ada@clinic.example"; "everybody" */
	struct config_mark mark; /* line 0: the database; no file: the module's own default */
};
/*
 * Every setting that `rows` have, in their order and with `enabled` first; groups of options by
 * what is in them. `only` NULL: all; else that one, or those of that group. -ENOENT: there is none.
 */
int scopes_show(const struct scopes *scopes, const struct scope_stack *stack, const char *only,
    struct arena *arena, void (*each)(void *arg, const struct scope_value *value), void *arg);

/* Every stack that the configuration itself can tell: each layer with what lies below it, each
 * member of a group. */
void scopes_each(const struct scopes *scopes,
    void (*each)(void *arg, const struct scope_stack *stack), void *arg);

#endif
