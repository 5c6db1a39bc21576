/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - the crypt helpers of this process: small processes that run GPGME, started when there is
 * work for them.
 *
 * A helper that dies in the middle of a question is replaced, and the question asked once more; one
 * that has ended two helpers is refused for an hour. A question that runs out of time ends its
 * helper without counting against anybody. Any thread; blocks.
 */
#ifndef CORE_CRYPT_POOL_H
#define CORE_CRYPT_POOL_H

#include <core/crypt/frame.h>

#define POOL_PROCESSES_MOST 16
#define POOL_WAITING_MOST   512 /* questions; more get -EBUSY */

struct pool_question {
	const char *folder; /* of the homes; NULL or not to be written to: /tmp */
	unsigned processes;

	enum frame_work work;
	uint32_t flags;
	const struct pn_slice *pieces; /* handed over with their lengths */
	size_t piece_count;
	const struct pn_slice *body;
	size_t body_count;

	int64_t due_ms;                /* monotonic: no longer than this */
	bool (*stop)(const void *arg); /* asked now and then; true: -ECANCELED */
	const void *arg;
};

struct pool_answer {
	int out;         /* a file of what was answered; -1: none */
	uint64_t size;   /* of it */
	size_t taken;    /* of the memory budget */
	int culprit;     /* index of a piece; -1 */
	unsigned deaths; /* helpers that ended over this question */
	int status;      /* of the last, as from waitpid */
};

/*
 * 0; -ETIMEDOUT, -ECANCELED; -EBUSY: too many wait; -ENOTRECOVERABLE: it has ended two helpers;
 * -EBADMSG: what the helper says of the data; -ENOMEM: the memory budget (core/mail/message.h);
 * other negative errno.
 */
int pool_ask(const struct pool_question *question, struct pool_answer *ret, struct pn_error *err);
/* Gives the file and its memory back; after a failure there is nothing to give. */
void pool_release(struct pool_answer *answer);

/* Ends all helpers and waits for them; nobody asks any more. */
void pool_end(void);

/* For status and tests: pids of helpers that live, at most `most`; how many. */
size_t pool_pids(int *pids, size_t most);

#endif
