/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reading.h - the bytes of a message for hooks that look at all of it, in memory while they do.
 *
 * A large message is not in memory; the contract of pn_txn_bytes() is one range of bytes. What a
 * hook asks for is brought in, against the memory budget, and kept for the entries that follow
 * until the stage has ended. Each transaction has one of its own, made before any hook and locked,
 * because a hook may go on with a transaction that was taken away from it.
 */
#ifndef CORE_POLICY_READING_H
#define CORE_POLICY_READING_H

#include <core/mail/message.h>

struct pn_txn;
struct reading;

struct reading *reading_new(void); /* NULL: out of memory */
void reading_free(struct reading **reading);

/* All of the view, of the original. Empty where they cannot be had, which reading_error() tells. */
struct pn_slice reading_view(const struct pn_txn *txn);
struct pn_slice reading_original(const struct pn_txn *txn);
/* The view in one range, the caller's to release. -ENOMEM, -EIO: as above. */
int reading_hold_view(const struct pn_txn *txn, struct mail_bytes **ret);
/* Those are what the view is made of. */
bool reading_is_view(const struct pn_txn *txn, const struct mail_bytes *bytes);
/* Would it have to be read? */
bool reading_is_large(const struct pn_txn *txn);

/* Why bytes could not be had since the last end; 0: nobody missed any. */
int reading_error(const struct pn_txn *txn);
/* The transaction's owner: nobody reads any more, or the view is another one. */
void reading_end(struct pn_txn *txn);

#endif
