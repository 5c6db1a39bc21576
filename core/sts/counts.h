/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts.h - TLS counts (RFC 8460) as they come, until the database has them.
 *
 * Counted in memory by any thread, which costs a look-up under a lock; written by who may block. A
 * crash loses what was counted since the last flush. Bounded: past it counts are dropped, and that
 * is said.
 */
#ifndef CORE_STS_COUNTS_H
#define CORE_STS_COUNTS_H

#include <core/store/tls_counts.h>

#define TLS_COUNTS_PENDING 20000 /* different ones between two flushes */

struct counts;

struct counts *counts_new(void);
struct counts *counts_hold(struct counts *counts);
void counts_release(struct counts **counts);

/* One session, today; `day` and `number` are set here. */
void counts_note(struct counts *counts, const struct tls_count *count);
/* The policy by which sessions of today are counted; cheap where it is the same as before. */
void counts_note_policy(struct counts *counts, const char *domain, const char *type,
    const char *text, const char *hosts);
/* What fails to be written is counted again by the next one. Blocks. */
int counts_flush(struct counts *counts, struct db *db, struct pn_error *err);

#endif
