/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - a growing byte buffer with a ceiling given when it is made.
 *
 * Reaching the ceiling is an ordinary error (-E2BIG). Not locked: one owner at a time. A buf of
 * zeroes with a ceiling is ready; it allocates on the first byte and owns its memory until freed.
 */
#ifndef CORE_BASE_BUF_H
#define CORE_BASE_BUF_H

#include <postern/base.h>

struct buf {
	char *data;
	size_t len, capacity, ceiling;
};

#define BUF_INIT(most) ((struct buf){ .ceiling = (most) })

/* Room for `more` bytes behind data + len, which the caller fills and then adds to len. */
int buf_reserve(struct buf *buf, size_t more) PN_WARN_UNUSED;
int buf_add(struct buf *buf, const void *bytes, size_t len) PN_WARN_UNUSED;
int buf_add_text(struct buf *buf, const char *text) PN_WARN_UNUSED;
int buf_printf(struct buf *buf, const char *format, ...) PN_PRINTF(2, 3) PN_WARN_UNUSED;
/* Takes `len` bytes from the front. */
void buf_consume(struct buf *buf, size_t len);
struct pn_slice buf_slice(const struct buf *buf);
/* A NUL after the last byte, not counted in len; NULL when out of memory. */
const char *buf_text(struct buf *buf);
void buf_reset(struct buf *buf); /* keeps the memory */
void buf_free(struct buf *buf);  /* keeps the ceiling, may be used again */
void buf_wipe(struct buf *buf);  /* the same for secrets: overwritten first */

#endif
