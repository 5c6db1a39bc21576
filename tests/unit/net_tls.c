/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.c - unit tests of TLS contexts and of streams in TLS, both sides. */
#include "certs.h"
#include "net_scene.h"
#include <check.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct scene scene;
static struct certs root, mx, other, wild;
static char *root_path;
static SSL_CTX *server_ctx, *any_ctx, *verify_ctx;

static struct tls_identity
identity(const struct certs *certs, const char *where)
{
	return (
	    struct tls_identity){ pn_slice_of(certs->certificate), pn_slice_of(certs->key), where };
}

static SSL_CTX *
server_of(const struct certs *certs)
{
	struct tls_identity one = identity(certs, "test.pem");
	struct pn_error err;
	SSL_CTX *ctx = NULL;

	ck_assert_msg(tls_server_new(&one, 1, TLS_MIN_1_2, &ctx, &err) == 0, "%s", err.text);
	return ctx;
}

static SSL_CTX *
client_of(enum tls_level level, const char *ca_file)
{
	struct pn_error err;
	SSL_CTX *ctx = NULL;

	ck_assert_msg(tls_client_new(level, ca_file, TLS_MIN_1_2, &ctx, &err) == 0, "%s", err.text);
	return ctx;
}

static void
setup(void)
{
	struct tls_identity identities[3];
	struct pn_error err;

	root = certs_authority("Test Root");
	mx = certs_issue(&root, "DNS:mx.example,IP:127.0.0.1,IP:::1", -1, 10);
	other = certs_issue(&root, "DNS:Other.Example,DNS:mx.example", -1, 10);
	wild = certs_issue(&root, "DNS:*.wild.example", -1, 10);
	root_path = certs_write(root.certificate);
	identities[0] = identity(&mx, "mx.pem");
	identities[1] = identity(&other, "other.pem");
	identities[2] = identity(&wild, "wild.pem");
	ck_assert_int_eq(tls_server_new(identities, 3, TLS_MIN_1_2, &server_ctx, &err), 0);
	any_ctx = client_of(TLS_LEVEL_MAY, NULL);
	verify_ctx = client_of(TLS_LEVEL_VERIFY, root_path);
	scene_init(&scene);
}

static void
teardown(void)
{
	scene_free(&scene);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(any_ctx);
	SSL_CTX_free(verify_ctx);
	unlink(root_path);
	free(root_path);
	certs_free(&root);
	certs_free(&mx);
	certs_free(&other);
	certs_free(&wild);
}

static void
stop_now(struct loop_timer *timer)
{
	loop_stop(scene.loop);
}

static void
some_turns(void)
{
	struct loop_timer timer = { .fire = stop_now };

	for (int i = 0; i < 3; i++) {
		loop_timer_set(scene.loop, &timer, 1);
		loop_run(scene.loop);
	}
}

static void
shake(SSL_CTX *server, SSL_CTX *client, const char *name)
{
	scene_connect(&scene);
	ck_assert_int_eq(stream_start_tls(&scene.server.stream, server, true, NULL), 0);
	ck_assert_int_eq(stream_start_tls(&scene.client.stream, client, false, name), 0);
	scene_run(&scene, scene_secured);
}

/* ---- who it is ------------------------------------------------------------------------------- */

static const struct {
	const char *asked;
	const char *serves; /* a name of the certificate */
} sni[] = {
	{ "mx.example", "127.0.0.1" },
	{ "MX.Example", "127.0.0.1" },
	{ "other.example", "other.example" },
	{ "OTHER.example.", "other.example" },
	{ "a.wild.example", "a.wild.example" },
	{ "wild.example", "127.0.0.1" },
	{ "a.b.wild.example", "127.0.0.1" },
	{ "unknown.example", "127.0.0.1" },
	{ "*.wild.example", "a.wild.example" },
	{ "x", "127.0.0.1" },
	{ "127.0.0.1", "127.0.0.1" },
	{ NULL, "127.0.0.1" },
};

START_TEST(sni_chooses)
{
	X509 *certificate;

	shake(server_ctx, any_ctx, sni[_i].asked);
	ck_assert_int_eq(scene.client.secured, 0);
	ck_assert_int_eq(scene.server.secured, 0);
	certificate = SSL_get0_peer_certificate(scene.client.stream.tls);
	if (strcmp(sni[_i].serves, "127.0.0.1") == 0)
		ck_assert_int_eq(X509_check_ip_asc(certificate, sni[_i].serves, 0), 1);
	else
		ck_assert_int_eq(X509_check_host(certificate, sni[_i].serves, 0, 0, NULL), 1);
}
END_TEST

static const char *const good_names[] = { "mx.example", "MX.EXAMPLE", "mx.example.",
	"other.example", "b.wild.example", "127.0.0.1", "::1" };

START_TEST(verify_accepts)
{
	struct tls_facts facts;

	shake(server_ctx, verify_ctx, good_names[_i]);
	ck_assert_msg(scene.client.secured == 0, "%s", scene.client.why);
	tls_facts_of(scene.client.stream.tls, &facts);
	ck_assert(facts.verified);
	ck_assert_str_eq(facts.version, "TLSv1.3");
	ck_assert_int_ge(facts.bits, 128);
	ck_assert_ptr_nonnull(facts.cipher);
	tls_facts_of(scene.server.stream.tls, &facts);
	ck_assert(!facts.verified);
	ck_assert_str_eq(facts.version, "TLSv1.3");
}
END_TEST

enum server_kind { GOOD, EXPIRED, NOT_YET, SELF_SIGNED, STRANGER };
static const struct {
	enum server_kind kind;
	const char *name, *says;
} refused[] = {
	{ GOOD, "wrong.example", "hostname mismatch" },
	{ GOOD, "a.b.wild.example", "hostname mismatch" },
	{ GOOD, "127.0.0.2", "IP address mismatch" },
	{ EXPIRED, "mx.example", "expired" },
	{ NOT_YET, "mx.example", "not yet valid" },
	{ SELF_SIGNED, "mx.example", "self-signed" },
	{ STRANGER, "mx.example", "unable to get local issuer" },
};

static SSL_CTX *
bad_server(enum server_kind kind)
{
	struct certs stranger = certs_authority("Stranger"), certs;
	SSL_CTX *ctx;

	if (kind == GOOD) {
		certs_free(&stranger);
		SSL_CTX_up_ref(server_ctx);
		return server_ctx;
	}
	if (kind == EXPIRED)
		certs = certs_issue(&root, "DNS:mx.example", -20, -1);
	else if (kind == NOT_YET)
		certs = certs_issue(&root, "DNS:mx.example", 2, 10);
	else
		certs = certs_issue(kind == STRANGER ? &stranger : NULL, "DNS:mx.example", -1, 10);
	ctx = server_of(&certs);
	certs_free(&certs);
	certs_free(&stranger);
	return ctx;
}

START_TEST(verify_refuses)
{
	SSL_CTX *ctx = bad_server(refused[_i].kind);
	struct tls_facts facts;

	shake(ctx, verify_ctx, refused[_i].name);
	ck_assert_int_eq(scene.client.secured, -EKEYREJECTED);
	ck_assert_msg(strstr(scene.client.why, refused[_i].says) != NULL, "%s", scene.client.why);
	ck_assert_int_lt(scene.server.secured, 0); /* it got the alert */
	tls_facts_of(scene.client.stream.tls, &facts);
	ck_assert(!facts.verified);
	some_turns();
	ck_assert_int_eq(scene.client.count[SCENE_SECURED], 1);
	ck_assert_int_eq(scene.client.count[SCENE_LOST], 0);
	ck_assert_int_eq(scene.client.count[SCENE_INPUT], 0);
	SSL_CTX_free(ctx);
}
END_TEST

/* Opportunistic: the same certificates are good enough, and nobody says that they were checked. */
START_TEST(any_certificate_will_do)
{
	SSL_CTX *ctx = bad_server(refused[_i].kind);
	struct tls_facts facts;

	shake(ctx, any_ctx, refused[_i].name);
	ck_assert_int_eq(scene.client.secured, 0);
	tls_facts_of(scene.client.stream.tls, &facts);
	ck_assert(!facts.verified);
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(verify_wants_a_name)
{
	scene_connect(&scene);
	ck_assert_int_eq(stream_start_tls(&scene.client.stream, verify_ctx, false, NULL), -EINVAL);
}
END_TEST

/* ---- contexts -------------------------------------------------------------------------------- */

static char *
encrypted_key(void)
{
	BIO *in = BIO_new_mem_buf(mx.key, -1), *out = BIO_new(BIO_s_mem());
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	char *data, *text;
	long len;

	PEM_write_bio_PrivateKey(
	    out, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
	len = BIO_get_mem_data(out, &data);
	text = strndup(data, (size_t)len);
	EVP_PKEY_free(key);
	BIO_free(in);
	BIO_free(out);
	return text;
}

START_TEST(context_refuses)
{
	char *locked = encrypted_key(), broken[2000];
	const struct {
		const char *certificate, *key, *says;
	} cases[] = {
		{ "", mx.key, "bad.pem: not a PEM certificate chain" },
		{ "garbage", mx.key, "bad.pem: not a PEM certificate chain" },
		{ mx.key, mx.key, "bad.pem: not a PEM certificate chain" },
		{ broken, mx.key, "bad.pem: not a PEM certificate chain" },
		{ mx.certificate, "", "bad.pem: the key is not an unencrypted PEM" },
		{ mx.certificate, mx.certificate, "bad.pem: the key is not an unencrypted PEM" },
		{ mx.certificate, locked, "bad.pem: the key is not an unencrypted PEM" },
		{ mx.certificate, other.key, "bad.pem: the key is not that of the certificate" },
	};

	snprintf(broken, sizeof(broken),
	    "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", mx.certificate);
	for (int i = 0; i < COUNT(cases); i++) {
		struct tls_identity bad[2] = { identity(&mx, "mx.pem"),
			{ pn_slice_of(cases[i].certificate), pn_slice_of(cases[i].key),
			    "bad.pem" } };
		struct pn_error err = { 0 };
		SSL_CTX *ctx = NULL;

		ck_assert_int_eq(tls_server_new(&bad[1], 1, TLS_MIN_1_2, &ctx, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, cases[i].says) == err.text, "%s", err.text);
		ck_assert_int_eq(tls_server_new(bad, 2, TLS_MIN_1_2, &ctx, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, cases[i].says) == err.text, "%s", err.text);
		ck_assert_ptr_null(ctx);
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	free(locked);
}
END_TEST

START_TEST(client_context_refuses)
{
	struct pn_error err = { 0 };
	SSL_CTX *ctx = NULL;

	ck_assert_int_eq(
	    tls_client_new(TLS_LEVEL_VERIFY, "/nonexistent.pem", TLS_MIN_1_2, &ctx, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent.pem"));
	ck_assert_int_eq(tls_client_new(TLS_LEVEL_NONE, NULL, TLS_MIN_1_2, &ctx, &err), -EINVAL);
	ck_assert_int_eq(tls_server_new(NULL, 0, TLS_MIN_1_2, &ctx, &err), -EINVAL);
	ck_assert_ptr_null(ctx);
}
END_TEST

static const struct {
	int most;
	enum tls_version least;
	bool good;
} versions[] = {
	{ TLS1_3_VERSION, TLS_MIN_1_2, true },
	{ TLS1_3_VERSION, TLS_MIN_1_3, true },
	{ TLS1_2_VERSION, TLS_MIN_1_2, true },
	{ TLS1_2_VERSION, TLS_MIN_1_3, false },
	{ TLS1_1_VERSION, TLS_MIN_1_2, false },
};

START_TEST(version_least)
{
	struct tls_identity one = identity(&mx, "mx.pem");
	struct tls_facts facts;
	struct pn_error err;
	SSL_CTX *server = NULL, *client = client_of(TLS_LEVEL_MAY, NULL);

	ck_assert_int_eq(tls_server_new(&one, 1, versions[_i].least, &server, &err), 0);
	SSL_CTX_set_min_proto_version(client, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(client, versions[_i].most);
	ck_assert_int_eq(SSL_CTX_set_cipher_list(client, "ALL:@SECLEVEL=0"), 1);
	shake(server, client, "mx.example");
	ck_assert_int_eq(scene.server.secured == 0, versions[_i].good);
	ck_assert_int_eq(scene.client.secured == 0, versions[_i].good);
	tls_facts_of(scene.server.stream.tls, &facts);
	if (versions[_i].most == TLS1_2_VERSION && versions[_i].good)
		ck_assert_str_eq(facts.version, "TLSv1.2");
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static SSL_SESSION *ticket;

static int
keep_ticket(SSL *tls, SSL_SESSION *session)
{
	SSL_SESSION_free(ticket);
	ticket = SSL_SESSION_dup(session); /* the original ends with a connection cut short */
	return 0;
}

static const struct {
	int version;
	const char *name;
} resumptions[] = {
	{ TLS1_3_VERSION, "mx.example" },
	{ TLS1_2_VERSION, "mx.example" },
	{ TLS1_3_VERSION, "a.wild.example" },
	{ TLS1_2_VERSION, "other.example" },
};

/* The server keeps nothing; its ticket lets the client come back without a full handshake. */
START_TEST(ticket_resumes)
{
	SSL_CTX *client = client_of(TLS_LEVEL_VERIFY, root_path);
	struct address address;
	int listener, fd;

	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client, keep_ticket);
	SSL_CTX_set_max_proto_version(client, resumptions[_i].version);
	shake(server_ctx, client, resumptions[_i].name);
	scene_say(&scene.server, "220 the ticket comes with this\n");
	scene_run(&scene, scene_client_got);
	ck_assert_ptr_nonnull(ticket);
	ck_assert(!SSL_session_reused(scene.client.stream.tls));
	stream_close(&scene.client.stream);
	stream_close(&scene.server.stream);

	listener = scene_listen(&address);
	scene.server.count[SCENE_SECURED] = 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address.sa, address.len), 0);
	ck_assert_int_eq(stream_open(&scene.server.stream, scene.loop,
			     accept4(listener, NULL, NULL, SOCK_NONBLOCK), &scene_events),
	    0);
	ck_assert_int_eq(stream_start_tls(&scene.server.stream, server_ctx, true, NULL), 0);
	pid_t pid = fork();
	if (pid == 0) {
		SSL *tls = SSL_new(client);

		SSL_set_fd(tls, fd);
		SSL_set_session(tls, ticket);
		tls_expect(tls, resumptions[_i].name);
		_exit(SSL_connect(tls) == 1 && SSL_session_reused(tls) ? 0 : 1);
	}
	scene.client.count[SCENE_SECURED] = 1;
	scene_run(&scene, scene_secured);
	ck_assert_int_eq(scene.server.secured, 0);
	ck_assert_int_eq(SSL_session_reused(scene.server.stream.tls), 1);
	close(fd);
	close(listener);
	SSL_SESSION_free(ticket);
	ticket = NULL;
	SSL_CTX_free(client);
}
END_TEST

/* ---- streams --------------------------------------------------------------------------------- */

#define LARGE (6u * 1024 * 1024)
static char *large;

static void
make_large(void)
{
	large = malloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)('a' + (i * 7 + i / 1000) % 26);
}

static bool
both_have_large(struct scene *s)
{
	return s->server.got.len >= LARGE + 8 && s->client.got.len >= LARGE + 8;
}

/* Both ways at once, copies around borrowed bytes, the reader stopping for a while. */
START_TEST(tls_large_both_ways)
{
	struct end *ends[2] = { &scene.client, &scene.server };

	make_large();
	shake(server_ctx, any_ctx, "mx.example");
	stream_pause(&scene.server.stream);
	for (int i = 0; i < 2; i++) {
		struct stream *stream = &ends[i]->stream;

		ck_assert_int_eq(stream_write(stream, "head", 4), 0);
		ck_assert_int_eq(
		    stream_write_ref(stream, pn_slice(large, LARGE / 2), NULL, NULL), 0);
		ck_assert_int_eq(
		    stream_write_ref(stream, pn_slice(large + LARGE / 2, LARGE / 2), NULL, NULL),
		    0);
		ck_assert_int_eq(stream_write(stream, "tail", 4), 0);
		stream_flush(stream);
	}
	some_turns();
	ck_assert_uint_eq(scene.server.got.len, 0);
	stream_resume(&scene.server.stream);
	scene_run(&scene, both_have_large);
	for (int i = 0; i < 2; i++) {
		ck_assert_mem_eq(ends[i]->got.data, "head", 4);
		ck_assert_mem_eq(ends[i]->got.data + 4, large, LARGE);
		ck_assert_mem_eq(ends[i]->got.data + 4 + LARGE, "tail", 4);
	}
	some_turns();
	for (int i = 0; i < 2; i++) {
		ck_assert_ptr_null(ends[i]->stream.out.data);
		ck_assert_ptr_null(ends[i]->stream.sealed.data);
		ck_assert_ptr_null(ends[i]->stream.in.data);
		ck_assert_int_eq(ends[i]->count[SCENE_DRAINED], 1);
	}
	free(large);
}
END_TEST

static int records;

static void
count_records(
    int writing, int version, int type, const void *bytes, size_t len, SSL *tls, void *arg)
{
	if (!writing && type == SSL3_RT_HEADER)
		records++;
}

/* Many small writes make one record; a body with its ends as few as its length allows. */
START_TEST(tls_few_records)
{
	struct stream *stream = &scene.server.stream;
	char body[20000];

	memset(body, 'x', sizeof(body));
	shake(server_ctx, any_ctx, "mx.example");
	scene_say(&scene.server, "220\n"); /* and the ticket */
	scene_run(&scene, scene_client_got);
	SSL_set_msg_callback(scene.client.stream.tls, count_records);
	records = 0;
	buf_reset(&scene.client.got);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(stream_write(stream, "250-x\r\n", 7), 0);
	ck_assert_int_eq(stream_write_ref(stream, pn_slice(body, 10000), NULL, NULL), 0);
	scene_say(&scene.server, ".\r\n");
	scene_run(&scene, scene_client_got);
	ck_assert_uint_eq(scene.client.got.len, 10703);
	ck_assert_int_eq(records, 1);
	records = 0;
	buf_reset(&scene.client.got);
	ck_assert_int_eq(stream_write_ref(stream, pn_slice(body, 20000), NULL, NULL), 0);
	scene_say(&scene.server, "\r\n.\r\n");
	scene_run(&scene, scene_client_got);
	ck_assert_uint_eq(scene.client.got.len, 20005);
	ck_assert_int_eq(records, 2);
}
END_TEST

static void
start_server_tls(struct end *end, enum scene_event event)
{
	if (event != SCENE_INPUT || end->stream.tls)
		return;
	stream_discard_input(&end->stream);
	end->keep_unread = false;
	ck_assert_int_eq(stream_write(&end->stream, "220 go ahead\n", 13), 0);
	ck_assert_int_eq(stream_start_tls(&end->stream, server_ctx, true, NULL), 0);
}

static void
start_client_tls(struct end *end, enum scene_event event)
{
	if (event == SCENE_INPUT && !end->stream.tls) {
		ck_assert_int_eq(
		    stream_start_tls(&end->stream, verify_ctx, false, "mx.example"), 0);
		buf_reset(&end->got);
	} else if (event == SCENE_SECURED) {
		scene_say(end, "EHLO inside\n");
	}
}

/* RFC 3207, CVE-2011-0411: what was pipelined behind STARTTLS in clear is never seen. */
START_TEST(tls_injection_is_dropped)
{
	scene_connect(&scene);
	scene.server.keep_unread = true;
	scene.server.act = start_server_tls;
	scene.client.act = start_client_tls;
	scene_say(&scene.client, "STARTTLS\nMAIL FROM:<evil@example>\n");
	scene_run(&scene, scene_secured);
	ck_assert_int_eq(scene.server.secured, 0);
	scene_run(&scene, scene_server_got);
	ck_assert(pn_slice_equals(buf_slice(&scene.server.got), pn_slice_of("EHLO inside\n")));
	ck_assert_uint_eq(scene.client.got.len, 0);
}
END_TEST

static bool
server_input(struct scene *s)
{
	return s->server.count[SCENE_INPUT] > 0;
}

/* Input that was neither consumed nor discarded would end up inside: refused. */
START_TEST(tls_unread_input_is_refused)
{
	scene_connect(&scene);
	scene.server.keep_unread = true;
	scene_say(&scene.client, "STARTTLS\nMAIL\n");
	scene_run(&scene, server_input);
	ck_assert_int_eq(stream_start_tls(&scene.server.stream, server_ctx, true, NULL), -EINVAL);
	stream_discard_input(&scene.server.stream);
	ck_assert_int_eq(stream_start_tls(&scene.server.stream, server_ctx, true, NULL), 0);
	ck_assert_int_eq(stream_start_tls(&scene.server.stream, server_ctx, true, NULL), -EINVAL);
}
END_TEST

static const char *const no_hellos[] = { "GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\x40\x01 garbage",
	"\x16\x03\x01", "" };

/* Not a handshake, half of one, or none, and then the end. */
START_TEST(tls_no_handshake)
{
	int peer = scene_half(&scene);
	size_t len = strlen(no_hellos[_i]);

	ck_assert_int_eq(stream_start_tls(&scene.server.stream, server_ctx, true, NULL), 0);
	scene_say(&scene.server, "never sent\n");
	ck_assert_int_eq(write(peer, no_hellos[_i], len), (ssize_t)len);
	shutdown(peer, SHUT_WR);
	scene.client.count[SCENE_SECURED] = 1;
	scene_run(&scene, scene_secured);
	ck_assert_int_lt(scene.server.secured, 0);
	ck_assert_uint_gt(strlen(scene.server.why), 0);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_SECURED], 1);
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 0);
	close(peer);
}
END_TEST

/* Ciphertext cut off in the middle, and bytes that were changed on their way. */
START_TEST(tls_broken_records)
{
	static const char record[] = "\x17\x03\x03\x00\x20 these are no ciphertext bytes..";
	int fd;

	shake(server_ctx, any_ctx, "mx.example");
	fd = scene.client.stream.io.fd;
	ck_assert_int_eq(write(fd, record, 37), 37);
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, -EPROTO);
	ck_assert_uint_eq(scene.server.got.len, 0);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 1);
}
END_TEST

START_TEST(tls_finish_says_goodbye)
{
	shake(server_ctx, any_ctx, "mx.example");
	ck_assert_int_eq(stream_write(&scene.server.stream, "221 bye\n", 8), 0);
	stream_finish(&scene.server.stream);
	scene_run(&scene, scene_client_lost);
	ck_assert(pn_slice_equals(buf_slice(&scene.client.got), pn_slice_of("221 bye\n")));
	ck_assert_int_eq(scene.client.lost, 0);
	ck_assert(SSL_get_shutdown(scene.client.stream.tls) & SSL_RECEIVED_SHUTDOWN);
	stream_finish(&scene.client.stream);
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, 0);
	ck_assert(!stream_is_open(&scene.server.stream));
}
END_TEST

static void
pause_at_once(struct end *end, enum scene_event event)
{
	if (event == SCENE_SECURED)
		stream_pause(&end->stream);
}

/* Paused in `secured`, while the client's first command came with the end of its handshake. */
START_TEST(tls_paused_in_secured)
{
	scene.client.act = start_client_tls;
	scene.server.act = pause_at_once;
	shake(server_ctx, any_ctx, "mx.example");
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_INPUT], 0);
	stream_resume(&scene.server.stream);
	scene_run(&scene, server_input);
	ck_assert(pn_slice_equals(buf_slice(&scene.server.got), pn_slice_of("EHLO inside\n")));
}
END_TEST

static struct end *doomed;

static void
die(struct end *end, enum scene_event event)
{
	if (event != SCENE_SECURED)
		return;
	stream_close(&end->stream);
	memset(end, 0xee, sizeof(*end));
	free(end);
	doomed = NULL;
}

static bool
is_gone(struct scene *s)
{
	return !doomed && s->client.count[SCENE_SECURED] > 0;
}

/* The owner frees itself in `secured`, with and without an error. */
START_TEST(tls_freed_in_secured)
{
	struct address address;
	int listener = scene_listen(&address);

	doomed = calloc(1, sizeof(*doomed));
	doomed->scene = &scene;
	doomed->act = die;
	ck_assert_int_eq(
	    stream_connect(&scene.client.stream, scene.loop, &address, NULL, &scene_events), 0);
	ck_assert_int_eq(stream_open(&doomed->stream, scene.loop,
			     accept4(listener, NULL, NULL, SOCK_NONBLOCK), &scene_events),
	    0);
	some_turns();
	ck_assert_int_eq(stream_start_tls(&doomed->stream, server_ctx, true, NULL), 0);
	scene.client.act = start_client_tls;
	ck_assert_int_eq(stream_start_tls(&scene.client.stream, _i ? verify_ctx : any_ctx, false,
			     _i ? "wrong.example" : "mx.example"),
	    0);
	scene_run(&scene, is_gone);
	close(listener);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

#define IDLE 500

static long
private_kb(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[200];
	long kb, sum = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %ld", &kb) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &kb) == 1)
			sum += kb;
	fclose(file);
	return sum;
}

static void
go_on(SSL *tls)
{
	static const char commands[] = "EHLO client.example\n";
	char reply[1000];

	ck_assert_int_eq(SSL_connect(tls), 1);
	ck_assert_int_eq(SSL_write(tls, commands, 20), 20);
	ck_assert_int_gt(SSL_read(tls, reply, sizeof(reply)), 0);
}

/* In a process of its own, so that its memory is not counted. */
static pid_t
start_idle_clients(const struct address *address)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	for (int i = 0; i < IDLE; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		SSL *tls = SSL_new(any_ctx);

		if (connect(fd, (const struct sockaddr *)&address->sa, address->len) < 0)
			_exit(1);
		SSL_set_fd(tls, fd);
		go_on(tls);
	}
	pause();
	_exit(0);
}

static int idle_ready;

static void
answer(struct end *end, enum scene_event event)
{
	if (event == SCENE_SECURED)
		ck_assert_int_eq(end->secured, 0);
	if (event != SCENE_INPUT)
		return;
	buf_free(&end->got);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(stream_write(&end->stream, "250-SOMETHING OR OTHER\r\n", 24), 0);
	stream_flush(&end->stream);
	idle_ready++;
}

static bool
all_idle(struct scene *s)
{
	return idle_ready == IDLE;
}

struct doorman {
	struct loop_io io;
	struct end *ends;
	int count;
};

static void
open_door(struct loop_io *io, uint32_t events)
{
	struct doorman *doorman = (struct doorman *)(void *)io;
	struct end *end = &doorman->ends[doorman->count];
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	ck_assert_int_lt(doorman->count++, IDLE);
	end->scene = &scene;
	end->act = answer;
	end->got = BUF_INIT(1000);
	ck_assert_int_eq(stream_open(&end->stream, scene.loop, fd, &scene_events), 0);
	ck_assert_int_eq(stream_start_tls(&end->stream, server_ctx, true, NULL), 0);
}

/* 40 KB of process memory per idle TLS session is the budget of a whole session. */
START_TEST(tls_idle_is_small)
{
	struct doorman doorman = { .io = { .ready = open_door } };
	struct address address;
	pid_t pid;
	long before, kb;

	doorman.ends = calloc(IDLE, sizeof(*doorman.ends));
	doorman.io.fd = scene_listen(&address);
	pid = start_idle_clients(&address);
	before = private_kb();
	ck_assert_int_eq(loop_watch(scene.loop, &doorman.io, 1), 0);
	scene_run(&scene, all_idle);
	some_turns();
	kb = private_kb() - before;
	printf("%d idle TLS streams: %.1f KB each (%zu of them struct stream)\n", IDLE,
	    (double)kb / IDLE, sizeof(struct stream));
	if (strcmp(getenv("SANITIZERS") ? getenv("SANITIZERS") : "no", "no") == 0)
		ck_assert_int_le(kb, 25 * IDLE);
	kill(pid, SIGKILL);
	for (int i = 0; i < IDLE; i++)
		stream_close(&doorman.ends[i].stream);
	close(doorman.io.fd);
	free(doorman.ends);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, sni_chooses, 0, COUNT(sni));
	tcase_add_loop_test(tc, verify_accepts, 0, COUNT(good_names));
	tcase_add_loop_test(tc, verify_refuses, 0, COUNT(refused));
	tcase_add_loop_test(tc, any_certificate_will_do, 0, COUNT(refused));
	tcase_add_test(tc, verify_wants_a_name);
	tcase_add_test(tc, context_refuses);
	tcase_add_test(tc, client_context_refuses);
	tcase_add_loop_test(tc, version_least, 0, COUNT(versions));
	tcase_add_loop_test(tc, ticket_resumes, 0, COUNT(resumptions));
	tcase_add_test(tc, tls_large_both_ways);
	tcase_add_test(tc, tls_few_records);
	tcase_add_test(tc, tls_injection_is_dropped);
	tcase_add_test(tc, tls_unread_input_is_refused);
	tcase_add_loop_test(tc, tls_no_handshake, 0, COUNT(no_hellos));
	tcase_add_test(tc, tls_broken_records);
	tcase_add_test(tc, tls_finish_says_goodbye);
	tcase_add_test(tc, tls_paused_in_secured);
	tcase_add_loop_test(tc, tls_freed_in_secured, 0, 2);
	tcase_add_test(tc, tls_idle_is_small);
}

int
main(void)
{
	Suite *suite = suite_create("net_tls");
	TCase *tc = tcase_create("net_tls");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
