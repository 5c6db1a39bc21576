/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_copy.h - a spool's segments as files, for backup and restore.
 *
 * Called by posternctl, also while a relay writes the spool. Blocks; any thread.
 */
#ifndef CORE_QUEUE_SPOOL_COPY_H
#define CORE_QUEUE_SPOOL_COPY_H

#include <postern/base.h>

struct keyring;

/*
 * Calls `each` for one segment after the other, copied to the file `scratch`, until all mail that
 * was waiting when it began is in what was handed out. Some of that may have been delivered since,
 * and whoever reads the copy as a spool would deliver it again. An error of `each` ends it. -EBUSY:
 * two processes write, since one takes over from the other; what was handed out is worth nothing.
 */
int spool_copy(const char *directory, const char *scratch,
    int (*each)(void *arg, uint64_t number, struct pn_error *err), void *arg, struct pn_error *err);
/* Is there any segment? -errno where nobody can say. */
int spool_copy_has_any(const char *directory, struct pn_error *err);
/* `keys` (NULL: none) open all segments: the number of those that are encrypted. -ENOKEY. */
int spool_copy_check_keys(const char *directory, const struct keyring *keys, struct pn_error *err);

#endif
