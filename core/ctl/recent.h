/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent.h - the last log lines that speak of a message, kept in memory for `posternctl trace`.
 *
 * Any thread; a fixed ring of bytes, the oldest lines go first.
 */
#ifndef CORE_CTL_RECENT_H
#define CORE_CTL_RECENT_H

#include <core/base/buf.h>

/* Begins to keep lines; `size` in bytes. Once per process. */
int recent_start(size_t size);
/* Every line kept that has the field id=ID, oldest first, each with its newline. */
int recent_find(const char *id, struct buf *ret);

#endif
