/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - keys and values that outlive the process, for modules that need no tables of their own.
 *
 * The keys belong to the entry of the pipeline: two entries of one module do not see each other's,
 * and an entry that comes back under its old id finds what it left. What several processes or
 * threads change at once is theirs to settle; each call is whole by itself.
 *
 * When: reading at any time. Changing as with pn_db_run(): in `start`, in commands, and in hooks
 * from PN_STAGE_COMMITTED on; earlier, and in a trial, -EROFS. Threads and blocking: every function
 * here may block for milliseconds; a PN_QUICK hook gets -EWOULDBLOCK. Errors: 0 or a negative errno
 * with the text in `err` (which may be NULL).
 */
#ifndef POSTERN_STORE_H
#define POSTERN_STORE_H

#include <postern/base.h>

struct pn_call;

#define PN_STORE_KEY_MOST   200   /* bytes of a key; UTF-8 without control characters, not empty */
#define PN_STORE_VALUE_MOST 65536 /* bytes of a value; any bytes, also none */

/*
 * `*ret` lives until the hook (or `start`, or the command) returns. -ENOENT: there is no such key,
 * or it has expired.
 */
PN_PUBLIC int pn_store_get(
    struct pn_call *call, const char *key, struct pn_slice *ret, struct pn_error *err);

/*
 * Makes or replaces; durable when it returns. `keep_ms`: milliseconds from now after which it is
 * gone, 0: never. -EINVAL for a key that is none or a negative time, -E2BIG for a value too large,
 * -ECANCELED when the call's time is up.
 */
PN_PUBLIC int pn_store_put(struct pn_call *call, const char *key, struct pn_slice value,
    int64_t keep_ms, struct pn_error *err);

/* 0 also where there was none. */
PN_PUBLIC int pn_store_delete(struct pn_call *call, const char *key, struct pn_error *err);

/*
 * Called for one key after another; key and value live until it returns. A value other than 0 stops
 * and is returned by pn_store_each(). It may use the store; keys that are made meanwhile may or may
 * not come.
 */
typedef int pn_store_fn(void *arg, const char *key, struct pn_slice value);

/* All keys that begin with `prefix` ("": all), in the order of their bytes. */
PN_PUBLIC int pn_store_each(
    struct pn_call *call, const char *prefix, pn_store_fn *each, void *arg, struct pn_error *err);

#endif
