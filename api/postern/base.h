/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h - the small types that every part of Postern speaks: byte slices, errors, log levels.
 *
 * Nothing here allocates, blocks or keeps state. Every function may be called from any thread.
 */
#ifndef POSTERN_BASE_H
#define POSTERN_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PN_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define PN_WARN_UNUSED         __attribute__((warn_unused_result))
#define PN_PUBLIC              __attribute__((visibility("default")))

/*
 * Bytes with a length. Mail contains NULs, so what comes from the wire is never a C string. A
 * slice owns nothing: whoever hands one out says how long the bytes live. `data` may be NULL only
 * where `len` is 0.
 */
struct pn_slice {
	const char *data;
	size_t len;
};

static inline struct pn_slice
pn_slice(const void *data, size_t len)
{
	return (struct pn_slice){ (const char *)data, len };
}

static inline struct pn_slice
pn_slice_of(const char *text)
{
	return (struct pn_slice){ text, text ? strlen(text) : 0 };
}

static inline bool
pn_slice_equals(struct pn_slice a, struct pn_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/*
 * What went wrong, for people. Functions return 0 or a negative errno and, where they take a
 * `struct pn_error`, put the text there; they do not log. The text is one line, names the thing
 * it speaks of, and never contains a secret or the body of a mail.
 */
struct pn_error {
	int code; /* the negative errno that was returned, 0 when there is no error */
	char text[500];
};

/* Writes the text, cut to fit, and returns `code`; `err` may be NULL. */
PN_PUBLIC int pn_error_set(struct pn_error *err, int code, const char *format, ...) PN_PRINTF(3, 4);

/* Puts "where: " before the text that is there and returns the code. */
PN_PUBLIC int pn_error_in(struct pn_error *err, const char *format, ...) PN_PRINTF(2, 3);

enum pn_level {
	PN_LOG_ERROR,   /* somebody must act */
	PN_LOG_WARNING, /* somebody should look */
	PN_LOG_NOTICE,  /* a normal event worth a line: accepted, delivered, refused */
	PN_LOG_INFO,    /* detail an operator may want */
	PN_LOG_DEBUG,   /* detail an author may want */
};

#endif
