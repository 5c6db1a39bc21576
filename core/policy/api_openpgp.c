/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_openpgp.c - OpenPGP as modules may ask for it.
 *
 * Called by hooks and providers on policy threads, by `start`, and by commands. The work is done by
 * helper processes (core/crypt). Must never outlast its call.
 */
#include <core/base/clock.h>
#include <core/crypt/keys.h>
#include <core/crypt/pool.h>
#include <core/policy/call.h>
#include <errno.h>
#include <postern/module.h>
#include <unistd.h>

#define PATIENCE_MS 120000 /* where nothing else bounds a call */
#define JSON_MOST   ((uint64_t)16 * 1024 * 1024)
#define KEYS_MOST   2048

static bool
stop(const void *arg)
{
	return call_overdue(arg);
}

static int
ask(struct pn_call *call, struct pool_question *question, struct pool_answer *answer,
    struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(call->generation)->relay;
	int64_t until = clock_monotonic_ms() + PATIENCE_MS;
	int r;

	if (!call->may_block)
		return pn_error_set(err, -EWOULDBLOCK, "OpenPGP is not for a quick hook");
	question->folder = relay->run_directory;
	question->processes = (unsigned)relay->crypt.processes;
	question->due_ms = call->due_ms < until ? call->due_ms : until;
	question->stop = stop;
	question->arg = call;
	r = pool_ask(question, answer, err);
	if (answer->deaths > 0)
		pn_log(call, PN_LOG_WARNING, "%u crypt process%s ended over this (status %d): %s",
		    answer->deaths, answer->deaths == 1 ? "" : "es", answer->status,
		    r < 0 ? "it is not tried again" : "another one did it");
	return r;
}

/* ---- looking at keys ------------------------------------------------------------------------- */

static int
read_at(int fd, uint64_t offset, char *to, size_t len)
{
	while (len > 0) {
		ssize_t n = pread(fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int
pn_openpgp_inspect(struct pn_call *call, struct pn_slice bytes, const char *address, uint32_t flags,
    const struct pn_openpgp_keys **ret, struct pn_error *err)
{
	const struct pn_slice pieces[] = { pn_slice_of(address), bytes };
	struct pool_question question = {
		.work = FRAME_INSPECT,
		.flags = flags & PN_OPENPGP_PINNED ? FRAME_PINNED : 0,
		.pieces = pieces,
		.piece_count = 2,
	};
	struct pn_openpgp_keys *keys = arena_alloc(&call->arena, sizeof(*keys));
	struct pool_answer answer;
	char *json;
	int r;

	*ret = keys;
	if (bytes.len == 0)
		return 0;
	if (bytes.len > UINT32_MAX)
		return pn_error_set(err, -E2BIG, "more keys than can be looked at");
	r = ask(call, &question, &answer, err);
	if (r < 0)
		return r;
	json = answer.size > 0 && answer.size <= JSON_MOST
		   ? arena_alloc(&call->arena, (size_t)answer.size)
		   : NULL;
	r = json ? read_at(answer.out, 0, json, (size_t)answer.size) : -EPROTO;
	if (r == 0)
		r = keys_parse(pn_slice(json, (size_t)answer.size), &call->arena, keys);
	pool_release(&answer);
	return r < 0 ? pn_error_set(err, r, "OpenPGP: the answer makes no sense") : 0;
}

size_t
pn_openpgp_count(const struct pn_openpgp_keys *keys)
{
	return keys->count;
}

const struct pn_openpgp_key *
pn_openpgp_key(const struct pn_openpgp_keys *keys, size_t index)
{
	return index < keys->count ? &keys->keys[index] : NULL;
}

/* ---- encrypting ------------------------------------------------------------------------------ */

#define ARMOUR "-----BEGIN PGP MESSAGE-----"

/* gpg ends lines with LF; mail has CRLF. */
static size_t
with_crlf(const char *from, size_t len, char *to)
{
	char *at = to;

	for (size_t i = 0; i < len; i++) {
		if (from[i] == '\n')
			*at++ = '\r';
		*at++ = from[i];
	}
	return (size_t)(at - to);
}

static int
hand_over(const struct pool_answer *answer, int (*each)(void *arg, struct pn_slice bytes),
    void *arg, struct pn_error *err)
{
	char from[4096], to[2 * sizeof(from)];
	int r = 0;

	for (uint64_t at = 0; at < answer->size && r == 0; at += sizeof(from)) {
		size_t len = answer->size - at < sizeof(from) ? (size_t)(answer->size - at)
							      : sizeof(from);

		r = read_at(answer->out, at, from, len);
		if (r == 0 && at == 0 &&
		    (len < sizeof(ARMOUR) || memcmp(from, ARMOUR, sizeof(ARMOUR) - 1) != 0))
			r = -EPROTO;
		if (r < 0)
			return pn_error_set(err, r, "OpenPGP: the answer cannot be read");
		r = each(arg, pn_slice(to, with_crlf(from, len, to)));
		if (r < 0)
			pn_error_set(err, r, "the encrypted message: %s", strerror(-r));
	}
	if (answer->size == 0)
		r = pn_error_set(err, -EPROTO, "OpenPGP: the answer is empty");
	return r;
}

int
pn_openpgp_encrypt(struct pn_call *call, const struct pn_openpgp_order *order,
    int (*each)(void *arg, struct pn_slice bytes), void *arg, size_t *ret_culprit,
    struct pn_error *err)
{
	struct pool_question question = {
		.work = FRAME_ENCRYPT,
		.flags = order->flags & PN_OPENPGP_HIDDEN ? FRAME_HIDDEN : 0,
		.pieces = order->keys,
		.piece_count = order->key_count,
		.body = order->body,
		.body_count = order->body_count,
	};
	struct pool_answer answer;
	int r;

	if (order->size < sizeof(*order) || order->key_count == 0)
		return pn_error_set(err, -EINVAL, "PN_OPENPGP_HEAD or keys are missing");
	if (order->key_count > KEYS_MOST)
		return pn_error_set(err, -E2BIG, "more than %d keys for one message", KEYS_MOST);
	r = ask(call, &question, &answer, err);
	if (r < 0 && answer.culprit >= 0 && (size_t)answer.culprit < order->key_count) {
		if (ret_culprit)
			*ret_culprit = (size_t)answer.culprit;
		return pn_error_set(
		    err, -EKEYREJECTED, "key %d cannot be encrypted to", answer.culprit + 1);
	}
	if (r < 0)
		return r;
	r = hand_over(&answer, each, arg, err);
	pool_release(&answer);
	return r;
}
