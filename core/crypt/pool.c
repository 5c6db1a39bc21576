/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - the crypt helpers of this process, and who asks them when.
 *
 * Called on policy threads and by commands. What a question needs in memory is taken when a helper
 * is free for it, not before: so no more is held than there are helpers.
 */
#include <core/base/clock.h>
#include <core/crypt/pool.h>
#include <core/crypt/process.h>
#include <core/mail/message.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS      100     /* how often `stop` is asked */
#define DEATHS_MOST  2       /* then a question is refused */
#define CULPRITS     64      /* remembered */
#define REMEMBER_MS  3600000 /* for so long */
#define FINGERPRINT  32
#define OUT_MOST     (UINT64_C(2) << 30)
#define ANSWER_SPARE (64u * 1024) /* what an answer takes beside the body */

struct slot {
	struct process process;
	bool busy;
};

struct culprit {
	unsigned char what[FINGERPRINT];
	unsigned deaths; /* 0: free */
	int64_t at_ms;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	bool ready; /* `freed` goes by the monotonic clock */
	struct slot slots[POOL_PROCESSES_MOST];
	unsigned waiting;
	struct culprit culprits[CULPRITS];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- who ended helpers ----------------------------------------------------------------------- */

/* All the bytes: other mail to the same keys is another question. */
static void
fingerprint(const struct pool_question *question, unsigned char ret[FINGERPRINT])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	unsigned int len = 0;
	int32_t kind[2] = { (int32_t)question->work, (int32_t)question->flags };
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(ctx, kind, sizeof(kind)) == 1;

	for (size_t i = 0; i < question->piece_count && ok; i++)
		ok = EVP_DigestUpdate(ctx, question->pieces[i].data, question->pieces[i].len) == 1;
	for (size_t i = 0; i < question->body_count && ok; i++)
		ok = EVP_DigestUpdate(ctx, question->body[i].data, question->body[i].len) == 1;
	if (ok)
		EVP_DigestFinal_ex(ctx, digest, &len);
	EVP_MD_CTX_free(ctx);
	memcpy(ret, digest, FINGERPRINT);
}

/* Locked. */
static struct culprit *
find_culprit(const unsigned char *what)
{
	int64_t now = clock_monotonic_ms();

	for (size_t i = 0; i < CULPRITS; i++) {
		struct culprit *culprit = &pool.culprits[i];

		if (culprit->deaths > 0 && now - culprit->at_ms > REMEMBER_MS)
			culprit->deaths = 0;
		if (culprit->deaths > 0 && memcmp(culprit->what, what, FINGERPRINT) == 0)
			return culprit;
	}
	return NULL;
}

static bool
any_culprit(void)
{
	bool any = false;

	pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < CULPRITS && !any; i++)
		any = pool.culprits[i].deaths > 0;
	pthread_mutex_unlock(&pool.lock);
	return any;
}

static bool
is_refused(const struct pool_question *question)
{
	unsigned char what[FINGERPRINT];
	struct culprit *culprit;
	bool refused;

	if (!any_culprit())
		return false;
	fingerprint(question, what);
	pthread_mutex_lock(&pool.lock);
	culprit = find_culprit(what);
	refused = culprit && culprit->deaths >= DEATHS_MOST;
	pthread_mutex_unlock(&pool.lock);
	return refused;
}

/* How many it has ended by now. */
static unsigned
count_death(const struct pool_question *question)
{
	unsigned char what[FINGERPRINT];
	struct culprit *culprit;
	unsigned deaths;

	fingerprint(question, what);
	pthread_mutex_lock(&pool.lock);
	culprit = find_culprit(what);
	if (!culprit) { /* the oldest makes room */
		culprit = &pool.culprits[0];
		for (size_t i = 0; i < CULPRITS && culprit->deaths > 0; i++)
			if (pool.culprits[i].deaths == 0 || pool.culprits[i].at_ms < culprit->at_ms)
				culprit = &pool.culprits[i];
		memcpy(culprit->what, what, FINGERPRINT);
		culprit->deaths = 0;
	}
	culprit->at_ms = clock_monotonic_ms();
	deaths = ++culprit->deaths;
	pthread_mutex_unlock(&pool.lock);
	return deaths;
}

/* ---- whose turn it is ------------------------------------------------------------------------ */

static int
patience(const struct pool_question *question, struct pn_error *err)
{
	if (question->stop && question->stop(question->arg))
		return pn_error_set(err, -ECANCELED, "the time of this call is up");
	if (clock_monotonic_ms() >= question->due_ms)
		return pn_error_set(err, -ETIMEDOUT, "OpenPGP: no answer in time");
	return 0;
}

/* Locked. */
static void
wait_a_little(const struct pool_question *question)
{
	int64_t until = clock_monotonic_ms() + LOOK_MS;
	struct timespec at;

	if (until > question->due_ms)
		until = question->due_ms;
	at = (struct timespec){ until / 1000, until % 1000 * 1000000 };
	pthread_cond_timedwait(&pool.freed, &pool.lock, &at);
}

/* Locked. One that runs already, if there is one. */
static struct slot *
free_slot(unsigned processes)
{
	struct slot *found = NULL;

	for (unsigned i = 0; i < processes && i < POOL_PROCESSES_MOST; i++) {
		struct slot *slot = &pool.slots[i];

		if (!slot->busy && (!found || (found->process.pid == 0 && slot->process.pid > 0)))
			found = slot;
	}
	return found;
}

/* Locked. */
static void
get_ready(const char *folder)
{
	pthread_condattr_t attr;

	if (pool.ready)
		return;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool.freed, &attr);
	pthread_condattr_destroy(&attr);
	pool.ready = true;
	process_sweep(folder);
}

static int
claim(const struct pool_question *question, struct slot **ret, struct pn_error *err)
{
	struct slot *slot;
	int r = 0;

	pthread_mutex_lock(&pool.lock);
	get_ready(question->folder);
	if (pool.waiting >= POOL_WAITING_MOST) {
		pthread_mutex_unlock(&pool.lock);
		return pn_error_set(err, -EBUSY, "OpenPGP: too many wait already");
	}
	pool.waiting++;
	while (!(slot = free_slot(question->processes)) && (r = patience(question, err)) == 0)
		wait_a_little(question);
	pool.waiting--;
	if (slot)
		slot->busy = true;
	pthread_mutex_unlock(&pool.lock);
	*ret = slot;
	return slot ? 0 : r;
}

static void
give_back(struct slot *slot)
{
	pthread_mutex_lock(&pool.lock);
	slot->busy = false;
	pthread_cond_signal(&pool.freed);
	pthread_mutex_unlock(&pool.lock);
}

/* `pid` is looked at by others. */
static int
start(const struct pool_question *question, struct slot *slot, struct pn_error *err)
{
	struct process process = { 0, -1, "" };
	int r = process_start(question->folder, &process, err);

	pthread_mutex_lock(&pool.lock);
	slot->process = process;
	pthread_mutex_unlock(&pool.lock);
	return r;
}

static int
end(struct slot *slot, bool kindly)
{
	struct process process = slot->process;

	pthread_mutex_lock(&pool.lock);
	slot->process = (struct process){ 0, -1, "" };
	pthread_mutex_unlock(&pool.lock);
	return process.pid > 0 ? process_end(&process, kindly) : 0;
}

/* ---- the files of a question ----------------------------------------------------------------- */

static size_t
size_of(const struct pool_question *question)
{
	size_t size = 0;

	for (size_t i = 0; i < question->piece_count; i++)
		size += sizeof(uint32_t) + question->pieces[i].len;
	for (size_t i = 0; i < question->body_count; i++)
		size += question->body[i].len;
	return size;
}

static int
write_all(int fd, struct pn_slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.data, bytes.len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes.data += n;
			bytes.len -= (size_t)n;
		}
	}
	return 0;
}

static int
fill(const struct pool_question *question, int fd, uint64_t *ret_body)
{
	int r = 0;

	*ret_body = 0;
	for (size_t i = 0; i < question->piece_count && r == 0; i++) {
		uint32_t len = (uint32_t)question->pieces[i].len;

		r = write_all(fd, pn_slice(&len, sizeof(len)));
		if (r == 0)
			r = write_all(fd, question->pieces[i]);
		*ret_body += sizeof(len) + len;
	}
	for (size_t i = 0; i < question->body_count && r == 0; i++)
		r = write_all(fd, question->body[i]);
	return r;
}

static int
make_file(int *ret)
{
	*ret = memfd_create("postern-crypt", MFD_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* 1: answered; 0: the helper is gone; -ETIMEDOUT, -ECANCELED. */
static int
hear(const struct pool_question *question, int fd, struct frame_answer *ret, struct pn_error *err)
{
	struct pollfd look = { .fd = fd, .events = POLLIN };
	int r;

	do {
		r = patience(question, err);
		if (r < 0)
			return r;
		r = poll(&look, 1, LOOK_MS);
	} while (r == 0 || (r < 0 && errno == EINTR));
	r = frame_receive(fd, ret, sizeof(*ret), NULL);
	return r > 0 && ret->magic == FRAME_MAGIC ? 1 : 0;
}

/* As hear(), and the files' budget is the caller's. */
static int
exchange(const struct pool_question *question, struct slot *slot, const int *fds,
    const struct frame_question *head, struct frame_answer *answer, struct pn_error *err)
{
	int r = slot->process.pid > 0 ? 0 : start(question, slot, err);

	if (r < 0)
		return r;
	r = frame_send(slot->process.fd, head, sizeof(*head), fds);
	if (r == -EPIPE) { /* it died before this question came */
		end(slot, false);
		r = start(question, slot, err);
		if (r == 0)
			r = frame_send(slot->process.fd, head, sizeof(*head), fds);
	}
	if (r < 0)
		return r == -EPIPE ? 0
		       : err && err->text[0]
			   ? r
			   : pn_error_set(
				 err, r, "a crypt process cannot be asked: %s", strerror(-r));
	return hear(question, slot->process.fd, answer, err);
}

static int
refuse(struct pn_error *err)
{
	return pn_error_set(err, -ENOTRECOVERABLE,
	    "OpenPGP: this has ended %d crypt processes and is not tried again", DEATHS_MOST);
}

static int
take_answer(
    const struct frame_answer *answer, int out, struct pool_answer *ret, struct pn_error *err)
{
	struct stat st;

	ret->culprit = answer->culprit;
	if (answer->result < 0) {
		char text[sizeof(answer->text)];

		memcpy(text, answer->text, sizeof(text));
		text[sizeof(text) - 1] = '\0';
		for (char *at = text; *at; at++)
			if ((unsigned char)*at < ' ' || *at == 0x7f)
				*at = '?';
		return pn_error_set(err, answer->result, "OpenPGP: %s", text);
	}
	if (answer->result > 0 || fstat(out, &st) < 0 || (uint64_t)st.st_size > OUT_MOST)
		return pn_error_set(err, -EPROTO, "OpenPGP: the answer makes no sense");
	ret->size = (uint64_t)st.st_size;
	return 0;
}

/* The slot is this question's: until there is an answer, or the second helper has died. */
static int
ask(const struct pool_question *question, struct slot *slot, int in, int *out,
    struct pool_answer *ret, struct pn_error *err)
{
	struct frame_question head = { FRAME_MAGIC, (uint32_t)question->work, question->flags,
		(uint32_t)question->piece_count, 0 };
	int r = fill(question, in, &head.body);

	if (r < 0)
		return pn_error_set(err, r, "OpenPGP: memory file: %s", strerror(-r));
	for (;;) {
		struct frame_answer answer;
		int fds[FRAME_FDS] = { in, *out };

		lseek(in, 0, SEEK_SET);
		r = exchange(question, slot, fds, &head, &answer, err);
		if (r > 0)
			return take_answer(&answer, *out, ret, err);
		if (r < 0) {
			end(slot, false);
			return r;
		}
		ret->status = end(slot, false);
		ret->deaths++;
		if (count_death(question) >= DEATHS_MOST)
			return refuse(err);
		close(*out); /* nobody else has it, whatever is left of the one that died */
		r = make_file(out);
		if (r < 0)
			return pn_error_set(err, r, "OpenPGP: memory file: %s", strerror(-r));
	}
}

static int
ask_with_files(const struct pool_question *question, struct slot *slot, struct pool_answer *ret,
    struct pn_error *err)
{
	int in = -1, out = -1, r = make_file(&in);

	if (r == 0)
		r = make_file(&out);
	if (r < 0)
		pn_error_set(err, r, "OpenPGP: memory file: %s", strerror(-r));
	else
		r = ask(question, slot, in, &out, ret, err);
	if (in >= 0)
		close(in);
	if (r == 0) {
		ret->out = out;
		return 0;
	}
	if (out >= 0)
		close(out);
	return r;
}

int
pool_ask(const struct pool_question *question, struct pool_answer *ret, struct pn_error *err)
{
	struct slot *slot;
	size_t room = size_of(question);
	int r;

	*ret = (struct pool_answer){ .out = -1, .culprit = -1 };
	if (is_refused(question))
		return refuse(err);
	r = claim(question, &slot, err);
	if (r < 0)
		return r;
	/* The question, and an answer that is armoured: half as much again is more than enough. */
	room = room + room + room / 2 + ANSWER_SPARE;
	if (mail_memory_take(room) < 0) {
		give_back(slot);
		return pn_error_set(err, -ENOMEM, "OpenPGP: limits.memory has no room now");
	}
	r = ask_with_files(question, slot, ret, err);
	give_back(slot);
	/* What the answer takes stays taken as long as it is there: pool_release(). */
	ret->taken = room;
	if (r < 0)
		pool_release(ret);
	return r;
}

void
pool_release(struct pool_answer *answer)
{
	if (answer->out >= 0)
		close(answer->out);
	answer->out = -1;
	mail_memory_give(answer->taken);
	answer->taken = 0;
}

void
pool_end(void)
{
	for (size_t i = 0; i < POOL_PROCESSES_MOST; i++)
		end(&pool.slots[i], true);
}

size_t
pool_pids(int *pids, size_t most)
{
	size_t count = 0;

	pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < POOL_PROCESSES_MOST && count < most; i++)
		if (pool.slots[i].process.pid > 0)
			pids[count++] = (int)pool.slots[i].process.pid;
	pthread_mutex_unlock(&pool.lock);
	return count;
}
