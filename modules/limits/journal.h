/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - what was counted, as bytes: records one behind the other.
 *
 * Pure functions. Bytes come from the database, and may be cut or broken: whoever reads takes what
 * is whole up to there.
 */
#ifndef LIMITS_JOURNAL_H
#define LIMITS_JOURNAL_H

#include <glib.h>
#include <postern/base.h>

enum record_type {
	RECORD_MESSAGE = 1, /* was accepted */
	RECORD_RESET,       /* the counters of user, or of account, began anew */
	RECORD_WARNED       /* of a counter (`which`) of user, or of account */
};

struct record {
	enum record_type type;
	uint8_t which;
	int64_t at;                    /* wall clock, milliseconds */
	uint64_t id;                   /* of the message, hashed */
	struct pn_slice user, account; /* borrowed; empty: none */
	uint32_t recipients;           /* of the message: all of them */
	uint32_t unique;               /* how many hashes follow: none where nobody counts them */
	struct pn_slice hashes;        /* 8 bytes each, by record_hash() */
};

/* Appends; texts longer than 64 KiB are cut. */
void journal_put(GByteArray *journal, const struct record *record);
/* The first record of `rest`, which then begins behind it. False: none is whole there. */
bool journal_next(struct pn_slice *rest, struct record *ret);
uint64_t record_hash(const struct record *record, uint32_t index);

#endif
