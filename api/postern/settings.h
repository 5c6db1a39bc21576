/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - how a module says which settings it takes.
 *
 * A module declares a plain struct and, beside it, a table with one row per key. The table is the
 * only source: checking with line and column, defaults, `posternctl help`, the man page and the
 * JSON Schema all come from it. The core fills the struct before any hook runs; hooks see it const.
 *
 *	struct taglines { const char *text; uint64_t max_body; };
 *
 *	static const struct pn_option taglines_options[] = {
 *		PN_OPT_STRING("text", struct taglines, text, NULL, PN_REQUIRED,
 *		    "Line added at the end of each text part, in UTF-8."),
 *		PN_OPT_SIZE("max_body", struct taglines, max_body, "1m", 1, INT64_MAX, 0,
 *		    "Leave larger messages alone."),
 *		PN_OPT_END
 *	};
 *
 * Ownership: everything in a settings struct belongs to the core and lives as long as the
 * generation of the configuration does; a hook may use it until it returns.
 *
 * Field types are compared by the compiler: a row of the wrong macro for its field does not build.
 */
#ifndef POSTERN_SETTINGS_H
#define POSTERN_SETTINGS_H

#include <postern/base.h>

/* What a row reads, and the C type of its field. */
enum pn_option_type {
	PN_TYPE_END = 0,
	PN_TYPE_STRING,   /* const char *       UTF-8 text without NUL */
	PN_TYPE_BOOL,     /* bool               yes/no, true/false, on/off */
	PN_TYPE_INT,      /* int64_t            decimal */
	PN_TYPE_SIZE,     /* int64_t            bytes; k, m, g, t are powers of 1,024 */
	PN_TYPE_DURATION, /* int64_t            milliseconds; written 250ms, 20s, 10m, 4h, 5d, 2w,
			     7y */
	PN_TYPE_CHOICE,   /* int                one of a fixed set of words */
	PN_TYPE_SECRET, /* struct pn_secret * a value kept out of logs, dumps and ordinary memory */
	PN_TYPE_GROUP,  /* a struct           nested keys */
	PN_TYPE_STRINGS, /* struct pn_strings  a list of strings; a single string is a list of one
			  */
	PN_TYPE_LIST,    /* struct pn_list     a list of structs */
	PN_TYPE_MAP,     /* struct pn_map      words of the user's choice, each with a struct */
	PN_TYPE_UNION,   /* struct pn_list of struct pn_tagged: a list of one-key maps or bare words
			  */
};

/* Flags of a row. */
#define PN_REQUIRED 0x01u /* no default: leaving it out, or a list or map empty, is an error */
#define PN_PATH     0x02u /* STRING, STRINGS: a path, made absolute against the YAML file's folder */
/*
 * May be overridden per account, domain, group and user, without code in the module: pn_settings()
 * is what holds for the sender. On a group of options, with all that is in it; no flag for rows in
 * lists, maps and unions, which are overridden as a whole. A key that is PN_REQUIRED as well may be
 * given by scopes alone: the entry is then off for everybody else, and where pn_settings() is
 * nobody's in particular (`start`, commands), it is NULL, 0 or empty.
 */
#define PN_SCOPED    0x04u
#define PN_FILE_ONLY 0x08u /* never from the database, only from the YAML files */
/*
 * since ABI 5, beside PN_SCOPED: may be overridden per account alone. What concerns all of an
 * account, and is read below it but not changed there.
 */
#define PN_ACCOUNT_ONLY 0x10u
/*
 * since ABI 6, beside PN_SCOPED on a group: whoever overrides something of it overrides all of it,
 * so that no scope gets half of one that belongs together from elsewhere.
 */
#define PN_WHOLE 0x20u

/* Secrets are handed over by `!file` or `!env` in YAML; read them through this, do not copy them.
 */
struct pn_secret;
PN_PUBLIC struct pn_slice pn_secret_bytes(const struct pn_secret *secret);

struct pn_strings {
	size_t count;
	const char *const *items;
};

/* `items` points at `count` structs of the row's nested size. */
struct pn_list {
	size_t count;
	const void *items;
};

/* In the order of the file; keys are unique. `values` points at `count` structs of the nested size.
 */
struct pn_map {
	size_t count;
	const char *const *keys;
	const void *values;
};

/* One item of a UNION: which of the nested rows it is, and the value that this row read. */
struct pn_tagged {
	int32_t tag;       /* index into the nested rows */
	const void *value; /* a struct of nested_size, only the tag's own field filled; NULL for a
			      bare word */
};

struct pn_choice {
	const char *word; /* as written in YAML; the table ends with NULL */
	int value;
	const char *help;
};

struct pn_option {
	const char *name; /* the key, lower case with underscores; NULL in a one-row table: the
			     value itself */
	const char
	    *fallback;    /* the default as it would stand in YAML; NULL: zero, empty or required */
	const char *help; /* one sentence an operator can act on */
	int64_t min, max; /* INT, SIZE in bytes, DURATION in ms; both 0: no bound but the type's */
	const struct pn_choice *choices;
	const struct pn_option *nested; /* GROUP, LIST, MAP, UNION */
	uint32_t nested_size;           /* sizeof the struct that `nested` describes */
	uint32_t offset;                /* of the field */
	uint16_t type;                  /* enum pn_option_type */
	uint16_t flags;
	uint32_t reserved;
};

/* offsetof, and a compile error where the field has another type. */
#define PN_FIELD_(s, f, t) \
	((uint32_t)(offsetof(s, f) + 0 * sizeof(char[_Generic(((s *)0)->f, t : 1)])))

#define PN_OPT_STRING(key, s, f, dflt, flag, text) \
	{ \
		.name = key, .fallback = dflt, .help = text, \
		.offset = PN_FIELD_(s, f, const char *), .type = PN_TYPE_STRING, .flags = flag \
	}
#define PN_OPT_BOOL(key, s, f, dflt, flag, text) \
	{ \
		.name = key, .fallback = dflt, .help = text, .offset = PN_FIELD_(s, f, bool), \
		.type = PN_TYPE_BOOL, .flags = flag \
	}
#define PN_OPT_NUMBER_(key, s, f, dflt, lo, hi, flag, text, kind) \
	{ \
		.name = key, .fallback = dflt, .help = text, .min = lo, .max = hi, \
		.offset = PN_FIELD_(s, f, int64_t), .type = kind, .flags = flag \
	}
#define PN_OPT_INT(key, s, f, dflt, lo, hi, flag, text) \
	PN_OPT_NUMBER_(key, s, f, dflt, lo, hi, flag, text, PN_TYPE_INT)
#define PN_OPT_SIZE(key, s, f, dflt, lo, hi, flag, text) \
	PN_OPT_NUMBER_(key, s, f, dflt, lo, hi, flag, text, PN_TYPE_SIZE)
#define PN_OPT_DURATION(key, s, f, dflt, lo, hi, flag, text) \
	PN_OPT_NUMBER_(key, s, f, dflt, lo, hi, flag, text, PN_TYPE_DURATION)
#define PN_OPT_CHOICE(key, s, f, dflt, words, flag, text) \
	{ \
		.name = key, .fallback = dflt, .help = text, .choices = words, \
		.offset = PN_FIELD_(s, f, int), .type = PN_TYPE_CHOICE, .flags = flag \
	}
#define PN_OPT_SECRET(key, s, f, flag, text) \
	{ \
		.name = key, .help = text, .offset = PN_FIELD_(s, f, const struct pn_secret *), \
		.type = PN_TYPE_SECRET, .flags = flag \
	}
#define PN_OPT_STRINGS(key, s, f, dflt, flag, text) \
	{ \
		.name = key, .fallback = dflt, .help = text, \
		.offset = PN_FIELD_(s, f, struct pn_strings), .type = PN_TYPE_STRINGS, \
		.flags = flag \
	}
/* `choices` for a list of words: each item must be one of them; the field stays a pn_strings. */
#define PN_OPT_WORDS(key, s, f, dflt, words, flag, text) \
	{ \
		.name = key, .fallback = dflt, .help = text, .choices = words, \
		.offset = PN_FIELD_(s, f, struct pn_strings), .type = PN_TYPE_STRINGS, \
		.flags = flag \
	}
/*
 * A nested struct that stands inside the outer one. Left out whole, its required keys are not asked
 * for, unless the group itself is PN_REQUIRED.
 */
#define PN_OPT_GROUP(key, s, f, inner, rows, flag, text) \
	{ \
		.name = key, .help = text, .nested = rows, .nested_size = sizeof(inner), \
		.offset = PN_FIELD_(s, f, inner), .type = PN_TYPE_GROUP, .flags = flag \
	}
#define PN_OPT_LIST(key, s, f, inner, rows, flag, text) \
	{ \
		.name = key, .help = text, .nested = rows, .nested_size = sizeof(inner), \
		.offset = PN_FIELD_(s, f, struct pn_list), .type = PN_TYPE_LIST, .flags = flag \
	}
#define PN_OPT_MAP(key, s, f, inner, rows, flag, text) \
	{ \
		.name = key, .help = text, .nested = rows, .nested_size = sizeof(inner), \
		.offset = PN_FIELD_(s, f, struct pn_map), .type = PN_TYPE_MAP, .flags = flag \
	}
/* `- word: value`, or `- word` alone where the word's row is not PN_REQUIRED. */
#define PN_OPT_UNION(key, s, f, inner, rows, flag, text) \
	{ \
		.name = key, .help = text, .nested = rows, .nested_size = sizeof(inner), \
		.offset = PN_FIELD_(s, f, struct pn_list), .type = PN_TYPE_UNION, .flags = flag \
	}
#define PN_OPT_END \
	{ \
		.type = PN_TYPE_END \
	}

/*
 * A module's `check` and `prepare` report problems that a table cannot express by the path of the
 * setting, as in "rules[2].regex"; the core adds file, line and column. Any number of complaints;
 * the configuration is refused if there was an error. A warning refuses nothing.
 */
struct pn_check;
PN_PUBLIC void pn_complain(struct pn_check *check, const char *path, const char *format, ...)
    PN_PRINTF(3, 4);
PN_PUBLIC void pn_warn(struct pn_check *check, const char *path, const char *format, ...)
    PN_PRINTF(3, 4);

/*
 * For `prepare`: what it made of the same settings before, under the same build of the module, as
 * bytes of its own choice; the checker compiles, and the relay finds what it compiled. `name`
 * ([a-z0-9-], 64 at most) says what it is, and carries a hash of anything else it depends on (a
 * file that a PN_PATH names). Needs a module linked with --build-id, which gcc does by itself.
 *
 * pn_blob_get: false if there is none; `ret` is good until `prepare` returns. It was written by
 * this very code, in another process. pn_blob_put: 0; -EINVAL, a bad name; -E2BIG, too much for all
 * modules together (24 MiB). What is not kept costs time and nothing else.
 */
PN_PUBLIC bool pn_blob_get(struct pn_check *check, const char *name, struct pn_slice *ret);
PN_PUBLIC int pn_blob_put(struct pn_check *check, const char *name, struct pn_slice bytes);

#endif
