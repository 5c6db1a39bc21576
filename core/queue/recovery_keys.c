/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery_keys.c - which segments cannot be read at this start for want of a key.
 *
 * Called by recovery.c before it reads. A segment that no key opens is left alone, and so are those
 * before it: only it could say what became of their messages, and to send those again would be
 * worse than to let them wait. Must never change a file.
 */
#include <core/queue/spool_core.h>
#include <errno.h>
#include <stdio.h>

/* 0, or 1: locked. */
static int
try_keys(struct spool *spool, const struct segment *segment)
{
	struct cipher *cipher = NULL;
	int r = spool_keys_open(spool, &segment->wrap, &cipher);

	cipher_free(&cipher);
	return r == -ENOKEY ? 1 : r;
}

static void
report(struct spool *spool, const struct spool_recovery *calls, const struct segment *segment,
    const char *what)
{
	char path[SPOOL_PATH];

	spool_segment_path(spool, segment->slot, path);
	if (calls->damaged)
		calls->damaged(calls->arg, path, what);
}

static void
report_locked(
    struct spool *spool, const struct spool_recovery *calls, const struct segment *segment)
{
	char name[KEYRING_NAME + 1], text[300];

	cipher_key_name(&segment->wrap, name);
	snprintf(text, sizeof(text),
	    "encrypted with the key \"%s\", %s relay.spool.encrypt_with; left alone with the mail "
	    "in it until that key is there at a start",
	    name,
	    keyring_find(spool->known, name) < 0 ? "which is not in"
						 : "and that is another one in");
	report(spool, calls, segment, text);
}

static void
report_before(struct spool *spool, const struct spool_recovery *calls,
    const struct segment *segment, const struct segment *locked)
{
	char name[KEYRING_NAME + 1], text[300];

	cipher_key_name(&locked->wrap, name);
	snprintf(text, sizeof(text),
	    "left alone: what became of the mail in it stands behind it, encrypted with the key "
	    "\"%s\"",
	    name);
	report(spool, calls, segment, text);
}

int
recovery_lock(struct spool *spool, const struct spool_recovery *calls)
{
	const struct segment *last = NULL;
	int r;

	for (guint i = spool->segments->len; i-- > 0;) {
		struct segment *segment = g_ptr_array_index(spool->segments, i);

		r = try_keys(spool, segment);
		if (r < 0)
			return r;
		if (r > 0)
			report_locked(spool, calls, segment);
		else if (last)
			report_before(spool, calls, segment, last);
		if (r > 0 && !last)
			last = segment;
		segment->locked = last != NULL;
	}
	return 0;
}
