/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.h - what modules' `prepare` compiled, by what it was compiled from.
 *
 * The checker fills one; it rides with the accepted configuration to the relay, where the same
 * settings under the same code find it. Losing one costs time and nothing else. Counted by
 * reference, locked: any thread.
 */
#ifndef CORE_POLICY_BLOB_H
#define CORE_POLICY_BLOB_H

#include <core/config/scopes.h>
#include <core/policy/loader.h>

#define BLOBS_MOST (24u * 1024 * 1024) /* all together; a frame to the relay has 64 MiB */

struct blobs;
struct blobs *blobs_new(void);
struct blobs *blobs_hold(struct blobs *blobs);
void blobs_release(struct blobs **blobs);
/* For the way between processes. -E2BIG where `ret` is too small. */
int blobs_write(struct blobs *blobs, struct buf *ret);
/* -EBADMSG: damaged; what was read before stays. */
int blobs_read(struct blobs *blobs, struct pn_slice bytes);

/*
 * The way to them in one call of `prepare`; all zero: there are none. `checked` keeps what was
 * got, until it ends.
 */
#define BLOB_KEY 64 /* SHA-256 in hexadecimal */
struct blob_access {
	struct blobs *blobs;
	char key[BLOB_KEY + 1]; /* of settings and code */
	struct blob_got *got;
};
/* For these settings under this module; needs its code to have a build id. */
void blob_access_begin(struct blob_access *access, struct blobs *blobs,
    const struct pn_module *module, const struct scopes *scopes, const struct scope_stack *stack);
void blob_access_end(struct blob_access *access);

/* ---- build_id.c ---- */
#define BUILD_ID_MOST 64
/* The linker's id (--build-id) of the object that holds `address`: how many bytes, 0 if none. */
size_t build_id_of(const void *address, unsigned char ret[BUILD_ID_MOST]);

#endif
