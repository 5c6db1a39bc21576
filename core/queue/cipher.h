/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cipher.h - encryption of the spool: a key for each segment, wrapped in its header, and records
 * encrypted with it. What is encrypted with what stands in record.h, ENCRYPTION.
 *
 * tail.c encrypts what it writes; scan.c and spool_read() open what they read. Nobody else in the
 * queue sees ciphertext but aside.c, which copies it.
 */
#ifndef CORE_QUEUE_CIPHER_H
#define CORE_QUEUE_CIPHER_H

#include <core/config/keyring.h>
#include <core/queue/record.h>

#define CIPHER_TAG 16u
/* Bytes of a segment's header: the wrapped key, and what its wrapping is bound to. */
#define CIPHER_WRAP  96u
#define CIPHER_BOUND 32u

/* Of a segment's header: what it takes to open the segment. */
struct cipher_wrap {
	bool encrypted;
	char bound[CIPHER_BOUND], bytes[CIPHER_WRAP];
};
/* Of the key that wraps; NUL-terminated. */
void cipher_key_name(const struct cipher_wrap *wrap, char ret[KEYRING_NAME + 1]);

/* One segment's key, for one thread at a time. */
struct cipher;
/* A fresh key, wrapped by the first of `keys`; `wrap->bound` is set. -EIO, -ENOMEM. */
int cipher_make(const struct keyring *keys, struct cipher_wrap *wrap, struct cipher **ret);
/* -ENOKEY: no key of that name, or another one; -ENOMEM. */
int cipher_open(const struct keyring *keys, const struct cipher_wrap *wrap, struct cipher **ret);
void cipher_free(struct cipher **cipher);

/* Which part of a record: the end of its nonce. */
enum cipher_part { CIPHER_HEAD = 0, CIPHER_BODY = 1 };

/* Lengths as they are with tags. An empty body has none. */
void cipher_lengths(struct record_header *header);
/* And back. -EBADMSG: too short for a tag. */
int cipher_clear_lengths(struct record_header *header);

/*
 * Encrypting one part, in steps of any size: begin, add ..., end. The header has its epoch, its
 * sequence, and the lengths with tags; its CRCs do not matter. -EIO: cannot be.
 */
int cipher_begin(struct cipher *cipher, const struct record_header *header, enum cipher_part part);
int cipher_add(struct cipher *cipher, struct pn_slice clear, char *ret);
int cipher_end(struct cipher *cipher, char ret_tag[CIPHER_TAG]);

/*
 * Opening one in steps: begin, cipher_add() ..., end. -EBADMSG as below: what was returned before
 * counts for nothing then.
 */
int cipher_open_begin(
    struct cipher *cipher, const struct record_header *header, enum cipher_part part);
int cipher_open_end(struct cipher *cipher, const char tag[CIPHER_TAG]);
/*
 * Opens a whole part: `encrypted` with its tag, `ret` has room for it without; both may be the same
 * bytes. -EBADMSG: it is not what was encrypted, and nothing that is in `ret` may be used.
 */
int cipher_open_part(struct cipher *cipher, const struct record_header *header,
    enum cipher_part part, struct pn_slice encrypted, char *ret);

#endif
