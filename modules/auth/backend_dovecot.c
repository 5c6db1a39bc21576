/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_dovecot.c - asks Dovecot's auth service, over the socket that Postfix and Exim use.
 *
 * Called by login.c on policy threads: one connection for each question. Dovecot waits two seconds
 * with a no (auth_failure_delay); `timeout` has to be longer. What it makes clients' addresses wait
 * beside that, more with each failure, is asked not to be: behind one address of Google's are many
 * users, and throttle.c limits guessing.
 */
#include "backend.h"
#include "dovecot_line.h"
#include "peer.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define ANSWER_MOST  8192
#define REQUEST_MOST 8192
#define MESSAGE_MOST 2052 /* of PLAIN: two fields of at most 1,024 bytes, and their NULs */
#define ID           "1"

/* What has come and is not read yet. */
struct reader {
	struct peer peer;
	char bytes[ANSWER_MOST];
	size_t len, used; /* `used`: of the line that was returned last */
};

/* The next line, without its end; good until the next call. */
static int
next_line(struct reader *reader, struct pn_slice *ret, struct pn_error *err)
{
	char *end;

	memmove(reader->bytes, reader->bytes + reader->used, reader->len - reader->used);
	reader->len -= reader->used;
	reader->used = 0;
	while (!(end = memchr(reader->bytes, '\n', reader->len))) {
		int r;

		if (reader->len == sizeof(reader->bytes))
			return pn_error_set(
			    err, -EBADMSG, "%s: an endless line", reader->peer.path);
		r = peer_receive(&reader->peer, reader->bytes + reader->len,
		    sizeof(reader->bytes) - reader->len, err);
		if (r < 0)
			return r;
		reader->len += (size_t)r;
	}
	*ret = pn_slice(reader->bytes, (size_t)(end - reader->bytes));
	reader->used = ret->len + 1;
	return 0;
}

/* Until a line says something that concerns us. */
static int
next_word(struct reader *reader, struct dovecot_line *ret, struct pn_error *err)
{
	struct pn_slice line;

	do {
		int r = next_line(reader, &line, err);

		if (r < 0)
			return r;
		dovecot_line_read(line, ID, ret);
	} while (ret->word == DOVECOT_OTHER);
	return 0;
}

/* RFC 4616, in base64. False where it is too long. */
static bool
encode(const struct attempt *attempt, char *ret, size_t size)
{
	char message[MESSAGE_MOST + 1];
	int len = snprintf(message, sizeof(message), "%c%s%c%s", 0, attempt->said->user, 0,
	    attempt->said->password);
	bool fits = len >= 0 && (size_t)len < sizeof(message);

	if (fits)
		sodium_bin2base64(ret, size, (const unsigned char *)message, (size_t)len,
		    sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(message, sizeof(message));
	return fits;
}

/*
 * A client is told from others by a number that is to be its process id; two connections at a time
 * with one number are refused, so ours is drawn.
 */
static int
send_request(struct reader *reader, const struct attempt *attempt, struct pn_error *err)
{
	const char *client = pn_txn_client_address(attempt->txn);
	bool local = strcmp(client, "local") == 0;
	char response[2 * MESSAGE_MOST], request[REQUEST_MOST];
	int len, r;

	if (!encode(attempt, response, sizeof(response)))
		return pn_error_set(err, -E2BIG, "the name and the password are too long");
	len = snprintf(request, sizeof(request),
	    "VERSION\t1\t1\nCPID\t%u\nAUTH\t" ID
	    "\tPLAIN\tservice=smtp\tnologin\tno-penalty%s%s%s\tresp=%s\n",
	    randombytes_uniform(INT32_MAX - 1) + 1,
	    local || pn_txn_tls_version(attempt->txn) ? "\tsecured" : "",
	    local ? "" : "\trip=", local ? "" : client, response);
	r = peer_send(&reader->peer, request, (size_t)len, err);
	sodium_memzero(response, sizeof(response));
	sodium_memzero(request, sizeof(request));
	return r;
}

static int
converse(struct reader *reader, const struct attempt *attempt, struct backend_answer *ret,
    struct pn_error *err)
{
	struct dovecot_line line = { .word = DOVECOT_OTHER };
	int r = send_request(reader, attempt, err);

	while (r == 0 && (line.word == DOVECOT_OTHER || line.word == DOVECOT_DONE))
		r = next_word(reader, &line, err);
	if (r < 0)
		return r;
	if (line.word == DOVECOT_OK)
		return backend_yes(
		    ret, line.user.len > 0 ? line.user : pn_slice_of(attempt->said->user));
	ret->reason = "Dovecot says no";
	if (line.word == DOVECOT_NO)
		return 0;
	return pn_error_set(err, -EIO, "%s: %s", reader->peer.path,
	    line.word == DOVECOT_OLD ? "a protocol that is not version 1"
				     : "a temporary failure there");
}

int
backend_dovecot(const struct attempt *attempt, struct backend_answer *ret, struct pn_error *err)
{
	const struct auth_dovecot *cfg = &attempt->cfg->dovecot;
	int64_t left = pn_time_left(attempt->call);
	struct reader reader;
	int r;

	ret->reason = "an empty password";
	if (!*attempt->said->password)
		return 0;
	reader.len = reader.used = 0;
	r = peer_open(&reader.peer, cfg->socket, left < cfg->timeout ? left : cfg->timeout, err);
	if (r == 0)
		r = converse(&reader, attempt, ret, err);
	peer_close(&reader.peer);
	return r;
}
