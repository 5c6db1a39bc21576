/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reading.c - brings a message into memory for hooks that look at all of it.
 *
 * Called by the pn_* functions of hooks, and at the end of a stage. Must never let a hook mistake
 * what could not be read for an empty message: hook.c asks for the error behind each.
 */
#include <core/policy/reading.h>
#include <core/policy/txn.h>
#include <pthread.h>
#include <stdlib.h>

struct reading {
	pthread_mutex_t lock;
	struct mail_bytes *view, *original; /* held; in memory */
	int error;
};

struct reading *
reading_new(void)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	if (reading)
		pthread_mutex_init(&reading->lock, NULL);
	return reading;
}

void
reading_free(struct reading **reading)
{
	struct reading *old = *reading;

	*reading = NULL;
	if (!old)
		return;
	mail_bytes_release(&old->view);
	mail_bytes_release(&old->original);
	pthread_mutex_destroy(&old->lock);
	free(old);
}

/* Under the lock: one hook has several threads at most, and all want the same. */
static int
bring(struct reading *reading, struct mail_bytes *bytes, struct mail_bytes **at)
{
	int r = 0;

	pthread_mutex_lock(&reading->lock);
	if (!*at)
		r = mail_bytes_whole(bytes, at);
	if (r < 0)
		reading->error = r;
	pthread_mutex_unlock(&reading->lock);
	return r;
}

static struct pn_slice
all_of(struct reading *reading, struct mail_bytes *bytes, struct mail_bytes **at)
{
	if (!bytes)
		return pn_slice(NULL, 0);
	if (!bytes->rest)
		return mail_bytes_front(bytes);
	return bring(reading, bytes, at) < 0 ? pn_slice(NULL, 0) : mail_bytes_front(*at);
}

struct pn_slice
reading_view(const struct pn_txn *txn)
{
	return all_of(txn->reading, txn->view, &txn->reading->view);
}

struct pn_slice
reading_original(const struct pn_txn *txn)
{
	if (txn->original == txn->view)
		return reading_view(txn);
	return all_of(txn->reading, txn->original, &txn->reading->original);
}

int
reading_hold_view(const struct pn_txn *txn, struct mail_bytes **ret)
{
	int r = txn->view->rest ? bring(txn->reading, txn->view, &txn->reading->view) : 0;

	if (r == 0)
		*ret = mail_bytes_hold(txn->view->rest ? txn->reading->view : txn->view);
	return r;
}

bool
reading_is_view(const struct pn_txn *txn, const struct mail_bytes *bytes)
{
	bool is;

	pthread_mutex_lock(&txn->reading->lock);
	is = bytes == txn->view || bytes == txn->reading->view;
	pthread_mutex_unlock(&txn->reading->lock);
	return is;
}

bool
reading_is_large(const struct pn_txn *txn)
{
	return (txn->view && txn->view->rest) || (txn->original && txn->original->rest);
}

int
reading_error(const struct pn_txn *txn)
{
	int error;

	pthread_mutex_lock(&txn->reading->lock);
	error = txn->reading->error;
	pthread_mutex_unlock(&txn->reading->lock);
	return error;
}

void
reading_end(struct pn_txn *txn)
{
	struct reading *reading = txn->reading;

	if (txn->parts && reading_is_large(txn))
		mail_parts_release(&txn->parts);
	pthread_mutex_lock(&reading->lock);
	mail_bytes_release(&reading->view);
	mail_bytes_release(&reading->original);
	reading->error = 0;
	pthread_mutex_unlock(&reading->lock);
}
