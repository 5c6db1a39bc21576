/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_talk.c - the other end of a session, a queue that is told what to say, and a module that
 * decides by what it sees.
 *
 * Called by session.c. queue_accept() and loader_open() are defined here, so that the library's own
 * are not linked.
 */
#include <check.h>
#include <core/config/source.h>
#include <core/net/loop.h>
#include <core/policy/loader.h>
#include <core/smtp/reply.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session_talk.h"

#define PATIENCE_MS 60000
#define LEFT_MOST   256

struct talk {
	struct loop *loop;
	struct jobs *jobs;
	struct server_shared *shared;
	struct server *server;
	struct generation *generation;
	SSL_CTX *server_tls, *client_tls;

	int fd;
	int left[LEFT_MOST]; /* descriptors of connections left open */
	size_t left_count;
	struct loop_io io;
	struct loop_timer patience;
	SSL *tls;
	struct buf in, out;
	bool eof, trickle;
	unsigned reads;
	struct reply_parser parser;
	char reply[4096];

	struct item *item; /* waiting for talk_queue_answer() */
	queue_accepted_fn *done;
	void *arg;
	struct loop_task task;
};

struct talk_queue talk_queue;
unsigned talk_hooks[TALK_STAGES], talk_hops;
void (*talk_inside)(struct pn_call *call, struct pn_txn *txn);
static struct talk *current; /* the fake queue's */
static pthread_t loop_thread;

/* ---- a configuration out of a string ----------------------------------------------------------
 */

static const char *source_text;

static int
list(struct source *source, const char *folder, struct buf *ret, struct pn_error *err)
{
	return buf_add(ret, "test.yaml", sizeof("test.yaml"));
}

static int
read_text(struct source *source, const char *path, struct source_file *ret, struct pn_error *err)
{
	const char *text = source_text;

	if (strstr(path, ".pem")) /* looked at when a context is made of it, and here none is */
		text = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
	*ret = (struct source_file){ strdup(text), strlen(text), 0600 };
	return 0;
}

static struct generation *
build(const char *yaml, struct generation *before)
{
	static const struct source_ops ops = { .list = list, .read = read_text };
	struct source source = { &ops };
	struct generation_how how = {
		.source = &source,
		.folder = "/test",
		.role = PN_ROLE_RELAY,
		.before = before,
	};
	struct generation *generation = NULL;
	struct diags diags = { 0 };

	source_text = yaml;
	generation_build(&how, &diags, &generation);
	for (size_t i = 0; i < diags.count; i++)
		if (diags.items[i].kind == DIAG_ERROR)
			ck_abort_msg("%s", diag_format(&diags.items[i], &diags.arena));
	diags_free(&diags);
	ck_assert_ptr_nonnull(generation);
	return generation;
}

/* ---- a module that decides by what it sees ----------------------------------------------------
 */

static void
note(struct pn_call *call, struct pn_txn *txn)
{
	__atomic_fetch_add(&talk_hooks[pn_stage(call)], 1, __ATOMIC_RELAXED);
	if (!pthread_equal(pthread_self(), loop_thread))
		__atomic_fetch_add(&talk_hops, 1, __ATOMIC_RELAXED);
	if (talk_inside)
		talk_inside(call, txn);
}

static struct pn_verdict
on_connect(struct pn_call *call, struct pn_txn *txn)
{
	note(call, txn);
	if (strcmp(pn_txn_client_address(txn), "192.0.2.66") == 0)
		return pn_reject(call, 554, "5.7.1", "not you");
	return pn_pass();
}

static struct pn_verdict
on_helo(struct pn_call *call, struct pn_txn *txn)
{
	note(call, txn);
	if (strcmp(pn_txn_helo(txn), "bad.example") == 0)
		return pn_reject(call, 550, "5.7.1", "bad name");
	pn_auth_offer(call, "PLAIN");
	pn_auth_offer(call, "LOGIN");
	return pn_pass();
}

static void
drop_login(void *data)
{
	free(data);
}

static struct pn_verdict
login(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_slice response = pn_auth_response(txn);
	char *name = pn_auth_kept(txn);

	if (!name && !response.data)
		return pn_challenge(call, pn_slice_of("Username:"));
	if (!name) {
		name = strndup(response.data, response.len);
		pn_auth_keep(call, name, drop_login);
		return pn_challenge(call, pn_slice_of("Password:"));
	}
	if (strcmp(name, "alice") == 0 && pn_slice_equals(response, pn_slice_of("secret")))
		return pn_identified(call, "alice@example.org");
	return pn_reject(call, 535, "5.7.8", "wrong");
}

static struct pn_verdict
on_auth(struct pn_call *call, struct pn_txn *txn)
{
	static const char good[] = "\0alice\0secret", broken[] = "\0broken\0x";
	struct pn_slice response = pn_auth_response(txn);

	note(call, txn);
	if (strcmp(pn_auth_mechanism(txn), "LOGIN") == 0)
		return login(call, txn);
	if (!response.data)
		return pn_challenge(call, pn_slice(NULL, 0));
	if (pn_slice_equals(response, pn_slice(good, sizeof(good) - 1)))
		return pn_identified(call, "alice@example.org");
	if (pn_slice_equals(response, pn_slice(broken, sizeof(broken) - 1)))
		return pn_fault(call, -EIO, "backend down");
	return pn_pass();
}

static struct pn_verdict
on_sender(struct pn_call *call, struct pn_txn *txn)
{
	note(call, txn);
	if (strncmp(pn_txn_sender(txn), "reject@", 7) == 0)
		return pn_reject(call, 550, "5.7.1", "not this sender");
	if (strncmp(pn_txn_sender(txn), "defer@", 6) == 0)
		return pn_defer(call, 451, "4.7.1", "later");
	return pn_pass();
}

static struct pn_verdict
on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	note(call, txn);
	if (strncmp(pn_txn_recipient(txn), "no@", 3) == 0)
		return pn_reject(call, 550, "5.1.1", "nobody");
	if (strncmp(pn_txn_recipient(txn), "also@", 5) == 0)
		pn_add_recipient(call, "copy@example.net");
	return pn_pass();
}

static struct pn_verdict
on_message(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_header header;

	note(call, txn);
	if (pn_header_find(txn, "X-Reject", 0, &header))
		return pn_reject(call, 550, "5.7.1", "not this message");
	if (pn_header_find(txn, "X-Discard", 0, &header))
		return pn_discard(call, "dropped");
	if (pn_header_find(txn, "X-Edit", 0, &header))
		pn_header_prepend(call, "X-Edited", "yes");
	return pn_pass();
}

static struct pn_verdict
on_aborted(struct pn_call *call, struct pn_txn *txn)
{
	ck_assert_str_ne(pn_txn_id(txn), "");
	note(call, txn);
	return pn_pass();
}

#define HOOKS(flags) \
	{ \
		{ PN_STAGE_CONNECT, flags, on_connect }, { PN_STAGE_HELO, flags, on_helo }, \
		    { PN_STAGE_AUTH, flags, on_auth }, { PN_STAGE_SENDER, flags, on_sender }, \
		    { PN_STAGE_RECIPIENT, flags, on_recipient }, \
		    { PN_STAGE_MESSAGE, flags, on_message }, \
		    { PN_STAGE_ABORTED, flags, on_aborted }, PN_HOOK_END \
	}
static const struct pn_hook quick_hooks[] = HOOKS(PN_QUICK);
static const struct pn_hook slow_hooks[] = HOOKS(0);
static const struct pn_module quick_module = {
	PN_MODULE_HEAD,
	.name = "quick",
	.summary = "Decides on the loop.",
	.flags = PN_MODIFIES,
	.hooks = quick_hooks,
};
static const struct pn_module slow_module = {
	PN_MODULE_HEAD,
	.name = "slow",
	.summary = "Decides on a policy thread.",
	.flags = PN_MODIFIES,
	.hooks = slow_hooks,
};

int
loader_open(
    const char *name, const char *module_path, const struct pn_module **ret, struct pn_error *err)
{
	*ret = strcmp(name, "quick") == 0 ? &quick_module : &slow_module;
	return 0;
}

int
loader_names(const char *module_path, struct buf *ret)
{
	return buf_add(ret, "quick\0slow", sizeof("quick\0slow"));
}

/* ---- a queue that is told what to say ---------------------------------------------------------
 */

static void
set(struct buf *buf, const void *bytes, size_t len)
{
	buf_free(buf);
	buf->ceiling = SIZE_MAX / 4;
	ck_assert_int_eq(buf_add(buf, bytes, len), 0);
}

static void
answer(struct loop_task *task)
{
	struct talk *talk = (struct talk *)((char *)task - offsetof(struct talk, task));
	struct item *item = talk->item;

	talk->item = NULL;
	talk->done(talk->arg, talk_queue.r, item);
	item_free(&item);
}

void
queue_accept(struct queue *queue, struct item *item, queue_accepted_fn *done, void *arg)
{
	talk_queue.items++;
	set(&talk_queue.bytes, item->bytes->data, item->bytes->len);
	set(&talk_queue.sender, item->envelope.sender, strlen(item->envelope.sender));
	set(&talk_queue.recipients, "", 0);
	for (size_t i = 0; i < item->envelope.count; i++)
		ck_assert_int_eq(buf_printf(&talk_queue.recipients, "%s%s", i > 0 ? "," : "",
				     item->envelope.recipients[i].address),
		    0);
	ck_assert_ptr_null(current->item);
	current->item = item;
	current->done = done;
	current->arg = arg;
	current->task.run = answer;
	if (talk_queue.at_once)
		answer(&current->task);
	else if (!talk_queue.never)
		loop_post(current->loop, &current->task);
}

void
talk_queue_answer(struct talk *talk)
{
	ck_assert_ptr_nonnull(talk->item);
	answer(&talk->task);
}

/* ---- certificates -----------------------------------------------------------------------------
 */

static SSL_CTX *
server_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	    (const unsigned char *)"relay.example", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
	ck_assert_int_eq(SSL_CTX_use_certificate(ctx, cert), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

/* ---- the client's end -------------------------------------------------------------------------
 */

static void
out_of_patience(struct loop_timer *timer)
{
	ck_abort_msg("nothing came; the last reply was \"%s\"", current->reply);
}

/* What the socket or TLS has, into `in`. */
static void
read_some(struct talk *talk)
{
	char bytes[16384];
	ssize_t n;

	do {
		n = talk->tls ? SSL_read(talk->tls, bytes, sizeof(bytes))
			      : read(talk->fd, bytes, sizeof(bytes));
		if (n > 0) {
			talk->reads++;
			ck_assert_int_eq(buf_add(&talk->in, bytes, (size_t)n), 0);
		}
	} while (n > 0);
	if (talk->tls)
		talk->eof = SSL_get_error(talk->tls, (int)n) != SSL_ERROR_WANT_READ;
	else
		talk->eof = n == 0 || errno != EAGAIN;
}

static void
ready(struct loop_io *io, uint32_t events)
{
	struct talk *talk = (struct talk *)((char *)io - offsetof(struct talk, io));

	if (talk->tls && !SSL_is_init_finished(talk->tls))
		SSL_do_handshake(talk->tls);
	else
		read_some(talk);
	if (talk->eof)
		loop_unwatch(talk->loop, io);
	loop_stop(talk->loop);
}

/* One piece of the loop's time. */
static void
turn(struct talk *talk)
{
	loop_timer_set(talk->loop, &talk->patience, PATIENCE_MS);
	loop_run(talk->loop);
	loop_timer_cancel(talk->loop, &talk->patience);
}

static void
soon(struct loop_timer *timer)
{
	loop_stop(current->loop);
}

/* Lets the loop run for some `ms`; 0: what is ready now. */
static void
let_run(struct talk *talk, int64_t ms)
{
	struct loop_timer timer = { .fire = soon };

	loop_timer_set(talk->loop, &timer, ms);
	loop_run(talk->loop);
	loop_timer_cancel(talk->loop, &timer);
}

void
talk_wait(struct talk *talk, bool (*what)(struct talk *talk))
{
	for (int i = 0; i < 1000 && !what(talk); i++)
		let_run(talk, 10);
	ck_assert(what(talk));
}

static ssize_t
send_some(struct talk *talk, const char *bytes, size_t len)
{
	if (talk->tls)
		return SSL_write(talk->tls, bytes, (int)len);
	return send(talk->fd, bytes, talk->trickle ? 1 : len, MSG_NOSIGNAL);
}

void
talk_send(struct talk *talk, const void *bytes, size_t len)
{
	size_t sent = 0;

	while (sent < len && !talk->eof) {
		ssize_t n = send_some(talk, (const char *)bytes + sent, len - sent);

		sent += n > 0 ? (size_t)n : 0;
		if (n <= 0) /* the server has to read first */
			let_run(talk, 1);
		else if (talk->trickle)
			let_run(talk, 0);
	}
}

void
talk_trickle(struct talk *talk)
{
	talk->trickle = true;
}

static void
keep(struct talk *talk, const char *text, const char *end)
{
	ck_assert_int_eq(buf_add_text(&talk->out, text), 0);
	ck_assert_int_eq(buf_add_text(&talk->out, end), 0);
}

static void
send_kept(struct talk *talk)
{
	talk_send(talk, talk->out.data, talk->out.len);
	buf_reset(&talk->out);
}

static void
expect(struct talk *talk, const char *text)
{
	size_t used;
	int r = 0;

	while (r == 0) {
		r = reply_parser_feed(&talk->parser, buf_slice(&talk->in), &used);
		buf_consume(&talk->in, used);
		if (r == 0 && talk->eof)
			ck_abort_msg("the server closed instead of saying \"%s\"", text);
		if (r == 0)
			turn(talk);
	}
	ck_assert_int_eq(r, 1);
	reply_print(&talk->parser.reply, talk->reply, sizeof(talk->reply));
	if (strncmp(talk->reply, text, strlen(text)) != 0)
		ck_abort_msg("the server said \"%s\" and not \"%s\"", talk->reply, text);
}

static void
expect_close(struct talk *talk)
{
	while (!talk->eof)
		turn(talk);
	if (talk->in.len > 0)
		ck_abort_msg("the server said more: \"%.*s\"", (int)talk->in.len, talk->in.data);
}

static void
begin_tls(struct talk *talk)
{
	talk->tls = SSL_new(talk->client_tls);
	SSL_set_fd(talk->tls, talk->fd);
	SSL_set_connect_state(talk->tls);
	SSL_do_handshake(talk->tls);
	while (!SSL_is_init_finished(talk->tls))
		turn(talk);
}

void
talk_run(struct talk *talk, const char *const *script)
{
	for (; *script; script++) {
		const char *line = *script, *text = line[1] ? line + 2 : "";

		switch (*line) {
		case 'C':
			keep(talk, text, "\r\n");
			send_kept(talk);
			break;
		case 'P':
			keep(talk, text, "\r\n");
			break;
		case 'R':
			keep(talk, text, "");
			send_kept(talk);
			break;
		case 'S':
			expect(talk, text);
			break;
		case 'T':
			begin_tls(talk);
			break;
		case 'X':
			expect_close(talk);
			break;
		default:
			ck_abort_msg("script: %s", line);
		}
	}
}

const char *
talk_reply(const struct talk *talk)
{
	return talk->reply;
}

struct loop *
talk_loop(struct talk *talk)
{
	return talk->loop;
}

struct jobs *
talk_jobs(struct talk *talk)
{
	return talk->jobs;
}

unsigned
talk_reads(const struct talk *talk)
{
	return talk->reads;
}

struct server *
talk_server(struct talk *talk)
{
	return talk->server;
}

void
talk_hang_up(struct talk *talk)
{
	if (talk->fd < 0)
		return;
	loop_unwatch(talk->loop, &talk->io);
	SSL_free(talk->tls);
	talk->tls = NULL;
	close(talk->fd);
	talk->fd = -1;
	talk->eof = false;
	buf_reset(&talk->in);
	reply_parser_free(&talk->parser);
}

void
talk_leave(struct talk *talk)
{
	ck_assert_uint_lt(talk->left_count, LEFT_MOST);
	talk->left[talk->left_count++] = dup(talk->fd);
	talk_hang_up(talk);
}

void
talk_connect(struct talk *talk, const char *listener, const char *peer)
{
	struct address address;
	int pair[2];

	talk_hang_up(talk);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(address_parse(peer, 0, &address, NULL), 0);
	talk->fd = pair[0];
	talk->io = (struct loop_io){ .ready = ready, .fd = pair[0] };
	ck_assert_int_eq(loop_watch(talk->loop, &talk->io, EPOLLIN), 0);
	server_accept(talk->server, listener, pair[1], &address);
}

void
talk_configure(struct talk *talk, const char *yaml)
{
	struct generation *next = build(yaml, talk->generation);
	size_t count = generation_core(next)->relay.listeners.count;
	SSL_CTX **tls = calloc(count + 1, sizeof(SSL_CTX *));

	for (size_t i = 0; i < count; i++)
		tls[i] = talk->server_tls;
	ck_assert_int_eq(server_configure(talk->server, next, tls, NULL), 0);
	free(tls);
	if (talk->generation)
		generation_release(&talk->generation);
	talk->generation = next;
}

struct talk *
talk_open(const char *yaml, const char *listener, const char *peer)
{
	struct talk *talk = calloc(1, sizeof(*talk));
	struct server_parts parts;

	current = talk;
	loop_thread = pthread_self();
	talk_queue = (struct talk_queue){ 0 };
	memset(talk_hooks, 0, sizeof(talk_hooks));
	talk_hops = 0;
	talk->fd = -1;
	talk->patience.fire = out_of_patience;
	talk->in = talk->out = BUF_INIT(SIZE_MAX / 4);
	reply_parser_init(&talk->parser);
	ck_assert_int_eq(loop_new(&talk->loop, NULL), 0);
	ck_assert_int_eq(jobs_new(2, &talk->jobs, NULL), 0);
	ck_assert_int_eq(server_shared_new(&talk->shared), 0);
	talk->server_tls = server_context();
	talk->client_tls = SSL_CTX_new(TLS_client_method());
	parts = (struct server_parts){
		.loop = talk->loop,
		.jobs = talk->jobs,
		.shared = talk->shared,
	};
	ck_assert_int_eq(server_new(&parts, &talk->server), 0);
	talk_configure(talk, yaml);
	talk_connect(talk, listener, peer);
	return talk;
}

static bool
nobody_is_left(struct talk *talk)
{
	struct server_figures figures;

	server_figures(talk->server, &figures);
	return figures.open == 0;
}

void
talk_close(struct talk **talk)
{
	struct talk *t = *talk;

	talk_hang_up(t);
	while (t->left_count > 0)
		close(t->left[--t->left_count]);
	talk_wait(t, nobody_is_left);
	server_free(&t->server);
	jobs_free(&t->jobs);
	server_shared_free(&t->shared);
	generation_stop(t->generation);
	generation_release(&t->generation);
	loop_free(&t->loop);
	SSL_CTX_free(t->server_tls);
	SSL_CTX_free(t->client_tls);
	buf_free(&t->in);
	buf_free(&t->out);
	buf_free(&talk_queue.bytes);
	buf_free(&talk_queue.sender);
	buf_free(&talk_queue.recipients);
	free(t);
	*talk = NULL;
}
